"""The hub: the real runtime, engine, journal and bridge, in a process that can die and comes back to its disk."""

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import hub.store.disk
import hub.store.journal
import hub.store.snapshot
from hub.archivist import Archivist
from hub.core.commands import AddModule, Command
from hub.core.engine import NOTHING, Engine
from hub.core.model import Now, Outcome, Policy, Send
from hub.link.bridge import Bridge
from hub.main import DRAIN_S
from hub.runtime import Runtime
from hub.store.history import NAME, Hidden, History
from hub.store.journal import Journal, StoreFailed
from hub.store.records import Tables
from shared.errors import MotetError, NotFound
from tests.sim.harddisk import HardDisk, SyscallsOfStore, Threads
from tests.sim.loop import PowerCut, Process, Worker
from tests.sim.modules import MODULES, document
from tests.sim.network import SimLink
from tests.sim.policy import POLICY

if TYPE_CHECKING:
    from tests.sim.ledger import Ledger
    from tests.sim.simulation import Simulation

# In 2023; a journal that mixes the clocks up is far off.
WALL = 1.7e9
AGAIN_S = 5.0
# A snapshot every few dozen changes.
COMPACT_BYTES = 12_000
AHEAD_BYTES = 4096


class WatchedEngine(Engine):
    """The engine, with the ledger looking at every turn of it."""

    def __init__(self, policy: Policy, machine: "Hub") -> None:
        super().__init__(policy)
        self.machine = machine

    def apply(self, now: Now, command: Command) -> Outcome:
        try:
            outcome = super().apply(now, command)
        except MotetError as refusal:
            self.machine.world.ledger.refused(self, command, refusal)
            raise
        except Exception as error:
            self.machine.world.violated(f"the engine broke at {command!r}", error)
            raise
        self.machine.world.ledger.applied(self, command, outcome, self.machine.next_lsn(outcome))
        return outcome

    def load(self, now: Now, tables: dict[str, dict[str, Any]], bygone: Mapping[str, int] = NOTHING) -> Outcome:
        outcome = super().load(now, tables, bygone)
        assert self.machine.journal is not None
        # The runtime has something to keep at every start: the epoch.
        self.machine.world.ledger.loaded(self, outcome, self.machine.journal.lsn + 1)
        return outcome


class WatchedHistory(History):
    """The history, with the ledger looking at every change of its copies."""

    def __init__(self, path: Path, ledger: "Ledger") -> None:
        super().__init__(path)
        self._ledger = ledger

    def add(self, units: Mapping[int, Tables], at: float) -> None:
        self._ledger.copies_change(units)
        super().add(units, at)

    def remove(self, units: Hidden) -> None:
        self._ledger.copies_change(number for first, last in units.items() for number in range(first, last + 1))
        super().remove(units)


