"""Messages to a device, and those from it: what is read, what is refused, what a topic and a wait are."""

import json

import pytest

from shared import backoff, messages, topics
from shared.faults import BadRequest, TooLarge, failure

START = {"type": "start", "task": "t", "attempt": 1, "module": "0" * 64, "size": 3, "name": "main", "limits": {}}


def down(**fields):
    return messages.read_down(json.dumps(dict(START, **fields)).encode())


def test_a_start():
    kind, fields = down(inputs=[1, "ü", None, 1.5], unknown=1)
    assert kind == "start"
    wanted = dict(START, inputs=[1, "ü", None, 1.5])
    del wanted["type"]
    assert fields == wanted  # what nobody knows is left out


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", None),
        ("task", 7),
        ("task", "x" * 65),
        ("attempt", -1),
        ("attempt", 1.5),
        ("attempt", True),
        ("attempt", 2**53 + 1),
        ("module", "0" * 63),
        ("module", "G" * 64),
        ("limits", []),
        ("env", "A=1"),
        ("cli_args", ["x"] * 258),
        ("daemon", 1),
        ("type", "bogus"),
        ("type", None),
        ("type", 5),
    ],
)
def test_a_field_that_is_wrong(field, value):
    with pytest.raises(BadRequest) as refused:
        down(**{field: value})
    assert refused.value.code == "bad_message"


@pytest.mark.parametrize("field", ["task", "attempt", "module", "size", "name", "limits"])
def test_a_field_that_must_be_there(field):
    short = dict(START)
    del short[field]
    with pytest.raises(BadRequest, match=field):
        messages.read_down(json.dumps(short).encode())


@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"null", b"nonsense", b'"text"'])
def test_what_is_no_object(payload):
    with pytest.raises(BadRequest):
        messages.read_down(payload)


def test_limits_are_of_bytes():
    with pytest.raises(TooLarge):
        messages.read_down(b" " * (messages.MAX_DOWN + 1))
    whole = messages.make_up("log", {"text": "x" * 80})
    assert json.loads(whole) == {"text": "x" * 80}
    assert messages.make_up("log", {"text": "x" * 80}, len(whole)) == whole
    with pytest.raises(TooLarge):
        messages.make_up("log", {"text": "x" * 80}, len(whole) - 1)


@pytest.mark.parametrize("device", ["a", "board-1", "A.b_c-9", "x" * 64])
def test_a_device(device):
    assert topics.valid_device(device)
    assert topics.up(device, "beat") == "motet/v1/d/" + device + "/up/beat"
    assert topics.down(device) == "motet/v1/d/" + device + "/down"


@pytest.mark.parametrize("device", ["", "x" * 65, "a/b", "a+", "#", "é", "a b", None, 5, b"a"])
def test_no_device(device):
    assert not topics.valid_device(device)


def test_waits_double_to_a_minute_and_are_spread():
    waits = [backoff.delay(n, 0.5, 1.0, 60.0) for n in (1, 2, 3, 6, 7, 99, 10**6)]
    assert waits == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]
    assert backoff.delay(0, 0.5, 1.0, 60.0) == 0.5
    assert backoff.delay(4, 0.0, 1.0, 60.0) == 0.0
    assert backoff.delay(3, 0.25, 0.2, 0.4) == 0.25 * 0.4


def test_an_attempt_that_failed():
    assert failure("timeout", "too slow") == {"ok": False, "error": {"code": "timeout", "message": "too slow"}}
