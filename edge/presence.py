"""The device's state machine as long as it has no work, pure: it says who it is, beats, and hears the hub's welcome.

edge.agent is the same with work, and says what the methods return. Apart, for a board at rest has only this in memory.
"""

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

_BEAT_MS = const(10_000)


class Presence:
    """slots: tasks at a time."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.outbox: list[tuple[str, int]] = []
        self._connected = False
        self.welcomed = False
        self.epoch = -1
        self._due_ms = 0  # of the next beat, or of the next hello until there is a welcome
        self.seq = 0
        self.actions: list[tuple[Any, ...]] = []
        self.beat_ms = _BEAT_MS

    def running(self) -> "list[list[Any]]":
        """[task, attempt] of everything accepted and not ended."""
        return []

    def connected(self, now_ms: int) -> "list[tuple[Any, ...]]":
        self._connected = True
        self.welcomed = False
        self._hello(now_ms)
        return self._take()

    def disconnected(self) -> None:
        self._connected = self.welcomed = False

    def message(self, kind: str, fields: "dict[str, Any]", now_ms: int) -> "list[tuple[Any, ...]]":
        """A message from the hub, as shared.messages.read_down returns it; of one without work only a welcome."""
        if kind == "welcome":
            self._on_welcome(fields, now_ms)
        return self._take()

    def tick(self, now_ms: int) -> "list[tuple[Any, ...]]":
        """Time passes: call it at least four times a beat."""
        if self._connected and now_ms >= self._due_ms:
            if self.welcomed:
                self._beat(now_ms)
            else:
                self._hello(now_ms)
        return self._take()

    def _on_welcome(self, fields: "dict[str, Any]", now_ms: int) -> None:
        another = self.welcomed and fields["epoch"] != self.epoch
        self.welcomed = not another
        self.epoch = fields["epoch"]
        if 0.1 <= fields["beat_s"] <= 3600:
            self.beat_ms = int(fields["beat_s"] * 1000)
        if another:  # a hub that was started anew behind a broker that was not: it does not know us yet
            self._hello(now_ms)
        else:
            self._due_ms = now_ms + self.beat_ms

    def _hello(self, now_ms: int) -> None:
        self._due_ms = now_ms + self.beat_ms
        pairs = [list(key) for key in self.outbox]
        self._act("publish", "hello", {"running": self.running(), "outbox": pairs}, 1)

    def _beat(self, now_ms: int) -> None:
        self._due_ms = now_ms + self.beat_ms
        self.seq += 1
        self._act("publish", "beat", {"seq": self.seq, "running": self.running()}, 0)

    def _act(self, *action: "Any") -> None:
        self.actions.append(action)

    def _take(self) -> "list[tuple[Any, ...]]":
        actions, self.actions = self.actions, []
        return actions
