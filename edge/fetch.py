"""Modules that are on their way to this device: what to ask for, when to ask again, when to give up. Pure."""

from shared import const

_ASK_AGAIN_MS = const(5_000)
# Asking in vain for a minute is enough: the hub has lost the module.
_MAX_ASKS = const(12)


class _Fetch:
    def __init__(self) -> None:
        self.offset = 0
        self.asked_ms = 0
        self.asks = 0  # since the last chunk
        self.damaged = False


class Fetches:
    """One for each module that accepted work waits for."""

    def __init__(self) -> None:
        self.all: dict[str, _Fetch] = {}

    def names(self) -> "list[str]":
        return list(self.all)

    def due(self, now_ms: int) -> "list[str]":
        """The modules whose chunk should have come by now."""
        return [module for module in self.all if now_ms - self.all[module].asked_ms >= _ASK_AGAIN_MS]

    def expects(self, module: str, offset: int) -> bool:
        """Whether a chunk is the next one of a module that is wanted."""
        fetch = self.all.get(module)
        return fetch is not None and fetch.offset == offset

    def arrived(self, module: str, size: int) -> None:
        """So many bytes of it are here."""
        fetch = self.all.get(module)
        if fetch is None:
            fetch = self.all[module] = _Fetch()
        if size > fetch.offset:
            fetch.asks = 0
        fetch.offset = size

    def damaged(self, module: str) -> bool:
        """All of it came and was wrong: True when it is worth another try from the start, False the second time."""
        fetch = self.all[module]
        again = not fetch.damaged
        fetch.damaged = True
        fetch.offset = 0
        return again

    def ask(self, module: str, now_ms: int) -> int:
        """The offset to ask for now, -1 to give up."""
        fetch = self.all[module]
        fetch.asked_ms = now_ms
        fetch.asks += 1
        return fetch.offset if fetch.asks <= _MAX_ASKS else -1

    def drop(self, module: str) -> None:
        self.all.pop(module, None)
