"""Time that passes only when a test says so."""

from collections.abc import Callable
from datetime import UTC, datetime

from hub.core.model import Now
from motet.extras import need

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A hub's clock. start: an aware datetime, or seconds since 1970."""

    def __init__(self, start: datetime | float = START) -> None:
        need("hub", "motet.testing needs the hub")
        self._wall = start.timestamp() if isinstance(start, datetime) else float(start)
        self._mono = 0.0
        self._listeners: list[Callable[[], None]] = []

    def __call__(self) -> Now:
        return Now(self._mono, self._wall)

    @property
    def time(self) -> datetime:
        return datetime.fromtimestamp(self._wall, UTC)

    def advance(self, seconds: float) -> None:
        """Lets time pass; hubs that go by this clock hear of it and do what is due."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._mono += seconds
        self._wall += seconds
        for listener in list(self._listeners):
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Has the listener called when time has passed, from whatever thread lets it pass."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        self._listeners.remove(listener)
