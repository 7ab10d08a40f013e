"""What a Linux device is and has: the twin of edge.board."""

import os
import sys
from typing import Any

from edge.cpython.pool import Pool

SLOTS = 4
WARM = True  # its runner is made ready before there is a task
OUTBOX = 128
MODULE_BYTES = 64 * 1024 * 1024
MAX_CHUNK = 64 * 1024
MAX_MESSAGE = 256 * 1024
MAX_MODULES = 64
# edge.cpython.abis finds them; only the workers load what they are.
ABIS = ("call", "edge", "extism", "wasi")


def runtime() -> str:
    """For example "cpython 3.11 linux"."""
    return "%s %d.%d %s" % (sys.implementation.name, sys.version_info[0], sys.version_info[1], sys.platform)


def memory() -> tuple[int, int]:
    """(free, total) bytes for tasks: what the kernel says is available."""
    facts = {}
    with open("/proc/meminfo") as lines:
        for line in lines:
            name, amount = line.split()[:2]
            facts[name] = int(amount) * 1024
    return facts.get("MemAvailable:", facts["MemFree:"]), facts["MemTotal:"]


def flash_free(folder: str) -> int:
    """Bytes free where the folder is."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize


def reset_cause() -> str:
    return ""  # a process does not know how the one before it ended


def slots() -> Any:
    return None  # pip updates it


def bytecode() -> int:
    return 0


def restart() -> None:
    pass


def forget() -> None:
    pass


def make_runner(board: Any) -> Pool:
    return Pool(board=board)
