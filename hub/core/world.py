"""The engine's state and the only ways to change a document: write() and move()."""

import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any, TypeVar

from hub.core.abi import Call, Module, call_of
from hub.core.counts import Counts
from hub.core.ended import Ended
from hub.core.images import Images
from hub.core.model import (
    ANYONE,
    ATTEMPTS_KEPT,
    NUMBERS,
    OLDER_KEPT,
    WORKFLOWS,
    Doc,
    Group,
    Now,
    Outcome,
    Policy,
    Put,
    Send,
    Task,
)
from hub.core.place import Placer, demand, need_of
from hub.core.proplet import Proplet
from hub.core.shelf import Shelf
from hub.core.timing import QUEUED, RETRY, Timers
from shared import states
from shared.errors import NotFound, TaskFailure, TooMany

Record = Task | Group | Proplet | Module
R = TypeVar("R", Task, Group, Proplet, Module)


class World:
    """All tasks, groups and proplets, and what the command at hand has changed of them."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        # Of a task that sets none itself.
        self.usual_limits = policy.limits({})
        self.now = Now(0.0, 0.0)
        self.tasks: dict[str, Task] = {}
        self.workflows: dict[str, Group] = {}
        self.jobs: dict[str, Group] = {}
        self.proplets: dict[str, Proplet] = {}
        self.modules = Shelf()
        self.images = Images()
        # Results that may be used again, and requests that may come again, oldest first.
        self.cache: dict[str, Doc] = {}
        self.requests: dict[str, Doc] = {}
        # The last attempt of tasks that were deleted: a task that is given the same id goes on counting, for devices
        # may still have results of the one before, and do not run what they ran once.
        self.numbers: dict[str, Doc] = {}
        # dedup_key: id of the task that bore it last
        self.dedup: dict[str, str] = {}
        self.placer = Placer()
        # Tasks that wait for their turn in a group.
        self.held = 0
        # Leases and silences by the monotonic clock, slots of schedules by the clock on the wall.
        self.timers = Timers()
        self.slots = Timers()
        # The latest that the clock on the wall has shown since it was last corrected, as far as schedules know.
        self.latest_wall = float("-inf")
        # Tasks that are to become several, and whether that may be possible now.
        self.fans: dict[str, Task] = {}
        self.fans_due = False
        # What each template has fired, oldest first, and which tasks made out of others have ended in this turn.
        self.firings: dict[str, deque[str]] = {}
        self.ended_parts: list[Task] = []
        self.ended = Ended()
        # Tasks by their parent_id, whether there is such a task or not.
        self.below: dict[str, dict[str, Task]] = {}
        self.last_seq = 0
        self.counts = Counts()
        self._puts: dict[tuple[str, str], Put] = {}
        self._quiet: list[Put] = []
        self._sends: list[Send] = []
        self._discards: list[str] = []
        # Groups whose counts have changed, so that their state may have; in that order.
        self._touched: dict[Group, None] = {}

    # --- finding

    def task(self, id: str) -> Task:
        return _found(self.tasks, "task", id)

    def group(self, kind: str, id: str) -> Group:
        return _found(self.groups(f"{kind}s"), kind, id)

    def groups(self, table: str) -> dict[str, Group]:
        return self.workflows if table == WORKFLOWS else self.jobs

    def proplet(self, id: str) -> Proplet:
        return _found(self.proplets, "proplet", id)

    def module(self, id: str) -> Module:
        return _found(self.modules, "module", id)

    def check_room(self, count: int) -> None:
        """TooMany when so many more Pending tasks would be over the bound, whatever it is they wait for."""
        pending, most = self.counts.tasks(states.PENDING), self.policy.max_pending
        if pending + count > most:
            why = f"{pending} tasks are Pending, {count} more would be over {most}"
            raise TooMany(f"{why}: try again when some have ended, or delete some", "too_many_tasks")

    # --- changing

    def write(self, record: Record, changes: Doc) -> None:
        """Changes these fields of the record's document: in a new one, unless this turn has made a new one already.

        `changes` is taken over: what is written later in the turn is added to it.
        """
        table, id = record.table, record.id
        put = self._puts.get((table, id))
        if put is None:
            record.doc = doc = record.doc | changes
            self._puts[table, id] = Put(table, id, doc, changes)
            return
        record.doc.update(changes)
        if put.changed is not None:
            put.changed.update(changes)

    def keep(self, record: Record) -> None:
        """Has a new record's whole document written."""
        self._puts[record.table, record.id] = Put(record.table, record.id, record.doc)

    def keep_doc(self, table: str, doc: Doc) -> None:
        """The same for a document without a record."""
        self._puts[table, doc["id"]] = Put(table, doc["id"], doc)

    def forget(self, table: str, id: str) -> None:
        self._puts[table, id] = Put(table, id, None)

    def keep_quietly(self, table: str, doc: Doc) -> None:
        """Has a document written that was elsewhere until now: that is no news."""
        self._quiet.append(Put(table, doc["id"], doc))

    def forget_quietly(self, table: str, id: str) -> None:
        self._quiet.append(Put(table, id, None))

    def move(self, task: Task, state: int, changes: Doc) -> None:
        """Takes a task to another state; the only place where a task's state changes. `changes` is taken over."""
        before = task.state
        if state not in states.TRANSITIONS[before]:
            raise AssertionError(f"task {task.id} may not go from {states.NAMES[before]} to {states.NAMES[state]}")
        tally = task.tally
        if tally is not None:
            counts = tally.counts
            counts[before] -= 1
            counts[state] += 1
            if state != states.RUNNING or before != states.SCHEDULED:  # which changes nothing of the group
                self._touched[tally] = None
        self.counts.moves[before][state] += 1
        task.state = changes["state"] = state
        changes["updated_at"] = self.now.wall
        self.write(task, changes)
        if state in states.ENDED:
            self.ended.recent.append(task)
            if not task.plain and task.is_part:
                self.ended_parts.append(task)

    def enqueue(self, task: Task) -> None:
        """Has a Pending task wait for a proplet, or for its turn in a group that runs as many as it may."""
        if task.ticket:
            return
        self._want(task)
        if not task.plain and task.doc.get("queue_timeout") is not None:
            task.due = self.now.mono + task.doc["queue_timeout"]
            self.timers.add(task.due, QUEUED, task.id)
        if task.tally is not None and task.tally.full:
            task.held = True
            self.held += 1
            self.placer.issue(task)
            task.tally.held.push(task)
        else:
            self._place(task)

    def delay(self, task: Task, seconds: float) -> None:
        """Has a Pending task wait some time before it is queued."""
        self._want(task)
        task.delayed = True
        task.due = self.now.mono + seconds
        self.timers.add(task.due, RETRY, task.id)
        self.write(task, {"retry_at": self.now.wall + seconds})

    def dequeue(self, task: Task) -> None:
        """Tells that a task is not to run any more, if it was."""
        if not task.wanted:
            return
        if task.held:
            task.held, task.ticket = False, 0
            self.held -= 1
        elif task.ticket:
            if self.fans.pop(task.id, None) is None and not self.images.leave(task):
                self.placer.remove(task)
            task.ticket = 0
            self._unplace(task)
        self._unwant(task)

    def taken(self, task: Task) -> None:
        """Keeps the books on a task that the placer has matched with a proplet; its state changes in the same turn."""
        tally = task.tally
        if tally is not None:
            tally.placed -= 1
            tally.queued -= 1

    def _want(self, task: Task) -> None:
        tally = task.tally
        if tally is not None and not task.ticket and not task.delayed:
            tally.queued += 1
            self._touched[tally] = None
        if task.delayed or task.doc.get("queued_at") is None:  # else it waits since before the hub's start
            changes: Doc = {"queued_at": self.now.wall}
            if task.doc.get("retry_at") is not None:
                changes["retry_at"] = None
            self.write(task, changes)
        task.delayed = False

    def _unwant(self, task: Task) -> None:
        task.delayed = False
        tally = task.tally
        if tally is not None:
            tally.queued -= 1
            self._touched[tally] = None
        self.write(task, {"queued_at": None, "retry_at": None})

    def call(self, task: Task) -> tuple[Module, Call]:
        """The task's module and how it runs it; TaskFailure when it may not (hub.core.abi.call_of). Says as well who
        may take it."""
        known: tuple[Module, Call] | None = task.call
        if known is None or known[0].guarded:
            task.call, task.need = None, ANYONE
            module = self.modules[task.doc["module"]]
            call = call_of(task.doc, module, self.policy)
            task.need = demand(module, call.abi) if task.plain else need_of(task.doc, module, call.abi)
            known = task.call = module, call
        return known

    def _place(self, task: Task) -> None:
        if not task.doc.get("module"):
            self.placer.issue(task)
            self.images.wait(task)
        else:
            if task.call is None:
                with contextlib.suppress(TaskFailure):  # its dispatch says the same, and fails it
                    self.call(task)
            if task.is_fan:
                self.placer.issue(task)
                self.fans[task.id] = task
                self.fans_due = True
            else:
                self.placer.push(task)
        if task.tally is not None:
            task.tally.placed += 1

    def _unplace(self, task: Task) -> None:
        if task.tally is not None:
            task.tally.placed -= 1

    def has_room(self) -> bool:
        """Whether admit_held() would let one go on."""
        return any(group.holds_back for group in self._touched)

    def admit_held(self) -> None:
        """Lets groups that run fewer tasks than they may have the next ones wait for a proplet."""
        for group in self._touched:
            while group.holds_back:
                task = group.held.pop()
                task.held = False
                self.held -= 1
                self._place(task)

    def send(self, device: str, kind: str, fields: Doc) -> None:
        self._sends.append(Send(device, kind, fields))

    def discard(self, blobs: Iterable[str]) -> None:
        """Has blobs go, once the change that made them superfluous is kept."""
        self._discards.extend(blobs)

    def next_seq(self) -> int:
        self.last_seq += 1
        return self.last_seq

    def take(self, reply: Any) -> Outcome:
        """What has changed since the last call, and what is to be done about it."""
        if self._touched:
            for group in self._touched:
                state = group.state
                if state != group.doc.get("state"):
                    self.write(group, {"state": state})
            self._touched.clear()
        outcome = Outcome(reply, list(self._puts.values()), self._sends)
        self._puts, self._sends = {}, []
        if self._discards:
            outcome.discards, self._discards = self._discards, []
        if self.images.asked:
            outcome.fetches, self.images.asked = self.images.asked, []
        if self._quiet:
            outcome.quiet, self._quiet = self._quiet, []
        return outcome

    # --- links between records

    def admit(self, definition: Doc, group: Group | None, state: int = states.PENDING) -> Task:
        """A new task, Pending unless it shows a run that was. `definition` is taken over: it becomes its document."""
        doc = definition
        doc["seq"], doc["state"], doc["created_at"] = self.next_seq(), state, self.now.wall
        if self.numbers:
            number = self.numbers.pop(doc["id"], None)
            if number is not None:
                doc["attempt"] = number["attempt"]
                self.forget(NUMBERS, doc["id"])
        task = Task(doc, group)
        self.add_task(task)
        self.keep(task)
        return task

    def add_task(self, task: Task) -> None:
        id, get = task.id, task.doc.get
        self.tasks[id] = task
        self.counts.born[task.state] += 1
        module = get("module")
        if module:
            self.modules.refer(module)
        else:
            self.images.track(task)
        if task.group is not None:
            task.group.tasks[id] = task
        if task.tally is not None:
            task.tally.counts[task.state] += 1
        if task.plain:
            return
        parent, key = get("parent_id"), get("dedup_key")
        if parent:
            self.below.setdefault(parent, {})[id] = task
        if key:
            self.dedup[key] = id

    def redefine(self, task: Task, changes: Doc) -> None:
        """Changes what a task is, and by that perhaps who counts it."""
        if task.tally is not None:
            task.tally.counts[task.state] -= 1
        if "parent_id" in changes:
            self.leave_parent(task)
            self.below.setdefault(changes["parent_id"], {})[task.id] = task
        self.write(task, {**changes, "updated_at": self.now.wall})
        task.read_definition()
        self.images.track(task)
        if task.tally is not None:
            task.tally.counts[task.state] += 1
            self._touched[task.tally] = None

    def set_module(self, task: Task, id: str | None) -> None:
        """Gives a task that is not queued a module, or takes it away."""
        self.modules.refer(id)
        self.modules.release(task.doc.get("module"), self.now.mono)
        self.write(task, {"module": id, "updated_at": self.now.wall})
        task.call = None
        self.images.track(task)

    def share(self, task: Task, source: Task) -> None:
        """Makes the task a link: its results are the source's."""
        task.source = source
        source.links[task.id] = task

    def leave_parent(self, task: Task) -> None:
        siblings = self.below.get(task.doc.get("parent_id") or "", {})
        siblings.pop(task.id, None)
        if not siblings:
            self.below.pop(task.doc.get("parent_id") or "", None)


def old_attempts(task: Task) -> list[str]:
    """Under which the attempts are kept that a task's document no longer lists, the oldest first."""
    end = task.attempt - ATTEMPTS_KEPT
    return [attempt_id(task.id, number) for number in range(max(1, end - OLDER_KEPT + 1), end + 1)]


def attempt_id(task: str, number: int) -> str:
    """Under which an attempt is kept that its task's document no longer lists."""
    return f"{task}/{number}"


def _found(table: dict[str, R], kind: str, id: str) -> R:
    try:
        return table[id]
    except KeyError:
        raise NotFound(f"{kind} {id} does not exist", f"unknown_{kind}") from None
