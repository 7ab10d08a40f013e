"""The latest lines of many, in bounded memory: each has its own bounds, and all together have one."""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

# What a line costs beside its bytes.
LINE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Bounds:
    """Lines and bytes of one key, and bytes of all keys together."""

    lines: int
    bytes_each: int
    bytes_all: int


class _Ring:
    __slots__ = ("dropped", "lines", "size")

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        self.size = 0
        self.dropped = 0


class Rings:
    """Lines by key, in the order they came. What is over a key's bounds lets its oldest lines go; what is over the
    bound of all, those of the key that has been silent for longest."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        # The last written key comes last.
        self._rings: OrderedDict[str, _Ring] = OrderedDict()
        self._size = 0

    def add(self, key: str, line: bytes) -> None:
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = _Ring()
        self._rings.move_to_end(key)
        ring.lines.append(line)
        self._grow(ring, len(line) + LINE_BYTES)
        while len(ring.lines) > self._bounds.lines or ring.size > self._bounds.bytes_each:
            self._drop_first(ring)
        while self._size > self._bounds.bytes_all:
            silent, ring = next(iter(self._rings.items()))
            self._drop_first(ring)
            if not ring.lines:
                del self._rings[silent]

    def read(self, key: str, offset: int = 0, count: int | None = None) -> list[bytes]:
        """So many of a key's lines from there, the oldest first."""
        ring = self._rings.get(key)
        if ring is None:
            return []
        return list(islice(ring.lines, offset, None if count is None else offset + count))

    def count(self, key: str) -> tuple[int, int]:
        """How many lines there are of a key, and how many went before them."""
        ring = self._rings.get(key)
        return (0, 0) if ring is None else (len(ring.lines), ring.dropped)

    def forget(self, key: str) -> bool:
        """Whether there was anything to forget."""
        ring = self._rings.pop(key, None)
        self._size -= 0 if ring is None else ring.size
        return ring is not None

    def keys(self) -> list[str]:
        return list(self._rings)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Every line, those of one key after the other: as adding them again would make the same rings."""
        return ((key, line) for key, ring in self._rings.items() for line in ring.lines)

    def _grow(self, ring: _Ring, size: int) -> None:
        ring.size += size
        self._size += size

    def _drop_first(self, ring: _Ring) -> None:
        self._grow(ring, -(len(ring.lines.popleft()) + LINE_BYTES))
        ring.dropped += 1
