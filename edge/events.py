"""What tasks say while they run, at the rates a hub takes: log lines, progress, messages. Pure: time comes in.

A worker holds its task to them, so that a flood ends there; the agent holds the device to them.
"""

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# a second, at once
LOGS = (10, 20)
PUBLISHES = (20, 50)
_PROGRESS_MS = const(1000)


class Rate:
    """A bucket that holds burst tokens and gets per_s of them a second."""

    def __init__(self, per_s: int, burst: int) -> None:
        self.per_s = per_s
        self.most = self.thousandths = burst * 1000
        self._at_ms = 0

    def take(self, now_ms: int) -> bool:
        """One token, False when there is none."""
        self.thousandths = min(self.most, self.thousandths + (now_ms - self._at_ms) * self.per_s)
        self._at_ms = now_ms
        if self.thousandths < 1000:
            return False
        self.thousandths -= 1000
        return True


class Events:
    """Each of them belongs to a key: (task, attempt)."""

    def __init__(self) -> None:
        self._rates = {"log": Rate(LOGS[0], LOGS[1]), "publish": Rate(PUBLISHES[0], PUBLISHES[1])}
        # key: when the next may leave, and the newest that waits for it
        self.progress: dict[Any, list[Any]] = {}
        self.lost = {"log": 0, "publish": 0}
        self._loser: Any = None

    def take(self, key: "Any", kind: str, fields: "dict[str, Any]", now_ms: int) -> bool:
        """Whether it may be said now. If not, progress waits (the newest of a key) and the others are counted."""
        if kind == "progress":
            if now_ms >= self.progress.setdefault(key, [now_ms, None])[0]:
                self.progress[key] = [now_ms + _PROGRESS_MS, None]
                return True
        elif self._rates[kind].take(now_ms):
            return True
        self.keep(key, kind, fields)
        return False

    def keep(self, key: "Any", kind: str, fields: "dict[str, Any]") -> None:
        """It cannot be said now, whatever the rate."""
        if kind == "progress":
            self.progress.setdefault(key, [0, None])[1] = fields
        else:
            self.lost[kind] += 1
            self._loser = key

    def due(self, now_ms: int) -> "list[tuple[Any, str, dict[str, Any]]]":
        """(key, kind, fields) of what waited for its time, and one line about what was dropped."""
        found = []
        for key, entry in self.progress.items():
            if entry[1] is not None and now_ms >= entry[0]:
                found.append((key, "progress", entry[1]))
                entry[0], entry[1] = now_ms + _PROGRESS_MS, None
        if self._loser is not None and self._rates["log"].take(now_ms):
            found.append(self._about_lost())
        return found

    def end(self, key: "Any") -> "list[tuple[Any, str, dict[str, Any]]]":
        """A key has ended: its last progress is not said any more, what was dropped is."""
        self.progress.pop(key, None)
        return [self._about_lost()] if self._loser == key else []

    def _about_lost(self) -> "tuple[Any, str, dict[str, Any]]":
        text = "%d log lines and %d messages of tasks were dropped: a device says at most %d and %d a second" % (
            self.lost["log"],
            self.lost["publish"],
            LOGS[0],
            PUBLISHES[0],
        )
        key, self._loser = self._loser, None
        self.lost = {"log": 0, "publish": 0}
        return key, "log", {"level": "warning", "text": text}
