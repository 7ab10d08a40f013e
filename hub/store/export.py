"""The documents of a store, and of its history, as one file that a stock TinyDB opens."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from hub.store.atomic import whole_file
from hub.store.history import PAST, History, hidden_in
from hub.store.moment import look
from hub.store.records import Document, Tables, encode_json


def export(data: Path, file: Path) -> tuple[int, int]:
    """Writes the documents of a hub's folder, which may be in use; (documents, number of the last change)."""
    with look(data / "store") as (tables, lsn, history), whole_file(file) as out:
        count = 0
        opening = b"{"
        for table in dict.fromkeys((*tables, *PAST)):
            for number, (id, document) in enumerate(_documents(table, tables, history), 1):
                out.write(b"%b%b:{" % (opening, encode_json(table)) if number == 1 else b",")
                out.write(_line(number, id, document))
                opening = b"},\n"
                count += 1
        out.write(b"}}\n" if count else b"{}\n")
    return count, lsn


def _documents(table: str, tables: Tables, history: History | None) -> Iterable[tuple[str, Document]]:
    """What has ended comes first."""
    past = () if history is None else history.documents(table, hidden_in(tables))
    return chain(past, tables.get(table, {}).items())


def _line(number: int, id: str, document: Document) -> bytes:
    """`number: document`, on a line of its own.

    TinyDB's own tables have whole numbers for ids, so documents are numbered in the order of their creation. Their own
    id is in the document; where it is not, as in `meta`, it is added.
    """
    return b'\n"%d":' % number + encode_json({"id": id, **document})
