"""The limits of a task: what it gets when it asks for nothing, and the most a device grants."""

import sys

from shared import const
from shared.faults import TaskFailure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

PAGES = 256
STACK = 16 * 1024
# wasm3 uses up to eight times this of the native stack; above, recursion ends in a segfault instead of a trap. The
# native stack of a board holds no more than this.
MAX_STACK = 64 * 1024 if sys.implementation.name == "cpython" else 8 * 1024
OUTPUT = 32 * 1024


def limit(start: "dict[str, Any]", name: str, default: int) -> int:
    """One of the task's limits; bad_inputs when it is no whole number of 0 or more."""
    value = start["limits"].get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TaskFailure("limits.%s must be a whole number" % name, "bad_inputs")
    return value
