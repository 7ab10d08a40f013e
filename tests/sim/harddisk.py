"""The hub's disk: real files, to which nothing comes but what was synced, and of the last sync perhaps a part.

The real journal runs on it: `SyscallsOfStore` stands in for `os` in hub.store. What is written waits in memory for its
fdatasync. A flush takes virtual time; what it synced is on its way to the platter until that time is over, and a power
cut meanwhile leaves any of it, by sectors.

Who is killed instead leaves what it wrote to the system: the next process reads it in the files like the rest. Until
somebody syncs it, a power cut may still take any of it back.
"""

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.store.records import SECTOR_BYTES
from tests.sim.loop import PowerCut, Process

# (path, offset, bytes) written, (path, 0, None) created, or (path, 0, b"") synced: a file, or the names of a directory
Step = tuple[str, int, bytes | None]


class HardDisk:
    """directory: of the real files. full: writes are refused, and now and then a sync as well, as where space is only
    looked for when it is needed. cut_in: so many steps from now the power fails. file_cut: so many from the next file
    that comes."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        self.chance = chance
        self.full = False
        self.cut_in = self.file_cut = 0
        self._is_cut = False  # the process died at a step
        self._open: dict[int, str] = {}
        self._dirty: dict[int, list[Step]] = {}
        # What is on its way to the platter, in order, each sync a group; None when every sync is waited for.
        self._flight: list[list[Step]] | None = None
        # What the platter has of each sector that a killed process wrote and nobody synced; and the names it lacks.
        self._unsynced: dict[tuple[str, int], bytes] = {}
        self._unnamed: list[str] = []

    # --- what the store asks of the system

    def open(self, path: object, flags: int, mode: int = 0o777) -> int:
        name = os.fspath(path)  # type: ignore[call-overload]
        is_new = not os.path.exists(name)
        fd = os.open(name, flags, mode)
        self._open[fd] = name
        if is_new and self._flight is not None:
            self._flight.append([(name, 0, None)])
            self.cut_in, self.file_cut = self.file_cut or self.cut_in, 0
        return fd

    def close(self, fd: int) -> None:
        self._dirty.pop(fd, None)
        self._open.pop(fd, None)
        os.close(fd)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self._step()
        whole = bytes(data)
        if self.full and (len(whole) < 2 or self.chance.random() < 0.5):
            raise _no_space()
        if len(whole) > 1 and (self.full or self.chance.random() < 0.05):
            whole = whole[: self.chance.randrange(1, len(whole))]  # the system may take a part only
        self._dirty.setdefault(fd, []).append((self._open[fd], offset, whole))
        return len(whole)

    def fdatasync(self, fd: int) -> None:
        self._step()
        written = self._dirty.pop(fd, [])
        if self.full and written and self.chance.random() < 0.1:
            raise _no_space()
        group = [*written, (self._open[fd], 0, b"")]
        if self._flight is None:
            self._arrive(group)
        else:
            self._flight.append(group)

    def ftruncate(self, fd: int, size: int) -> None:
        """Of a file that nothing has been written behind but what was not synced."""
        self._step()
        self._dirty.pop(fd, None)
        os.ftruncate(fd, size)

    def _step(self) -> None:
        if self.cut_in:
            self.cut_in -= 1
            if not self.cut_in:
                self._is_cut = True
                raise PowerCut

    # --- time and crashes

    def take_off(self) -> None:
        """From here on, what is synced needs time to arrive."""
        self._flight = []

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within it every sync is waited for, whatever else is on its way."""
        flight, self._flight = self._flight, None
        try:
            yield
        finally:
            self._flight = flight

    @property
    def in_flight(self) -> bool:
        return self._flight is not None

    def land(self) -> None:
        """It has arrived."""
        flight, self._flight = self._flight or [], None
        for group in flight:
            self._arrive(group)

    def power_cut(self) -> None:
        """Of what was on its way, each sync before some is there, of that one some sectors, of those after it none. Of
        what a killed process left, any sector and any name may be gone."""
        flight, self._flight = self._flight or [], None
        arrived = self.chance.randrange(len(flight) + 1)
        for group in flight[:arrived]:
            self._arrive(group)
        if flight[arrived:]:
            _put(self._torn(flight[arrived]))
        _undo(flight[arrived:])
        self._take_back()
        self._let_go()

    def kill(self) -> None:
        """The process dies, at some step of what was on its way; what it wrote until then is in the files."""
        flight, self._flight = self._flight or [], None
        groups = [*flight, [step for steps in self._dirty.values() for step in steps]]
        at, count = len(flight), len(groups[-1])
        if not self._is_cut:
            at = self.chance.randrange(len(groups))
            count = self.chance.randrange(len(groups[at]) + 1)
        for group in groups[:at]:
            self._arrive(group)
            self._unnamed += [name for name, _, data in group if data is None]
        self._leave(groups[at][:count])
        _undo(groups[at:])
        self._let_go()

    def _let_go(self) -> None:
        for fd in list(self._open):
            self.close(fd)
        self.cut_in, self._is_cut = 0, False

    def _arrive(self, group: list[Step]) -> None:
        _put(group)
        synced = {name for name, _, data in group if data == b""}
        if self._unsynced:
            self._unsynced = {key: was for key, was in self._unsynced.items() if key[0] not in synced}
        self._unnamed = [name for name in self._unnamed if os.path.dirname(name) not in synced]

    def _leave(self, steps: list[Step]) -> None:
        """Writes to the files what the platter has not, and keeps what that has."""
        for name, offset, data in steps:
            for sector in _sectors(offset, data or b""):
                if (name, sector) not in self._unsynced:
                    self._unsynced[name, sector] = _read(name, sector)
            _put([(name, offset, data)])

    def _take_back(self) -> None:
        share = self.chance.choice((0.5, 1.0))
        for (name, sector), was in self._unsynced.items():
            if self.chance.random() < share and os.path.exists(name):
                # The size of a file is another matter than its bytes: what was never written reads as zeros.
                room = max(0, os.path.getsize(name) - sector * SECTOR_BYTES)
                _put([(name, sector * SECTOR_BYTES, was.ljust(SECTOR_BYTES, b"\0")[:room])])
        for name in self._unnamed:
            if self.chance.random() < share and os.path.exists(name):
                os.unlink(name)
        self._unsynced, self._unnamed = {}, []

    def _torn(self, group: list[Step]) -> list[Step]:
        """The sectors that were written before the end, each whole."""
        share = self.chance.choice((0.0, 0.5, 0.9, 1.0))
        fate: dict[tuple[str, int], bool] = {}
        kept: list[Step] = []
        for name, offset, data in group:
            at = 0
            while data is not None and at < len(data):
                sector = (offset + at) // SECTOR_BYTES
                end = min(len(data), (sector + 1) * SECTOR_BYTES - offset)
                if (name, sector) not in fate:
                    fate[name, sector] = self.chance.random() < share
                if fate[name, sector]:
                    self._unsynced.pop((name, sector), None)  # it is written as a whole
                    kept.append((name, offset + at, data[at:end]))
                at = end
        return kept


