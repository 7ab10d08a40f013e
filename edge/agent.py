"""The device's state machine, pure: what it hears comes in with the time, what is to be done comes out as actions.

Every method returns a list of actions, to be done in their order:

    ("publish", kind, fields, qos)     a message; `hello` and `beat` lack the facts of the host
    ("store", fields)                  put this result into the outbox, before anything that follows
    ("report", task, attempt)          publish the result of that name from the outbox
    ("drop", task, attempt)            delete it from the outbox
    ("remember", pairs)                keep these [task, attempt] across a reboot, before anything that follows
    ("look", module)                   answer with module_ready or module_part
    ("chunk", fields)                  store it; answer with module_ready, module_part, module_damaged or module_failed
    ("run", start)                     answer with started (perhaps) and finished (always)
    ("stop", task, attempt, grace_ms)  end what runs

Times are milliseconds that only grow.
"""

from edge.events import Events
from edge.fetch import Fetches
from edge.presence import Presence
from shared import const
from shared.faults import failure
from shared.messages import MAX_RUNNING

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

_SEEN = const(16)  # a slot
_MOST_SEEN = const(64)
_WAITING_PER_SLOT = const(4)
_LOGS = const(10)  # in one beat

# The phases of accepted work
_FETCHING = const(1)
_READY = const(2)
_HANDED = const(3)  # to the runner
_BEGUN = const(4)


class _Work:
    """An accepted start."""

    def __init__(self, start: "dict[str, Any]") -> None:
        self.start = start
        self.key = (start["task"], start["attempt"])
        self.phase = _FETCHING
        self.stopped = False


