"""How a task's function meets the world: the port that every ABI fills, and the ABIs `call` and `edge`.

An ABI is a class; a run makes one object of it, before anything of the module runs:

    abi = Abi(start, host, memory)
        start     the fields of the `start` message
        host      edge.host.Host: time, sleep, stop, log lines, messages, the board
        memory()  the module's linear memory as a writable memoryview, None without one; ask anew in each host function,
                  for memory moves when it grows
    abi.functions()
        {(module, name): (signature, function)} of all that it offers; what the module does not import is left out.
        signature is wasm3's: the result's letter, then the parameters' in brackets, "i(iI)" is (i32, i64) -> i32.
        function takes ints (signed) and floats and returns one, or None for "v"; of an int too large the low bits
        count. What it raises ends the run: TaskFailure with its code, Exit when the module ended itself.
    abi.initializers
        names of functions, the first of which that is there is called before the task's own
    abi.arguments(function)
        the arguments for the export that is called; function has arg_types and ret_types (edge.values knows the
        numbers). TaskFailure bad_inputs when the task's inputs do not fit.
    abi.result(returned, types)
        the fields of `result` but task, attempt, duration_ms and fuel, when the export has returned this tuple of these
        types; ok may be false
    abi.exited(code)
        the same when a host function raised Exit(code); needed where one does
    abi.leftovers()
        fields for a result that failed otherwise, such as what stood on stderr

Abi has the answers of one that needs nothing. Output, text_fields and what edge.functions has are for all.
"""

from binascii import b2a_base64

from edge import values
from edge.limits import OUTPUT, limit
from shared import const
from shared.faults import TaskFailure
from shared.host import MODULE, functions

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Memory = Callable[[], "memoryview | None"]


class Exit(Exception):
    """The module ended itself with an exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Abi:
    initializers: "tuple[str, ...]" = ("_initialize",)

    def __init__(self, start: "dict[str, Any]", host: "Any", memory: "Memory") -> None:
        self.start = start
        self.host = host
        self.memory = memory

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        return {}

    def arguments(self, function: "Any") -> "list[int | float]":
        return values.arguments(None, function.arg_types)

    def exited(self, code: int) -> "dict[str, Any]":
        raise TaskFailure("the module ended itself with exit code %d" % code, "exit_code")

    def leftovers(self) -> "dict[str, Any]":
        return {}


class Call(Abi):
    """`call`: inputs and outputs are the function's own parameters and results. What it imports from edge, it gets."""

    def __init__(self, start: "dict[str, Any]", host: "Any", memory: "Memory") -> None:
        Abi.__init__(self, start, host, memory)
        self.most = limit(start, "output_bytes", OUTPUT)
        self._output = Output(self.most)

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        from edge.functions import Functions  # not for a module that imports none

        here = Functions(self.start, self.host, self.memory, self._output)
        return {(MODULE, name): (signature, getattr(here, name)) for name, signature in functions().items()}

    def arguments(self, function: "Any") -> "list[int | float]":
        return values.arguments(self.start.get("inputs"), function.arg_types)

    def result(self, returned: "tuple[int | float, ...]", types: "tuple[int, ...]") -> "dict[str, Any]":
        """What was written, or else what was returned."""
        if self._output.data:
            fields = text_fields(self._output.data)
            fields["ok"] = True
            return fields
        outputs = values.outputs(returned, types)
        text = values.text(outputs)
        if len(text) > self.most:
            raise over_limit(len(text), self.most)
        return {"ok": True, "outputs": outputs, "text": text}


class Edge(Call):
    """`edge`: a function with parameters gets the inputs as in `call`, one without reads the payload."""

    def arguments(self, function: "Any") -> "list[int | float]":
        return Call.arguments(self, function) if function.arg_types else []


class Output:
    """Bytes up to a limit; `data` is what there is."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.data = bytearray()

    def add(self, data: "bytes | memoryview") -> None:
        """TaskFailure output_limit when it is too much."""
        if len(self.data) + len(data) > self.most:
            raise over_limit(len(self.data) + len(data), self.most)
        self.data.extend(data)


def over_limit(size: int, most: int) -> TaskFailure:
    return TaskFailure("the output is %d bytes, the task's output_bytes allow %d" % (size, most), "output_limit")


def text_fields(data: "bytes | bytearray | memoryview", binary: str = "output") -> "dict[str, Any]":
    """{"text": ...} of UTF-8, of anything else {binary: base64}."""
    try:
        return {"text": str(bytes(data), "utf-8")}
    except ValueError:
        return {binary: b2a_base64(data).decode().strip()}
