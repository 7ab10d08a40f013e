"""MQTT 3.1.1 as a device may speak it: frames cut from bytes and checked before the broker sees one. No I/O.

amqtt trusts what it reads: sizes, flags, QoS 3, empty topics and text that is not UTF-8 pass or leave a zombie
connection. Whatever bytes come in, the functions here return or raise Refused, nothing else.
"""

from dataclasses import dataclass
from typing import NamedTuple

from shared import topics

CONNECT, PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 10, 12, 14

# CONNACK return codes (MQTT 3.1.1, table 3.1)
BAD_PROTOCOL, BAD_ID, UNAVAILABLE, NOT_AUTHORIZED = 1, 2, 3, 5

PINGRESP = b"\xd0\x00"

GONE = "gone"

_CLEAN, _WILL, _PASSWORD, _USERNAME = 0x02, 0x04, 0x40, 0x80
_WILL_BITS = 0x38
_NEVER_IN_A_TOPIC = frozenset("+#\0")


class Refused(Exception):
    """The bytes are not what a device may send; `code` is the CONNACK return code, None for a mere close."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class Frame(NamedTuple):
    """One packet: its type, flags, everything after the fixed header, and its whole size in bytes."""

    kind: int
    flags: int
    body: bytes
    size: int


class Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    packet_id: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT that keeps the rules; `will` is the payload for the device's `gone` topic."""

    device: str
    clean: bool
    keep_alive_s: int
    will: bytes | None
    will_qos: int
    username: str | None
    password: bytes | None

    def for_broker(self) -> bytes:
        """A CONNECT without what the hub does itself: credentials, keep-alive (amqtt would spend a wait_for task on
        every packet and still not enforce it) and a retained will."""
        flags = _CLEAN if self.clean else 0
        payload = _prefixed(self.device.encode())
        if self.will is not None:
            flags |= _WILL | self.will_qos << 3
            payload += _prefixed(topics.up(self.device, GONE).encode()) + _prefixed(self.will)
        return encode(CONNECT, 0, b"\x00\x04MQTT\x04" + bytes((flags, 0, 0)) + payload)


def connack(code: int) -> bytes:
    """A CONNACK that refuses."""
    return bytes((0x20, 2, 0, code))


