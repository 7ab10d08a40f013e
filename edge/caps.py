"""What a device offers to modules, as its `hello` says it and the hub places tasks by it."""

from shared import const
from shared.host import PRIVILEGED, functions

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# Beyond the first version of WebAssembly; what wasm3 0.5.0 has of it. memory.copy and memory.fill are its bulk-memory.
FEATURES = ("bulk-memory", "multi-value", "mutable-globals", "nontrapping-fptoint", "sign-ext")


def offers(board: "Any") -> "list[str]":
    """The privileged functions of shared.host that a device with this board (or None) has."""
    return ["publish"] + (list(board.functions) if board is not None else [])


def caps_of(abis: "tuple[str, ...]", board: "Any") -> "dict[str, Any]":
    """The field `caps`: abi, host (names of functions in module `edge`), features."""
    had = offers(board)
    host = [name for name in functions() if name not in PRIVILEGED or name in had]
    return {"abi": list(abis), "host": sorted(host), "features": list(FEATURES)}
