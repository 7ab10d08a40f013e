"""The archivist: moves ended runs to the history and brings them back, step by step as hub.core.retention says."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from hub.core.commands import (
    Bygone,
    Command,
    CreateJob,
    CreateTask,
    CreateWorkflow,
    Discard,
    Recall,
    Result,
    Retire,
    Retired,
    Settled,
)
from hub.core.ended import Unit
from hub.core.engine import Engine
from hub.core.load import take_in
from hub.core.model import ATTEMPTS, TASKS, Doc
from hub.core.retention import missing, next_due
from hub.core.world import old_attempts
from hub.runtime import Runtime
from hub.store.history import History, hidden_in
from hub.store.journal import Journal, StoreFailed
from hub.store.records import Tables
from hub.store.sqlite import HistoryDamaged

log = logging.getLogger("motet.hub")

# Tasks that move at a time, 2 ms of the loop for them, and the pause behind them: other turns come through.
STEP = 100
PAUSE_S = 0.005
# After a failure of the disk, and when nothing is due, it looks again after so long.
AGAIN_S = 5.0
LOOK_S = 600.0
# Late results that wait for their task to come back; those beyond are answered as those of unknown tasks.
LATE = 1000

# So many must have left the store, beside twice those that stay, before a snapshot is worth while.
LEAVING = 5000

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the history holds at most; 0 seconds are no bound."""

    bytes: int = 512 << 20
    seconds: float = 0.0


class Past:
    """A unit of the history as the API reads it: a world of its own, with the modules of the hub's."""

    def __init__(self, runtime: Runtime, tables: Tables) -> None:
        self.engine = Engine(runtime.engine.world.policy)
        take_in(self.engine.world, tables)
        self.engine.world.modules = runtime.engine.world.modules
        self.tables = tables
        self.blobs = runtime.blobs
        self.clock = runtime.clock