class Agent(Presence):
    """slots: tasks at a time; capacity: results the outbox may hold; outbox, seen: what a reboot left.

    before: what the device was until now, when it has just got its first work.
    """

    def __init__(
        self,
        slots: int,
        capacity: int,
        outbox: "list[tuple[str, int]]",
        seen: "list[tuple[str, int]]",
        before: "Presence | None" = None,
    ) -> None:
        Presence.__init__(self, slots)
        if before is not None:
            for name, value in before.__dict__.items():
                setattr(self, name, value)
        self.capacity = capacity
        self.outbox = list(outbox)
        self._late: list[tuple[str, int]] = []  # of these, the ones that were there at the last beat
        self._keep = min(_SEEN * slots, _MOST_SEEN)  # 64 take a board 12 KB when they are written
        self.seen = list(seen)[-self._keep :]
        self._work: list[_Work] = []  # in the order they were accepted
        self._fetches = Fetches()
        self.events = Events()
        self._logs = 0

    # What the rest of the edge asks

    def modules(self) -> "list[str]":
        """The modules that accepted work needs."""
        return [work.start["module"] for work in self._work]

    def running(self) -> "list[list[Any]]":
        """[task, attempt] of everything accepted and not ended."""
        return [list(work.key) for work in self._work]

    # What happens

    def message(self, kind: str, fields: "dict[str, Any]", now_ms: int) -> "list[tuple[Any, ...]]":
        """A message from the hub, as shared.messages.read_down returns it."""
        if kind == "welcome":
            self._on_welcome(fields, now_ms)
            if self.welcomed:
                self._resume(now_ms)
        elif kind == "start":
            self._start(fields)
        elif kind == "chunk":
            if self._fetches.expects(fields["module"], fields["offset"]):
                self._act("chunk", fields)
        elif kind == "stop":
            self._on_stop(fields)
        elif kind == "ack":
            key = (fields["task"], fields["attempt"])
            if key in self.outbox:
                self.outbox.remove(key)
                self._act("drop", *key)
        return self._take()

    def tick(self, now_ms: int) -> "list[tuple[Any, ...]]":
        """Time passes: call it at least four times a beat."""
        self.actions = Presence.tick(self, now_ms)
        if self.welcomed:
            for module in self._fetches.due(now_ms):
                self._ask(module, now_ms)
            self._say(self.events.due(now_ms))
        return self._take()

    # What happens to modules

    def module_ready(self, module: str) -> "list[tuple[Any, ...]]":
        """It is here, whole and checked."""
        self._fetches.drop(module)
        for work in self._work:
            if work.phase == _FETCHING and work.start["module"] == module:
                work.phase = _READY
        self._run_next()
        return self._take()

    def module_part(self, module: str, size: int, now_ms: int) -> "list[tuple[Any, ...]]":
        """size bytes of it are here (0: none)."""
        if self._work:
            self._fetches.arrived(module, size)
            self._ask(module, now_ms)
        return self._take()

    def module_damaged(self, module: str, now_ms: int) -> "list[tuple[Any, ...]]":
        """It came whole with another sha256 and was thrown away: once more from the start, then it has failed."""
        if self._fetches.damaged(module):
            self._ask(module, now_ms)
        else:
            self._fail_module(module, "bad_module", "the module arrived twice with another sha256")
        return self._take()

    def module_failed(self, module: str, code: str, message: str) -> "list[tuple[Any, ...]]":
        """It can not be had: the work that waits for it ends with this."""
        self._fail_module(module, code, message)
        return self._take()

    # What happens to tasks

    def started(self, task: str, attempt: int) -> "list[tuple[Any, ...]]":
        """The runner runs it."""
        work = self._find((task, attempt))
        if work is not None:
            work.phase = _BEGUN
            self._tell_started(work)
        return self._take()

    def event(
        self, task: str, attempt: int, kind: str, fields: "dict[str, Any]", now_ms: int
    ) -> "list[tuple[Any, ...]]":
        """A task that runs says something: kind is `log`, `progress` or `publish`, fields are that message's others."""
        key = (task, attempt)
        if self._find(key) is None:
            pass  # it has ended
        elif not self.welcomed:
            self.events.keep(key, kind, fields)
        elif self.events.take(key, kind, fields, now_ms):
            self._say([(key, kind, fields)])
        return self._take()

    def finished(self, task: str, attempt: int, result: "dict[str, Any]") -> "list[tuple[Any, ...]]":
        """It has ended; result as the runner gives it."""
        work = self._find((task, attempt))
        if work is not None:
            lost = self.events.end(work.key)
            if self.welcomed:
                self._say(lost)
            self._end(work, result)
            self._run_next()
        return self._take()

    # Messages

    def _resume(self, now_ms: int) -> None:
        """The hub knows this device: what it may not have heard is said again."""
        for work in self._work:
            if work.phase == _BEGUN:
                self._tell_started(work)
        for module in self._fetches.names():
            self._ask(module, now_ms)
        for key in self.outbox:
            self._act("report", *key)

    def _start(self, fields: "dict[str, Any]") -> None:
        work = _Work(fields)
        known = self._find(work.key)
        if known is not None:
            if known.phase == _BEGUN:
                self._tell_started(known)
        elif work.key in self.outbox:
            self._act("report", *work.key)
        elif work.key in self.seen or len(self._work) >= min(MAX_RUNNING, self.slots * (1 + _WAITING_PER_SLOT)):
            pass  # it ran here once; or there is no room, and the hub will send it again
        elif self._full():
            self._logs += 1
            if self._logs <= _LOGS:
                text = "the outbox is full: %d results wait for the hub" % len(self.outbox)
                self._act("publish", "log", {"task": fields["task"], "level": "warning", "text": text}, 0)
        else:
            self._work.append(work)
            self._remember(work.key)
            self._act("look", fields["module"])

    def _on_stop(self, fields: "dict[str, Any]") -> None:
        key = (fields["task"], fields["attempt"])
        work = self._find(key)
        if work is not None and work.phase in (_HANDED, _BEGUN):
            if not work.stopped:
                work.stopped = True
                self._act("stop", key[0], key[1], fields.get("grace_ms", 0))
        elif work is not None:
            self._end(work, failure("cancelled", "stopped before it ran"))
        elif key in self.outbox:
            self._act("report", *key)
        elif key not in self.seen and not self._full():
            # The start was lost or is still on its way: it will not run any more.
            self._remember(key)
            self._report(key, failure("cancelled", "stopped before it arrived"))

    # Parts

    def _find(self, key: "tuple[str, int]") -> "_Work | None":
        for work in self._work:
            if work.key == key:
                return work
        return None

    def _full(self) -> bool:
        """Every accepted start will need a place in the outbox."""
        return len(self.outbox) + len(self._work) >= self.capacity

    def _run_next(self) -> None:
        free = self.slots
        for work in self._work:
            if work.phase >= _HANDED:
                free -= 1
        for work in self._work:
            if free > 0 and work.phase == _READY:
                work.phase = _HANDED
                free -= 1
                self._act("run", work.start)

    def _fail_module(self, module: str, code: str, message: str) -> None:
        for work in list(self._work):
            if work.phase == _FETCHING and work.start["module"] == module:
                self._end(work, failure(code, message))
                self._fetches.drop(module)

    def _end(self, work: "_Work", result: "dict[str, Any]") -> None:
        self._work.remove(work)
        if work.start["module"] not in self.modules():
            self._fetches.drop(work.start["module"])
        self._report(work.key, result)

    def _report(self, key: "tuple[str, int]", result: "dict[str, Any]") -> None:
        fields = dict(result)
        fields["task"], fields["attempt"] = key
        self.outbox.append(key)
        self._act("store", fields)
        if self.welcomed:
            self._act("report", *key)

    def _remember(self, key: "tuple[str, int]") -> None:
        self.seen.append(key)
        self.seen = self.seen[-self._keep :]
        self._act("remember", [list(pair) for pair in self.seen])

    def _ask(self, module: str, now_ms: int) -> None:
        if not self.welcomed:  # the welcome asks
            return
        offset = self._fetches.ask(module, now_ms)
        if offset < 0:
            self._fail_module(module, "bad_module", "the hub did not send the module")
        else:
            self._act("publish", "need", {"module": module, "offset": offset}, 1)

    def _beat(self, now_ms: int) -> None:
        Presence._beat(self, now_ms)
        self._logs = 0
        # A result, or its ack, may be lost on a connection that lives: what a whole beat did not bring goes again.
        for key in self.outbox:
            if key in self._late:
                self._act("report", *key)
        self._late = list(self.outbox)

    def _tell_started(self, work: "_Work") -> None:
        if self.welcomed:
            self._act("publish", "started", {"task": work.key[0], "attempt": work.key[1]}, 1)

    def _say(self, events: "list[tuple[Any, str, dict[str, Any]]]") -> None:
        for key, kind, said in events:
            fields = dict(said)
            fields["task"], fields["attempt"] = key
            self._act("publish", kind, fields, 1 if kind == "publish" else 0)
