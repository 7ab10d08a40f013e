"""What has happened, written down beside the hub, and what must therefore be so: the promises as checks of every step.

The ledger hears of each turn of the engine, of each effect that leaves the hub, of each execution on a device and of
each recovery of the journal. It keeps every document as it was journalled, so that it knows what a store must hold.
"""

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from hub.core import commands
from hub.core.checks import violations
from hub.core.engine import Engine
from hub.core.entries import listed
from hub.core.model import ATTEMPTS_KEPT, JOBS, MOVES, TASKS, WORKFLOWS, Doc, Outcome, Put, Send
from hub.core.schedules import CORRECTED_S
from hub.store.history import hidden_in
from shared import states
from shared.errors import MotetError
from tests.sim.execution import Execution, token_of
from tests.sim.policy import POLICY

if TYPE_CHECKING:
    from hub.store.history import History
    from hub.store.journal import Journal
    from tests.sim.device import Device
    from tests.sim.simulation import Simulation

DEVICES = (commands.Hello, commands.Beat, commands.Started, commands.Result, commands.Progress, commands.Tick,
           commands.Stalled, commands.Connected, commands.Disconnected)  # fmt: skip
Tables = dict[str, dict[str, Doc]]
EXECUTION = re.compile(r"execution (\d+)")
FORGED = "forged"
_MAY_CHANGE = ("attempts", "updated_at")


def entry_of(doc: Doc, number: int) -> Doc | None:
    return next((one for one in listed(doc) if one["number"] == number), None)


