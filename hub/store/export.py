"""The documents of a store as one file that a stock TinyDB opens."""

from collections.abc import Iterator
from pathlib import Path

from hub.store.atomic import whole_file
from hub.store.records import Tables, encode_json
from hub.store.recovery import look


def export(data: Path, file: Path) -> tuple[int, int]:
    """Writes the documents of a hub's folder, which may be in use; (documents, number of the last change)."""
    tables, lsn = look(data / "store")
    with whole_file(file) as out:
        for piece in _pieces(tables):
            out.write(piece)
    return sum(map(len, tables.values())), lsn


def _pieces(tables: Tables) -> Iterator[bytes]:
    """{table: {number: document}}, a document a line.

    TinyDB's own tables have whole numbers for ids, so documents are numbered in the order of their creation. Their own
    id is in the document; where it is not, as in `meta`, it is added.
    """
    opening = b"{"
    for table, documents in tables.items():
        if not documents:
            continue
        yield opening + encode_json(table) + b":{"
        opening = b",\n"
        for number, (id, document) in enumerate(documents.items(), 1):
            comma = b",\n" if number > 1 else b"\n"
            yield comma + b'"%d":' % number + encode_json({"id": id, **document})
        yield b"}"
    yield (b"{" if opening == b"{" else b"") + b"}\n"
