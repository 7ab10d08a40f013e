"""Whatever is done to a Database in whatever order, it is a plain dict that survives reopening, crash and snapshot."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tinydb import where
from tinydb.operations import delete
from tinydb.table import Document

from hub.core.model import Put
from hub.store.database import Database

tables = st.sampled_from(["tasks", "jobs", ""])
ids = st.sampled_from(["a", "b", "c", "d"])
fields = st.sampled_from(["state", "n", "ü"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
contents = st.dictionaries(fields, values, max_size=3)


def as_json(value: object) -> str:
    """Unlike ==, this tells 1 from True and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


def without_empty(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: documents for name, documents in tables.items() if documents}


class DatabaseIsADict(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.directory = self.root / "0"
        self.model: dict[str, dict[str, dict[str, Any]]] = {}
        self.durable = as_json({})

    @initialize(compacts_after=st.sampled_from([0, 300, 1 << 20]))
    def open(self, compacts_after: int) -> None:
        self.options = {"compact_min_bytes": compacts_after, "compact_ratio": 0.5}
        self.database = Database(self.directory, **self.options)

    def documents(self, table: str) -> dict[str, dict[str, Any]]:
        return self.model.setdefault(table, {})

    def note_what_is_durable(self) -> None:
        """An update of nothing flushes nothing; what it changes it flushes, with all that was appended before."""
        journal = self.database.storage.journal
        if journal.durable == journal.lsn:
            self.durable = as_json(without_empty(self.model))

    @rule(table=tables, id=ids, document=contents)
    def upsert(self, table: str, id: str, document: dict[str, Any]) -> None:
        self.database.table(table).upsert(Document(document, doc_id=id))
        self.documents(table).setdefault(id, {}).update(document)
        self.note_what_is_durable()

    @rule(table=tables, document=contents, field=fields, value=values)
    def update_where(self, table: str, document: dict[str, Any], field: str, value: object) -> None:
        self.database.table(table).update(document, where(field) == value)
        for stored in self.documents(table).values():
            if field in stored and stored[field] == value:
                stored.update(document)
        self.note_what_is_durable()

    @rule(table=tables, field=fields)
    def delete_field(self, table: str, field: str) -> None:
        self.database.table(table).update(delete(field), where(field).exists())
        for stored in self.documents(table).values():
            stored.pop(field, None)
        self.note_what_is_durable()

    @rule(table=tables, id=ids)
    def remove(self, table: str, id: str) -> None:
        removed = self.database.table(table).remove(doc_ids=[id])
        assert removed == ([id] if id in self.documents(table) else [])
        self.documents(table).pop(id, None)
        self.note_what_is_durable()

    @rule(table=tables, drop=st.booleans())
    def empty(self, table: str, drop: bool) -> None:
        if drop:
            self.database.drop_table(table)
        else:
            self.database.table(table).truncate()
        self.model.pop(table, None)
        self.note_what_is_durable()

    @rule(changes=st.lists(st.tuples(tables, ids, st.none() | contents, st.booleans()), max_size=3))
    def append_as_the_engine_does(self, changes: list[tuple[str, str, dict[str, Any] | None, bool]]) -> None:
        ops, done = [], {}
        for table, id, document, patch in changes:
            old = done.get((table, id), self.documents(table).get(id))
            changed = None
            if patch and document is not None and old is not None:
                now = {name: value for name, value in document.items() if as_json(old.get(name)) != as_json(value)}
                changed = (
                    None
                    if old.keys() - document.keys()
                    else now | {k: document[k] for k in document.keys() - old.keys()}
                )
            ops.append(Put(table, id, document, changed))
            done[table, id] = document
        self.database.storage.journal.append(ops)
        for (table, id), document in done.items():
            self.documents(table).pop(id, None) if document is None else self.documents(table).update({id: document})
        self.model = json.loads(json.dumps(self.model))

    @rule()
    def flush(self) -> None:
        self.database.storage.journal.flush()
        self.note_what_is_durable()

    @rule()
    def reopen(self) -> None:
        self.database.close()
        self.database = Database(self.directory, **self.options)
        self.note_what_is_durable()

    @rule()
    def crash(self) -> None:
        journal = self.database.storage.journal
        if journal._compaction:
            journal._compaction.join()
        self.directory = Path(shutil.copytree(self.directory, self.root / str(int(self.directory.name) + 1)))
        self.database.close()
        self.model = json.loads(self.durable)
        self.database = Database(self.directory, **self.options)

    @invariant()
    def is_the_model(self) -> None:
        if not hasattr(self, "database"):
            return
        names = self.database.tables()
        stored = {name: {d.doc_id: dict(d) for d in self.database.table(name)} for name in names}
        assert as_json(stored) == as_json(without_empty(self.model))

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()
        shutil.rmtree(self.root)


TestDatabaseIsADict = DatabaseIsADict.TestCase
TestDatabaseIsADict.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
