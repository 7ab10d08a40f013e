"""The stable code for what a run raised, wasm3's own texts among them."""

from shared import const
from shared.faults import TaskFailure, failure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# Of wasm3's words what is enough to know them, and our code, one a line: as text it takes a board a fifth of the
# memory. "stack overflow" and "integer overflow" are different texts, so order does not matter. Some words are those
# of wasm3 0.9.0.
_CODES = const(
    """
unreachable: trap_unreachable
out of bounds memory: trap_oob
data segment: trap_oob
divide by zero: trap_div0
integer overflow: trap_int_overflow
conversion to int: trap_int_conversion
call type mismatch: trap_call_type
undefined element: trap_undefined_element
null table: trap_undefined_element
uninitialized: trap_undefined_element
stack overflow: trap_stack
imported function: missing_import
body is missing: missing_import
allocation failed: memory_limit
memory limit: memory_limit
out of memory: memory_limit
"""
)


def code_of(text: str) -> str:
    """The stable code for an error text of wasm3."""
    for line in _CODES.strip().split("\n"):
        words, _, code = line.partition(": ")
        if words in text:
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
