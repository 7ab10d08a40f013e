"""A journal keeps every acknowledged change through kill -9, with snapshots being written all the time."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hub.core.model import Put
from hub.store.journal import Journal

KILLS = 10
# Every change writes two tables; while one thread flushes the other one appends.
CHILD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from hub.core.model import Put
from hub.store.journal import Journal

def append():
    n = journal.lsn + 1
    document = {"n": n, "text": "x" * (n % 300)}
    last = Put("last", str(n % 50), document, document)
    journal.append([Put("new", str(n), document), Put("new", str(n - 200), None), last])

journal = Journal(sys.argv[1], compact_min_bytes=20_000, compact_ratio=0.0)
pool = ThreadPoolExecutor(1)
while True:
    flushing = pool.submit(journal.flush)
    for _ in range(10):
        append()
    print(flushing.result(), flush=True)
"""


def test_kill_9_loses_nothing_that_was_acknowledged(directory: Path) -> None:
    chance = random.Random(9)
    snapshots = 0
    for _ in range(KILLS):
        acknowledged = run_and_kill(directory, lines=chance.randrange(5, 300))
        snapshots += len(list(directory.glob("snapshot-*")))
        journal = Journal(directory)
        assert journal.lsn >= acknowledged
        assert set(journal.tables["new"]) == {str(n) for n in range(max(1, journal.lsn - 199), journal.lsn + 1)}
        for table in ("new", "last"):
            for document in journal.tables[table].values():
                assert document["text"] == "x" * (document["n"] % 300)
        newest = max(document["n"] for document in journal.tables["last"].values())
        assert newest == journal.lsn
        journal.close()
    assert snapshots >= KILLS / 2


class Killed(BaseException):
    pass


def test_what_a_killed_hub_left_unsynced_survives_a_power_cut_as_soon_as_it_is_read(directory: Path, disk) -> None:
    """The history lets go of what the journal says is back in the store."""
    unsynced: list[tuple[str, int, int]] = []

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        unsynced.append((disk.name(fd), offset, len(data)))
        return disk.real_pwrite(fd, data, offset)

    def fdatasync(fd: int) -> None:
        if b"killed" in os.pread(fd, 1000, 0):
            raise Killed
        synced(fd)

    def synced(fd: int) -> None:
        unsynced[:] = [write for write in unsynced if write[0] != disk.name(fd)]

    disk.pwrite, disk.fdatasync = pwrite, fdatasync
    journal = Journal(directory)
    journal.append([Put("t", "killed", {})])
    with pytest.raises(Killed):
        journal.flush()
    journal.close()
    assert unsynced
    disk.fdatasync = synced
    journal = Journal(directory)
    durable = journal.durable
    lost = list(unsynced)
    journal.close()
    for name, offset, size in lost:
        with open(directory / name, "r+b") as file:
            file.seek(offset)
            file.write(bytes(size))
    journal = Journal(directory)
    assert (journal.lsn, list(journal.tables["t"])) == (durable, ["killed"])
    journal.close()


def run_and_kill(directory: Path, lines: int) -> int:
    """Let a child write until it has acknowledged `lines` times, kill it; returns the last acknowledged lsn."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, directory], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    # A child that hangs is killed as well, and its missing lines fail the test.
    guard = threading.Timer(20, child.kill)
    guard.start()
    read = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    read += child.stdout.readlines()
    child.wait()
    guard.cancel()
    child.stdout.close()
    assert len(read) >= lines and read[lines - 1]
    return int([line for line in read if line.endswith("\n")][-1])
