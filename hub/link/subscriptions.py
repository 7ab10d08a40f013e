"""Who hears a topic: filters kept by level, so that a match costs the topic's levels, not the number of filters."""

from collections.abc import Iterator


class _Level:
    """One level of all filters that begin alike."""

    __slots__ = ("clients", "next")

    def __init__(self) -> None:
        self.next: dict[str, _Level] = {}
        self.clients: dict[str, int] = {}


class Subscriptions:
    """Filters with `+` and `#` of clients, each with its QoS.

    amqtt tries every filter for every message (0.4 ms a publish with 1,000 exact ones) and loses messages when clients
    come or go meanwhile.
    """

    def __init__(self) -> None:
        self._root = _Level()
        self._filters: dict[str, set[str]] = {}

    def add(self, client: str, filter_: str, qos: int) -> None:
        """Subscribe, or change the QoS."""
        level = self._root
        for name in filter_.split("/"):
            level = level.next.setdefault(name, _Level())
        level.clients[client] = qos
        self._filters.setdefault(client, set()).add(filter_)

    def remove(self, client: str, filter_: str) -> bool:
        """Unsubscribe; False when there was no such subscription."""
        filters = self._filters.get(client, set())
        if filter_ not in filters:
            return False
        filters.remove(filter_)
        if not filters:
            del self._filters[client]
        names = filter_.split("/")
        path = [self._root]
        for name in names:
            path.append(path[-1].next[name])
        del path[-1].clients[client]
        for parent, name in zip(reversed(path[:-1]), reversed(names), strict=True):
            if parent.next[name].next or parent.next[name].clients:
                break
            del parent.next[name]
        return True

    def remove_client(self, client: str) -> None:
        for filter_ in list(self._filters.get(client, ())):
            self.remove(client, filter_)

    def qos(self, client: str, filter_: str) -> int | None:
        """The QoS of exactly this subscription, None when there is none."""
        if filter_ not in self._filters.get(client, ()):
            return None
        level = self._root
        for name in filter_.split("/"):
            level = level.next[name]
        return level.clients[client]

    def match(self, topic: str) -> dict[str, int]:
        """client -> QoS, the highest of those that match (MQTT 3.3.5 lets overlapping ones count once)."""
        found: dict[str, int] = {}
        for level in _matching(self._root, topic.split("/"), 0):
            for client, qos in level.clients.items():
                found[client] = max(qos, found.get(client, 0))
        return found

    def __len__(self) -> int:
        return sum(map(len, self._filters.values()))


def _matching(level: _Level, names: list[str], depth: int) -> Iterator[_Level]:
    # A wildcard at the front does not match $ topics (MQTT 4.7.2).
    wild = depth > 0 or not names[0].startswith("$")
    if wild and "#" in level.next:
        yield level.next["#"]
    if depth == len(names):
        yield level
        return
    if names[depth] in level.next:
        yield from _matching(level.next[names[depth]], names, depth + 1)
    if wild and "+" in level.next:
        yield from _matching(level.next["+"], names, depth + 1)