class Hub:
    """One gateway through all runs of the hub. `runtime` is the present one's, None when there is none."""

    def __init__(self, world: "Simulation", directory: Any) -> None:
        self.world = world
        self.chance = random.Random(f"{world.plan.seed}/hub")
        self.directory = directory
        self.disk = HardDisk(directory, self.chance)
        self.process: Process | None = None
        self.runtime: Runtime | None = None
        self.engine: WatchedEngine | None = None
        self.journal: Journal | None = None
        self.history: History | None = None
        self.archivist: Archivist | None = None
        self.landed = 0  # the last change that the hub was told to be on the disk
        self.runs = 0
        self.down_s = 0.1  # until it is started again
        # The next death is a kill, and the power fails so long behind the start that follows; None: it is a power cut.
        self.again: float | None = None
        self.snapshot_cut = 0  # the next one dies at this step
        self.slow = 0.0  # further seconds that a flush takes
        self.wall = WALL
        self._mono = 0.0
        self._snapshots: list[Callable[[], None]] = []

    # --- life

    def boot(self) -> None:
        if self.process is not None:
            return
        self.runs += 1
        # The monotonic clock of a gateway that was switched on again.
        self._mono = self.chance.choice((0.0, 5.0, 1e6)) - self.world.loop.now
        self.process = Process(f"hub#{self.runs}", self)
        self.process.context.run(self._begin)

    def _begin(self) -> None:
        self.world.say("hub", "starts")
        asyncio.ensure_future(self._run(), loop=self.world.loop).add_done_callback(self._begun)

    async def _run(self) -> None:
        try:
            journal = Journal(self.directory, compact_min_bytes=COMPACT_BYTES, compact_ratio=0.5)
        except PowerCut:
            self.crash()
            await self.world.loop.create_future()
        self.journal = journal
        self.history = history = WatchedHistory(self.directory / NAME, self.world.ledger)
        # A crash of a simulated machine is none of the machine that it runs on.
        history._db.execute("PRAGMA synchronous = OFF")
        self.world.ledger.recovered(journal, history, self.landed)
        self.landed = journal.lsn
        engine = self.engine = WatchedEngine(POLICY, self)
        runtime = Runtime(engine, journal, None, self.clock)  # type: ignore[arg-type]
        archivist = self.archivist = Archivist(runtime, history)
        archivist._disk = Worker(self.world.loop, self._history_seconds)  # type: ignore[assignment]
        await runtime.start(await archivist.prepare(journal))
        archivist.open()
        link = SimLink(self.world.network)
        bridge = Bridge(link, archivist.submit, read_module, self.clock, POLICY)
        bridge.epoch = runtime.epoch

        def on_send(send: Send) -> None:
            self.world.ledger.leaves(send)
            bridge.send(send)

        runtime.on_send = on_send
        runtime.on_recovered.append(bridge.recovered)
        await link.start(bridge)
        self.runtime = runtime

    def _begun(self, task: "asyncio.Task[None]") -> None:
        error = task.exception()
        if error is not None and (self.disk.full or getattr(error, "code", None) == "disk_full"):
            # It says so and ends, perhaps when there is room again already; somebody tries again.
            self.down_s = AGAIN_S
            self.crash()
        elif error is not None:
            self.world.violated("the hub does not start", error)

    def stop(self) -> None:
        """As hub.main does at SIGTERM."""
        runtime, self.runtime = self.runtime, None
        if self.process is not None and runtime is not None:
            self.process.context.run(self._stop, runtime)

    def _stop(self, runtime: Runtime) -> None:
        async def stop() -> None:
            await runtime.drain(DRAIN_S)
            if self.world.network.link is not None:
                await self.world.network.link.stop()
            archivist, self.archivist = self.archivist, None
            if archivist is not None:
                await archivist.close()
            await runtime.stop()

        self.world.say("hub", "is stopped")
        asyncio.ensure_future(stop(), loop=self.world.loop).add_done_callback(self._stopped)

    def _stopped(self, task: "asyncio.Task[None]") -> None:
        error = task.exception()
        if error is not None and not isinstance(error, StoreFailed):
            self.world.violated("the hub does not stop", error)
        self.crash()

    def crash(self) -> None:
        """A power cut: what was not on the platter is gone or not; or a kill: the system has what was written. It comes
        back after `down_s`."""
        process, self.process = self.process, None
        if process is None:
            return
        again, self.again = self.again, None
        self.world.say("hub", "loses its power" if again is None else "is killed")
        process.dead = True
        self.runtime = self.engine = self.journal = self.archivist = None
        if self.history is not None:
            self.history.close()
            self.history = None
        self._snapshots = []
        self.world.network.link = None
        self.world.network.hub_died(self.chance)
        self.world.later(self.down_s, self.boot)
        if again is None:
            self.disk.power_cut()
        else:
            self.disk.kill()
            self.world.later(self.down_s + again, self._power_cut)

    def _power_cut(self) -> None:
        if self.world.loop.now < self.world.plan.calm:
            self.crash()

    # --- time

    def clock(self) -> Now:
        return Now(self._mono + self.world.loop.now, self.wall + self.world.loop.now)

    # --- the journal

    def next_lsn(self, outcome: Outcome) -> int:
        """The number that the change of this turn gets."""
        assert self.journal is not None
        return self.journal.lsn + (1 if outcome.puts else 0)

    def work(self, done: "asyncio.Future[Any]", job: Callable[[], Any]) -> None:
        """A flush, in the journal's thread: its writes land, and it returns, when its time is over."""
        self.disk.take_off()
        try:
            answer, error = job(), None
        except PowerCut:
            return self.crash()
        except Exception as raised:
            answer, error = None, raised
        seconds = 0.0005 + self.chance.expovariate(300.0) + self.slow * self.chance.random()
        self.world.loop.call_later(seconds, self._landed, done, answer, error)

    def _history_seconds(self) -> float:
        """The history is on nobody's way: now and then it takes its time, and much happens meanwhile."""
        return self.chance.expovariate(300.0) if self.chance.random() < 0.8 else self.chance.uniform(0.0, 3.0)

    def _landed(self, done: "asyncio.Future[Any]", answer: Any, error: Exception | None) -> None:
        self.disk.land()
        if done.cancelled():
            return
        if error is None:
            assert self.journal is not None
            self.landed = self.journal.durable
            done.set_result(answer)
        else:
            done.set_exception(error)
        snapshots, self._snapshots = self._snapshots, []
        for write in snapshots:
            self.world.loop.call_later(self.chance.uniform(0, 0.2), self._write_snapshot, write)

    def later(self, write: Callable[[], None]) -> None:
        """A snapshot begins when the flush that called for it has ended."""
        self._snapshots.append(write)

    def _write_snapshot(self, write: Callable[[], None]) -> None:
        if self.snapshot_cut:
            self.disk.cut_in, self.snapshot_cut = self.snapshot_cut, 0
        write()


def read_module(sha256: str, offset: int, count: int) -> tuple[bytes, int]:
    data = MODULES.get(sha256)
    if data is None:
        raise NotFound("no such module")
    return data[offset : offset + count], len(data)


def additions() -> list[AddModule]:
    return [AddModule(document(sha256, data)) for sha256, data in MODULES.items()]


@contextmanager
def on_our_disk() -> Iterator[None]:
    """hub.store with the disk of the hub whose code runs."""
    system = SyscallsOfStore()
    with ExitStack() as stack:
        for module in (hub.store.disk, hub.store.journal, hub.store.snapshot):
            stack.enter_context(patch.object(module, "os", system))
        stack.enter_context(patch.object(hub.store.journal, "threading", Threads()))
        stack.enter_context(patch.object(hub.store.disk, "AHEAD_BYTES", AHEAD_BYTES))
        yield
