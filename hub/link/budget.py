"""What all connections together may hold in memory, and which of them has to let go when it is too much."""

import time
from collections import OrderedDict
from collections.abc import Callable


class Budget:
    """Bytes that are held for many, who say themselves how many each holds (`Share`).

    Each may hold `each` bytes whatever the others do: no hoarder takes these from anybody. What all hold beyond is
    summed up as it changes and is at most `most`. When that is reached, those that hold more than `each` and have made
    no progress for `patience_s` let go, the longest first; they stand in that order, so that nothing is ever searched.
    """

    def __init__(
        self, most: int, each: int, patience_s: float = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.each = each
        self.held = 0
        """Bytes beyond `each`, of all."""
        self._patience_s = patience_s
        self._clock = clock
        self._progress: OrderedDict[Share, float] = OrderedDict()

    def make_room(self, size: int = 0) -> bool:
        """Whether so many bytes more fit in, after some had to let go where that helps."""
        while self.held + size > self.most:
            share = next(iter(self._progress), None)
            if share is None or self._clock() - self._progress[share] < self._patience_s:
                return False
            share.clear()
            share.let_go()
        return True

    def moved(self, share: "Share") -> None:
        """It has made progress."""
        if share in self._progress:
            self._progress[share] = self._clock()
            self._progress.move_to_end(share)

    def count(self, share: "Share", before: int, over: int) -> None:
        """It holds so many bytes beyond its own, after `before`."""
        self.held += over - before
        if not over:
            del self._progress[share]
        elif not before:
            self._progress[share] = self._clock()


class Share:
    """What one of many holds; `let_go` is called when it has to give up all of it, and must do so."""

    __slots__ = ("_budget", "_over", "bytes", "let_go")

    def __init__(self, budget: Budget, let_go: Callable[[], None]) -> None:
        self.bytes = 0
        self.let_go = let_go
        self._budget = budget
        self._over = 0

    def add(self, count: int) -> None:
        """It holds so many bytes more, or less."""
        self.bytes += count
        over = max(0, self.bytes - self._budget.each)
        if over != self._over:
            before, self._over = self._over, over
            self._budget.count(self, before, over)

    def clear(self) -> None:
        """It holds nothing any more."""
        self.add(-self.bytes)

    def progressed(self) -> None:
        """What it holds gets less, or becomes something else: it is not stuck."""
        if self._over:
            self._budget.moved(self)

    def make_room(self, size: int = 0) -> bool:
        """Whether it may hold so many bytes more; others may have to let go for it, and it may be one of them."""
        over = max(0, self.bytes + size - self._budget.each)
        return not over or self._budget.make_room(over - self._over)