class Archivist:
    """Keeps one hub's store small. All calls come from the event loop; the file is left to one thread.

    Its steps follow from what the store says, not from what it remembers: after a failure, or a start of the hub, it
    goes on where it was.
    """

    def __init__(self, runtime: Runtime, history: History, bounds: Bounds = Bounds()) -> None:
        self.history = history
        # Since the start: tasks that went to the history, that came back, and that left it for good.
        self.moved = self.recalled = self.discarded = 0
        # Told of each task that is gone for good.
        self.on_gone: Callable[[str], None] = lambda task: None
        self._runtime = runtime
        self._world = runtime.engine.world
        self._bounds = bounds
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._wake = asyncio.Event()
        self._calm = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()
        self._settlings = 0
        # Tasks that have left the store since its last snapshot, which is the start of a generation.
        self._left = 0
        self._generation = 0
        runtime.on_command = self.bring
        runtime.on_written = self._look

    # --- its life

    async def prepare(self, journal: Journal) -> dict[str, int]:
        """Before the runtime starts: how many tasks of the history refer to each module."""
        await self._in_thread(self.history.remove, hidden_in(journal.tables))
        if journal.recovered:
            # The store went back to an earlier change, and may have what the history has as well.
            await self._in_thread(self.history.remove_known, journal.tables)
        return await self._in_thread(self.history.modules)

    def open(self) -> None:
        self._worker = asyncio.create_task(self._run())

    async def close(self) -> None:
        for task in (self._worker, *self._late):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._in_thread(self.history.close)
        self._disk.shutdown()

    async def calm(self) -> None:
        """Looks at once, and returns when nothing is left to do, or can be done for now."""
        if self._worker is not None and not self._worker.done():
            self._calm.clear()
            self._wake.set()
            await self._calm.wait()

    # --- moving

    def _look(self) -> None:
        """After each write of the journal: whether there is something to do."""
        ended, keep = self._world.ended, self._world.policy.keep_tasks
        if ended.hidden or len(ended.recent) > min(STEP, keep // 8):
            self._wake.set()

    async def _run(self) -> None:
        while True:
            wait_s = PAUSE_S
            try:
                if not await self._step():
                    wait_s = self._until_due()
            except StoreFailed as failure:
                log.info("ended runs stay where they are for now: %s", failure.message)
                wait_s = AGAIN_S
                self._calm.set()
            except HistoryDamaged as damage:
                log.critical("ended runs are not moved any more: %s", damage.message)
                return self._calm.set()
            except Exception:
                log.exception("a step of moving ended runs broke; it is tried again")
                wait_s = AGAIN_S
            if wait_s == PAUSE_S:
                await asyncio.sleep(PAUSE_S)
                continue
            if wait_s != AGAIN_S and not self._wake.is_set():
                self._calm.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()

    def _until_due(self) -> float:
        due = next_due(self._world)
        return LOOK_S if due is None else min(max(1.0, due - self._runtime.clock().wall), LOOK_S)

    async def _step(self) -> bool:
        """One step; False when there was none to do."""
        ended = self._world.ended
        on_its_way = ended.moving[0].number if ended.moving else None
        stale = {first: last for first, last in ended.hidden.items() if first != on_its_way}
        # A copy is written, or removed, when the mark on it is on the disk: one that is set meanwhile may not be.
        await self._runtime.settled()
        if stale:
            await self._in_thread(self.history.remove, stale)
            self._settlings += 1
            await self._runtime.do(Settled(list(stale)))
            return True
        if not ended.moving:
            units, more = await self._runtime.do(Retire(STEP))
            if not units:
                return more or await self._discard()
        units = ended.moving
        copies = {unit.number: self._copy(unit) for unit in units}
        await self._in_thread(self.history.add, copies, self._runtime.clock().wall)
        self._count(sum(len(unit.tasks) for unit in units))
        stale_units = await self._runtime.do(Retired())
        self.moved += sum(len(unit.tasks) for unit in units if unit.number not in stale_units)
        return True

    def _count(self, leaving: int) -> None:
        """When much more has left the store than stays, a start should not read all of that again."""
        journal = self._runtime.journal
        if journal.generation != self._generation:
            self._generation, self._left = journal.generation, 0
        self._left += leaving
        if self._left > max(LEAVING, 2 * len(self._world.tasks)):
            journal.compact()

    def _copy(self, unit: Unit) -> Tables:
        older = self._runtime.journal.tables.get(ATTEMPTS, {})
        tables: Tables = {}
        for record, doc in zip(unit.records, unit.docs, strict=True):
            tables.setdefault(record.table, {})[record.id] = doc
        ids = [id for task in unit.tasks for id in old_attempts(task) if id in older]
        return {**tables, ATTEMPTS: {id: older[id] for id in ids}} if ids else tables

    async def _discard(self) -> bool:
        """Lets the oldest units go for good while the history is over its bounds; False when it is not."""
        before = self._runtime.clock().wall - self._bounds.seconds if self._bounds.seconds else None
        over = self.history.size_bytes > self._bounds.bytes
        kept = await self._in_thread(self.history.oldest, STEP, None if over else before) if over or before else []
        if not kept:
            return False
        gone = await self._runtime.do(Discard([Bygone(unit.number, unit.modules, unit.attempts) for unit in kept]))
        for unit in kept:
            if unit.number in gone:
                self.discarded += len(unit.tasks)
                for task in unit.tasks:
                    self.on_gone(task)
        return True

    # --- bringing back

    async def bring(self, command: Command) -> None:
        """Has in the store what a command is about, before it is applied."""
        while not self.is_empty and (ids := missing(self._world, command)):
            settlings = self._settlings
            try:
                found = await self._in_thread(self.history.find, ids)
            except HistoryDamaged as damage:
                # What is new needs nothing of it, and work goes on; who names something of it is told.
                if isinstance(command, (CreateTask, CreateWorkflow, CreateJob)):
                    return log.critical("%s", damage.message)
                raise
            # What was found is still so, unless something was removed meanwhile, and perhaps came again.
            if settlings == self._settlings:
                for number, tables in found.items():
                    self._runtime.submit(Recall(number, tables))
                    self.recalled += len(tables.get(TASKS, ()))
                return

    def submit(self, command: Command) -> None:
        """Runtime.submit, but a late result of a task in the history finds it."""
        if not isinstance(command, Result) or command.task in self._world.tasks or self.is_empty:
            return self._runtime.submit(command)
        if len(self._late) >= LATE:
            return self._runtime.submit(command)
        task = asyncio.create_task(self._submit_late(command))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _submit_late(self, command: Result) -> None:
        """Only a result of a lost attempt changes anything; for any other nothing comes back."""
        with contextlib.suppress(StoreFailed, HistoryDamaged):  # the device sends it again
            past = await self.find(TASKS, command.task)
            attempts: list[Doc] = (past.engine.world.tasks[command.task].doc.get("attempts") or []) if past else []
            if any(one["number"] == command.attempt and one.get("outcome") == "lost" for one in attempts):
                await self.bring(command)
            self._runtime.submit(command)

    # --- reading

    @property
    def is_empty(self) -> bool:
        history = self.history
        return not (history.tasks or history.workflows or history.jobs)

    async def find(self, table: str, id: str) -> Past | None:
        """The unit of that task, workflow or job."""
        if self.is_empty:
            return None
        found = await self._in_thread(self.history.find, {table: [id]})
        for number, tables in found.items():
            if not self._world.ended.hides(number):
                return Past(self._runtime, tables)
        return None

    async def page(self, table: str, *wanted: Any) -> tuple[int, int, int, list[Doc]]:
        """History.page, without what does not count."""
        return await self._in_thread(self.history.page, table, dict(self._world.ended.hidden), *wanted)

    async def known(self, ids: list[str]) -> set[str]:
        return await self._in_thread(self.history.known, ids)

    async def _in_thread(self, work: Callable[..., R], *arguments: Any) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work, *arguments)
