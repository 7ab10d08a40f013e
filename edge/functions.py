"""The functions of module `edge` for a run, which only a module that imports one needs, and what every ABI shares with
them: spans of the module's memory, the task's input as bytes."""

import json
import sys
from os import urandom

from edge.abi import text_fields
from shared import const
from shared.faults import TaskFailure
from shared.host import MAX_PUBLISH, MAX_TOPIC, valid_topic

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Memory = Callable[[], "memoryview | None"]

# random() makes so many bytes at a time.
_PIECE = const(4096)


class Functions:
    """One method for each name of shared.host; the parameters are those of edge.abi, output takes what is written."""

    def __init__(self, start: "dict[str, Any]", host: "Any", memory: "Memory", output: "Any") -> None:
        self._start = start
        self.host = host
        self._memory = memory
        self._output = output
        self._input: bytes | None = None

    # Input and output

    def _payload(self) -> bytes:
        if self._input is None:
            self._input = payload(self._start)
        return self._input

    def input_len(self) -> int:
        return len(self._payload())

    def input_read(self, pointer: int, offset: int, size: int) -> int:
        data = self._payload()
        begin = min(unsigned(offset), len(data))  # a slice takes no more than a word of the machine
        data = data[begin : begin + min(unsigned(size), len(data))]
        span(self._memory, pointer, len(data))[:] = data
        return len(data)

    def input_byte(self, index: int) -> int:
        data = self._payload()
        return data[index] if 0 <= index < len(data) else -1

    def output(self, pointer: int, size: int) -> int:
        self._output.add(span(self._memory, pointer, size))
        return size

    def output_byte(self, byte: int) -> None:
        self._output.add(bytes([byte & 0xFF]))

    # The task

    def log(self, level: int, pointer: int, size: int) -> None:
        self.host.log(level, text_of(span(self._memory, pointer, size)))

    def millis(self) -> int:
        return int(self.host.millis()) & 0x7FFFFFFF

    def random(self, pointer: int, size: int) -> int:
        wanted = span(self._memory, pointer, size)
        for at in range(0, len(wanted), _PIECE):
            wanted[at : at + _PIECE] = urandom(min(_PIECE, len(wanted) - at))
        return size

    def progress(self, permille: int) -> None:
        self.host.progress(permille)

    def progress_message(self, permille: int, pointer: int, size: int) -> None:
        self.host.progress(permille, text_of(span(self._memory, pointer, size)))

    def cancelled(self) -> int:
        return 1 if self.host.is_stopping() else 0

    def attempt(self) -> int:
        return int(self._start["attempt"])

    def task_name(self, pointer: int, size: int) -> int:
        name = self._start["name"].encode()
        copied = name[: min(unsigned(size), len(name))]
        span(self._memory, pointer, len(copied))[:] = copied
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
        name = text_of(span(self._memory, topic, min(unsigned(topic_size), MAX_TOPIC + 1)))
        data = span(self._memory, pointer, size)
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


if sys.implementation.name == "cpython":

    def _dumps(value: "Any") -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

else:  # it never escapes them

    def _dumps(value: "Any") -> str:
        return json.dumps(value, separators=(",", ":"))


def text_of(data: memoryview) -> str:
    """Bytes as text, a question mark for each that is not UTF-8's."""
    try:
        return str(bytes(data), "utf-8")
    except ValueError:
        return "".join([chr(byte) if byte < 128 else "?" for byte in data])
