"""Messages between hub and edge: JSON objects, each with its table of fields. Those that go up: hub.link.messages.

Who reads a message checks its table: types, sizes, what must be there. Unknown fields are ignored, so that an older
side understands a newer one. An up message's kind is the last level of its topic; a down message names it in `type`.
"""

import json

from shared import const
from shared.faults import BadRequest, TooLarge

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MAX_UP = 64 * 1024
MAX_RESULT = 48 * 1024
MAX_OUTPUTS = 4096
MAX_DOWN = 256 * 1024
MAX_CHUNK = 64 * 1024
MAX_RUNNING = 256
# What a device says it has in its cache, the last used first.
MAX_MODULES = 64

_BIG = const(1 << 53)  # a JSON number every reader keeps exact

# The fields of each kind, as text: tuples take a board five times as much memory. A field is name:KIND and its
# limit; after ? it may be missing. The kinds, and what the limit counts:
#   s text (characters)   i 0 to the limit, 2**53 without one   b true or false    n number         d object
#   l list (items)        p [[task, attempt], ...] (items)      h sha256 in hex    a any JSON
DOWN = {
    "welcome": "epoch:i time_ms:i beat_s:n lease_s:n max_chunk:i65536",
    "start": "task:s64 attempt:i module:h size:i function?s256 name:s256 abi?s16 inputs?a env?d cli_args?l256 "
    "stdin?s262144 parent_results?d limits:d allow?l64 daemon?b",
    "chunk": "module:h offset:i total:i data:s262144",
    "stop": "task:s64 attempt:i grace_ms?i",
    "ack": "task:s64 attempt:i",
    "update": "package:s16 files:s8192",
    "keep": "",
}


def fields_of(table: str) -> "Iterator[tuple[str, bool, str, int]]":
    """(name, whether it must be there, kind, limit) of each field of a table."""
    for word in table.split():
        name, colon, what = word.partition(":")
        if not colon:
            name, _, what = word.partition("?")
        yield name, bool(colon), what[0], int(what[1:] or _BIG)


def _is_int(value: "Any", limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def _is_pair(item: "Any") -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str) and _is_int(item[1], _BIG)


def _fits(kind: str, limit: int, value: "Any") -> bool:
    if kind == "s":
        return isinstance(value, str) and len(value) <= limit
    if kind == "i":
        return _is_int(value, limit)
    if kind == "b":
        return isinstance(value, bool)
    if kind == "n":
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "d":
        return isinstance(value, dict)
    if kind == "l":
        return isinstance(value, list) and len(value) <= limit
    if kind == "p":
        return isinstance(value, (list, tuple)) and len(value) <= limit and all(_is_pair(item) for item in value)
    if kind == "h":
        return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)
    return True


def check(tables: "dict[str, str]", kind: str, fields: "dict[str, Any]") -> "dict[str, Any]":
    """The fields of the table that are there and right; BadRequest names the first that is not."""
    if kind not in tables:
        raise BadRequest("unknown message " + kind, "bad_message")
    out: dict[str, Any] = {}
    for name, required, what, limit in fields_of(tables[kind]):
        value = fields.get(name)
        if value is None:
            if required:
                raise BadRequest(kind + " lacks " + name, "bad_message")
        elif _fits(what, limit, value):
            out[name] = value
        else:
            raise BadRequest(kind + " has a wrong " + name, "bad_message")
    return out


def read_object(payload: bytes, limit: int) -> "dict[str, Any]":
    """The JSON object that a message is; BadRequest or TooLarge when it is none."""
    if len(payload) > limit:
        raise TooLarge("a message of %d bytes is over %d" % (len(payload), limit))
    try:
        fields = json.loads(payload)
    except (ValueError, RuntimeError):  # UnicodeDecodeError is a ValueError, RecursionError a RuntimeError
        fields = None
    if not isinstance(fields, dict):
        raise BadRequest("a message must be a JSON object", "bad_message")
    return fields


def make_up(kind: str, fields: "dict[str, Any]", limit: int = MAX_UP) -> bytes:
    """Bytes of a message from a device; TooLarge when they are over the limit. The hub checks what is in it."""
    payload = json.dumps(fields).encode()
    if len(payload) > limit:
        raise TooLarge("%s of %d bytes is over %d" % (kind, len(payload), limit))
    return payload


def read_down(payload: bytes) -> "tuple[str, dict[str, Any]]":
    """(kind, fields) of a message to a device. BadRequest or TooLarge when it is not what the table says."""
    fields = read_object(payload, MAX_DOWN)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise BadRequest("a message to a device names its type", "bad_message")
    return kind, check(DOWN, kind, fields)
