"""Opening a store: read what is on the disk, repair a torn tail, refuse damage or, on wish, save what comes before it.

After a crash the newest journal may end in an unfinished write. None of it was ever acknowledged, so it is cut off.
Anything else that does not read back is damage. Every record names the lsn that was durable when it was made, so a
hole followed by a record that knew better is damage as well, and not a torn tail.
"""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hub.store.disk import AheadFile, sync_directory
from hub.store.records import Tables, is_torn, lines, replay
from hub.store.snapshot import (
    JOURNAL_FORMAT,
    SNAPSHOT_FORMAT,
    begin_journal,
    journal_path,
    list_generations,
    remove_older,
    snapshot_path,
    write_snapshot,
)
from shared.errors import Damaged, NotFound

log = logging.getLogger(__name__)


class StoreDamaged(Damaged):
    """A file of the store is not what was written. `detail` has `file` (a path) and `byte` (an offset)."""

    code = "store_damaged"

    def __init__(self, path: Path, byte: int, what: str) -> None:
        super().__init__(
            f"{path} is damaged at byte {byte} ({what}): restore the directory from a backup, or start the hub with "
            "--recover to keep everything before the damage; the damaged file is set aside",
            detail={"file": str(path), "byte": byte},
        )


@dataclass
class State:
    """What the disk holds, and the journal that goes on from there."""

    tables: Tables
    lsn: int
    generation: int
    journal: AheadFile
    snapshot_bytes: int
    recovered: list[str] = field(default_factory=list)


def load(directory: Path, *, recover: bool) -> State:
    """Read the store, which may be new and empty. Raises StoreDamaged unless `recover`."""
    reader = _Reader(directory, recover)
    reader.read()
    if reader.damaged:
        return _begin_anew(reader)
    if reader.end == 0:
        journal = begin_journal(directory, reader.last, reader.lsn)
    else:
        journal = AheadFile(journal_path(directory, reader.last), reader.end)
        # What a killed hub had written and not synced was read like the rest: a power cut must not take it from below
        # what is built on it.
        journal.sync()
        sync_directory(directory)
    remove_older(directory, reader.base)
    return State(reader.tables, reader.lsn, reader.last, journal, reader.snapshot_bytes)


# A hub that runs may write, or turn to the next generation, while its files are read.
LOOKS = 5
LOOK_AGAIN_S = 0.1


def look(directory: Path) -> tuple[Tables, int]:
    """The documents of a store and the number of its last change, without changing a byte of it.

    A hub may have it open meanwhile: a record is one change, and only whole ones are read, so what comes back is the
    store as it was at one moment. Raises StoreDamaged, or NotFound when there is no store.
    """
    for again in range(LOOKS, 0, -1):
        reader = _Reader(directory, recover=False)
        try:
            reader.read()
            # A first journal that was listed and then gone reads as a store that is new.
            if reader.is_new and list_generations(directory):
                raise StoreDamaged(directory, 0, "its files change faster than they can be read")
            return reader.tables, reader.lsn
        except StoreDamaged:
            if again == 1:
                raise
            time.sleep(LOOK_AGAIN_S)
    raise AssertionError("the last try returns or raises")


def _begin_anew(reader: "_Reader") -> State:
    """Make what was readable the snapshot of a new generation; only then set the damaged files aside."""
    directory = reader.directory
    generation = reader.last + 1
    journal = begin_journal(directory, generation, reader.lsn)
    size = write_snapshot(directory, generation, reader.lsn, reader.tables, pause=lambda: None)
    damaged = [path for path in reader.damaged if path.exists()]
    recovered = [path.rename(path.with_name(path.name + ".damaged")).name for path in damaged]
    sync_directory(directory)
    remove_older(directory, generation)
    log.warning("the store in %s was recovered up to change %d; set aside: %s", directory, reader.lsn, recovered)
    return State(reader.tables, reader.lsn, generation, journal, size, recovered)


