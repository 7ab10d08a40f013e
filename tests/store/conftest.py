"""What the tests of the store share: a crash, and a disk that misbehaves on demand."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.store.journal import Journal


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def crashed(tmp_path: Path) -> Callable[[Journal], Path]:
    """Gives a directory with what the disk would hold if the process died now."""
    count = iter(range(100))

    def crash(journal: Journal) -> Path:
        return Path(shutil.copytree(journal.directory, tmp_path / f"crashed-{next(count)}"))

    return crash


class Disk:
    """Stands in for os.pwrite and os.fdatasync; replace `pwrite` and `fdatasync` to make them fail."""

    real_pwrite = staticmethod(os.pwrite)
    real_fdatasync = staticmethod(os.fdatasync)

    def __init__(self) -> None:
        self.pwrite: Callable[[int, bytes, int], int] = self.real_pwrite
        self.fdatasync: Callable[[int], None] = self.real_fdatasync

    def repair(self) -> None:
        self.pwrite, self.fdatasync = self.real_pwrite, self.real_fdatasync

    @staticmethod
    def name(fd: int) -> str:
        """The name of the open file."""
        return os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: disk.pwrite(fd, data, offset))
    monkeypatch.setattr(os, "fdatasync", lambda fd: disk.fdatasync(fd))
    yield disk
    disk.repair()
