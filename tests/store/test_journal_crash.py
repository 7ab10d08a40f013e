"""A store can be opened after a crash between any two steps that it asks of the disk, and holds what it should."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hub.core.model import Put
from hub.store.journal import Journal, StoreDamaged

STEPS = [(os, "open"), (os, "pwrite"), (os, "fdatasync"), (os, "fsync"), (os, "ftruncate"), (os, "close")]
STEPS += [(Path, "rename"), (Path, "unlink")]


class Camera:
    """Copies a directory before each step that a piece of work asks of the disk."""

    def __init__(self, directory: Path, album: Path) -> None:
        self.directory, self.album = directory, album
        self.pictures: list[tuple[Path, int]] = []
        self.durable = lambda: 0
        self._copying = False

    def before(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if not self._copying and self.directory.exists():
                self._copying = True
                copy = shutil.copytree(self.directory, self.album / str(len(self.pictures)))
                self._copying = False
                self.pictures.append((copy, self.durable()))
            return step(*args, **options)

        return call


@pytest.fixture
def camera(directory: Path, tmp_path: Path) -> Camera:
    return Camera(directory, tmp_path / "album")


def film(camera: Camera, work: Callable[[], None]) -> list[tuple[Path, int]]:
    """The directory before each step of `work`, with the lsn that was acknowledged by then."""
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in STEPS:
            patched.setattr(owner, name, camera.before(getattr(owner, name)))
        work()
    return camera.pictures


def test_a_crash_while_writing_and_compacting(directory: Path, camera: Camera) -> None:
    states: list[dict[str, dict[str, Any]]] = [{}]

    def work() -> None:
        journal = Journal(directory, compact_min_bytes=700, compact_ratio=0)
        camera.durable = lambda: journal.durable
        for n in range(12):
            document = {"n": n, "text": "x" * 80}
            journal.append([Put("t", str(n % 5), document), Put("twin", str(n % 5), document)])
            states.append({name: dict(table) for name, table in journal.tables.items()})
            if n % 2:
                journal.flush()
                if journal._compaction:
                    journal._compaction.join()
        journal.close()
        assert journal._generation >= 2

    pictures = film(camera, work)
    assert len(pictures) > 50
    for picture, acknowledged in pictures:
        journal = Journal(picture)
        assert journal.lsn >= acknowledged
        assert journal.tables == states[journal.lsn]
        journal.append([Put("t", "more", {})])
        journal.close()
        reopened = Journal(picture)
        assert "more" in reopened.tables["t"]
        reopened.close()


def test_a_crash_while_repairing_a_torn_tail(directory: Path, camera: Camera) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "a", {})])
    journal.flush()
    journal.append([Put("t", "b", {"text": "x" * 2000})])
    journal.close()
    path = directory / "journal-00000000.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-700] + bytes(1000))

    def work() -> None:
        journal = Journal(directory)
        journal.append([Put("t", "c", {})])
        journal.close()

    for picture, _ in film(camera, work):
        journal = Journal(picture)
        assert journal.tables["t"] in ({"a": {}}, {"a": {}, "c": {}})
        journal.close()


def test_a_crash_while_recovering_means_to_recover_again(directory: Path, camera: Camera) -> None:
    journal = Journal(directory)
    for n in range(4):
        journal.append([Put("t", str(n), {})])
        journal.flush()
    journal.close()
    path = directory / "journal-00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"2"', b'"9"'))
    recovered = 0
    for picture, _ in film(camera, lambda: Journal(directory, recover=True).close()):
        try:
            journal = Journal(picture)
            recovered += 1
        except StoreDamaged:
            journal = Journal(picture, recover=True)
        assert journal.tables == {"t": {"0": {}, "1": {}}}
        journal.close()
    assert 0 < recovered < len(camera.pictures)
