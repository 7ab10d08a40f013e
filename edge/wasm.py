"""The runner port, and the runner for a `wasm3` module in this process (MicroPython's firmware, or pywasm3).

The port, which edge.cpython.pool.Pool offers too:

    await runner.open()            makes ready
    runner.start(start, path, on_started, on_finished, on_event)
        start: the fields of the `start` message; path: the module's file
        on_started(task, attempt)  the module is loaded and runs; not called for a task that is refused before
        on_event(task, attempt, kind, fields)  a log line, progress or a message of its; see edge.host
        on_finished(task, attempt, result)  once, whatever happens; result: the fields of `result` but task and attempt
    runner.stop(task, attempt, grace_ms)
        ends it with code cancelled unless it ends by itself within grace_ms; an unknown one is ignored
    await runner.close()           ends everything; on_finished is not called any more

The board that a runner is given answers the privileged functions of shared.host but publish:

    board.functions                    the names of those it has
    board.sensor(channel)              a number in the sensor's unit
    board.gpio_read(pin)               0 or 1
    board.gpio_write(pin, value)
    board.adc(channel)                 the raw reading
        Each may block. A TaskFailure ends the attempt with its code, anything else with device_error. One call at a
        time.
"""

import asyncio
import sys

import wasm3

from edge import binary, call, files
from edge.failures import failure
from edge.port import Port
from shared.errors import TaskFailure
from shared.host import FUEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    OnStarted = Callable[[str, int], None]
    OnFinished = Callable[[str, int, dict[str, Any]], None]
    OnEvent = Callable[[str, int, str, dict[str, Any]], None]


# pywasm3 takes bytes alone, our firmware any buffer: a board has no room for a copy.
_immutable = bytes if sys.implementation.name == "cpython" else lambda data: data


class Function:
    """An exported function; takes exactly the arguments of its type: with fewer, pywasm3 reads garbage or crashes."""

    def __init__(self, function: "Any") -> None:
        self._function = function
        self.arg_types = function.arg_types
        self.ret_types = function.ret_types

    def __call__(self, *arguments: "int | float") -> "tuple[int | float, ...]":
        returned = self._function(*arguments)
        if returned is None:
            return ()
        return returned if isinstance(returned, tuple) else (returned,)


class Instance:
    """A module loaded into a fresh runtime. pywasm3 0.5.0 never frees one: fit for tests, not for a Linux edge."""

    def __init__(self, data: "bytes | bytearray", stack_bytes: int) -> None:
        if binary.start_function(data) == 0:
            raise TaskFailure("wasm3 0.5.0 does not run a start function with index 0", "bad_module")
        environment = wasm3.Environment()
        self._runtime = environment.new_runtime(stack_bytes)
        # Kept: the runtime points into the module's bytes.
        self._module = environment.parse_module(_immutable(data))
        self._runtime.load(self._module)
        self._raised: BaseException | None = None

    def link(self, module: str, name: str, signature: str, function: "Callable[..., Any]") -> None:
        def called(*arguments: "int | float") -> "Any":
            try:
                return _signed(signature[0], function(*arguments))
            except BaseException as error:
                self._raised = error
                raise

        self._module.link_function(module, name, signature, called)

    def start(self) -> None:
        """wasm3 does it itself, when the first export is found."""

    def find(self, name: str) -> "Function | None":
        try:
            return Function(self._runtime.find_function(name))
        except RuntimeError as error:
            if self._raised is not None:  # in the start function: wasm3 has put its own words in the place of it
                raise self._raised  # noqa: B904
            if "function lookup failed" in str(error):
                return None
            raise

    def memory(self) -> "memoryview | None":
        return self._runtime.get_memory(0)  # type: ignore[no-any-return]

    def fuel(self) -> int:
        """What is left in the tank of a metered module."""
        left: int = self._module.get_global(FUEL)
        return int(_signed("i", left))

    def close(self) -> None:
        self._runtime = self._module = None


def _signed(result: str, value: "Any") -> "Any":
    """pywasm3 takes a signed result only, of any other it makes -1 and an error nobody sees."""
    if result not in ("i", "I"):
        return value
    bits = 32 if result == "i" else 64
    number = value & ((1 << bits) - 1)
    return number - (1 << bits) if number >> (bits - 1) else number


class InProcessRunner:
    """Runs one task at a time in this process. On MicroPython the event loop takes a turn in each of its ticks; CPython
    has no such turn, so there a task that runs hears of no stop."""

    def __init__(self, board: "Any" = None) -> None:
        self._board = board
        self._ports: dict[tuple[str, int], Port] = {}
        self._tasks: dict[tuple[str, int], Any] = {}  # CPython's loop itself holds them weakly
        self._turn = asyncio.Lock()
        self._closed = False

    async def open(self) -> None:
        pass

    def start(
        self,
        start: "dict[str, Any]",
        path: str,
        on_started: "OnStarted",
        on_finished: "OnFinished",
        on_event: "OnEvent",
    ) -> None:
        key = (start["task"], start["attempt"])
        port = self._ports[key] = Port(lambda kind, fields: on_event(key[0], key[1], kind, fields), self._board)
        self._tasks[key] = asyncio.create_task(self._run(start, path, port, on_started, on_finished))

    async def _run(
        self, start: "dict[str, Any]", path: str, port: Port, on_started: "OnStarted", on_finished: "OnFinished"
    ) -> None:
        task, attempt = start["task"], start["attempt"]
        async with self._turn:
            if self._closed:
                return
            if port.grace_ms() is None:
                data = files.load(path)
                if data is None:
                    result = failure("bad_module", "the module's file is gone")
                else:
                    result = call.run(Instance, start, data, port, lambda: on_started(task, attempt))
            else:
                result = failure("cancelled", "stopped before it ran")
        del self._ports[(task, attempt)], self._tasks[(task, attempt)]
        if not self._closed:
            on_finished(task, attempt, result)

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        port = self._ports.get((task, attempt))
        if port is not None:
            port.stop(grace_ms)

    async def close(self) -> None:
        self._closed = True
        for port in self._ports.values():
            port.stop(0)
        async with self._turn:
            pass
