"""An edge in process: runs functions of the test in place of modules, or the modules themselves with wasm3."""

import asyncio
import inspect
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from edge.caps import FEATURES
from edge.cpython.abis import find
from edge.cpython.boards import Board
from edge.cpython.host import ABIS
from hub.link.port import Handler, Link
from shared import PROTOCOL, messages
from shared.errors import TaskFailure
from shared.host import functions

Function = Callable[..., Any]
ReadModule = Callable[[str], bytes]

# The smallest module that has a function to call, for tasks that a function of the test stands in for.
MODULE = bytes.fromhex("0061736d 01000000 01050160017f00 03020100 0708 01046d61696e0000 0a040102000b")


class Gate:
    """A task that runs until the test lets it end; of every attempt the same."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._end: asyncio.Future[Any] = loop.create_future()

    def release(self, value: Any = None) -> None:
        """Ends it with a value."""
        self._loop.call_soon_threadsafe(self._set, self._end.set_result, value)

    def fail(self, error: Exception) -> None:
        """Ends it as a function that raises this."""
        self._loop.call_soon_threadsafe(self._set, self._end.set_exception, error)

    async def __call__(self, *_: Any) -> Any:
        return await asyncio.shield(self._end)

    def _set(self, end: Callable[[Any], None], what: Any) -> None:
        if not self._end.done():
            end(what)


class StubEdge:
    """One device. Its answers leave in later turns of the loop, as over a wire."""

    def __init__(self, id_: str, slots: int, read_module: ReadModule, board: Board | None) -> None:
        self.id = id_
        self._board = board
        self.functions: dict[str, Function] = {}
        self.said = 0
        self._slots = slots
        self._read_module = read_module
        self._handler: Handler | None = None
        self._library: Any = None
        self._running: dict[tuple[str, int], asyncio.Task[None]] = {}

    def connect(self, handler: Handler) -> None:
        self._handler = handler
        handler.connected(self.id)
        # All that there is: a function of the test may stand in for a module that needs it.
        caps = {"abi": ABIS, "host": list(functions()), "features": FEATURES}
        hello = {"proto": PROTOCOL, "boot": "stub", "agent": "stub", "runtime": "stub", "caps": caps,
                 "mem_free": 1 << 30, "mem_total": 1 << 30, "slots": self._slots, "running": [],
                 "outbox": []}  # fmt: skip
        self._say("hello", hello)

    async def close(self) -> None:
        """Ends what runs, without a word to the hub."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def hear(self, kind: str, fields: dict[str, Any]) -> None:
        if kind == "start":
            key = (fields["task"], fields["attempt"])
            if key not in self._running:
                self._running[key] = asyncio.create_task(self._run(fields))
        elif kind == "stop":
            task = self._running.get((fields["task"], fields["attempt"]))
            if task is not None:
                task.cancel()

    async def _run(self, start: dict[str, Any]) -> None:
        attempt = {"task": start["task"], "attempt": start["attempt"]}
        try:
            result = await self._result(start, lambda: self._say("started", attempt))
        except asyncio.CancelledError:
            result = _failure("cancelled", "stopped by the hub")
        del self._running[start["task"], start["attempt"]]
        self._say("result", {**attempt, **result})

    async def _result(self, start: dict[str, Any], on_started: Callable[[], None]) -> dict[str, Any]:
        function = self.functions.get(start["name"])
        if function is None:
            return self._run_module(start, on_started)
        on_started()
        inputs = start.get("inputs")
        try:
            value = function(*inputs) if isinstance(inputs, list) else function(*(() if inputs is None else (inputs,)))
            return _success(await value if inspect.isawaitable(value) else value)
        except TaskFailure as error:
            return _failure(error.code, error.message)
        except TimeoutError as error:
            return _failure("timeout", str(error) or "over its time")
        except Exception as error:
            # As a module that panics.
            return _failure("trap_unreachable", f"{type(error).__name__}: {error}")

    def _run_module(self, start: dict[str, Any], on_started: Callable[[], None]) -> dict[str, Any]:
        if find_spec("wasm3") is None:
            hint = f'hub.on("{start["name"]}", function), or pip install "motet[edge]"'
            return _failure("bad_module", f"the test's edge has nothing to run: {hint}")
        from edge import call
        from edge.cpython.m3 import Library
        from edge.cpython.pool import wasm3_file
        from edge.port import Port

        if self._library is None:
            self._library = Library(wasm3_file())
        attempt = {"task": start["task"], "attempt": start["attempt"]}
        port = Port(lambda kind, fields: self._say(kind, {**attempt, **fields}), self._board)
        return call.run(self._library.load, start, self._read_module(start["module"]), port, on_started, find)

    def _say(self, kind: str, fields: dict[str, Any]) -> None:
        assert self._handler is not None
        self.said += 1
        self._handler.message(self.id, kind, messages.make_up(kind, fields))


class MemoryLink(Link):
    """A link without sockets, to devices of this process. `moving` counts messages on their way, `sent` all."""

    def __init__(self) -> None:
        self.counters = {}
        self.moving = self.sent = 0
        self._handler: Handler | None = None
        self._devices: dict[str, StubEdge] = {}

    async def start(self, handler: Handler) -> None:
        self._handler = handler

    async def stop(self) -> None:
        for device in self._devices.values():
            await device.close()
        self._devices.clear()

    def join(self, device: StubEdge) -> None:
        assert self._handler is not None
        self._devices[device.id] = device
        device.connect(self._handler)

    def send(self, device: str, payload: bytes) -> bool:
        if device not in self._devices:
            return False
        kind, fields = messages.read_down(payload)
        self.moving += 1
        self.sent += 1
        # As over a socket: never within the call that sends.
        asyncio.get_running_loop().call_soon(self._deliver, device, kind, fields)
        return True

    def kick(self, device: str, reason: str) -> None:
        pass

    def is_connected(self, device: str) -> bool:
        return device in self._devices

    @property
    def address(self) -> tuple[str, int]:
        return ("memory", 0)

    def _deliver(self, device: str, kind: str, fields: dict[str, Any]) -> None:
        self.moving -= 1
        if device in self._devices:
            self._devices[device].hear(kind, fields)


def _success(value: Any) -> dict[str, Any]:
    """A tuple is several outputs, None is none, anything else is one."""
    outputs = list(value) if isinstance(value, tuple) else [] if value is None else [value]
    try:
        lines = [one if isinstance(one, str) else json.dumps(one, allow_nan=False) for one in outputs]
    except (TypeError, ValueError) as error:
        return _failure("trap_unreachable", f"the function's value is not JSON: {error}")
    return {"ok": True, "outputs": outputs, "text": "".join(f"{line}\n" for line in lines)}


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message}}