def puback(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def encode(kind: int, flags: int, body: bytes) -> bytes:
    """A whole packet."""
    header = bytearray((kind << 4 | flags,))
    length = len(body)
    while length > 127:
        header.append(length & 127 | 128)
        length >>= 7
    header.append(length)
    return bytes(header) + body


def next_frame(buffer: bytearray, limit: int) -> Frame | None:
    """The first frame of the buffer (which stays as it is), None while it is incomplete.

    Refused as soon as its length is known to be over `limit` bytes.
    """
    length = 0
    for index in range(1, 5):
        if index >= len(buffer):
            return None
        length |= (buffer[index] & 127) << 7 * (index - 1)
        if buffer[index] < 128:
            break
    else:
        raise Refused("a remaining length of more than 4 bytes")
    start = index + 1
    size = start + length
    if size > limit:
        raise Refused(f"a packet of {size} bytes is over {limit}")
    if len(buffer) < size:
        return None
    return Frame(buffer[0] >> 4, buffer[0] & 15, bytes(buffer[start:size]), size)


def check_first_byte(buffer: bytearray) -> None:
    """What opens a connection must be a CONNECT; a browser or a scanner need not wait for the time-out."""
    if buffer and buffer[0] != CONNECT << 4:
        raise Refused("the first packet is not CONNECT")


def read_connect(frame: Frame) -> Connect:
    """CONNECT, whose first byte is checked, strictly: level 4, our device ids, the id as username if any, a will on the
    own `gone` topic only."""
    body = frame.body
    protocol, at = _field(body, 0)
    if len(body) < at + 4:
        raise Refused("CONNECT is cut short")
    level, flags, keep_alive = body[at], body[at + 1], int.from_bytes(body[at + 2 : at + 4], "big")
    if protocol == b"MQIsdp" or (protocol == b"MQTT" and level != 4):
        raise Refused(f"protocol level {level}, only MQTT 3.1.1 is spoken here", BAD_PROTOCOL)
    if protocol != b"MQTT" or flags & 1:
        raise Refused("CONNECT is not MQTT")
    device, at = _text(body, at + 4)
    will_topic = username = None
    will = password = None
    will_qos = flags >> 3 & 3
    if flags & _WILL:
        will_topic, at = _text(body, at)
        will, at = _field(body, at)
    if flags & _USERNAME:
        username, at = _text(body, at)
    if flags & _PASSWORD:
        password, at = _field(body, at)
    if at != len(body):
        raise Refused("CONNECT has bytes to spare")
    if (flags & _WILL_BITS and not flags & _WILL) or will_qos == 3 or (password is not None and username is None):
        raise Refused("CONNECT flags contradict each other")
    if not topics.valid_device(device):
        raise Refused("the client id is no device id", BAD_ID)
    if username is not None and username != device:
        raise Refused("the username is not the device id", NOT_AUTHORIZED)
    if will_topic is not None and will_topic != topics.up(device, GONE):
        raise Refused("a will outside the device's gone topic", NOT_AUTHORIZED)
    return Connect(device, bool(flags & _CLEAN), keep_alive, will, min(will_qos, 1), username, password)


def read_publish(frame: Frame, payload_limit: int, topic_limit: int) -> Publish:
    """PUBLISH with QoS 0 or 1 (3.1.1 has no way to refuse a QoS 2 message but to close)."""
    qos = frame.flags >> 1 & 3
    if qos > 1:
        raise Refused(f"a publish with QoS {qos}")
    topic, at = _text(frame.body, 0)
    if not topic or at - 2 > topic_limit or not _NEVER_IN_A_TOPIC.isdisjoint(topic):
        raise Refused("a publish without a proper topic")
    packet_id = 0
    if qos:
        packet_id = _packet_id(frame.body, at)
        at += 2
    payload = frame.body[at:]
    if len(payload) > payload_limit:
        raise Refused(f"a message of {len(payload)} bytes is over {payload_limit}")
    return Publish(topic, payload, qos, packet_id, bool(frame.flags & 1))


def read_puback(frame: Frame) -> int:
    """The packet id that is acknowledged."""
    if frame.flags or len(frame.body) != 2:
        raise Refused("PUBACK is malformed")
    return _packet_id(frame.body, 0)


def check_filters(frame: Frame, most: int, topic_limit: int) -> None:
    """SUBSCRIBE or UNSUBSCRIBE: 1 to `most` well-formed filters."""
    body = frame.body
    if frame.flags != 2:
        raise Refused("wrong flags in a SUBSCRIBE or UNSUBSCRIBE")
    _packet_id(body, 0)
    at = 2
    count = 0
    while at < len(body):
        filter_, next_at = _text(body, at)
        if not filter_ or "\0" in filter_ or next_at - at - 2 > topic_limit:
            raise Refused("a bad topic filter")
        if frame.kind == SUBSCRIBE:
            if next_at >= len(body) or body[next_at] > 2:
                raise Refused("a filter without a proper QoS")
            next_at += 1
        at = next_at
        count += 1
    if not 1 <= count <= most:
        raise Refused(f"{count} topic filters in one packet")


def check_empty(frame: Frame) -> None:
    """PINGREQ or DISCONNECT."""
    if frame.flags or frame.body:
        raise Refused("a packet that should be empty is not")


def _prefixed(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _field(body: bytes, at: int) -> tuple[bytes, int]:
    """(bytes with a 2-byte length in front, the offset behind them)"""
    start = at + 2
    end = start + int.from_bytes(body[at:start], "big")
    if start > len(body) or end > len(body):
        raise Refused("a packet is cut short")
    return body[start:end], end


def _text(body: bytes, at: int) -> tuple[str, int]:
    data, end = _field(body, at)
    try:
        return data.decode(), end
    except UnicodeDecodeError:
        raise Refused("text that is not UTF-8") from None


def _packet_id(body: bytes, at: int) -> int:
    packet_id = int.from_bytes(body[at : at + 2], "big")
    if len(body) < at + 2 or packet_id == 0:
        raise Refused("a packet without an id")
    return packet_id
