"""Messages between hub and edge: JSON objects, each with its table of fields.

make() and read() check the same table: types, sizes, what must be there. Unknown fields are ignored, so that an older
side understands a newer one. An up message's kind is the last level of its topic; a down message names it in `type`.
"""

import json

try:
    from typing import Any
except ImportError:  # MicroPython
    pass

from shared.errors import BadRequest, TooLarge
from shared.host import MAX_PUBLISH, MAX_TOPIC

MAX_UP = 64 * 1024
MAX_RESULT = 48 * 1024
MAX_DOWN = 256 * 1024
MAX_CHUNK = 64 * 1024
MAX_NAME = 256
MAX_RUNNING = 256
# What a device says it has in its cache, the last used first.
MAX_MODULES = 64

# kinds of a field
_STR = 1  # text up to the limit
_INT = 2  # 0 .. limit
_BOOL = 3
_NUM = 4  # int or float
_DICT = 5
_LIST = 6
_PAIRS = 7  # [[task, attempt], ...]
_ANY = 8
_HASH = 9  # sha256 in hex

_BIG = 1 << 53  # a JSON number every reader keeps exact

_TASK = (("task", _STR, True, 64), ("attempt", _INT, True, _BIG))

UP = {
    "hello": (
        ("proto", _INT, True, 1000),
        ("boot", _STR, True, 64),
        ("agent", _STR, True, 64),
        ("runtime", _STR, True, 64),
        ("caps", _DICT, True, 0),
        ("mem_free", _INT, True, _BIG),
        ("mem_total", _INT, True, _BIG),
        ("flash_free", _INT, False, _BIG),
        ("slots", _INT, True, 64),
        ("labels", _DICT, False, 0),
        ("max_message", _INT, False, MAX_DOWN),
        ("max_chunk", _INT, False, MAX_CHUNK),
        ("running", _PAIRS, True, MAX_RUNNING),
        ("outbox", _PAIRS, True, MAX_RUNNING),
        ("modules", _LIST, False, MAX_MODULES),
    ),
    "beat": (
        ("boot", _STR, True, 64),
        ("seq", _INT, True, _BIG),
        ("mem_free", _INT, True, _BIG),
        ("uptime_s", _INT, True, _BIG),
        ("running", _PAIRS, True, MAX_RUNNING),
        ("rssi", _NUM, False, 0),
    ),
    "started": _TASK,
    "result": _TASK
    + (
        ("ok", _BOOL, True, 0),
        ("outputs", _LIST, False, 4096),
        ("text", _STR, False, MAX_RESULT),
        ("output", _STR, False, MAX_RESULT),
        ("stdout", _STR, False, MAX_RESULT),
        ("stderr", _STR, False, MAX_RESULT),
        ("exit_code", _INT, False, _BIG),
        ("fuel", _INT, False, _BIG),
        ("duration_ms", _NUM, False, 0),
        ("error", _DICT, False, 0),
    ),
    "need": (("module", _HASH, True, 64), ("offset", _INT, True, _BIG)),
    "log": (
        ("task", _STR, False, 64),
        ("attempt", _INT, False, _BIG),
        ("level", _STR, True, 16),
        ("text", _STR, True, 1024),
    ),
    "progress": _TASK + (("permille", _INT, True, 1000), ("text", _STR, False, 256)),
    # data is base64, for what is no text
    "publish": _TASK
    + (
        ("topic", _STR, True, MAX_TOPIC),
        ("text", _STR, False, MAX_PUBLISH),
        ("data", _STR, False, MAX_PUBLISH),
    ),
    "gone": (),
}

