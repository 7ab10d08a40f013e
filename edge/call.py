"""What every runner does with a task: check it, load it, choose the function, call it, report.

An engine is a function load(data, stack_bytes) -> instance; RuntimeError carries wasm3's text.

    instance.find(name)   None, or a function: arg_types and ret_types hold wasm3's numbers of the types,
                          function(*arguments) takes exactly those and returns a tuple
    instance.close()      frees it
"""

from edge import values
from edge.clock import precise_ms
from shared.errors import TaskFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

DEFAULT_PAGES = 256
DEFAULT_STACK = 16 * 1024
# wasm3 uses up to eight times this of the native stack; above, recursion ends in a segfault instead of a trap.
MAX_STACK = 64 * 1024
DEFAULT_OUTPUT = 32 * 1024

_FALLBACKS = ("main", "run", "_start")

# wasm3's words and our code. "stack overflow" and "integer overflow" are different texts, so order does not matter.
_CODES = (
    ("unreachable executed", "trap_unreachable"),
    ("out of bounds memory access", "trap_oob"),
    ("integer divide by zero", "trap_div0"),
    ("integer overflow", "trap_int_overflow"),
    ("invalid conversion to integer", "trap_int_conversion"),
    ("indirect call type mismatch", "trap_call_type"),
    ("undefined element", "trap_undefined_element"),
    ("null table element", "trap_undefined_element"),
    ("uninitialized element", "trap_undefined_element"),  # wasm3 0.9.0
    ("stack overflow", "trap_stack"),
    ("missing imported function", "missing_import"),
    ("function body is missing", "missing_import"),  # wasm3 0.9.0
    ("memory allocation failed", "memory_limit"),
    ("linear memory limitation exceeded", "memory_limit"),
)


def failure(code: str, message: str) -> "dict[str, Any]":
    """The result of an attempt that failed."""
    return {"ok": False, "error": {"code": code, "message": message}}


def code_of(text: str) -> str:
    """The stable code for an error text of wasm3."""
    for words, code in _CODES:
        if words in text:
            return code
    return "bad_module"


def limit(start: "dict[str, Any]", name: str, default: int) -> int:
    """One of the task's limits; bad_inputs when it is no whole number of 0 or more."""
    value = start["limits"].get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TaskFailure("limits.%s must be a whole number" % name, "bad_inputs")
    return value


def run(
    load: "Callable[[bytes, int], Any]", start: "dict[str, Any]", data: bytes, on_started: "Callable[[], None]"
) -> "dict[str, Any]":
    """Run a task to its end: the fields of its `result`, but task and attempt.

    start is the `start` message, data the module. on_started is called when the module is loaded, the inputs fit and
    the task's code is about to run. Never raises for what a module or its inputs do.
    """
    try:
        return _run(load, start, data, on_started)
    except TaskFailure as error:
        return failure(error.code, error.message)
    except RuntimeError as error:
        return failure(code_of(str(error)), str(error))
    except MemoryError:
        return failure("memory_limit", "no memory left on the device for this module")


def _run(
    load: "Callable[[bytes, int], Any]", start: "dict[str, Any]", data: bytes, on_started: "Callable[[], None]"
) -> "dict[str, Any]":
    _check(start, data)
    instance = load(data, min(limit(start, "stack_bytes", DEFAULT_STACK), MAX_STACK))
    try:
        function = _choose(instance, start)
        arguments = values.arguments(start.get("inputs"), function.arg_types)
        on_started()
        begun = precise_ms()
        initialize = instance.find("_initialize")
        if initialize is not None and not initialize.arg_types:
            initialize()
        try:
            returned = function(*arguments)
        except RuntimeError as error:
            result = failure(code_of(str(error)), str(error))
        else:
            result = _success(returned, function.ret_types, limit(start, "output_bytes", DEFAULT_OUTPUT))
        result["duration_ms"] = round(precise_ms() - begun, 3)
        return result
    finally:
        instance.close()


def _success(returned: "tuple[int | float, ...]", types: "tuple[int, ...]", max_bytes: int) -> "dict[str, Any]":
    json_values = values.outputs(returned, types)
    text = values.text(json_values)
    if len(text) > max_bytes:
        return failure("output_limit", "the results are %d bytes, the limit is %d" % (len(text), max_bytes))
    return {"ok": True, "outputs": json_values, "text": text}


def _check(start: "dict[str, Any]", data: bytes) -> None:
    abi = start.get("abi") or "auto"
    if abi not in ("auto", "call"):
        raise TaskFailure("this device runs abi call, not " + abi, "bad_module")
    pages = memory_pages(data)
    most = limit(start, "memory_pages", DEFAULT_PAGES)
    if pages > most:
        raise TaskFailure("the module needs %d memory pages at once, the limit is %d" % (pages, most), "memory_limit")


def _choose(instance: "Any", start: "dict[str, Any]") -> "Any":
    wanted = start.get("function")
    names = (wanted,) if wanted else (start["name"],) + _FALLBACKS
    for name in names:
        # A C string ends at the first zero byte: "main\0x" would find main.
        function = None if "\0" in name else instance.find(name)
        if function is not None:
            return function
    raise TaskFailure("the module exports none of: " + ", ".join(names), "missing_export")


def memory_pages(data: bytes) -> int:
    """The least memory a module needs, in pages of 64 KiB: the minimum in its memory section, 0 without one."""
    at = _section(data, 5)
    if at < 0:
        return 0
    try:
        count, at = _leb(data, at)
        return _leb(data, at + 1)[0] if count else 0
    except IndexError:
        raise TaskFailure("the module ends in its memory section", "bad_module")  # noqa: B904


def start_function(data: bytes) -> int:
    """The index in a module's start section, -1 without one."""
    at = _section(data, 8)
    try:
        return -1 if at < 0 else _leb(data, at)[0]
    except IndexError:
        raise TaskFailure("the module ends in its start section", "bad_module")  # noqa: B904


def _section(data: bytes, wanted: int) -> int:
    """Where the content of a section begins, -1 when the module has none of this number."""
    at = 8
    try:
        while at < len(data):
            kind = data[at]
            size, at = _leb(data, at + 1)
            if kind == wanted:
                return at
            at += size
    except IndexError:  # truncated: wasm3 refuses it with its own words
        pass
    return -1


def _leb(data: bytes, at: int) -> "tuple[int, int]":
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return number, at
        shift += 7
