"""The runner port, and the runner for a `wasm3` module in this process (MicroPython's firmware, or pywasm3).

The port, which edge.cpython.pool.Pool offers too:

    await runner.open()            makes ready
    runner.start(start, path, on_started, on_finished)
        start: the fields of the `start` message; path: the module's file
        on_started(task, attempt)  the module is loaded and runs; not called for a task that is refused before
        on_finished(task, attempt, result)  once, whatever happens; result: the fields of `result` but task and attempt
    runner.stop(task, attempt, grace_ms)
        ends it with code cancelled unless it ends by itself within grace_ms; an unknown one is ignored
    await runner.close()           ends everything; on_finished is not called any more
"""

import asyncio

import wasm3

from edge import call, files
from shared.errors import TaskFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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

    def __init__(self, data: bytes, stack_bytes: int) -> None:
        if call.start_function(data) == 0:
            raise TaskFailure("wasm3 0.5.0 does not run a start function with index 0", "bad_module")
        environment = wasm3.Environment()
        self._runtime = environment.new_runtime(stack_bytes)
        # Kept: the runtime points into the module's bytes.
        self._module = environment.parse_module(data)
        self._runtime.load(self._module)

    def find(self, name: str) -> "Function | None":
        try:
            return Function(self._runtime.find_function(name))
        except RuntimeError as error:
            if "function lookup failed" in str(error):
                return None
            raise

    def close(self) -> None:
        self._runtime = self._module = None


class InProcessRunner:
    """Runs one task at a time in this process; the event loop waits meanwhile, so nothing can stop a task."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], Any] = {}

    async def open(self) -> None:
        pass

    def start(
        self,
        start: "dict[str, Any]",
        path: str,
        on_started: "Callable[[str, int], None]",
        on_finished: "Callable[[str, int, dict[str, Any]], None]",
    ) -> None:
        key = (start["task"], start["attempt"])
        self._waiting[key] = asyncio.create_task(self._run(start, path, on_started, on_finished))

    async def _run(
        self,
        start: "dict[str, Any]",
        path: str,
        on_started: "Callable[[str, int], None]",
        on_finished: "Callable[[str, int, dict[str, Any]], None]",
    ) -> None:
        task, attempt = start["task"], start["attempt"]
        if self._waiting.pop((task, attempt), None) is None:
            result = call.failure("cancelled", "stopped before it ran")
        else:
            data = files.read(path)
            if data is None:
                result = call.failure("bad_module", "the module's file is gone")
            else:
                result = call.run(Instance, start, data, lambda: on_started(task, attempt))
        on_finished(task, attempt, result)

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        self._waiting.pop((task, attempt), None)

    async def close(self) -> None:
        for waiting in self._waiting.values():
            waiting.cancel()
        self._waiting = {}
