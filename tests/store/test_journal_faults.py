"""What a journal promises when the disk is full or fails: no acknowledged change is lost, none is half there."""

import errno
import logging
import os
from pathlib import Path

import pytest

import hub.store.journal
from hub.core.model import Put
from hub.store.journal import Journal, StoreFailed
from shared.errors import Unavailable

EVERY_FLUSH_COMPACTS = {"compact_min_bytes": 0, "compact_ratio": 0}


def put(journal: Journal, id: str, size: int = 20) -> None:
    journal.append([Put("t", id, {"text": id * size}), Put("twin", id, {"text": id * size})])
    journal.flush()


def ids(directory: Path) -> set[str]:
    """The ids in a store, each of which must be in both tables with its whole text."""
    journal = Journal(directory)
    assert journal.tables.get("t", {}) == journal.tables.get("twin", {})
    assert all(document["text"].strip(id) == "" for id, document in journal.tables.get("t", {}).items())
    journal.close()
    return set(journal.tables.get("t", {}))


def test_short_writes_are_continued(directory: Path, disk) -> None:
    disk.pwrite = lambda fd, data, offset: disk.real_pwrite(fd, data[:4099], offset)
    journal = Journal(directory, **EVERY_FLUSH_COMPACTS)
    for id in "abc":
        put(journal, id, 10_000)
    journal.close()
    assert ids(directory) == {"a", "b", "c"}


def test_a_write_of_nothing_is_a_failure_and_no_endless_loop(directory: Path, disk) -> None:
    journal = Journal(directory)
    disk.pwrite = lambda fd, data, offset: 0
    with pytest.raises(StoreFailed):
        put(journal, "a")
    journal.close()


@pytest.mark.parametrize("room", [0, 1, 30, 120])
def test_a_disk_that_fails_within_a_record_ends_writing(directory: Path, disk, room: int) -> None:
    journal = Journal(directory)
    put(journal, "a")

    def full_after_some(fd: int, data: bytes, offset: int) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        count, room = min(room, len(data)), 0
        return disk.real_pwrite(fd, data[:count], offset)

    disk.pwrite = full_after_some
    with pytest.raises(StoreFailed) as caught:
        put(journal, "b")
    assert isinstance(caught.value, Unavailable)
    assert caught.value.code == "store_failed"
    assert isinstance(journal.failed, OSError) and journal.failed.errno == errno.EIO
    assert journal.durable == 1
    disk.repair()
    journal.close()
    assert ids(directory) == {"a"}


def test_after_a_failed_fsync_nothing_is_tried_again(directory: Path, disk) -> None:
    journal = Journal(directory)
    put(journal, "a")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    disk.fdatasync = fail
    with pytest.raises(StoreFailed, match="check the disk"):
        put(journal, "b")
    disk.repair()
    size = (directory / "journal-00000000.jsonl").read_bytes().rstrip(b"\0")
    for attempt in (lambda: journal.append([Put("t", "c", {})]), journal.flush):
        with pytest.raises(StoreFailed) as caught:
            attempt()
        assert caught.value.code == "store_failed"
    assert "c" not in journal.tables["t"] and journal.durable == 1
    journal.close()
    assert (directory / "journal-00000000.jsonl").read_bytes().rstrip(b"\0") == size
    assert {"a"} <= ids(directory) <= {"a", "b"}


def test_room_ahead_that_cannot_be_had_loses_nothing(directory: Path, disk) -> None:
    journal = Journal(directory)
    put(journal, "a")

    def no_room(fd: int, data: bytes, offset: int) -> int:
        if offset + len(data) > 256 << 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return disk.real_pwrite(fd, data, offset)

    disk.pwrite = no_room
    with pytest.raises(StoreFailed):
        put(journal, "b", 200_000)
    with pytest.raises(StoreFailed):
        journal.close()
    assert ids(directory) == {"a"}


def test_room_ahead_is_on_the_disk_before_a_record_is_written_into_it(directory: Path, disk) -> None:
    journal = Journal(directory)
    steps: list[str] = []

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        steps.append("record" if bytes(data).strip(b"\0") else "zeros")
        return disk.real_pwrite(fd, data, offset)

    def fdatasync(fd: int) -> None:
        steps.append("sync")
        disk.real_fdatasync(fd)

    disk.pwrite, disk.fdatasync = pwrite, fdatasync
    put(journal, "a", 200_000)
    put(journal, "b")
    journal.close()
    assert steps == ["zeros", "sync", "record", "sync", "record", "sync"]


