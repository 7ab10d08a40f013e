"""The Extism host ABI for wasm3, without their kernel: unmodified Extism plug-ins run as tasks.

A plug-in exports () -> i32, 0 for success, and does everything else through imports from "extism:host/env". Its data
lies in a memory of its own beside the module's, which the plug-in reads and writes a byte or eight at a time: here one
bytearray. Functions and their types are those of today's PDKs (Rust, Go, C, AssemblyScript, Zig).

Bad offsets do what they do in the Extism kernel, which plug-ins may rely on: a load gives 0, a store and a free do
nothing, and what is no block has length 0. HTTP and the functions of "extism:host/user" are not offered.
"""

import struct

from edge.abi import over_limit
from shared.errors import TaskFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

MODULE = "extism:host/env"

SIGNATURES = {
    "alloc": "I(I)",
    "config_get": "I(I)",
    "error_get": "I()",
    "error_set": "v(I)",
    "free": "v(I)",
    "get_log_level": "i()",
    "http_headers": "I()",
    "http_request": "I(II)",
    "http_status_code": "i()",
    "input_length": "I()",
    "input_load_u64": "I(I)",
    "input_load_u8": "i(I)",
    "input_offset": "I()",
    "length": "I(I)",
    "length_unsafe": "I(I)",
    "load_u64": "I(I)",
    "load_u8": "i(I)",
    "log_debug": "v(I)",
    "log_error": "v(I)",
    "log_info": "v(I)",
    "log_trace": "v(I)",
    "log_warn": "v(I)",
    "output_set": "v(II)",
    "store_u64": "v(II)",
    "store_u8": "v(Ii)",
    "var_get": "I(I)",
    "var_set": "v(II)",
}

_DEBUG = 1  # of 0 trace, 1 debug, 2 info, 3 warn, 4 error

# Blocks up to this come in powers of two, larger ones in multiples of it: what is freed fits again.
_GRAIN = 4096


