"""The stable code for what a run raised, wasm3's own texts among them."""

from shared import const
from shared.faults import TaskFailure, failure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# Our codes, and for each of wasm3's words what is enough to know them: as text it takes a board a fifth of the memory.
# "stack overflow" and "integer overflow" are different texts, so order does not matter. Some words are those of wasm3
# 0.9.0.
_CODES = const(
    "trap_unreachable:unreachable;"
    "trap_oob:out of bounds memory|data segment;"
    "trap_div0:divide by zero;"
    "trap_int_overflow:integer overflow;"
    "trap_int_conversion:conversion to int;"
    "trap_call_type:call type mismatch;"
    "trap_undefined_element:undefined element|null table|uninitialized;"
    "trap_stack:stack overflow;"
    "missing_import:imported function|body is missing;"
    "memory_limit:allocation failed|memory limit|out of memory"
)


def code_of(text: str) -> str:
    """The stable code for an error text of wasm3."""
    for line in _CODES.split(";"):
        code, _, words = line.partition(":")
        for known in words.split("|"):
            if known in text:
                return code
    return "bad_module"


def failed(error: Exception) -> "dict[str, Any]":
    """The result for whatever a run raised."""
    if isinstance(error, TaskFailure):
        return failure(error.code, error.message)
    if isinstance(error, MemoryError):
        return failure("memory_limit", "no memory left on the device for this module")
    if isinstance(error, RuntimeError):
        if "recursion depth" in str(error):  # of our own code: the module's is a trap
            return failure("bad_inputs", "the inputs are nested too deeply")
        return failure(code_of(str(error)), str(error))
    return failure("worker_died", "a fault of the edge itself: %r" % error)
