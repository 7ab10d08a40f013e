"""The hub's half of the messages: what it checks of those that come up, and how it makes those that go down."""

import json
from typing import Any

import msgspec

from hub.core.nesting import MAX_DEPTH, is_deep
from shared.errors import BadRequest, TooLarge
from shared.messages import DOWN, MAX_DOWN, MAX_UP, check

# In the notation of shared.messages.
UP = {
    "hello": "proto:i1000 boot:s64 agent:s64 runtime:s64 caps:d mem_free:i mem_total:i flash_free?i slots:i64 labels?d "
    "max_message?i262144 max_chunk?i65536 running:p256 outbox:p256 modules?l64 last?d update?d",
    "beat": "boot:s64 seq:i mem_free:i uptime_s:i running:p256 rssi?n on_trial?b",
    "started": "task:s64 attempt:i",
    "result": "task:s64 attempt:i ok:b outputs?l4096 text?s49152 output?s49152 stdout?s49152 stderr?s49152 exit_code?i "
    "fuel?i duration_ms?n error?d",
    "need": "module:h offset:i",
    "log": "task?s64 attempt?i level:s16 text:s1024",
    "progress": "task:s64 attempt:i permille:i1000 text?s256",
    # data is base64, for what is no text
    "publish": "task:s64 attempt:i topic:s128 text?s8192 data?s8192",
    "update": "package:s16 state:s16 left:i error?s256",
    "gone": "",
}

# Strict: the json of Python takes NaN and Infinity, and 1e999 for infinity. None of them could be told to anybody.
_decode = msgspec.json.Decoder().decode


def read_up(kind: str, payload: bytes) -> dict[str, Any]:
    """Fields of a message from a device. BadRequest or TooLarge when it is not what the table says."""
    if len(payload) > MAX_UP:
        raise TooLarge(f"a message of {len(payload)} bytes is over {MAX_UP}")
    try:
        fields = _decode(payload)
    except (ValueError, RecursionError):
        fields = _mended(payload)
    if not isinstance(fields, dict):
        raise BadRequest("a message must be a JSON object", "bad_message")
    if is_deep(fields):
        raise BadRequest(f"a message is nested deeper than {MAX_DEPTH}", "bad_message")
    return check(UP, kind, fields)


def _mended(payload: bytes) -> Any:
    """What it is with half a UTF-16 pair, which JSON can escape and nothing can store, as a question mark."""
    if b"\\ud" in payload.lower():
        try:
            return _decode(json.dumps(json.loads(payload), ensure_ascii=False).encode(errors="replace"))
        except (ValueError, RecursionError):
            pass
    return None


def make_down(kind: str, fields: dict[str, Any]) -> bytes:
    """Bytes of a message to a device; TooLarge when they are over 256 KiB."""
    payload = json.dumps({**check(DOWN, kind, fields), "type": kind}).encode()
    if len(payload) > MAX_DOWN:
        raise TooLarge(f"{kind} of {len(payload)} bytes is over {MAX_DOWN}")
    return payload
