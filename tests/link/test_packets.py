"""Bytes become frames that keep the rules, or a refusal; never anything else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.link import packets
from hub.link.packets import Frame, Refused
from shared import topics
from tests.link import rawclient as raw

LIMIT = 256 * 1024
GONE = topics.up("d1", "gone")


def frame(data: bytes) -> Frame:
    cut = packets.next_frame(bytearray(data), LIMIT)
    assert cut is not None
    return cut


def refusal(data: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        packets.read_connect(frame(data))
    return refused.value


@given(st.integers(0, 300_000), st.data())
def test_a_frame_is_cut_when_it_is_complete_and_not_before(size: int, data: st.DataObject) -> None:
    whole = packets.encode(3, 0, bytes(size))
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    assert packets.next_frame(bytearray(part), 1 << 20) is None
    assert packets.next_frame(bytearray(whole + b"more"), 1 << 20) == Frame(3, 0, bytes(size), len(whole))


def test_a_packet_over_the_limit_is_refused_before_its_body_arrives() -> None:
    with pytest.raises(Refused):
        packets.next_frame(bytearray(b"\x30\xff\xff\xff\x7f"), LIMIT)
    with pytest.raises(Refused):
        packets.next_frame(bytearray(b"\x30\xff\xff\xff\xff"), LIMIT)


def read_all(data: bytes) -> None:
    """Everything the hub would do with these bytes."""
    buffer = bytearray(data)
    while cut := packets.next_frame(buffer, LIMIT):
        del buffer[: cut.size]
        for read in (
            packets.read_connect,
            lambda f: packets.read_publish(f, 64, 64),
            packets.read_puback,
            lambda f: packets.check_filters(f, 8, 64),
            packets.check_empty,
        ):
            with contextlib.suppress(Refused):
                read(cut)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Refused):
        read_all(data)


SAMPLES = [
    raw.connect_packet("d1", will=(GONE, b"bye"), username="d1", password=b"secret"),
    raw.publish_packet(topics.up("d1", "beat"), b"{}"),
    raw.subscribe_packet(topics.down("d1"), "other"),
    raw.unsubscribe_packet(topics.down("d1")),
]


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_a_damaged_packet_is_read_or_refused(sample: bytes, damage: list[tuple[int, int]]) -> None:
    data = bytearray(sample)
    for at, value in damage:
        data[at % len(data)] = value
    with contextlib.suppress(Refused):
        read_all(bytes(data))


@given(st.sampled_from(SAMPLES), st.data())
def test_a_packet_whose_body_is_cut_short_is_refused(sample: bytes, data: st.DataObject) -> None:
    whole = frame(sample)
    short = whole._replace(body=whole.body[: data.draw(st.integers(0, len(whole.body) - 1))])
    if whole.kind == packets.PUBLISH and len(short.body) >= len(whole.body) - 2:
        return  # a shorter payload is a payload
    if whole.kind == packets.SUBSCRIBE and len(short.body) == len(whole.body) - len("other") - 3:
        return  # the first filter alone
    with pytest.raises(Refused):
        if whole.kind == packets.CONNECT:
            packets.read_connect(short)
        elif whole.kind == packets.PUBLISH:
            packets.read_publish(short, LIMIT, 256)
        else:
            packets.check_filters(short, 8, 256)


def test_a_connect_says_who_how_and_what_to_say_at_its_death() -> None:
    data = raw.connect_packet(
        "d1", clean=False, keep_alive=7, will=(GONE, b"bye"), will_flags=0x28, username="d1", password=b"\xff"
    )
    connect = packets.read_connect(frame(data))
    assert connect == packets.Connect("d1", False, 7, b"bye", 1, "d1", b"\xff")


def test_the_broker_gets_a_connect_without_credentials_keep_alive_and_retained_will() -> None:
    data = raw.connect_packet("d1", keep_alive=7, will=(GONE, b"bye"), will_flags=0x28, username="d1", password=b"x")
    connect = packets.read_connect(frame(data))
    assert connect.for_broker() == raw.connect_packet("d1", keep_alive=0, will=(GONE, b"bye"), will_flags=0x08)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (raw.connect_packet("d1", level=5), packets.BAD_PROTOCOL),
        (raw.connect_packet("d1", level=3, protocol="MQIsdp"), packets.BAD_PROTOCOL),
        (raw.connect_packet("d1", protocol="HTTP"), None),
        (raw.connect_packet(""), packets.BAD_ID),
        (raw.connect_packet("a/b"), packets.BAD_ID),
        (raw.connect_packet("x" * 65), packets.BAD_ID),
        (raw.connect_packet("d1", username="d2"), packets.NOT_AUTHORIZED),
        (raw.connect_packet("d1", will=(topics.up("d2", "gone"), b"")), packets.NOT_AUTHORIZED),
        (raw.connect_packet("d1", will=(topics.up("d1", "result"), b"")), packets.NOT_AUTHORIZED),
        (raw.connect_packet("d1", will=(GONE, b""), will_flags=0x18), None),
        (raw.connect_packet("d1", password=b"without a username"), None),
        (raw.packet(0x10, raw.connect_packet("d1")[2:] + b"more"), None),
    ],
)
def test_a_wrong_connect_is_refused_with_its_code(data: bytes, code: int | None) -> None:
    assert refusal(data).code == code


def test_the_first_byte_tells_a_connect() -> None:
    packets.check_first_byte(bytearray())
    packets.check_first_byte(bytearray(raw.connect_packet("d1")))
    for other in (b"GET / HTTP/1.1", raw.PINGREQ, b"\x11"):
        with pytest.raises(Refused):
            packets.check_first_byte(bytearray(other))


@pytest.mark.parametrize(
    "data",
    [
        raw.publish_packet("t", b"", qos=2),
        raw.publish_packet("t", b"", qos=3),
        raw.publish_packet("t", b"", qos=1, packet_id=0),
        raw.publish_packet("", b""),
        raw.publish_packet("a/+", b""),
        raw.publish_packet("a/#", b""),
        raw.publish_packet("a\0", b""),
        raw.publish_packet("t" * 257, b""),
        raw.publish_packet("t", bytes(1001)),
        raw.packet(0x30, b"\x00\x02\xff\xfe"),
    ],
)
def test_a_wrong_publish_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        packets.read_publish(frame(data), 1000, 256)


@pytest.mark.parametrize(
    "data",
    [
        raw.packet(0x82, b"\x00\x01"),
        raw.packet(0x80, raw.subscribe_packet("t")[2:]),
        raw.subscribe_packet("t", packet_id=0),
        raw.subscribe_packet("t", qos=3),
        raw.subscribe_packet(""),
        raw.subscribe_packet(*["t"] * 9),
        raw.unsubscribe_packet(*["t"] * 9),
        raw.unsubscribe_packet("t\0"),
    ],
)
def test_a_wrong_subscribe_or_unsubscribe_is_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        packets.check_filters(frame(data), 8, 256)
