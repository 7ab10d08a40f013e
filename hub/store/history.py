"""The history: ended runs that have left the store, in a file of SQLite, found by id and listed by creation.

SQLite because it finds one of a million documents without keeping them, or their ids, in memory, is safe at kill -9
and power cuts, and comes with Python. None of it is on the way of a request that changes something: what the file holds
counts only when the journal says so (hub.core.retention), and the caller hides what does not count.

A unit is written and removed as a whole, under its number. All methods block for the disk; one thread at a time.
"""

import contextlib
import os
import sqlite3
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hub.core.model import ATTEMPTS, JOBS, LAST, META, MOVES, TASKS, WORKFLOWS
from hub.store.disk import FILE_MODE, StoreFailed, sync_directory
from hub.store.records import Document, Tables, decode_json, encode_json
from hub.store.rows import INSERT_TASK, SCHEMA, VERSION, row_of
from hub.store.sqlite import HistoryDamaged, connect, guarded

NAME = "history.sqlite"
# The tables that it has documents of.
PAST = (TASKS, WORKFLOWS, JOBS, ATTEMPTS)
# In one statement SQLite takes at least 999 parameters.
_AT_ONCE = 900

NOTHING: Mapping[Any, Any] = MappingProxyType({})

# {first: last}: units whose copy does not count.
Hidden = Mapping[int, int]


@dataclass(slots=True)
class Kept:
    """A unit as the history has it: the modules of its tasks, and the last attempt of those that may come again."""

    number: int
    tasks: list[str]
    modules: list[str]
    attempts: list[tuple[str, int]]