class Kernel:
    """What one call of a plug-in finds.

    config: what config_get finds. memory_bytes: the most that blocks may take, and again the most for variables; alloc
    answers 0 beyond. log(level, text) gets its log lines, at the levels 0 to 3: debug, info, warning, error. Afterwards
    `output()` is what output_set named, `error` what error_set did ("" for none).
    """

    def __init__(
        self,
        payload: bytes,
        config: "dict[str, str]",
        memory_bytes: int,
        output_bytes: int,
        log: "Callable[[int, str], None]",
    ) -> None:
        self._data = bytearray(8)  # offset 0 means none
        self._sizes: dict[int, int] = {}
        self._rooms: dict[int, int] = {}
        self._freed: dict[int, list[int]] = {}
        self._most = memory_bytes
        self._config = {_utf8(name): _utf8(value) for name, value in config.items()}
        self._variables: dict[bytes, bytes] = {}
        self._variable_bytes = 0
        self._output_bytes = output_bytes
        self._log = log
        self._output = (0, 0)
        self._error = 0
        self._input_size = len(payload)
        self._input = self._put(payload)

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        """As edge.abi describes them."""
        return {(MODULE, name): (signature, getattr(self, name)) for name, signature in SIGNATURES.items()}

    def output(self) -> bytes:
        """What output_set named, as it is now."""
        start, size = self._output
        return bytes(self._data[start : start + size])

    @property
    def error(self) -> str:
        return self._text(self._error)

    # Blocks

    def alloc(self, size: int) -> int:
        if size <= 0:
            return 0
        room = _room(size)
        waiting = self._freed.get(room)
        if waiting:
            offset = waiting.pop()
        elif len(self._data) + room > self._most:
            return 0
        else:
            offset = len(self._data)
            self._data += bytes(room)
            self._rooms[offset] = room
        self._sizes[offset] = size
        return offset

    def free(self, offset: int) -> None:
        if self._sizes.pop(offset, 0):
            self._freed.setdefault(self._rooms[offset], []).append(offset)
            if offset == self._input:
                self._input_size = 0

    def length(self, offset: int) -> int:
        return self._sizes.get(offset, 0)

    length_unsafe = length

    def _put(self, data: bytes) -> int:
        """A new block of these bytes, 0 for none; memory_limit where there is no room, for 0 would mean "not there"."""
        offset = self.alloc(len(data))
        if data and not offset:
            raise TaskFailure("the plug-in's data is over its %d bytes of memory" % self._most, "memory_limit")
        self._data[offset : offset + len(data)] = data
        return offset

    def _block(self, offset: int) -> bytes:
        return bytes(self._data[offset : offset + self.length(offset)])

    def _text(self, offset: int) -> str:
        return self._block(offset).decode("utf-8", "replace")

    # Loads and stores

    def _has(self, offset: int, size: int) -> bool:
        return 0 < offset <= len(self._data) - size

    def load_u8(self, offset: int) -> int:
        return self._data[offset] if self._has(offset, 1) else 0

    def load_u64(self, offset: int) -> int:
        return self._load(offset) if self._has(offset, 8) else 0

    def _load(self, offset: int) -> int:
        number: int = struct.unpack_from("<q", self._data, offset)[0]
        return number

    def store_u8(self, offset: int, value: int) -> None:
        if self._has(offset, 1):
            self._data[offset] = value & 0xFF

    def store_u64(self, offset: int, value: int) -> None:
        if self._has(offset, 8):
            struct.pack_into("<q", self._data, offset, value)

    # Input, output, error

    def input_offset(self) -> int:
        return self._input

    def input_length(self) -> int:
        return self._input_size

    def input_load_u8(self, offset: int) -> int:
        return self._data[self._input + offset] if 0 <= offset < self._input_size else 0

    def input_load_u64(self, offset: int) -> int:
        return self._load(self._input + offset) if 0 <= offset <= self._input_size - 8 else 0

    def output_set(self, offset: int, size: int) -> None:
        if size and not (size > 0 and self._has(offset, size)):
            return
        if size > self._output_bytes:
            raise over_limit(size, self._output_bytes)
        self._output = (offset, size)

    def error_set(self, offset: int) -> None:
        self._error = offset

    def error_get(self) -> int:
        return self._error

    # Configuration and variables

    def config_get(self, key: int) -> int:
        return self._put(self._config.get(self._block(key), b""))

    def var_get(self, key: int) -> int:
        return self._put(self._variables.get(self._block(key), b""))

    def var_set(self, key: int, value: int) -> None:
        name = self._block(key)
        if name in self._variables:
            self._variable_bytes -= len(name) + len(self._variables.pop(name))
        if not value:
            return
        self._variables[name] = self._block(value)
        self._variable_bytes += len(name) + len(self._variables[name])
        if self._variable_bytes > self._most:
            raise TaskFailure("the plug-in's variables are over its %d bytes of memory" % self._most, "memory_limit")

    # Logs and HTTP

    def log_debug(self, offset: int) -> None:
        self._log(0, self._text(offset))

    log_trace = log_debug

    def log_info(self, offset: int) -> None:
        self._log(1, self._text(offset))

    def log_warn(self, offset: int) -> None:
        self._log(2, self._text(offset))

    def log_error(self, offset: int) -> None:
        self._log(3, self._text(offset))

    def get_log_level(self) -> int:
        return _DEBUG

    def http_request(self, request: int, body: int) -> int:
        raise TaskFailure("a task may not make HTTP requests: http_request is not offered here", "denied")

    def http_status_code(self) -> int:
        return 0

    def http_headers(self) -> int:
        return 0


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _room(size: int) -> int:
    """What a block of so many bytes takes."""
    if size > _GRAIN:
        return -(-size // _GRAIN) * _GRAIN
    room = 8
    while room < size:
        room *= 2
    return room
