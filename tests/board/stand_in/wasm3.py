"""Stand-in for the firmware's wasm3, for MicroPython without it: wasm3 runs in a process of CPython, tests.board.wasm3.

The API is pywasm3's. Linear memory is held here too, as large as the module's, for on a board it lies in the heap; it
goes over and back around each host function that asks for it.
"""

import json
import os
import socket
import struct

from edge import board


class _Wire:
    def __init__(self):
        self._socket = socket.socket()
        self._socket.connect(socket.getaddrinfo("127.0.0.1", int(os.getenv("MOTET_TEST_WASM3")))[0][-1])
        self._socket.setsockopt(6, 1, 1)

    def ask(self, message, data=b""):
        """Send a message, with bytes after it; the answer, in which an error is raised."""
        words = json.dumps(message).encode()
        self._socket.write(struct.pack("<II", len(words), len(data)) + words)
        self._socket.write(data)
        return json.loads(self._socket.read(struct.unpack("<I", self._socket.read(4))[0]))

    def close(self):
        self._socket.close()

    def fill(self, memory):
        view = memoryview(memory)
        while view:
            view = view[self._socket.readinto(view) :]


def _pack(values):
    return [value if isinstance(value, int) else list(struct.pack("<d", value)) for value in values]


def _unpack(values):
    return [value if isinstance(value, int) else struct.unpack("<d", bytes(value))[0] for value in values]


# One module runs at a time, so the memory of the last is taken again: a bytearray goes only when the collector finds
# that nothing on the stack looks like its address. What is in it comes from the other process.
_last = None
_lent = False


def _take(size):
    global _last, _lent
    if size and (_last is None or len(_last) != size):
        _last = None
        _last = bytearray(size)
    _lent = size > 0
    return _last if size else None


_free_and_total = board.memory


def _memory():
    """What lies here for the next module is free, as in the firmware, which gives it back."""
    free, total = _free_and_total()
    return free if _lent or _last is None else free + len(_last), total


board.memory = _memory


class Function:
    def __init__(self, runtime, name, found):
        self._runtime = runtime
        self.name = name
        self.arg_types, self.ret_types = tuple(found[0]), tuple(found[1])

    def __call__(self, *arguments):
        returned = tuple(_unpack(self._runtime.finish(["call", self.name, _pack(arguments)])))
        return returned[0] if len(returned) == 1 else returned or None


class Module:
    def __init__(self, wire):
        self._wire = wire
        self.links = []

    def link_function(self, module, name, signature, function):
        answer = self._wire.ask(["link", module, name, signature])
        if "error" in answer:
            raise RuntimeError(answer["error"])
        self.links.append(function)

    def get_global(self, name):
        return self._wire.ask(["global", name])["value"]


class Runtime:
    def __init__(self, wire, stack_bytes):
        self._wire = wire
        self._stack_bytes = stack_bytes
        self._memory = None
        self._lent = False

    def load(self, module):
        self._links = module.links
        self._memory = _take(self.finish(["load", self._stack_bytes]))

    def find_function(self, name):
        return Function(self, name, self.finish(["find", name]))

    def get_memory(self, index):
        size = self._wire.ask(["memory"])["value"]
        if not size:
            return None
        if len(self._memory) != size:
            self._memory = None
            self._memory = bytearray(size)
        self._wire.fill(self._memory)
        self._lent = True
        return memoryview(self._memory)

    def close(self):
        global _lent
        self._memory, _lent = None, False

    def finish(self, message):
        """Ask, and run host functions until the answer is there."""
        raised = None
        answer = self._wire.ask(message)
        while "host" in answer:
            try:
                answer = self._returned(self._links[answer["host"]](*_unpack(answer["arguments"])))
            except BaseException as error:
                raised = error
                answer = self._wire.ask(["raise"])
        if raised is not None:
            raise raised
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def _returned(self, value):
        lent, self._lent = self._lent, False
        return self._wire.ask(["return", None if value is None else _pack([value])], self._memory if lent else b"")


class Environment:
    def __init__(self):
        self._wire = _Wire()

    def new_runtime(self, stack_bytes):
        return Runtime(self._wire, stack_bytes)

    def close(self):
        self._wire.close()

    def parse_module(self, data):
        answer = self._wire.ask(["parse"], data)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return Module(self._wire)