class _Reader:
    """Reads the newest snapshot and the journals after it, up to the first damage."""

    def __init__(self, directory: Path, recover: bool) -> None:
        self.directory = directory
        self.recover = recover
        self.tables: Tables = {}
        self.lsn = 0
        self.damaged: list[Path] = []
        self.is_new = False
        self.snapshot_bytes = 0
        self.end = 0  # of what is good in the newest journal
        try:
            files = list_generations(directory)
        except FileNotFoundError:
            raise NotFound(f"there is no store in {directory}", "no_store") from None
        snapshots = [generation for kind, generation in files if kind == "snapshot"]
        self.last = files[-1][1] if files else 0
        self.base = snapshots[-1] if snapshots else 0

    def read(self) -> None:
        if snapshot_path(self.directory, self.base).exists():
            self._read_snapshot(snapshot_path(self.directory, self.base))
        elif self.last == 0 and not journal_path(self.directory, 0).exists():
            self.is_new = True
            return
        for generation in range(self.base, self.last + 1):
            if not self._read_journal(journal_path(self.directory, generation), newest=generation == self.last):
                unread = range(generation + 1, self.last + 1)
                self.damaged += [journal_path(self.directory, later) for later in unread]
                return

    def _read_snapshot(self, path: Path) -> None:
        data = self._bytes(path)
        count, end, has_header, has_end = 0, 0, False, False
        for start, value, following in lines(data, skip_damage=self.recover):
            end = following if start == end else end  # stays at the first damage
            if start == 0 and _is_header(value, SNAPSHOT_FORMAT):
                self.lsn, has_header = value["lsn"], True
            elif isinstance(value, list):
                table, id, document = value
                self.tables.setdefault(table, {})[id] = document
                count += 1
            else:
                has_end = value == {"documents": count}
        if not (has_header and has_end):
            self._damage(path, end, "the snapshot is not complete")
        self.snapshot_bytes = len(data)

    def _read_journal(self, path: Path, *, newest: bool) -> bool:
        """Whether reading can go on after this journal."""
        data = self._bytes(path)
        self.end = 0
        for start, value, end in lines(data):
            if not self._accept(value, is_first=start == 0):
                return self._damage(path, start, f"it does not follow change {self.lsn}")
            self.end = end
        if not data[self.end :].strip(b"\0") and (newest or self.end):
            return True
        if newest and is_torn(data, self.end) and not self._was_durable(data):
            log.info("%s: leaves out an unfinished write at byte %d", path, self.end)
            return True
        return self._damage(path, self.end, f"what follows change {self.lsn} is unreadable")

    def _accept(self, value: Any, *, is_first: bool) -> bool:
        if is_first:
            # A snapshot that lost its own header is the only reason to take the number from here.
            if _is_header(value, JOURNAL_FORMAT) and (value["lsn"] == self.lsn or self.damaged):
                self.lsn = value["lsn"]
                return True
            return False
        if not isinstance(value, list) or value[0] != self.lsn + 1:
            return False
        self.lsn = value[0]
        replay(self.tables, value[2])
        return True

    def _was_durable(self, data: bytes) -> bool:
        """Whether a record behind the bad line at `end` knew that this line was on the disk."""
        bad = self.lsn + 1 if self.end else self.lsn
        later = lines(data, self.end, skip_damage=True)
        return any(isinstance(value, list) and value[1] >= bad for _, value, _ in later)

    def _bytes(self, path: Path) -> bytes:
        """The whole file. Not mapped: a bad sector would then kill the process instead of raising OSError."""
        try:
            return path.read_bytes()
        except OSError as error:
            self._damage(path, 0, f"it cannot be read ({error.strerror})")
            return b""

    def _damage(self, path: Path, byte: int, what: str) -> bool:
        damage = StoreDamaged(path, byte, what)
        if not self.recover:
            raise damage
        log.error("%s", damage)
        if path not in self.damaged:
            self.damaged.append(path)
        return False


def _is_header(value: Any, expected: str) -> bool:
    return isinstance(value, dict) and value.get("format") == expected and isinstance(value.get("lsn"), int)
