"""The single writer: takes commands one at a time through engine, journal and effects, in this order, always."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from hub.core.commands import Command, Retry, Stalled, Start, Tick
from hub.core.engine import NOTHING, Engine
from hub.core.model import META, Now, Outcome, Put, Send
from hub.store.blobs import Blobs
from hub.store.database import Database
from hub.store.journal import Journal, StoreFailed
from hub.store.records import Tables
from shared.errors import Unavailable

log = logging.getLogger("motet.hub")

# How often a hub whose disk is full looks whether there is room again.
ROOM_S = 1.0
# How often a hub makes sure that it runs; a short beat makes it more often.
PULSE_S = 1.0


class Readable(Protocol):
    """What the API reads of: the running hub, or a part of its past."""

    engine: Engine
    blobs: Blobs
    clock: Callable[[], Now]

    @property
    def tables(self) -> Tables: ...


@dataclass(slots=True)
class _Turn:
    """What waits for the disk: an answer to give and effects to carry out."""

    outcome: Outcome
    done: asyncio.Future[Any] | None


class Runtime:
    """Carries commands through apply, journal, effects.

    One fdatasync serves every turn that waits when it begins (group commit), in a thread, so that the loop goes on.
    Neither an answer nor an effect leaves before its turn is on the disk, and turns leave in the order they were
    applied. When the journal fails, none of them leaves: `failure` says why, and every later command is refused. Where
    only room was wanting, this ends when there is room: what waits is written, its effects leave, `failure` is None.
    """

    def __init__(self, engine: Engine, journal: Journal, blobs: Blobs, clock: Callable[[], Now] | None = None) -> None:
        self.engine = engine
        self.journal = journal
        self.blobs = blobs
        # TinyDB over the same documents, for reading.
        self.database = Database.over(journal)
        self.clock = clock or _system_clock
        self.failure: StoreFailed | None = None
        self.epoch = 0
        # Set by who carries them out: messages to devices, news of changed documents, blobs that go, and urls of
        # modules to be fetched, each of which is answered by a Fetched.
        self.on_send: Callable[[Send], None] = lambda send: None
        self.on_discard: Callable[[str], None] = lambda blob: None
        self.on_fetch: Callable[[str], None] = lambda url: None
        self.on_changed: Callable[[Put], None] = lambda put: None
        # Called before a command of people is applied, and after each write of the journal.
        self.on_command: Callable[[Command], Awaitable[None]] | None = None
        self.on_written: Callable[[], None] = lambda: None
        # Called when changes are taken again after a failure.
        self.on_recovered: list[Callable[[], None]] = []
        self._turns: list[_Turn] = []
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._writer: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._pulse_s = min(PULSE_S, engine.world.policy.beat_s)
        self._pulse_at = math.inf
        self._pulse: asyncio.TimerHandle | None = None
        self._stopped = False

    @property
    def tables(self) -> Tables:
        return self.journal.tables

    async def start(self, bygone: Mapping[str, int] = NOTHING) -> None:
        """Takes up what the store holds and counts this start of the hub. bygone: see Engine.load."""
        self._writer = asyncio.create_task(self._write_turns())
        self._beat()
        outcome = self.engine.load(self.clock(), self.journal.tables, bygone)
        self.epoch = self.journal.tables.get(META, {}).get("hub", {}).get("epoch", 0) + 1
        outcome.puts.append(Put(META, "hub", {"epoch": self.epoch}, None))
        await self._written(outcome)

    async def drain(self, timeout_s: float) -> None:
        """Dispatches and starts nothing from here on, and waits so long for what runs to be reported."""
        self.engine.draining = True
        self._idle.clear()
        if self.engine.busy and self.failure is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._idle.wait()

    async def stop(self) -> None:
        """Writes what waits and lets go of the journal. Commands must not come any more."""
        self._stopped = True
        for timer in (self._timer, self._pulse):
            if timer is not None:
                timer.cancel()
        if self.failure is None:
            await asyncio.gather(self._written(Outcome()), return_exceptions=True)
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._disk.shutdown()
        with contextlib.suppress(*([StoreFailed] if self.failure is not None else [])):  # it has been said
            await asyncio.to_thread(self.journal.close)

    async def do(self, command: Command) -> Any:
        """The engine's answer, once the change is on the disk. Raises a MotetError when it is refused."""
        if self.engine.draining and isinstance(command, (Start, Retry)):
            raise Unavailable("the hub is stopping: start it again in a moment", "shutting_down")
        if self.on_command is not None:
            await self.on_command(command)
        return await self._written(self._apply(command))

    def submit(self, command: Command) -> None:
        """The same for those who wait for no answer: devices and the clock."""
        self._take(_Turn(self._apply(command), None))

    async def settled(self) -> None:
        """Returns when all that was applied before is on the disk and carried out; StoreFailed if it never will be."""
        self._check()
        await self._written(Outcome())

    def is_durable(self, table: str, id: str) -> bool:
        """Whether the last change of this document is on the disk; if not, `on_changed` is still to tell of it."""
        return not any((put.table, put.id) == (table, id) for turn in self._turns for put in turn.outcome.puts)

    # --- one turn

    def _check(self) -> None:
        if self.failure is not None:
            # The same one again and again would grow by a traceback each time.
            raise StoreFailed(self.failure.message, self.failure.code)

    def _apply(self, command: Command) -> Outcome:
        self._check()
        now = self.clock()
        self._notice(now)
        return self.engine.apply(now, command)

    async def _written(self, outcome: Outcome) -> Any:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._take(_Turn(outcome, done))
        return await done

    def _take(self, turn: _Turn) -> None:
        """Appends what the turn changed; without a change, and with nothing before it, it is done at once."""
        outcome = turn.outcome
        if outcome.puts:
            self.journal.append([*outcome.puts, *outcome.quiet] if outcome.quiet else outcome.puts)
        self._set_timer()
        if outcome.puts or self._turns:
            self._turns.append(turn)
            self._work.set()
        else:
            self._carry_out(turn)

    async def _write_turns(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._turns:
                count = len(self._turns)
                try:
                    await asyncio.get_running_loop().run_in_executor(self._disk, self.journal.flush)
                except StoreFailed as failure:
                    self._fail(failure)
                    if self.journal.failed is not None:
                        return self._turns.clear()
                    await asyncio.sleep(ROOM_S)
                    continue
                except Exception as error:
                    log.exception("the journal broke in a way it does not know")
                    self._fail(StoreFailed(f"the journal broke: {error!r}"))
                    return self._turns.clear()
                if self.failure is not None:
                    self._recover()
                for turn in self._turns[:count]:
                    self._carry_out(turn)
                del self._turns[:count]
                self.on_written()
            if not self.engine.busy:
                self._idle.set()

    def _carry_out(self, turn: _Turn) -> None:
        if turn.done is not None and not turn.done.done():
            turn.done.set_result(turn.outcome.reply)
        for send in turn.outcome.sends:
            if self.engine.stands(send):
                self._guarded(self.on_send, send)
        for put in turn.outcome.puts:
            self._guarded(self.on_changed, put)
        for blob in turn.outcome.discards:
            self._guarded(self.on_discard, blob)
        for url in turn.outcome.fetches:
            self._guarded(self.on_fetch, url)

    def _guarded(self, effect: Callable[[Any], None], what: Any) -> None:
        """An effect that breaks must not keep the turns behind it from their answers."""
        try:
            effect(what)
        except Exception:
            log.exception("could not carry out %s", type(what).__name__)

    def _fail(self, failure: StoreFailed) -> None:
        """Read-only from here on: what memory holds beyond the disk is promised to nobody."""
        if self.failure is None:
            log.critical("the hub is read-only: %s", failure.message)
        self.failure = failure
        unsure = f"{failure.message}. It may be done once there is room: look before you send it again"
        for turn in self._turns:
            if turn.done is not None and not turn.done.done():
                turn.done.set_exception(StoreFailed(unsure, failure.code, {"outcome": "unknown"}))

    def _recover(self) -> None:
        log.warning("the disk has room again: the hub takes changes")
        self.failure = None
        self._set_timer()
        for tell in self.on_recovered:
            # Behind the effects of the turns that waited.
            asyncio.get_running_loop().call_soon(tell)

    # --- time

    def _beat(self) -> None:
        if self.failure is None:
            now = self.clock()
            self._notice(now)
            self._pulse_at = now.mono
        self._pulse = asyncio.get_running_loop().call_later(self._pulse_s, self._beat)

    def _notice(self, now: Now) -> None:
        """Tells the engine that no pulse has come for some time, before anything else reaches it.

        What a frozen hub finds first when it goes on may be its own timers, the beats of its devices behind them.
        """
        seconds = now.mono - self._pulse_at
        if seconds > 2 * self._pulse_s:
            log.warning("the hub heard nobody for %.1f s: leases go on for as long", seconds)
            self._pulse_at = now.mono
            self._take(_Turn(self.engine.apply(now, Stalled(seconds)), None))

    def _set_timer(self) -> None:
        """Has the engine called at its next deadline; a loop that wakes late or early does no harm."""
        at = None if self._stopped else self.engine.next_deadline()
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at, self._timer = at, None
        if at is not None:
            wait = max(0.0, at - self.clock().mono)
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer_at = None
        if self.failure is None:
            with contextlib.suppress(StoreFailed):  # the writer is about to say so
                self.submit(Tick())


def _system_clock() -> Now:
    return Now(time.monotonic(), time.time())
