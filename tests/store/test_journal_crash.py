"""A store can be opened after a crash between any two steps that it asks of the disk, and holds what it should."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hub.store.journal
import hub.store.snapshot
from hub.core.model import Put
from hub.store.journal import Journal, StoreDamaged
from hub.store.snapshot import write_snapshot
from tests.store.steps import replaced


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
    with replaced(lambda name, step: camera.before(step)):
        work()
    return camera.pictures


def test_a_crash_while_writing_and_compacting(directory: Path, camera: Camera) -> None:
    look_at_every_picture(directory, camera)


def look_at_every_picture(directory: Path, camera: Camera) -> None:
    """Writes and compacts; before each step the store must be readable, and hold what was acknowledged by then."""
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


def _removed_first(directory: Path, generation: int, *rest: Any) -> int:
    """What a snapshot replaces goes when the snapshot is written and has not got its name yet."""

    def rename(self: Path, target: Path) -> Path:
        for kind, older in hub.store.snapshot.list_generations(directory):
            if older < generation:
                (directory / f"{kind}-{older:08d}.jsonl").unlink()
        return real_rename(self, target)

    real_rename = Path.rename
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "rename", rename)
        return write_snapshot(directory, generation, *rest)


def _in_place(directory: Path, generation: int, *rest: Any) -> int:
    """A snapshot has its name from the first byte on."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Path, "with_suffix", lambda self, suffix: self)
        patched.setattr(Path, "rename", lambda self, target: target)
        return write_snapshot(directory, generation, *rest)


@pytest.mark.parametrize("mutant", [_removed_first, _in_place])
def test_a_journal_with_a_fault_put_into_it_is_found_out(directory: Path, camera: Camera, monkeypatch, mutant) -> None:
    monkeypatch.setattr(hub.store.journal, "write_snapshot", mutant)
    with pytest.raises((StoreDamaged, AssertionError)):
        look_at_every_picture(directory, camera)


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
