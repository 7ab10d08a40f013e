"""What the device gives a running task: time and its end, fuel, events, the board. Every ABI is built on it.

A host speaks to the world through the runner's port:

    port.offers               names of the privileged host functions the device has
    port.emit(kind, fields)   an event leaves: log (level, text), progress (permille, text?), publish (topic, text
                              or data)
    port.grace_ms()           None, or the grace of a stop that has come
    port.wait(ms)             lets at most so much time pass; returns early when something comes
    port.ask(name, arguments) asks the board
    port.answer()             None as long as it has not answered, then (value, None) or (None, [code, message])
"""

from edge.clock import precise_ms
from edge.events import Events
from edge.limits import limit
from shared import const
from shared.faults import TaskFailure
from shared.host import is_allowed

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

_LEVELS = const(("debug", "info", "warning", "error"))
_MAX_LOG = const(1000)
# Fuel is given so that a tick comes about every 0.3 ms: a tick costs a worker some 3 us, a deadline wants precision.
_SOON_MS = const(0.2)
_LATE_MS = const(0.5)
_FIRST_FUEL = const(20_000)
_LEAST_FUEL = const(1_000)
_MOST_FUEL = const(1 << 24)


class Host:
    """One for each run. `granted` is the fuel that was given so far."""

    def __init__(self, start: "dict[str, Any]", port: "Any") -> None:
        self.port = port
        self.task = start.get("task")
        self._allow = _allow(start)
        self._begun_ms = self._ticked_ms = precise_ms()
        self.timeout_ms = 0 if start.get("daemon") else limit(start, "timeout_ms", 0)
        self._stop_ms: float | None = None
        self.fuel = _FIRST_FUEL
        self.events = Events()
        self._look_ms = 0.0
        self.granted = 0

    # Time

    def tick(self) -> int:
        """edge.tick: more fuel, unless the task's time is over."""
        now = precise_ms()
        self._check(now)
        if now >= self._look_ms:
            self._look_ms = now + 250
            self._say_due(int(now))
        took = now - self._ticked_ms
        if took < _SOON_MS:
            self.fuel = min(self.fuel * 2, _MOST_FUEL)
        elif took > _LATE_MS:
            self.fuel = max(self.fuel // 2, _LEAST_FUEL)
        self._ticked_ms = now
        self.granted += self.fuel
        return self.fuel

    def check(self) -> None:
        """Ends the task when its time is over: TaskFailure timeout, or cancelled at the end of a stop's grace."""
        self._check(precise_ms())

    def _check(self, now: float) -> None:
        grace_ms = self.port.grace_ms()
        if grace_ms is not None and self._stop_ms is None:
            self._stop_ms = now + grace_ms
        if self._stop_ms is not None and now >= self._stop_ms:
            raise TaskFailure("stopped", "cancelled")
        if self.timeout_ms and now >= self._begun_ms + self.timeout_ms:
            raise TaskFailure("still running after its %d ms" % self.timeout_ms, "timeout")

    def is_stopping(self) -> bool:
        """Whether the task should end by itself."""
        self.check()
        return self._stop_ms is not None

    def millis(self) -> int:
        """Since the attempt began."""
        return int(precise_ms() - self._begun_ms)

    def sleep(self, ms: float) -> None:
        """Let time pass; the deadline and a stop end it."""
        until = precise_ms() + ms
        while True:
            now = precise_ms()
            self._check(now)
            if now >= until:
                return
            self.port.wait(self._left(until) - now)

    def _left(self, until: float) -> float:
        """The moment to look again, at the latest."""
        if self.timeout_ms:
            until = min(until, self._begun_ms + self.timeout_ms)
        return until if self._stop_ms is None else min(until, self._stop_ms)

    # Events

    def log(self, level: int, text: str) -> None:
        """A line of the task's log; level 0 to 3 is debug, info, warning, error. After 1,000 characters it is cut."""
        if len(text) > _MAX_LOG:
            text = "%s... (%d characters)" % (text[:_MAX_LOG], len(text))
        self._say("log", {"level": _LEVELS[min(max(level, 0), 3)], "text": text})

    def progress(self, permille: int, text: "str | None" = None) -> None:
        """text: a few words, cut after 256 characters."""
        fields: dict[str, Any] = {"permille": min(max(permille, 0), 1000)}
        if text is not None:
            fields["text"] = text[:256]
        self._say("progress", fields)

    def publish(self, fields: "dict[str, Any]") -> bool:
        """fields: topic, and text or data; False when it was too much at a time."""
        return self._say("publish", fields)

    def _say(self, kind: str, fields: "dict[str, Any]") -> bool:
        now = int(precise_ms())
        self._say_due(now)
        said = self.events.take(self.task, kind, fields, now)
        if said:
            self.port.emit(kind, fields)
        return said

    def _say_due(self, now: int) -> None:
        for _, kind, fields in self.events.due(now):
            self.port.emit(kind, fields)

    def close(self) -> None:
        """The task has ended: say what was dropped."""
        for _, kind, fields in self.events.end(self.task):
            self.port.emit(kind, fields)

    # The board

    def require(self, name: str) -> None:
        """Before a module runs that imports a privileged function: missing_import or denied when it may not have it."""
        if name not in self.port.offers:
            raise TaskFailure("the module imports edge.%s, which this device does not have" % name, "missing_import")
        if not is_allowed(self._allow, name):
            raise TaskFailure("the module imports edge.%s: name it in the task's allow" % name, "denied")

    def permit(self, name: str, argument: str) -> None:
        """Before a privileged function does something: denied when `allow` does not cover the argument."""
        if not is_allowed(self._allow, name, argument):
            raise TaskFailure("the task's allow does not cover %s:%s" % (name, argument), "denied")

    def ask_board(self, name: str, *arguments: int) -> "int | float":
        """A function of the board, its first argument a pin or channel: its value; its failure is the task's."""
        self.permit(name, str(arguments[0]))
        self.port.ask(name, arguments)
        while True:
            answer = self.port.answer()
            if answer is not None:
                break
            now = precise_ms()
            self._check(now)
            self.port.wait(self._left(now + 1000) - now)
        value, why = answer
        if why is not None:
            raise TaskFailure(why[1], why[0])
        return value or 0


def _allow(start: "dict[str, Any]") -> "list[str]":
    allow = start.get("allow") or []
    for entry in allow:
        if not isinstance(entry, str):
            raise TaskFailure("allow must be a list of texts, not %r" % (entry,), "bad_inputs")
    return list(allow)
