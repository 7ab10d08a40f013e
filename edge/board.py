"""What a MicroPython board is and has: the twin of edge.cpython.host."""

import gc
import os
import sys

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# A heap that is collected only when it is full has what stays in it strewn all over: no room for a page of 64 KiB.
gc.threshold(4 * 1024)  # type: ignore[attr-defined]

SLOTS = 1
WARM = False  # its runner is made when the first task comes
OUTBOX = 16
MODULE_BYTES = 256 * 1024
MAX_CHUNK = 1024
MAX_MESSAGE = 8 * 1024
MAX_MODULES = 8
ABIS = ("call", "edge")


def runtime() -> str:
    """For example "micropython 1.28 rp2"."""
    return "%s %d.%d %s" % (
        sys.implementation.name,
        sys.implementation.version[0],
        sys.implementation.version[1],
        sys.platform,
    )


def memory() -> "tuple[int, int]":
    """(free, total) bytes for tasks."""
    gc.collect()
    free: int = gc.mem_free()  # type: ignore[attr-defined]
    return free, free + gc.mem_alloc()  # type: ignore[attr-defined]


def flash_free(folder: str) -> int:
    """Bytes free where the folder is."""
    try:
        facts = os.statvfs(folder)
    except (AttributeError, OSError):  # a port without it
        return 0
    return facts[0] * facts[3]


def caps(board: "Any") -> "dict[str, Any]":
    kept = "edge.caps" in sys.modules
    from edge.caps import caps_of  # not before there is a connection

    found = caps_of(ABIS, board)
    if not kept:  # no task has brought them: a board at rest does not keep what it needs for one message
        for name in ("edge.caps", "shared.host"):
            package, _, module = name.partition(".")
            delattr(sys.modules[package], module)
            del sys.modules[name]
    return found


def make_runner(board: "Any") -> "Any":
    from edge.wasm import InProcessRunner

    return InProcessRunner(board)
