"""MQTT's packets, byte by byte."""

import asyncio

import pytest

from edge import packets
from edge.packets import MqttError


class Reader:
    """A stream that has these bytes."""

    def __init__(self, data):
        self._data = data

    async def readexactly(self, count):
        found, self._data = self._data[:count], self._data[count:]
        if len(found) < count:
            raise EOFError
        return found


def read(data, max_packet=300):
    return asyncio.run(packets.read(Reader(data), max_packet))


def test_connect():
    assert packets.connect("id", None, None, None, 30) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x1e\x00\x02id"
    whole = packets.connect("id", "me", "pw", ("w", b"gone"), 300)
    assert whole == b"\x10\x1f\x00\x04MQTT\x04\xce\x01\x2c\x00\x02id\x00\x01w\x00\x04gone\x00\x02me\x00\x02pw"


def test_publish_and_subscribe():
    assert packets.publish("a/ü", b"\x00\xff", 0) == b"\x30\x08\x00\x04a/\xc3\xbc\x00\xff"
    assert packets.publish("a", b"x", 258) == b"\x32\x06\x00\x01a\x01\x02x"
    assert packets.again(packets.publish("a", b"x", 258))[:1] == b"\x3a"
    assert packets.subscribe("a", 1) == b"\x82\x06\x00\x01\x00\x01a\x01"
    assert packets.again(packets.subscribe("a", 1)) == packets.subscribe("a", 1)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 16380, 16381, 20000])
def test_a_message_of_any_size_comes_back(size):
    payload = b"x" * size
    head, body = read(packets.publish("t", payload, 7), 30000)
    assert packets.split_publish(head, body) == ("t", b"\x00\x07", payload)
    head, body = read(packets.publish("t", payload, 0), 30000)
    assert packets.split_publish(head, body) == ("t", b"", payload)


def test_a_packet_that_is_too_large_or_none():
    with pytest.raises(MqttError, match="at most 300"):
        read(packets.publish("t", b"x" * 300, 0))
    with pytest.raises(MqttError, match="length"):
        read(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(EOFError):
        read(packets.publish("t", b"x" * 200, 0)[:-1])
    with pytest.raises(MqttError, match="packet id"):
        packets.split_publish(0x32, b"\x00\x01a\x01")


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        (0x20, b"\x00\x05", "not authorized"),
        (0x20, b"\x00\x04", "password"),
        (0x20, b"\x00\x63", "code 99"),
        (0x20, b"\x00", "CONNACK"),
        (0x30, b"\x00\x00", "CONNACK"),
    ],
)
def test_a_refusal(head, body, words):
    with pytest.raises(MqttError, match=words):
        packets.check_connack(head, body)


def test_an_acceptance():
    packets.check_connack(0x20, b"\x00\x00")
