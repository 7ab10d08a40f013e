"""The tables of the history, and how a document becomes a row in them."""

from typing import Any

from hub.store.records import Document, encode_json

VERSION = 1
# What tasks are asked for by, beside metadata: a column each, so that a list need not read documents.
FILTERS = ("state", "name", "workflow_id", "job_id", "parent_id", "user_id", "proplet_id")

SCHEMA = f"""
CREATE TABLE tasks (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, unit INTEGER NOT NULL, module TEXT,
    attempt INTEGER NOT NULL, metadata BLOB, {", ".join(FILTERS)});
CREATE INDEX tasks_of_unit ON tasks (unit);
CREATE TABLE groups (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, unit INTEGER NOT NULL,
    state INTEGER NOT NULL, UNIQUE (kind, id));
CREATE INDEX groups_of_unit ON groups (unit);
CREATE TABLE docs (seq INTEGER PRIMARY KEY, doc BLOB NOT NULL);
CREATE TABLE attempts (unit INTEGER NOT NULL, id TEXT NOT NULL, doc BLOB NOT NULL);
CREATE INDEX attempts_of_unit ON attempts (unit);
CREATE TABLE units (number INTEGER PRIMARY KEY, at REAL NOT NULL);
PRAGMA user_version = {VERSION};
"""
INSERT_TASK = f"INSERT INTO tasks VALUES ({', '.join('?' * (6 + len(FILTERS)))})"


def row_of(number: int, doc: Document) -> tuple[Any, ...]:
    metadata = doc.get("metadata")
    return (
        doc["seq"],
        doc["id"],
        number,
        doc.get("module"),
        doc.get("attempt") or 0 if _may_come_again(doc) else 0,
        None if metadata is None else encode_json(metadata),
        *(doc.get(name) for name in FILTERS),
    )


def _may_come_again(doc: Document) -> bool:
    """The id of a firing comes but once: its slot is in it."""
    return (doc.get("origin") or {}).get("type") != "schedule"
