"""The lines of the store's files: how a change becomes bytes, and how to tell a torn line from a damaged one.

A line is `crc32 length JSON\\n`, both numbers as 8 hex digits, so that grep and `cut -c19- | jq` can read the files.
The JSON of a journal's line, called a record, is

    [lsn, durable, [[table, id, "set", document] | [table, id, "patch", fields] | [table, id, "delete"], ...]]

with `durable` the lsn up to which all was on the disk when the record was made. One record is one atomic change.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

# What a turn of the engine changes is what the store keeps: one shape for both.
from hub.core.model import Put

Document = dict[str, Any]
Tables = dict[str, dict[str, Document]]

HEAD_BYTES = 18
# The smallest unit that a power cut leaves unwritten while its neighbours are written.
SECTOR_BYTES = 512

encode_json = msgspec.json.Encoder().encode
decode_json = msgspec.json.Decoder().decode


def frame(value: object) -> bytes:
    """The line of a JSON value."""
    body = encode_json(value)
    return b"%08x %08x %b\n" % (zlib.crc32(body), len(body), body)


def unframe(data: bytes, start: int) -> tuple[Any, int] | None:
    """(value, start of the next line), or None when no whole line begins at `start`.

    The newline is for people: length and checksum decide.
    """
    head = data[start : start + HEAD_BYTES]
    try:
        checksum, size = int(head[:8], 16), int(head[9:17], 16)
        body = data[start + HEAD_BYTES : start + HEAD_BYTES + size]
        if len(body) != size or zlib.crc32(body) != checksum:
            return None
        return decode_json(body), start + HEAD_BYTES + size + 1
    except (ValueError, msgspec.DecodeError):
        return None


def lines(data: bytes, start: int = 0, *, skip_damage: bool = False) -> Iterator[tuple[int, Any, int]]:
    """(start, value, start of the next) of each line, up to the first bad one or, on wish, of all good ones."""
    while start < len(data):
        line = unframe(data, start)
        if line is not None:
            value, following = line
            yield start, value, following
            start = following
        elif skip_damage and (newline := data.find(b"\n", start)) >= 0:
            start = newline + 1
        else:
            return


def is_torn(data: bytes, start: int) -> bool:
    """Whether the bad line at `start` is an unfinished write rather than one that was changed afterwards.

    The space ahead of the journal is zeros and JSON has none. So what a crash leaves out is a hole: the line has no
    end, or all of it within one sector is zeros. A complete line without a hole was written whole, hence damaged.
    """
    end = data.find(b"\n", start)
    if end < 0:
        return True
    while start <= end:
        sector_end = min(start - start % SECTOR_BYTES + SECTOR_BYTES, end + 1)
        if not data[start:sector_end].strip(b"\0"):
            return True
        start = sector_end
    return False


def make_record(tables: Tables, lsn: int, durable: int, ops: Iterable[Put]) -> bytes:
    """The record of `ops` that are about to be applied to `tables`, which makes a table that is missing."""
    deleted: set[tuple[str, str]] = set()
    changes: list[tuple[object, ...]] = []
    for put in ops:
        table, id, changed = put.table, put.id, put.changed
        if changed is not None and id in tables[table] and not (deleted and (table, id) in deleted):
            changes.append((table, id, "patch", changed))
        elif put.doc is not None:
            changes.append((table, id, "set", put.doc))
        else:
            changes.append((table, id, "delete"))
            deleted.add((table, id))
    return frame((lsn, durable, changes))


def apply_ops(tables: Tables, ops: Iterable[Put]) -> None:
    """Replace and remove documents. A table's dict stays the same object, even when it becomes empty.

    tables makes a table that is missing.
    """
    for put in ops:
        doc = put.doc
        if doc is not None:
            tables[put.table][put.id] = doc
        else:
            tables[put.table].pop(put.id, None)


def replay(tables: Tables, changes: Iterable[list[Any]]) -> None:
    """Apply the third item of a record that was read back."""
    for table, id, verb, *value in changes:
        documents = tables.setdefault(table, {})
        if verb == "set":
            documents[id] = value[0]
        elif verb == "delete":
            documents.pop(id, None)
        elif id in documents:  # a patched document is missing only where a damaged snapshot lost it
            documents[id].update(value[0])
