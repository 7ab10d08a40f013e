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


def reset_cause() -> str:
    """Why the board started, in the words of MicroPython, or "" where it does not say."""
    try:
        import machine  # type: ignore[import-not-found]

        cause = machine.reset_cause()
    except (ImportError, AttributeError):
        return ""
    for name in ("PWRON", "HARD", "WDT", "DEEPSLEEP", "SOFT"):
        if getattr(machine, name + "_RESET", None) == cause:
            return name
    return ""


def slots() -> "Any":
    """The module motet_slots, None where the edge that runs lies in no slot: it is frozen, or was started otherwise."""
    found = sys.modules.get("motet_slots")
    if found is None or found.started is None:
        return None
    return found if sys.modules["edge"].__path__ == found.SLOTS[found.started] + "/edge" else None


def bytecode() -> int:
    """The number of the .mpy files that it runs."""
    return sys.implementation._mpy & 255  # type: ignore[no-any-return]


def restart() -> None:
    import machine

    machine.reset()


def forget() -> None:
    """Drop what was loaded to say hello, unless tasks have loaded it too: a board at rest has no use for it."""
    if "edge.tasks" in sys.modules:
        return
    for name in ("edge.hello", "edge.caps", "shared.host"):
        package, _, module = name.partition(".")
        delattr(sys.modules[package], module)
        del sys.modules[name]


def make_runner(board: "Any") -> "Any":
    from edge.wasm import InProcessRunner

    return InProcessRunner(board)
