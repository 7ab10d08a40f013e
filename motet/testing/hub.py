"""A hub in process: `with Hub() as hub` runs it in a thread of its own, `async with Hub() as hub` in this loop."""

import asyncio
import os
import tempfile
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from edge.cpython.boards import Board
from hub.assembly import Assembly
from hub.core.commands import Tick
from hub.core.model import TASKS, Policy, Put
from motet.client import AsyncClient, Client
from motet.run import AsyncTaskHandle, TaskHandle
from motet.testing.clock import Clock
from motet.testing.edge import Function, Gate, MemoryLink, StubEdge
from motet.testing.transport import Bridge, InProcess

T = TypeVar("T")

URL = "http://hub"
# Nothing here falls silent, however far a test's clock jumps.
_NEVER_S = 1e9
# What a test's hub keeps need not survive the machine.
_MEMORY = "/dev/shm"


class AsyncHub:
    """The hub in this loop, its edge, and clients bound to it. Entered by `async with Hub()`."""

    def __init__(self, clock: Clock | None, slots: int, board: Any = None) -> None:
        checked = None if board is None else Board("of the test", board)
        self._directory = tempfile.TemporaryDirectory(
            prefix="motet-hub-", dir=_MEMORY if os.path.isdir(_MEMORY) else None
        )
        directory = Path(self._directory.name)
        policy = Policy(beat_s=_NEVER_S, lease_s=_NEVER_S)
        self._clock = clock
        self._link = MemoryLink()
        self._parts = Assembly(directory, self._link, policy, clock=clock)
        self._runtime = self._parts.runtime
        self._tell, self._runtime.on_changed = self._runtime.on_changed, self._changed
        self.app = self._parts.app
        self._edge = StubEdge("stub", slots, self._runtime.blobs.get, checked)
        self._clients: list[AsyncClient] = []
        self._fired: list[str] = []
        self._changes = 0

    async def __aenter__(self) -> "AsyncHub":
        self._loop = asyncio.get_running_loop()
        await self._parts.start()
        await self._link.start(self._parts.bridge)
        self._link.join(self._edge)
        if self._clock is not None:
            self._clock.subscribe(self._time_has_passed)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._clock is not None:
            self._clock.unsubscribe(self._time_has_passed)
        for client in self._clients:
            await client.close()
        self._parts.feed.close()
        await self._link.stop()
        await self._parts.stop()
        self._directory.cleanup()

    def on(self, name: str, function: Function) -> None:
        """Has a function stand in for the module of every task of that name.

        It gets a list of inputs as arguments, an object as one; a tuple it returns is several outputs. It may be a
        coroutine function, which a stop cancels. What it raises fails the attempt: TaskFailure with its code,
        TimeoutError as `timeout`, anything else as `trap_unreachable`.
        """
        self._edge.functions[name] = function

    def hold(self, name: str) -> Gate:
        """Has the tasks of that name run until gate.release(value) or gate.fail(error)."""
        gate = Gate(self._loop)
        self.on(name, gate)
        return gate

    def transport(self) -> InProcess:
        """For clients of one's own making, and for what stands between them and the hub."""
        return InProcess(self.app)

    def async_client(self) -> AsyncClient:
        """A client bound to this hub, closed with it."""
        client = AsyncClient(URL, self.transport())
        self._clients.append(client)
        return client

    async def settle(self) -> None:
        """Waits until nothing happens any more that does not wait for a gate or for time."""
        before = -1
        while self._link.moving or before != self._steps():
            before = self._steps()
            # A command's answer comes behind the effects of all before it; a message, and a task, take a turn each.
            await self._runtime.do(Tick())
            for _ in range(3):
                await asyncio.sleep(0)

    async def tick(self) -> list[AsyncTaskHandle]:
        """Fires what is due on the schedules; the handles of all that has fired since the last call."""
        client = self.async_client()
        return [await client.attach_task(id_) for id_ in await self.fire()]

    async def fire(self) -> list[str]:
        """As tick(), with the ids of the tasks."""
        await self._runtime.do(Tick())
        fired, self._fired = self._fired, []
        return fired

    def _steps(self) -> int:
        """Grows with everything that happens."""
        return self._link.sent + self._edge.said + self._changes

    def _changed(self, put: Put) -> None:
        self._changes += 1
        if put.changed is None and put.table == TASKS and (put.doc or {}).get("scheduled_for") is not None:
            self._fired.append(put.id)
        self._tell(put)

    def _time_has_passed(self) -> None:
        self._loop.call_soon_threadsafe(self._runtime.submit, Tick())


class Hub:
    """A hub with one edge for a test. clock: a Clock of the test's; by default the machine's. slots: of the edge.
    board: what modules ask for sensors and pins, an object as edge.cpython.boards describes it.

    `with` gives a Hub for blocking clients, `async with` an AsyncHub, whose tick() and settle() are awaited.
    """

    def __init__(self, clock: Clock | None = None, slots: int = 4, board: Any = None) -> None:
        self._clock = clock
        self._slots = slots
        self._board = board
        self._clients: list[Client] = []
        self._bridges: list[Bridge] = []

    async def __aenter__(self) -> AsyncHub:
        self._hub = AsyncHub(self._clock, self._slots, self._board)
        return await self._hub.__aenter__()

    async def __aexit__(self, *_: object) -> None:
        await self._hub.__aexit__()

    def __enter__(self) -> "Hub":
        self._over = asyncio.Event()
        ready: Future[AsyncHub] = Future()
        self._thread = threading.Thread(
            target=asyncio.run, args=[self._serve(ready)], name="motet-testing", daemon=True
        )
        self._thread.start()
        self._hub = ready.result()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        for bridge in self._bridges:
            bridge.abandon()

    async def _serve(self, ready: "Future[AsyncHub]") -> None:
        self._loop = asyncio.get_running_loop()
        try:
            async with AsyncHub(self._clock, self._slots, self._board) as hub:
                ready.set_result(hub)
                await self._over.wait()
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def on(self, name: str, function: Function) -> None:
        """As AsyncHub.on; the function runs in the hub's thread."""
        self._hub.on(name, function)

    def hold(self, name: str) -> Gate:
        """As AsyncHub.hold."""
        return self._hub.hold(name)

    def transport(self) -> Bridge:
        """As AsyncHub.transport, for blocking clients."""
        self._bridges.append(Bridge(self._hub.app, self._loop))
        return self._bridges[-1]

    def client(self) -> Client:
        """A client bound to this hub, closed with it."""
        client = Client(URL, self.transport())
        self._clients.append(client)
        return client

    def settle(self) -> None:
        """As AsyncHub.settle."""
        self._wait(self._hub.settle())

    def tick(self) -> list[TaskHandle]:
        """As AsyncHub.tick, with handles whose result() blocks."""
        client = self.client()
        return [client.attach_task(id_) for id_ in self._wait(self._hub.fire())]

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