class History:
    """tasks, workflows, jobs: how many there are, hidden ones too. size_bytes: of what is in use in the file.

    read_only: nothing in it is changed, nor what a crash has left beside it.
    """

    def __init__(self, path: Path, *, may_be_new: bool = True, read_only: bool = False) -> None:
        """Raises HistoryDamaged, also for a file that is not there or empty and must not be new, or StoreFailed when it
        cannot be used."""
        self.path = path
        may_be_new = may_be_new and not read_only
        if not may_be_new and not path.exists():
            raise HistoryDamaged(path, "it is missing, and runs have moved to it")
        is_new = not path.exists()
        if is_new:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, FILE_MODE))
        # The list that was asked for last, and what for.
        self._listed: tuple[object, array[int]] = (None, array("q"))
        with guarded(self.path):
            self._db = connect(path, read_only)
            try:
                self._open(may_be_new)
            except BaseException:
                self._db.close()
                raise
            if is_new:
                sync_directory(path.parent)

    def _open(self, may_be_new: bool) -> None:
        version = self._one("PRAGMA user_version")
        if version == 0 and not may_be_new:
            raise HistoryDamaged(self.path, "it is empty, and runs have moved to it")
        if version == 0:
            with self._transaction():
                for statement in SCHEMA.split(";"):
                    self._db.execute(statement)
        elif version != VERSION:
            raise StoreFailed(f"{self.path} is of a newer motet (form {version}): update motet first", "newer_history")
        self._count()

    def close(self) -> None:
        self._db.close()

    # --- changing

    def add(self, units: Mapping[int, Tables], at: float) -> None:
        """Writes units, all or none; those that are there already are written anew. at: wall seconds."""
        gone: Counter[str] = Counter()
        with self._transaction():
            for number, tables in units.items():
                gone += self._remove({number: number})
                self._db.execute("INSERT INTO units VALUES (?, ?)", (number, at))
                self._add(number, tables)
        came: Counter[str] = Counter()
        for tables in units.values():
            came.update({table: len(docs) for table, docs in tables.items()})
        self._recount(came, gone)

    def _add(self, number: int, tables: Tables) -> None:
        tasks = tables.get(TASKS, {}).values()
        groups = [(kind, doc) for kind in (WORKFLOWS, JOBS) for doc in tables.get(kind, {}).values()]
        docs = [(doc["seq"], encode_json(doc)) for doc in (*tasks, *(doc for _, doc in groups))]
        self._db.executemany("INSERT INTO docs VALUES (?, ?)", docs)
        self._db.executemany(INSERT_TASK, (row_of(number, doc) for doc in tasks))
        rows = [(doc["seq"], kind, doc["id"], number, doc.get("state") or 0) for kind, doc in groups]
        self._db.executemany("INSERT INTO groups VALUES (?, ?, ?, ?, ?)", rows)
        attempts = [(number, id, encode_json(doc)) for id, doc in tables.get(ATTEMPTS, {}).items()]
        self._db.executemany("INSERT INTO attempts VALUES (?, ?, ?)", attempts)

    def remove(self, units: Hidden) -> None:
        """Removes units of these numbers ({first: last}), those that are there."""
        if units:
            with self._transaction():
                gone = self._remove(units)
            self._recount(Counter(), gone)

    def _remove(self, units: Hidden) -> Counter[str]:
        """How many documents of each table it were."""
        gone: Counter[str] = Counter()
        for span in units.items():
            # Mostly there is none: the number of a copy that was never written.
            if not self._db.execute("DELETE FROM units WHERE number BETWEEN ? AND ?", span).rowcount:
                continue
            counted = "SELECT kind, COUNT(*) FROM groups WHERE unit BETWEEN ? AND ? GROUP BY kind"
            gone.update(dict(self._db.execute(counted, span)))
            for table in ("tasks", "groups"):
                found = f"SELECT seq FROM {table} WHERE unit BETWEEN ? AND ?"
                self._db.execute(f"DELETE FROM docs WHERE seq IN ({found})", span)
            gone[TASKS] += self._db.execute("DELETE FROM tasks WHERE unit BETWEEN ? AND ?", span).rowcount
            for table in ("groups", "attempts"):
                self._db.execute(f"DELETE FROM {table} WHERE unit BETWEEN ? AND ?", span)
        return gone

    def remove_known(self, tables: Tables) -> None:
        """Removes the units of which something is in these tables too."""
        ids = {table: list(tables.get(table, ())) for table in (TASKS, WORKFLOWS, JOBS)}
        with guarded(self.path):
            numbers = self._numbers(ids)
        self.remove({number: number for number in numbers})

    # --- finding

    def find(self, ids: Mapping[str, Sequence[str]]) -> dict[int, Tables]:
        """The units, by number, that hold documents of these tables with these ids."""
        with guarded(self.path):
            return {number: self._unit(number) for number in sorted(self._numbers(ids))}

    def _numbers(self, ids: Mapping[str, Sequence[str]]) -> set[int]:
        numbers: set[int] = set()
        for table, some in ids.items():
            source, more = ("tasks WHERE", ()) if table == TASKS else ("groups WHERE kind = ? AND", (table,))
            for start in range(0, len(some), _AT_ONCE):
                part = some[start : start + _AT_ONCE]
                marks = ", ".join("?" * len(part))
                found = self._db.execute(f"SELECT DISTINCT unit FROM {source} id IN ({marks})", (*more, *part))
                numbers.update(number for (number,) in found)
        return numbers

    def _unit(self, number: int) -> Tables:
        tables: Tables = {}
        chosen = "FROM tasks JOIN docs USING (seq) WHERE unit = ? ORDER BY seq"
        for id, doc in self._db.execute(f"SELECT id, doc {chosen}", (number,)):
            tables.setdefault(TASKS, {})[id] = decode_json(doc)
        chosen = "FROM groups JOIN docs USING (seq) WHERE unit = ? ORDER BY seq"
        for kind, id, doc in self._db.execute(f"SELECT kind, id, doc {chosen}", (number,)):
            tables.setdefault(kind, {})[id] = decode_json(doc)
        for id, doc in self._db.execute("SELECT id, doc FROM attempts WHERE unit = ? ORDER BY rowid", (number,)):
            tables.setdefault(ATTEMPTS, {})[id] = decode_json(doc)
        return tables

    def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are tasks here."""
        with guarded(self.path):
            found = (self._db.execute("SELECT id FROM tasks WHERE id = ?", (id,)).fetchone() for id in ids)
            return {row[0] for row in found if row is not None}

    def units(self, hidden: Hidden = NOTHING) -> Iterator[tuple[int, Tables]]:
        """Every unit, the one that came first at the beginning: not for a running hub."""
        with guarded(self.path):
            numbers = [number for (number,) in self._db.execute("SELECT number FROM units ORDER BY number")]
            for number in numbers:
                if not _is_in(hidden, number):
                    yield number, self._unit(number)

    def documents(self, table: str, hidden: Hidden = NOTHING) -> Iterator[tuple[str, Document]]:
        """Every document of a table, by creation; attempts by the time that they came."""
        if table == ATTEMPTS:
            chosen, values = "attempts ORDER BY rowid", tuple[str, ...]()
        elif table == TASKS:
            chosen, values = "tasks JOIN docs USING (seq) ORDER BY seq", ()
        else:
            chosen, values = "groups JOIN docs USING (seq) WHERE kind = ? ORDER BY seq", (table,)
        with guarded(self.path):
            for id, unit, doc in self._db.execute(f"SELECT id, unit, doc FROM {chosen}", values):
                if not _is_in(hidden, unit):
                    yield id, decode_json(doc)

    # --- listing

    def page(
        self,
        table: str,
        hidden: Hidden,
        live: Sequence[int],
        offset: int,
        limit: int,
        newest_first: bool = False,
        equal: Mapping[str, Any] = NOTHING,
        meets: Callable[[Any], bool] | None = None,
    ) -> tuple[int, int, int, list[Document]]:
        """A page of what is here and what is still in the store, by creation: (how many are here, which part of `live`
        is on the page: from and to, the documents from here that are on it, oldest first).

        live: creation numbers in the store, ascending; hidden, equal, meets: see seqs.
        """
        seqs = self.seqs(table, equal, hidden, meets)
        total = len(live) + len(seqs)
        first, last = min(offset, total), min(offset + limit, total)
        if newest_first:
            first, last = total - last, total - first
        begin, end = (bisect_left(range(len(live)), at, key=lambda i: i + bisect_left(seqs, live[i]))
                      for at in (first, last))  # fmt: skip
        return len(seqs), begin, end, self.docs(seqs[first - begin : last - end])

    def seqs(
        self, table: str, equal: Mapping[str, Any], hidden: Hidden, meets: Callable[[Any], bool] | None = None
    ) -> "array[int]":
        """The creation numbers of tasks or groups, ascending, whose columns have these values, or one of several.

        meets: what the metadata of a task must fulfil, None for anything.
        """
        source, clauses = ("tasks", ["1"]) if table == TASKS else ("groups", ["kind = ?"])
        values: list[Any] = [] if table == TASKS else [table]
        for name, value in equal.items():
            some = value if isinstance(value, tuple) else (value,)
            clauses.append(f"{name} IN ({', '.join('?' * len(some))})")
            values += some
        for first, last in hidden.items():
            clauses.append("unit NOT BETWEEN ? AND ?")
            values += (first, last)
        column = "seq" if meets is None else "seq, metadata"
        # Whoever turns over the pages of a list asks for the same again and again: 40 ms for each 100,000.
        key = source, tuple(clauses), tuple(values)
        if meets is None and key == self._listed[0]:
            return self._listed[1]
        with guarded(self.path):
            rows = self._db.execute(f"SELECT {column} FROM {source} WHERE {' AND '.join(clauses)} ORDER BY seq", values)
            if meets is None:
                self._listed = key, array("q", (row[0] for row in rows))
                return self._listed[1]
            return array("q", (seq for seq, data in rows if data is not None and meets(decode_json(data))))

    def docs(self, seqs: Sequence[int]) -> list[Document]:
        """The documents with these creation numbers, in this order."""
        with guarded(self.path):
            found = (self._db.execute("SELECT doc FROM docs WHERE seq = ?", (seq,)).fetchone() for seq in seqs)
            return [decode_json(row[0]) for row in found if row is not None]

    # --- all of it

    def modules(self) -> Counter[str]:
        """How many tasks refer to each module."""
        with guarded(self.path):
            chosen = "SELECT module, COUNT(*) FROM tasks WHERE module IS NOT NULL GROUP BY module"
            return Counter(dict(self._db.execute(chosen)))

    def oldest(self, count: int, before: float | None = None) -> list[Kept]:
        """So many units of those that came first; only those that came before that wall second, if one is given."""
        with guarded(self.path):
            limit = float("inf") if before is None else before
            chosen = "SELECT number FROM units WHERE at < ? ORDER BY number LIMIT ?"
            numbers = [number for (number,) in self._db.execute(chosen, (limit, count))]
            return [self._kept(number) for number in numbers]

    def _kept(self, number: int) -> Kept:
        rows = self._db.execute("SELECT id, module, attempt FROM tasks WHERE unit = ?", (number,)).fetchall()
        attempts = [(id, attempt) for id, _, attempt in rows if attempt]
        return Kept(number, [id for id, _, _ in rows], [module for _, module, _ in rows if module], attempts)

    def faults(self) -> list[str]:
        """What SQLite finds wrong with the file."""
        with guarded(self.path):
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(10)")]
            return [] if found == ["ok"] else found

    def copy_to(self, path: Path) -> None:
        with guarded(self.path), contextlib.closing(sqlite3.connect(path)) as copy:
            self._db.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")

    def stay(self) -> None:
        """From here on reads as it is now, whatever is written."""
        with guarded(self.path):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN")
            self._count()

    def moment(self) -> int:
        """Another one when others have written to what is read here."""
        with guarded(self.path):
            moment: int = self._one("PRAGMA data_version")
            return moment

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Within it nobody writes to the file: what a hub moves waits."""
        with guarded(self.path):
            self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            with guarded(self.path):
                self._db.execute("ROLLBACK")

    # --- SQLite

    def _count(self) -> None:
        self.tasks = self.workflows = self.jobs = 0
        counts = Counter(dict(self._db.execute("SELECT kind, COUNT(*) FROM groups GROUP BY kind")))
        self._recount(counts + Counter({TASKS: self._one("SELECT COUNT(*) FROM tasks")}), Counter())

    def _recount(self, came: Counter[str], gone: Counter[str]) -> None:
        self._listed = None, array("q")
        self.tasks += came[TASKS] - gone[TASKS]
        self.workflows += came[WORKFLOWS] - gone[WORKFLOWS]
        self.jobs += came[JOBS] - gone[JOBS]
        pages = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        self.size_bytes = pages * self._one("PRAGMA page_size")

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with guarded(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # it may have been rolled back already
                    self._db.execute("ROLLBACK")
                raise


def _is_in(hidden: Hidden, unit: int) -> bool:
    return any(first <= unit <= last for first, last in hidden.items())


def hidden_in(tables: Tables) -> dict[int, int]:
    """What does not count, as the store says."""
    return {int(doc["id"]): doc["seq"] for doc in tables.get(MOVES, {}).values()}


def was_moved_to(tables: Tables) -> bool:
    """Whether ended runs have left the store for the history, so that there must be one."""
    return LAST in tables.get(META, {})
