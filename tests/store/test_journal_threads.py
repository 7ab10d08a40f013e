"""What a journal promises when the event loop appends, a thread flushes and another one writes the snapshot."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.core.model import Put
from hub.store.journal import Journal
from hub.store.records import lines

WAIT_S = 10


class Gate:
    """Stops whoever comes to it until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def stop_here(self) -> None:
        self.reached.set()
        assert self.opened.wait(WAIT_S)


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_append_does_not_wait_for_a_flush(directory: Path, disk, gate: Gate) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "before", {})])

    def slow_sync(fd: int) -> None:
        gate.stop_here()
        disk.real_fdatasync(fd)

    disk.fdatasync = slow_sync
    with ThreadPoolExecutor() as pool:
        flushing = pool.submit(journal.flush)
        assert gate.reached.wait(WAIT_S)
        for n in range(1000):
            journal.append([Put("t", str(n), {"n": n})])
        assert journal.durable == 0 and not flushing.done()
        gate.opened.set()
        # A flush promises what was appended when it began, not what came meanwhile.
        assert flushing.result() == 1
    assert journal.flush() == 1001
    journal.close()
    reopened = Journal(directory)
    assert len(reopened.tables["t"]) == 1001
    reopened.close()


def test_append_and_flush_do_not_wait_for_a_snapshot(directory: Path, disk, gate: Gate) -> None:
    journal = Journal(directory, compact_min_bytes=0, compact_ratio=0)

    def slow_snapshot(fd: int) -> None:
        if disk.name(fd).startswith("snapshot"):
            gate.stop_here()
        disk.real_fdatasync(fd)

    disk.fdatasync = slow_snapshot
    journal.append([Put("t", "before", {})])
    journal.flush()
    assert gate.reached.wait(WAIT_S)
    for n in range(100):
        assert journal.flush() == journal.append([Put("t", str(n), {})]) - 1
    journal.flush()
    assert not list(directory.glob("snapshot-*.jsonl"))
    gate.opened.set()
    journal.close()
    reopened = Journal(directory)
    assert len(reopened.tables["t"]) == 101
    reopened.close()


def test_a_snapshot_holds_what_was_journalled_before_it_and_nothing_newer(directory: Path, disk, gate: Gate) -> None:
    journal = Journal(directory, compact_min_bytes=0, compact_ratio=0)

    def slow_sync(fd: int) -> None:
        if disk.name(fd) == "journal-00000000.jsonl":
            gate.stop_here()
        disk.real_fdatasync(fd)

    journal.append([Put("t", "a", {"n": 1}), Put("u", "a", {"n": 1})])
    disk.fdatasync = slow_sync
    with ThreadPoolExecutor() as pool:
        flushing = pool.submit(journal.flush)
        assert gate.reached.wait(WAIT_S)
        journal.append([Put("t", "a", {"n": 2}, {"n": 2}), Put("u", "a", None), Put("u", "b", {})])
        gate.opened.set()
        assert flushing.result() == 1
    journal._compaction.join()
    (path,) = directory.glob("snapshot-*.jsonl")
    values = [value for _, value, _ in lines(path.read_bytes())]
    assert values[0]["lsn"] == 1
    assert values[1:-1] == [["t", "a", {"n": 1}], ["u", "a", {"n": 1}]]
    journal.close()
    reopened = Journal(directory)
    assert reopened.tables == {"t": {"a": {"n": 2}}, "u": {"b": {}}}
    reopened.close()


def test_everything_at_once(directory: Path) -> None:
    journal = Journal(directory, compact_min_bytes=3000, compact_ratio=0.1)
    done = threading.Event()
    writers = 3

    def append(writer: int) -> None:
        for n in range(1500):
            id = f"{writer}-{n % 100}"
            old = journal.tables.get("left", {}).get(id, {"text": "x" * 40})
            document = {**old, "n": n}
            changes = {"n": n}
            journal.append([Put("left", id, document, changes), Put("right", id, document, changes)])
            if n % 100 == 0:
                journal.flush()

    def flush() -> None:
        while not done.is_set():
            lsn = journal.lsn
            assert journal.flush() >= lsn

    with ThreadPoolExecutor() as pool:
        flushers = [pool.submit(flush) for _ in range(2)]
        for appending in [pool.submit(append, writer) for writer in range(writers)]:
            appending.result()
        done.set()
        for flusher in flushers:
            flusher.result()
    assert journal._generation > 1
    tables = journal.tables
    journal.close()
    reopened = Journal(directory)
    assert reopened.tables == tables
    assert reopened.lsn == writers * 1500
    assert tables["left"] == tables["right"] and len(tables["left"]) == 300
    reopened.close()
