"""A device, and what the hub knows of it right now."""

from hub.core.model import PROPLETS, Doc, Task
from shared.messages import MAX_MODULES


class Proplet:
    """Its document, and beside it what is gone when the hub stops."""

    __slots__ = (
        "alive",
        "connected",
        "doc",
        "greeted",
        "id",
        "mem_free",
        "modules",
        "running",
        "seen",
        "seen_wall",
        "slots",
        "uptime_s",
        "words",
    )
    table = PROPLETS

    def __init__(self, doc: Doc) -> None:
        self.id: str = doc["id"]
        self.doc = doc
        self.connected = False
        # It has said hello on this connection, so that its slots are known and its subscription stands.
        self.greeted = False
        self.alive = False
        self.seen = float("-inf")
        self.seen_wall: float = doc.get("last_alive_at") or 0.0
        self.mem_free: int = doc.get("mem_free") or 0
        self.uptime_s = 0
        self.running: dict[str, Task] = {}
        # The forms of modules in its cache, as it has said; the one that ran last at the end.
        self.modules: dict[str, None] = {}
        self.read_caps()

    def read_caps(self) -> None:
        """Derives from its document the slots, and every word that it offers: members of the lists in `caps`, names
        that are true."""
        self.slots: int = self.doc.get("slots") or 1
        words: set[str] = set()
        for name, value in (self.doc.get("caps") or {}).items():
            if isinstance(value, list):
                words.update(str(item) for item in value)
            elif value:
                words.add(name)
        self.words = frozenset(words)

    def has_loaded(self, blob: str) -> None:
        self.modules.pop(blob, None)
        self.modules[blob] = None
        if len(self.modules) > MAX_MODULES:
            del self.modules[next(iter(self.modules))]

    def is_free(self) -> bool:
        """Whether it can take a task now."""
        return len(self.running) < self.slots and self.connected and self.greeted and self.alive
