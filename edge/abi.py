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

Abi has the answers of one that needs nothing. span, Output, payload and text_fields are for all.
"""

import json
from binascii import b2a_base64
from os import urandom

from edge import values
from edge.limits import OUTPUT, limit
from shared import const
from shared.faults import TaskFailure
from shared.host import FUNCTIONS, MAX_PUBLISH, MAX_TOPIC, MODULE, valid_topic

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Memory = Callable[[], "memoryview | None"]


# random() makes so many bytes at a time.
_PIECE = const(4096)


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
        self._input: bytes | None = None
        self._most = limit(start, "output_bytes", OUTPUT)
        self._output = Output(self._most)

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        return {(MODULE, name): (FUNCTIONS[name][0], getattr(self, name)) for name in FUNCTIONS}

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
        if len(text) > self._most:
            raise over_limit(len(text), self._most)
        return {"ok": True, "outputs": outputs, "text": text}

    # Input and output

    def _payload(self) -> bytes:
        if self._input is None:
            self._input = payload(self.start)
        return self._input

    def input_len(self) -> int:
        return len(self._payload())

    def input_read(self, pointer: int, offset: int, size: int) -> int:
        data = self._payload()
        begin = min(unsigned(offset), len(data))  # a slice takes no more than a word of the machine
        data = data[begin : begin + min(unsigned(size), len(data))]
        span(self.memory, pointer, len(data))[:] = data
        return len(data)

    def input_byte(self, index: int) -> int:
        data = self._payload()
        return data[index] if 0 <= index < len(data) else -1

    def output(self, pointer: int, size: int) -> int:
        self._output.add(span(self.memory, pointer, size))
        return size

    def output_byte(self, byte: int) -> None:
        self._output.add(bytes([byte & 0xFF]))

    # The task

    def log(self, level: int, pointer: int, size: int) -> None:
        self.host.log(level, text_of(span(self.memory, pointer, size)))

    def millis(self) -> int:
        return int(self.host.millis()) & 0x7FFFFFFF

    def random(self, pointer: int, size: int) -> int:
        wanted = span(self.memory, pointer, size)
        for at in range(0, len(wanted), _PIECE):
            wanted[at : at + _PIECE] = urandom(min(_PIECE, len(wanted) - at))
        return size

    def progress(self, permille: int) -> None:
        self.host.progress(permille)

    def cancelled(self) -> int:
        return 1 if self.host.is_stopping() else 0

    def attempt(self) -> int:
        return int(self.start["attempt"])

    def task_name(self, pointer: int, size: int) -> int:
        name = self.start["name"].encode()
        copied = name[: min(unsigned(size), len(name))]
        span(self.memory, pointer, len(copied))[:] = copied
        return len(name)

    # The world

    def sensor(self, channel: int) -> int:
        thousandths: int = round(self.host.ask_board("sensor", channel) * 1000)
        return thousandths

    def gpio_read(self, pin: int) -> int:
        return 1 if self.host.ask_board("gpio_read", pin) else 0

    def gpio_write(self, pin: int, value: int) -> None:
        self.host.ask_board("gpio_write", pin, 1 if value else 0)

    def adc(self, channel: int) -> int:
        return int(self.host.ask_board("adc", channel))

    def publish(self, topic: int, topic_size: int, pointer: int, size: int) -> int:
        name = text_of(span(self.memory, topic, min(unsigned(topic_size), MAX_TOPIC + 1)))
        data = span(self.memory, pointer, size)
        if not valid_topic(name):
            self.host.log(2, "not published: a topic is 1 to 128 of A-Za-z0-9._-/, not %r" % name)
            return -1
        self.host.permit("publish", name)
        fields = text_fields(data, "data") if len(data) <= MAX_PUBLISH else {}
        if not fields or len(fields.get("data", "")) > MAX_PUBLISH:
            self.host.log(2, "not published: %d bytes are over %d (binary: three quarters)" % (len(data), MAX_PUBLISH))
            return -1
        fields["topic"] = name
        return size if self.host.publish(fields) else -1


class Edge(Call):
    """`edge`: a function with parameters gets the inputs as in `call`, one without reads the payload."""

    def arguments(self, function: "Any") -> "list[int | float]":
        return Call.arguments(self, function) if function.arg_types else []


class Output:
    """Bytes up to a limit; `data` is what there is."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.data = bytearray()

    def add(self, data: "bytes | memoryview") -> None:
        """TaskFailure output_limit when it is too much."""
        if len(self.data) + len(data) > self._most:
            raise over_limit(len(self.data) + len(data), self._most)
        self.data.extend(data)


def over_limit(size: int, most: int) -> TaskFailure:
    return TaskFailure("the output is %d bytes, the task's output_bytes allow %d" % (size, most), "output_limit")


def unsigned(number: int) -> int:
    """An i32 as the u32 it stands for: a pointer, a size."""
    return number & 0xFFFFFFFF


def span(memory: "Memory", pointer: int, size: int) -> memoryview:
    """size bytes of the module's memory from a pointer; TaskFailure trap_oob where there are none."""
    here = memory()
    begin, end = unsigned(pointer), unsigned(pointer) + unsigned(size)
    if here is None or end > len(here):
        has = 0 if here is None else len(here)
        why = "a host function was given %d bytes at %d, the memory has %d" % (end - begin, begin, has)
        raise TaskFailure(why, "trap_oob")
    return here[begin:end]


def payload(start: "dict[str, Any]") -> bytes:
    """The task's input as bytes: stdin, or else its inputs.

    An object is JSON, a list of exactly one text is that text, any other is JSON, an empty one nothing.
    """
    given = start.get("stdin")
    if given is None:
        inputs = start.get("inputs")
        if inputs is None or inputs == []:
            return b""
        one = isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], str)
        given = inputs[0] if one else to_json(inputs)
    try:
        return bytes(given, "utf-8")
    except ValueError:
        raise TaskFailure("the inputs hold half a UTF-16 pair, which is no text", "bad_inputs")  # noqa: B904


def to_json(value: "Any") -> str:
    """JSON without spaces, other letters than ASCII as they are."""
    try:
        return _dumps(value)
    except (ValueError, RuntimeError):  # RecursionError is a RuntimeError
        raise TaskFailure("the inputs are nested too deeply", "bad_inputs")  # noqa: B904


try:
    json.dumps("", ensure_ascii=False)

    def _dumps(value: "Any") -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

except TypeError:  # MicroPython: it never escapes them

    def _dumps(value: "Any") -> str:
        return json.dumps(value, separators=(",", ":"))


def text_fields(data: "bytes | bytearray | memoryview", binary: str = "output") -> "dict[str, Any]":
    """{"text": ...} of UTF-8, of anything else {binary: base64}."""
    try:
        return {"text": str(bytes(data), "utf-8")}
    except ValueError:
        return {binary: b2a_base64(data).decode().strip()}


def text_of(data: memoryview) -> str:
    """Bytes as text, a question mark for each that is not UTF-8's."""
    try:
        return str(bytes(data), "utf-8")
    except ValueError:
        return "".join([chr(byte) if byte < 128 else "?" for byte in data])