def test_a_snapshot_is_never_begun_for_what_could_not_be_journalled(directory: Path, disk) -> None:
    journal = Journal(directory, **EVERY_FLUSH_COMPACTS)

    def fail(fd: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    journal.append([Put("t", "a", {})])
    disk.pwrite = fail
    for _ in range(2):
        with pytest.raises(StoreFailed):
            journal.flush()
    with pytest.raises(StoreFailed):
        journal.close()
    disk.repair()
    assert sorted(path.name for path in directory.iterdir()) == ["LOCK", "journal-00000000.jsonl"]
    assert ids(directory) == set()


@pytest.mark.parametrize("step", ["write", "sync", "rename", "delete"])
def test_a_failed_snapshot_is_logged_and_tried_again(
    directory: Path, disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    def fail_for_snapshots(real):
        def call(file, *rest):
            name = disk.name(file) if isinstance(file, int) else file.name
            if name.startswith("snapshot"):
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(file, *rest)

        return call

    journal = Journal(directory, compact_min_bytes=300, compact_ratio=0)
    with monkeypatch.context() as broken:
        if step == "write":
            disk.pwrite = fail_for_snapshots(disk.real_pwrite)
        elif step == "sync":
            disk.fdatasync = fail_for_snapshots(disk.real_fdatasync)
        else:
            broken.setattr(Path, {"rename": "rename", "delete": "unlink"}[step], _failing_path_method(step))
        for id in "abcdefgh":
            put(journal, id)
            if journal._compaction:
                journal._compaction.join()
    disk.repair()
    assert journal.failed is None
    assert "the journals keep everything until the next try" in caplog.text
    assert not list(directory.glob("*.tmp"))
    for id in "ijklmnop":
        put(journal, id)
    journal.close()
    assert len(list(directory.glob("snapshot-*"))) == 1
    assert ids(directory) == set("abcdefghijklmnop")


def _failing_path_method(step: str):
    real = {"rename": Path.rename, "delete": Path.unlink}[step]

    def method(self: Path, *args, **options):
        if step == "rename" or self.suffix == ".jsonl":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, *args, **options)

    return method


@pytest.mark.parametrize("step", ["open", "sync"])
def test_a_new_journal_that_cannot_be_begun_leaves_the_old_one_in_use(
    directory: Path, disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, step: str, crashed
) -> None:
    journal = Journal(directory, compact_min_bytes=200, compact_ratio=0)
    put(journal, "a")

    def fail(fd: int) -> None:
        if disk.name(fd) == "journal-00000001.jsonl":
            raise OSError(errno.EIO, "Input/output error")
        disk.real_fdatasync(fd)

    def no_descriptor(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as broken:
        if step == "sync":
            disk.fdatasync = fail
        else:
            broken.setattr(hub.store.journal, "begin_journal", no_descriptor)
        put(journal, "b")
        put(journal, "c")
    # Once, and not at every flush.
    assert caplog.text.count("no new journal could be begun") == 1
    assert ids(crashed(journal)) == {"a", "b", "c"}
    disk.repair()
    for id in "defgh":
        put(journal, id)
    journal.close()
    # A later generation; how many there have been depends on how fast each snapshot was written.
    (name,) = [path.name for path in directory.glob("journal-*")]
    assert name >= "journal-00000001.jsonl"
    assert ids(directory) == set("abcdefgh")


def test_without_a_thread_for_the_snapshot_the_journal_goes_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_thread(self) -> None:
        raise RuntimeError("can't start new thread")

    journal = Journal(directory, **EVERY_FLUSH_COMPACTS)
    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR):
        broken.setattr("threading.Thread.start", no_thread)
        for id in "abc":
            put(journal, id)
    assert "no thread for a snapshot" in caplog.text
    journal.close()
    assert ids(directory) == {"a", "b", "c"}


def test_close_tells_of_changes_that_it_could_not_write(directory: Path, disk) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "a", {})])

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    disk.fdatasync = fail
    with pytest.raises(StoreFailed):
        journal.close()
    journal.close()
    disk.repair()
    Journal(directory).close()


def full_after(disk, room: int, number: int = errno.ENOSPC) -> None:
    """From now on the disk takes so many bytes, and then no more."""

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        nonlocal room
        if room == 0:
            raise OSError(number, os.strerror(number))
        count = min(room, len(data))
        room -= count
        return disk.real_pwrite(fd, data[:count], offset)

    disk.pwrite = pwrite


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("room", [0, 1, 30, 60])
@pytest.mark.parametrize("size", [20, 300_000])
def test_a_journal_without_room_goes_on_when_there_is_some(
    directory: Path, disk, crashed, number: int, room: int, size: int
) -> None:
    journal = Journal(directory)
    put(journal, "a")
    full_after(disk, room, number)
    for id in "bc":
        with pytest.raises(StoreFailed) as caught:
            put(journal, id, size)
        assert caught.value.code == "disk_full"
    assert journal.failed is None and journal.durable == 1
    # Nothing of it is in the file: not even a whole record of a batch of which another did not fit.
    assert (directory / "journal-00000000.jsonl").read_bytes().rstrip(b"\0").count(b"\n") == 2
    disk.repair()
    assert ids(crashed(journal)) == {"a"}
    assert journal.flush() == 3
    put(journal, "d")
    assert ids(crashed(journal)) == {"a", "b", "c", "d"}
    journal.close()


@pytest.mark.parametrize("step", ["zeros", "record", "cut"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_sync_that_has_failed_is_final_whatever_it_says(directory: Path, disk, step: str, number: int) -> None:
    journal = Journal(directory)
    put(journal, "a")

    def fail(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    disk.fdatasync = fail
    if step == "cut":
        full_after(disk, 30)
    with pytest.raises(StoreFailed, match="restart the hub"):
        put(journal, "b", 300_000 if step == "zeros" else 20)
    disk.repair()
    assert journal.failed is not None
    with pytest.raises(StoreFailed):
        journal.flush()
    journal.close()
    assert {"a"} <= ids(directory) <= {"a", "b"}


def test_a_full_disk_that_cannot_even_be_cut_back_is_final(directory: Path, disk, monkeypatch) -> None:
    journal = Journal(directory)
    put(journal, "a")
    full_after(disk, 30)

    def fail(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", fail)
        with pytest.raises(StoreFailed):
            put(journal, "b")
    disk.repair()
    assert journal.failed is not None
    journal.close()
    assert ids(directory) == {"a"}