def _no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _put(steps: list[Step]) -> None:
    for name, offset, data in steps:
        if data and os.path.exists(name):
            with open(name, "r+b") as file:
                file.seek(offset)
                file.write(data)


def _undo(groups: list[list[Step]]) -> None:
    """What was not created after all."""
    for name in (name for group in groups for name, _, data in group if data is None):
        os.unlink(name)


def _sectors(offset: int, data: bytes) -> range:
    return range(offset // SECTOR_BYTES, -(-(offset + len(data)) // SECTOR_BYTES))


def _read(name: str, sector: int) -> bytes:
    with open(name, "rb") as file:
        file.seek(sector * SECTOR_BYTES)
        return file.read(SECTOR_BYTES)


class SyscallsOfStore:
    """Stands in for the module `os` in hub.store."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    @staticmethod
    def _disk() -> HardDisk:
        return Process.current().machine.disk  # type: ignore[no-any-return]

    def open(self, path: object, flags: int, mode: int = 0o777) -> int:
        return self._disk().open(path, flags, mode)

    def close(self, fd: int) -> None:
        self._disk().close(fd)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        return self._disk().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self._disk().fdatasync(fd)

    def ftruncate(self, fd: int, size: int) -> None:
        self._disk().ftruncate(fd, size)

    def fsync(self, fd: int) -> None:
        self._disk().fdatasync(fd)

    def getpid(self) -> int:
        """As long on every machine, since it is written to the disk."""
        return 1


class Threads:
    """Stands in for `threading` in hub.store.journal: its one thread, the snapshot's, is an event to come."""

    def __getattr__(self, name: str) -> object:
        import threading

        return getattr(threading, name)

    class Event:
        def __init__(self) -> None:
            self._set = False

        def set(self) -> None:
            self._set = True

        def is_set(self) -> bool:
            return self._set

        def wait(self, seconds: float | None = None) -> bool:
            return self._set

    class Thread:
        def __init__(self, target, args, name: str) -> None:  # type: ignore[no-untyped-def]
            self._target, self._args = target, args
            self._alive = True

        def start(self) -> None:
            Process.current().machine.later(self._run)

        def _run(self) -> None:
            if self._alive:
                with Process.current().machine.disk.waiting():
                    self._target(*self._args)
                self._alive = False

        def is_alive(self) -> bool:
            return self._alive

        def join(self) -> None:
            # Who joins it has waited for the syncs that came before it began.
            disk = Process.current().machine.disk
            if self._alive and disk.in_flight:
                disk.land()
                disk.take_off()
            self._run()