DOWN = {
    "welcome": (
        ("epoch", _INT, True, _BIG),
        ("time_ms", _INT, True, _BIG),
        ("beat_s", _NUM, True, 0),
        ("lease_s", _NUM, True, 0),
        ("max_chunk", _INT, True, MAX_CHUNK),
    ),
    "start": _TASK
    + (
        ("module", _HASH, True, 64),
        ("size", _INT, True, _BIG),
        ("function", _STR, False, MAX_NAME),
        ("name", _STR, True, MAX_NAME),
        ("abi", _STR, False, 16),
        ("inputs", _ANY, False, 0),
        ("env", _DICT, False, 0),
        ("cli_args", _LIST, False, 256),
        ("stdin", _STR, False, MAX_DOWN),
        ("parent_results", _DICT, False, 0),
        ("limits", _DICT, True, 0),
        ("allow", _LIST, False, 64),
        ("daemon", _BOOL, False, 0),
    ),
    "chunk": (
        ("module", _HASH, True, 64),
        ("offset", _INT, True, _BIG),
        ("total", _INT, True, _BIG),
        ("data", _STR, True, MAX_DOWN),
    ),
    "stop": _TASK + (("grace_ms", _INT, False, _BIG),),
    "ack": _TASK,
}


def _is_int(value: "Any", limit: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limit


def _is_pair(item: "Any") -> bool:
    return isinstance(item, (list, tuple)) and len(item) == 2 and isinstance(item[0], str) and _is_int(item[1], _BIG)


def _fits(kind: int, limit: int, value: "Any") -> bool:
    if kind == _STR:
        return isinstance(value, str) and len(value) <= limit
    if kind == _INT:
        return _is_int(value, limit)
    if kind == _BOOL:
        return isinstance(value, bool)
    if kind == _NUM:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == _DICT:
        return isinstance(value, dict)
    if kind == _LIST:
        return isinstance(value, list) and len(value) <= limit
    if kind == _PAIRS:
        return isinstance(value, (list, tuple)) and len(value) <= limit and all(_is_pair(item) for item in value)
    if kind == _HASH:
        return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)
    return True


def check(table: "dict[str, Any]", kind: str, fields: "dict[str, Any]") -> "dict[str, Any]":
    """The fields of the table that are there and right; BadRequest names the first that is not."""
    if kind not in table:
        raise BadRequest("unknown message " + kind, "bad_message")
    out: dict[str, Any] = {}
    for name, type_, required, limit in table[kind]:
        value = fields.get(name)
        if value is None:
            if required:
                raise BadRequest(kind + " lacks " + name, "bad_message")
        elif _fits(type_, limit, value):
            out[name] = value
        else:
            raise BadRequest(kind + " has a wrong " + name, "bad_message")
    return out


def _object(payload: bytes, limit: int) -> "dict[str, Any]":
    if len(payload) > limit:
        raise TooLarge("a message of %d bytes is over %d" % (len(payload), limit))
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        fields = None
    if not isinstance(fields, dict):
        raise BadRequest("a message must be a JSON object", "bad_message")
    return fields


def make_up(kind: str, fields: "dict[str, Any]") -> bytes:
    """Bytes of a message from a device; TooLarge when they are over 64 KiB."""
    payload = json.dumps(check(UP, kind, fields)).encode()
    if len(payload) > MAX_UP:
        raise TooLarge("%s of %d bytes is over %d" % (kind, len(payload), MAX_UP))
    return payload


def read_up(kind: str, payload: bytes) -> "dict[str, Any]":
    """Fields of a message from a device. BadRequest or TooLarge when it is not what the table says."""
    return check(UP, kind, _object(payload, MAX_UP))


def make_down(kind: str, fields: "dict[str, Any]") -> bytes:
    """Bytes of a message to a device; TooLarge when they are over 256 KiB."""
    out = check(DOWN, kind, fields)
    out["type"] = kind
    payload = json.dumps(out).encode()
    if len(payload) > MAX_DOWN:
        raise TooLarge("%s of %d bytes is over %d" % (kind, len(payload), MAX_DOWN))
    return payload


def read_down(payload: bytes) -> "tuple[str, dict[str, Any]]":
    """(kind, fields) of a message to a device. BadRequest or TooLarge when it is not what the table says."""
    fields = _object(payload, MAX_DOWN)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise BadRequest("a message to a device names its type", "bad_message")
    return kind, check(DOWN, kind, fields)