class Ledger:
    def __init__(self, world: "Simulation") -> None:
        self.world = world
        self.tables: dict[str, dict[str, Doc]] = {}
        self.executions: list[Execution] = []
        self._of_task: dict[str, list[Execution]] = {}
        self._acked: set[tuple[str, str, int]] = set()
        # The store at the last recovery, what there was together with the history, and every change since: those that
        # are news, and those of place alone.
        self._base: dict[str, dict[str, Doc]] = {}
        self._seen: dict[str, dict[str, Doc]] = {}
        self._log: list[tuple[int, list[Put], list[Put]]] = []
        self._promised = 0
        self._turns: dict[int, tuple[Any, int]] = {}  # id of a send or command: itself, its turn's lsn
        self._named: dict[tuple[str, int], float] = {}  # when an attempt was last heard of
        # The slots that fired, in which change, and how often the clock had been corrected by then.
        self._fired: dict[tuple[str, float], tuple[int, int]] = {}
        self._latest_wall, self._corrections = 0.0, 0
        self.turns = 0

    def wrong(self, text: str) -> None:
        self.world.violated(text)

    # --- the engine

    def applied(self, engine: Engine, command: Any, outcome: Outcome, lsn: int) -> None:
        self.turns += 1
        self._look_at_clock(engine.world.now.wall)
        for send in outcome.sends:
            self._turns[id(send)] = send, lsn
        if not isinstance(command, DEVICES):
            self._turns[id(command)] = command, lsn
        self._hear(command)
        changed = [(put, self.tables.get(TASKS, {}).get(put.id)) for put in outcome.puts if put.table == TASKS]
        self._keep(outcome, lsn)
        for put, before in changed:
            if put.doc is not None:
                self._check(engine, command, before, put.doc, lsn)
        if isinstance(command, commands.Tick):
            self._check_waiting(engine)
        if isinstance(command, commands.Result):
            pair = {"task": command.task, "attempt": command.attempt}
            if not any(send.kind == "ack" and send.fields == pair for send in outcome.sends):
                self.wrong(f"a result of {command.device} for {command.task}/{command.attempt} got no ack")
        if outcome.puts:
            self._sound(engine)
        if outcome.quiet:
            self._all_there(engine)

    def _look_at_clock(self, wall: float) -> None:
        corrected = self._latest_wall - wall >= CORRECTED_S
        self._corrections += corrected
        self._latest_wall = wall if corrected else max(self._latest_wall, wall)

    def _check_waiting(self, engine: Engine) -> None:
        """A time by the clock comes within a minute, or once the clock has caught up with less than it may be back."""
        for id in engine.world.slots.names():
            task = engine.world.tasks.get(id)
            slot = task.doc.get("next_run") if task is not None and task.doc.get("at") is None else None
            if slot is not None and slot > engine.world.now.wall + CORRECTED_S + 60.0:
                self.wrong(f"task {id} waits for a time that was wrong")

    def loaded(self, engine: Engine, outcome: Outcome, lsn: int) -> None:
        """The hub has taken up its store; every lease begins anew."""
        self._named = {}
        for task in engine.world.tasks.values():
            if task.state in states.ACTIVE:
                self._named[task.id, task.attempt] = self.world.loop.now
        self.applied(engine, None, outcome, lsn)

    def refused(self, engine: Engine, command: Any, refusal: MotetError) -> None:
        left = engine.world.take(None)
        if left != Outcome():
            self.wrong(f"{command!r} was refused ({refusal.message}) and left {left}")

    def _sound(self, engine: Engine) -> None:
        for text in violations(engine):
            self.wrong(text)

    def _hear(self, command: Any) -> None:
        if isinstance(command, (commands.Hello, commands.Beat)):
            for task, attempt in command.fields["running"]:
                self._named[task, attempt] = self.world.loop.now

    def _keep(self, outcome: Outcome, lsn: int) -> None:
        # The list itself: at a start the runtime adds to it.
        self._log.append((lsn, outcome.puts, outcome.quiet))
        _put(self.tables, outcome.puts)

    def _all_there(self, engine: Engine) -> None:
        """What has moved is in the store or in the history, as it was, and counts once."""
        history = self.world.hub.history
        assert history is not None
        if self.world.hub.archivist is None:
            return  # a hub that stops has let go of it; its next start looks at all of it
        world = engine.world
        store = {TASKS: world.tasks, WORKFLOWS: world.workflows, JOBS: world.jobs}
        here = {table: {id: record.doc for id, record in records.items()} for table, records in store.items()}
        self._compare(self.tables, self._together(here, history, world.ended.hidden), store)

    def _together(self, tables: Tables, history: "History", hidden: Any) -> Tables:
        """The documents of the store, and those of the history that count; none may be in both."""
        found = {table: dict(docs) for table, docs in tables.items()}
        for number, unit in history.units(hidden):
            for table, docs in unit.items():
                twice = found.setdefault(table, {}).keys() & docs.keys()
                if twice and table in (TASKS, WORKFLOWS, JOBS):
                    self.wrong(f"unit {number} of the history has {table}/{min(twice)}, which is there already")
                found[table].update(docs)
        return found

    # --- one changed task

    def _check(self, engine: Engine, command: Any, before: Doc | None, doc: Doc, lsn: int) -> None:
        name = f"task {doc['id']}"
        origin = (doc.get("origin") or {}).get("type")
        if before is None:
            if origin in ("link", "archive"):
                return  # it shows a run that was
            if origin == "schedule":
                self._check_slot((doc["origin"]["id"], doc["scheduled_for"]), lsn)
            before = {"state": states.PENDING}
        self._check_attempts(engine, name, before, doc)
        is_template = any(doc.get(key) is not None for key in ("schedule", "every", "at"))
        if before["state"] in states.ENDED and isinstance(command, DEVICES) and not is_template:
            moved = [key for key in {**before, **doc} if key not in _MAY_CHANGE and before.get(key) != doc.get(key)]
            if moved:
                self.wrong(f"{name} had ended, and {type(command).__name__} changed its {', '.join(moved)}")
        if not doc.get("daemon") and (doc.get("failures") or 0) > (doc.get("retries") or 0):
            self.wrong(f"{name} is tried again after {doc['failures']} failures, {doc.get('retries') or 0} are allowed")
        if before.get("stopping") and doc["state"] not in (*states.ACTIVE, states.INTERRUPTED):
            self.wrong(f"{name} was to stop and is {states.NAMES[doc['state']]}")
        if (doc.get("finish_time") or float("inf")) < (doc.get("start_time") or 0.0):
            self.wrong(f"{name} ended before it began")
        if doc["state"] in states.ENDED and before["state"] not in states.ENDED:
            self._check_end(name, command, doc)

    def _check_slot(self, slot: tuple[str, float], lsn: int) -> None:
        """The same time fires again only by a clock that was corrected since."""
        if slot in self._fired and self._fired[slot][1] == self._corrections:
            self.wrong(f"the slot {slot[1]} of {slot[0]} fired twice")
        self._fired[slot] = lsn, self._corrections

    def _check_attempts(self, engine: Engine, name: str, before: Doc, doc: Doc) -> None:
        # The clock outside: that of the hub may be what is wrong.
        now = self.world.loop.now
        for old in listed(before):
            new = entry_of(doc, old["number"])
            if new is None and old["number"] > doc.get("attempt", 0) - ATTEMPTS_KEPT:
                self.wrong(f"{name} has forgotten its attempt {old['number']}")
            elif new is not None and old.get("outcome") is not None and old["outcome"] != new.get("outcome"):
                self.wrong(f"{name}'s attempt {old['number']} was {old['outcome']} and became {new.get('outcome')}")
        for new in listed(doc):
            key = doc["id"], new["number"]
            old = entry_of(before, new["number"])
            if old is None:
                self._named[key] = now
                if new["number"] <= before.get("attempt", 0):
                    self.wrong(f"{name} gave the number {new['number']} to a second attempt")
            if new.get("outcome") == "lost" and (old is None or old.get("outcome") is None):
                self._check_loss(doc, new["number"], new["error_info"]["message"])

    def _check_loss(self, doc: Doc, number: int, why: str) -> None:
        """An attempt is given up for a reason that is one."""
        name = f"attempt {number} of task {doc['id']}"
        plan = self.world.plan
        quiet = self.world.loop.now - self._named.get((doc["id"], number), float("-inf"))
        if "fell silent" in why and quiet < POLICY.lease_s - 0.001:
            self.wrong(f"{name} was given up {quiet:.1f} s after it was heard of")
        token = token_of(doc.get("inputs"))
        runs = any(one.live and (one.attempt, one.token) == (number, token) for one in self._of_task.get(doc["id"], ()))
        if runs and ("restarted" in why or ("not taken" in why and plan.weather.quick)):
            self.wrong(f"{name} runs and was given up: {why}")
        if plan.gentle:
            self.wrong(f"{name} was given up though nothing was wrong: {why}")

    def _check_end(self, name: str, command: Any, doc: Doc) -> None:
        """The result of a run is that of its current attempt, whatever else was said."""
        info = doc.get("error_info") or {}
        is_fan = doc.get("broadcast") or doc.get("for_each") is not None
        if doc.get("cached"):
            return  # another task's result, as asked for
        if doc["state"] == states.COMPLETED and not is_fan:
            serial = (doc.get("outputs") or [None])[0]
        elif doc["state"] == states.FAILED and info.get("delivery_state") == "responded" and not is_fan:
            if info["message"] == FORGED:
                self.wrong(f"{name} has Failed by a forged result")
            found = EXECUTION.fullmatch(info["message"])
            if found is None:
                return
            serial = int(found[1])
        else:
            return
        if not isinstance(serial, int) or not 0 < serial <= len(self.executions):
            self.wrong(f"{name} has the result {serial!r}, which no device computed")
            return
        one = self.executions[serial - 1]
        ours = one.task, one.attempt, one.device, one.token
        if ours != (doc["id"], doc["attempt"], doc["proplet_id"], token_of(doc.get("inputs"))) or one.result is None:
            current = f"attempt {doc['attempt']} on {doc['proplet_id']}"
            self.wrong(f"{name} has the result of {one} (token {one.token}) and not of {current}")
        if not isinstance(command, commands.Result):
            self.wrong(f"{name} ended as {states.NAMES[doc['state']]} at {command!r}")

    # --- what leaves the hub

    def leaves(self, send: Send) -> None:
        _, lsn = self._turns.pop(id(send))
        self._promised = max(self._promised, lsn)
        if send.kind == "ack":
            self._acked.add((send.device, send.fields["task"], send.fields["attempt"]))

    def replied(self, command: Any) -> None:
        """A person was told that it is done."""
        _, lsn = self._turns.pop(id(command))
        self._promised = max(self._promised, lsn)

    # --- the store

    def recovered(self, journal: "Journal", history: "History", landed: int) -> None:
        """landed: up to here the hub before was told that all is on the disk, or read it there."""
        if journal.lsn < landed:
            self.wrong(f"change {landed} was on the disk, and the hub recovered {journal.lsn}")
        if journal.lsn < self._promised:
            self.wrong(f"the hub had told of change {self._promised} and recovered {journal.lsn}")
        must, all_of_it = _copy(self._base), _copy(self._seen)
        for lsn, puts, quiet in self._log:
            if lsn <= journal.lsn:
                _put(must, [*puts, *quiet])
                _put(all_of_it, puts)
        self._compare(must, journal.tables)
        self.tables = self._together(journal.tables, history, hidden_in(journal.tables))
        self._compare(all_of_it, self.tables)
        self._base, self._seen = _copy(journal.tables), _copy(self.tables)
        self._log = []
        self._promised = journal.lsn
        self._turns = {}
        self._fired = {slot: fired for slot, fired in self._fired.items() if fired[0] <= journal.lsn}

    def copies_change(self, units: Iterable[int]) -> None:
        """Copies come to the history, or leave it: a crash at this moment may leave only what the disk has by now."""
        marks: Tables = {MOVES: dict(self._base.get(MOVES, {}))}
        for lsn, puts, _ in self._log:
            if lsn <= self.world.hub.landed:
                _put(marks, [put for put in puts if put.table == MOVES])
        hidden = hidden_in(marks)
        for number in units:
            if not any(first <= number <= last for first, last in hidden.items()):
                self.wrong(f"a copy of unit {number} is written or removed, and the mark on it is not on the disk")

    def _compare(self, must: Tables, has: Tables, tables: Collection[str] = ()) -> None:
        for table in tables or {**must, **has}:
            for id in {**must.get(table, {}), **has.get(table, {})}:
                wanted, found = must.get(table, {}).get(id), has.get(table, {}).get(id)
                if wanted != found:
                    self.wrong(f"the store has {table}/{id} as {found}, it was {wanted}")

    # --- devices

    def begins(self, device: "Device", start: Doc) -> int:
        """A device begins to run an attempt; the serial number of the execution."""
        assert device.process is not None
        task, attempt, token = start["task"], start["attempt"], token_of(start.get("inputs"))
        serial = len(self.executions) + 1
        one = Execution(serial, device.name, device.process, task, attempt, token)
        before = [other for other in self._of_task.get(task, ()) if other.token == token]
        twin = next((other for other in before if other.attempt == attempt), None)
        if twin is not None:
            self.wrong(f"{one} runs, and ran on {twin.device} before")
        self.executions.append(one)
        self._of_task.setdefault(task, []).append(one)
        doc = self.tables.get(TASKS, {}).get(task)
        if doc is not None and token_of(doc.get("inputs")) == token:
            self._check_begin(one, [other for other in before if other.live], doc, start)
        return serial

    def _check_begin(self, one: Execution, live: list[Execution], doc: Doc, start: Doc) -> None:
        entry = entry_of(doc, one.attempt)
        if entry is None:
            if one.attempt > doc.get("attempt", 0):
                self.wrong(f"{one} runs and the hub knows nothing of it")
            return
        if entry["proplet_id"] != one.device:
            self.wrong(f"{one} runs, and was given to {entry['proplet_id']}")
        entries = [(other, entry_of(doc, other.attempt)) for other in [*live, one]]
        unfenced = [other for other, known in entries if known is not None and known.get("outcome") is None]
        if len(unfenced) > 1:
            self.wrong(f"{' and '.join(map(str, unfenced))} run at the same time, and none is fenced")
        if entry.get("outcome") is None:
            for parent, value in (start.get("parent_results") or {}).items():
                known = self.tables[TASKS].get(parent, {})
                if known.get("state") == states.COMPLETED and known.get("outputs") != value:
                    self.wrong(f"{one} got {value} from {parent}, whose outputs are {known.get('outputs')}")

    def ends(self, serial: int, result: Doc) -> None:
        self.executions[serial - 1].result = result

    def kept(self, serial: int) -> None:
        """The device has been told of the result, so it is in its outbox: it must come to the hub."""
        self.executions[serial - 1].kept = True

    def drops(self, device: str, task: str, attempt: int) -> None:
        """A device deletes a result."""
        if (device, task, attempt) not in self._acked:
            self.wrong(f"{device} deletes the result of {task}/{attempt}, which nobody acknowledged")

    # --- the end

    def audit(self) -> None:
        """With all quiet: every result that a device had is with the hub, and in the place where it belongs."""
        asked: dict[Any, str] = {}
        for doc in self.tables.get(TASKS, {}).values():
            if not doc.get("origin"):
                token = token_of(doc.get("inputs"))
                if token in asked and token is not None:
                    self.wrong(f"one request made two tasks: {asked[token]} and {doc['id']}")
                asked[token] = doc["id"]
        for one in self.executions:
            if not one.kept or one.result is None:
                continue
            if (one.device, one.task, one.attempt) not in self._acked:
                self.wrong(f"the result of {one} never came to the hub")
            doc = self.tables.get(TASKS, {}).get(one.task)
            if doc is None or token_of(doc.get("inputs")) != one.token:
                continue  # deleted since
            entry = entry_of(doc, one.attempt)
            if entry is not None:
                self._check_entry(one, one.result, entry)

    def _check_entry(self, one: Execution, result: Doc, entry: Doc) -> None:
        outcome, late = entry.get("outcome"), entry.get("superseded")
        if outcome in ("lost", "cancelled"):
            if late is None and outcome == "lost":
                self.wrong(f"the late result of {one} was not kept")
        elif outcome != ("completed" if result["ok"] else "failed"):
            self.wrong(f"{one} was reported {'ok' if result['ok'] else 'failed'} and is noted as {outcome}")


def _copy(tables: Tables) -> Tables:
    return {name: dict(docs) for name, docs in tables.items()}


def _put(tables: dict[str, dict[str, Doc]], puts: list[Put]) -> None:
    for put in puts:
        docs = tables.setdefault(put.table, {})
        if put.doc is None:
            docs.pop(put.id, None)
        else:
            docs[put.id] = put.doc
