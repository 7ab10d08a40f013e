"""The runner port, and the runner for a `wasm3` module in this process: see edge.engine.

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
import gc

from edge import files
from shared import const
from shared.faults import failure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    OnStarted = Callable[[str, int], None]
    OnFinished = Callable[[str, int, dict[str, Any]], None]
    OnEvent = Callable[[str, int, str, dict[str, Any]], None]


class InProcessRunner:
    """Runs one task at a time in this process. On MicroPython the event loop takes a turn in each of its ticks; CPython
    has no such turn, so there a task that runs hears of no stop."""

    def __init__(self, board: "Any" = None) -> None:
        self.board = board
        # What waits or runs; of what runs the port, too. CPython's loop itself holds its tasks weakly.
        self.tasks: dict[tuple[str, int], Any] = {}
        self._ports: dict[tuple[str, int], Any] = {}
        self.stopped: list[tuple[str, int]] = []  # before they ran
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
        running = self._run(start, path, on_started, on_finished, on_event)
        self.tasks[(start["task"], start["attempt"])] = asyncio.create_task(running)

    async def _run(
        self,
        start: "dict[str, Any]",
        path: str,
        on_started: "OnStarted",
        on_finished: "OnFinished",
        on_event: "OnEvent",
    ) -> None:
        key = (start["task"], start["attempt"])
        async with self._turn:
            if self._closed:
                return
            if key in self.stopped:
                self.stopped.remove(key)
                result = failure("cancelled", "stopped before it ran")
            else:
                try:
                    result = self._call(key, start, path, on_started, on_event)
                except MemoryError:
                    result = failure("memory_limit", "no memory left on the device")
        self._ports.pop(key, None)
        del self.tasks[key]
        if not self._closed:
            try:
                on_finished(key[0], key[1], result)
            except MemoryError:  # what the run had is free by now
                on_finished(key[0], key[1], failure("memory_limit", "no memory left on the device"))

    def _call(
        self, key: "tuple[str, int]", start: "dict[str, Any]", path: str, on_started: "OnStarted", on_event: "OnEvent"
    ) -> "dict[str, Any]":
        # Here, not above: before its first task a board has none of what a run needs in its memory.
        from edge import call
        from edge.engine import Instance
        from edge.port import Port

        gc.collect()  # the module before is gone only then, and its 64 KiB
        data = files.load(path)
        if data is None:
            return failure("bad_module", "the module's file is gone")
        port = self._ports[key] = Port(lambda kind, fields: on_event(key[0], key[1], kind, fields), self.board)
        return call.run(Instance, start, data, port, lambda: on_started(key[0], key[1]))

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        key = (task, attempt)
        if key in self._ports:
            self._ports[key].stop(grace_ms)
        elif key in self.tasks:
            self.stopped.append(key)

    async def close(self) -> None:
        self._closed = True
        for port in self._ports.values():
            port.stop(0)
        async with self._turn:
            pass
