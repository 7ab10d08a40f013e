"""The process behind the stand-in tests/board/device/wasm3.py: pywasm3, one module at a time for each connection."""

import json
import os
import socket
import struct
import sys
import threading
from typing import Any

import wasm3


class Session:
    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rwb")
        self._links = 0

    def serve(self) -> None:
        while True:
            try:
                words, data = self._hear()
                self._say(self._do(data, *words))
            except (EOFError, ConnectionError):  # a board was reset
                return
            except RuntimeError as error:
                self._say({"error": str(error)})

    def _hear(self) -> tuple[Any, bytes]:
        head = self._stream.read(8)
        if len(head) < 8:
            raise EOFError
        words, data = struct.unpack("<II", head)
        return json.loads(self._stream.read(words)), self._stream.read(data)

    def _say(self, answer: dict[str, Any], data: bytes = b"") -> None:
        words = json.dumps(answer).encode()
        self._stream.write(struct.pack("<I", len(words)) + words + data)
        self._stream.flush()

    def _do(self, data: bytes, kind: str, *what: Any) -> dict[str, Any]:
        if kind == "parse":
            self._environment = wasm3.Environment()
            self._module = self._environment.parse_module(data)
            self._loaded = False
            self._pending: list[Any] = []
        elif kind == "load":
            self._runtime = self._environment.new_runtime(what[0])
            self._runtime.load(self._module)
            return {"value": self._size()}
        elif kind == "link":
            number = len(self._pending)
            module, name, signature = what
            self._module.link_function(module, name, signature, lambda *given: self._host(number, given))
            self._pending.append(number)
        elif kind == "find":
            function = self._runtime.find_function(what[0])
            return {"value": [list(function.arg_types), list(function.ret_types)]}
        elif kind == "call":
            returned = self._runtime.find_function(what[0])(*_unpack(what[1]))
            values = returned if isinstance(returned, tuple) else () if returned is None else (returned,)
            return {"value": _pack(values)}
        elif kind == "global":
            return {"value": self._module.get_global(what[0])}
        return {"value": None}

    def _size(self) -> int:
        memory = self._runtime.get_memory(0)
        return 0 if memory is None else len(memory)

    def _host(self, number: int, given: tuple[Any, ...]) -> Any:
        """A host function is called: it runs over there, and may ask for the memory in the meantime."""
        self._say({"host": number, "arguments": _pack(given)})
        while True:
            (kind, *what), data = self._hear()
            if kind == "memory":
                memory = self._runtime.get_memory(0)
                self._say({"value": self._size()}, b"" if memory is None else bytes(memory))
            elif kind == "raise":
                raise RuntimeError("a host function raised")
            else:
                if data:
                    self._runtime.get_memory(0)[:] = data
                return _unpack(what[0])[0] if what[0] is not None else None


def _pack(values: Any) -> list[Any]:
    return [value if isinstance(value, int) else list(struct.pack("<d", value)) for value in values]


def _unpack(values: list[Any]) -> list[Any]:
    return [value if isinstance(value, int) else struct.unpack("<d", bytes(value))[0] for value in values]


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()  # ends with the test
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=Session(connection).serve, daemon=True).start()


if __name__ == "__main__":
    main()
