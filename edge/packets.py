"""MQTT 3.1.1 on the wire: the packets that edge.mqtt writes, and how one is read."""

import struct

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

# The kinds of packet, the upper half of the first byte
_CONNACK = const(2)
PUBLISH = 3
PUBACK = 4
SUBACK = 9

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

_REFUSALS = (
    "",
    "it does not speak MQTT 3.1.1",
    "it does not accept this client id",
    "it is not available",
    "wrong username or password",
    "not authorized",
)


class MqttError(Exception):
    """The connection could not be made or ended; the text says why."""


def connect(
    client_id: str,
    username: "str | None",
    password: "str | None",
    will: "tuple[str, bytes] | None",
    keepalive_s: int,
) -> bytes:
    flags = 0x02  # clean session
    payload = _text(client_id)
    if will is not None:
        flags |= 0x0C  # with QoS 1
        payload += _text(will[0]) + struct.pack("!H", len(will[1])) + will[1]
    if username is not None:
        flags |= 0x80
        payload += _text(username)
        if password is not None:
            flags |= 0x40
            payload += _text(password)
    return _packet(0x10, _text("MQTT") + struct.pack("!BBH", 4, flags, keepalive_s) + payload)


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """packet_id 0: QoS 0, else QoS 1."""
    if packet_id:
        return _packet(0x32, _text(topic) + struct.pack("!H", packet_id) + payload)
    return _packet(0x30, _text(topic) + payload)


def subscribe(topic: str, packet_id: int) -> bytes:
    return _packet(0x82, struct.pack("!H", packet_id) + _text(topic) + b"\x01")


def again(packet: bytes) -> bytes:
    """The packet for its second sending: a PUBLISH has DUP set."""
    dup = 0x08 if packet[0] >> 4 == PUBLISH else 0
    return bytes((packet[0] | dup,)) + packet[1:]


def check_connack(head: int, body: bytes) -> None:
    """MqttError unless it is a _CONNACK that accepts."""
    if head >> 4 != _CONNACK or len(body) != 2:
        raise MqttError("the broker's first packet is no _CONNACK")
    if body[1]:
        why = _REFUSALS[body[1]] if body[1] < len(_REFUSALS) else "code %d" % body[1]
        raise MqttError("the broker refused the connection: " + why)


def split_publish(head: int, body: bytes) -> "tuple[str, bytes, bytes]":
    """(topic, packet id, payload) of a PUBLISH; the id is b"" with QoS 0."""
    at = 2 + (body[0] << 8 | body[1])
    topic = body[2:at].decode()
    if not head & 6:
        return topic, b"", body[at:]
    packet_id = body[at : at + 2]
    if len(packet_id) != 2:
        raise MqttError("a message without its packet id")
    return topic, packet_id, body[at + 2 :]


async def read(reader: "Any", max_packet: int) -> "tuple[int, bytes]":
    """(first byte, body) of the next packet. EOFError or OSError: the connection is gone."""
    head = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 21:
            raise MqttError("a packet's length is no MQTT")
    if size > max_packet:
        raise MqttError("a packet of %d bytes, at most %d are accepted" % (size, max_packet))
    try:
        return head, (await reader.readexactly(size) if size else b"")
    except MemoryError:
        raise MqttError("no memory for a packet of %d bytes" % size)  # noqa: B904


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _packet(head: int, body: bytes) -> bytes:
    packet = bytearray((head,))
    size = len(body)
    while size > 0x7F:
        packet.append(size & 0x7F | 0x80)
        size >>= 7
    packet.append(size)
    return bytes(packet) + body
