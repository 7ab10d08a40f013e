"""Deadlines: a heap of (second, what, which). Who adds one looks at it again when it is due."""

import heapq
from collections.abc import Iterator

LEASE = "lease"
SILENCE = "silence"
SLOT = "slot"
RETRY = "retry"
QUEUED = "queued"
DEADLINE = "deadline"


class Timers:
    """Every deadline the engine waits for. Moving one later costs nothing until its first time has come."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, str]] = []
        self._count = 0

    def add(self, at: float, what: str, which: str) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, what, which))

    def next(self) -> float | None:
        return self._heap[0][0] if self._heap else None

    def names(self) -> list[str]:
        """Which have a time here; one that was moved may come twice."""
        return [which for _, _, _, which in self._heap]

    def due(self, now: float) -> Iterator[tuple[str, str]]:
        """What is due, soonest first; each is given once."""
        while self._heap and self._heap[0][0] <= now:
            _, _, what, which = heapq.heappop(self._heap)
            yield what, which
