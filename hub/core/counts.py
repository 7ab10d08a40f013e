"""Counts for the hub's metrics: adding to one is all that an event costs."""

from bisect import bisect_left
from collections import Counter

from shared import states


class Histogram:
    """How many of the values that were added are at most each of some bounds, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, *bounds: float) -> None:
        self.bounds = bounds
        # One more, for values above every bound.
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """A value below 0, of a clock that was set back, counts as 0."""
        self.counts[bisect_left(self.bounds, value)] += 1
        if value > 0.0:
            self.sum += value


class Counts:
    """What the engine counts: tasks as they are by state, the rest since the hub's start."""

    def __init__(self) -> None:
        # Tasks that are there since they had that state, less those that went with it: made, loaded, deleted.
        self.born = [0] * len(states.NAMES)
        # How often a task went from one state to another: [from][to]. One sum at a move; what is asked is derived.
        self.moves = [[0] * len(states.NAMES) for _ in states.NAMES]
        # Attempts that ended, by outcome.
        self.attempts: Counter[str] = Counter()
        # Results of devices that came too late: the attempt had been given up, or had its result. All others ended one.
        self.superseded = 0
        # Seconds from the moment a task may run to its dispatch, and those that completed attempts ran.
        self.queued = Histogram(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
        self.ran = Histogram(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800, 3600)

    def tasks(self, state: int) -> int:
        """Tasks that are in this state."""
        return self.born[state] + self.reached(state) - sum(self.moves[state])

    def reached(self, state: int) -> int:
        """How often a task came to this state."""
        return sum(row[state] for row in self.moves)

    @property
    def recorded(self) -> int:
        """Results of devices that ended an attempt."""
        return sum(self.attempts.values()) - self.attempts["lost"]

    @property
    def ended(self) -> int:
        """Tasks in one of the states that are an end."""
        return sum(self.tasks(state) for state in states.ENDED)
