"""A folder for a bench and the hubs it starts there."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.world import World


@dataclass(slots=True)
class Stage:
    """devices: how many stand idle in the bench of the broker."""

    root: Path
    devices: int = 1000
    _count: int = field(default=0, repr=False)

    def folder(self) -> Path:
        """A new one each time, on the disk that is measured."""
        self._count += 1
        made = self.root / str(self._count)
        made.mkdir()
        return made

    @contextmanager
    def world(self, *options: str) -> Iterator[World]:
        """A hub of its own, ended with everything that was started in it."""
        world = World(self.folder(), *options)
        try:
            yield world
        finally:
            world.close()
