"""A tiny MQTT 3.1.1 client for tests: it says what it is told, right or wrong, and shows every packet it gets."""

import asyncio
import contextlib
import socket
import ssl as tls
from typing import ClassVar, NamedTuple

from shared import topics

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"
CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP = 2, 3, 4, 9, 11, 13


class Packet(NamedTuple):
    kind: int
    flags: int
    body: bytes

    @property
    def packet_id(self) -> int:
        """Of a PUBACK, SUBACK, UNSUBACK or a QoS 1 PUBLISH."""
        at = 2 + int.from_bytes(self.body[:2], "big") if self.kind == PUBLISH else 0
        return int.from_bytes(self.body[at : at + 2], "big")

    @property
    def payload(self) -> bytes:
        """Of a PUBLISH."""
        at = 2 + int.from_bytes(self.body[:2], "big")
        return self.body[at + (2 if self.flags & 6 else 0) :]


def packet(first: int, body: bytes) -> bytes:
    """A whole packet; `first` is type and flags."""
    length, encoded = len(body), b""
    while length > 127:
        encoded += bytes((length & 127 | 128,))
        length >>= 7
    return bytes((first,)) + encoded + bytes((length,)) + body


def text(value: "str | bytes") -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def connect_packet(
    device: str,
    *,
    clean: bool = True,
    keep_alive: int = 60,
    will: "tuple[str, bytes] | None" = None,
    will_flags: int = 0,
    username: "str | None" = None,
    password: "bytes | None" = None,
    protocol: str = "MQTT",
    level: int = 4,
) -> bytes:
    """`will_flags`: 0x20 retain, 0x08 QoS 1, 0x10 QoS 2."""
    flags = 2 * clean + (4 | will_flags if will else 0)
    flags |= 0x80 * (username is not None) | 0x40 * (password is not None)
    body = text(protocol) + bytes((level, flags)) + keep_alive.to_bytes(2, "big") + text(device)
    if will:
        body += text(will[0]) + text(will[1])
    if username is not None:
        body += text(username)
    if password is not None:
        body += text(password)
    return packet(0x10, body)


def publish_packet(topic: str, payload: bytes, qos: int = 1, packet_id: int = 1, flags: int = 0) -> bytes:
    """`flags`: 1 retain, 8 dup."""
    head = text(topic) + (packet_id.to_bytes(2, "big") if qos else b"")
    return packet(0x30 | qos << 1 | flags, head + payload)


def subscribe_packet(*filters: str, qos: int = 1, packet_id: int = 1) -> bytes:
    return packet(0x82, packet_id.to_bytes(2, "big") + b"".join(text(f) + bytes((qos,)) for f in filters))


def unsubscribe_packet(*filters: str, packet_id: int = 1) -> bytes:
    return packet(0xA2, packet_id.to_bytes(2, "big") + b"".join(map(text, filters)))


class RawClient:
    """One socket. `connect` and `device` are the usual beginnings, `write` and `read` everything else.

    A test need not close its clients, its fixture ends with `close_all`.
    """

    _open: ClassVar["set[RawClient]"] = set()

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.id = ""
        self._open.add(self)

    @classmethod
    async def open(
        cls,
        address: tuple[str, int],
        *,
        ssl: "tls.SSLContext | None" = None,
        receive_bytes: "int | None" = None,
    ) -> "RawClient":
        """A connected socket, no CONNECT yet; `receive_bytes` shrinks what the kernel takes while nobody reads."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.get_running_loop().sock_connect(sock, address)
        name = "localhost" if ssl else None
        reader, writer = await asyncio.open_connection(sock=sock, ssl=ssl, server_hostname=name, limit=1024)
        return cls(reader, writer)

    @classmethod
    async def device(cls, address: tuple[str, int], device: str, **connect: object) -> "RawClient":
        """A device as it should be: connected and subscribed."""
        client = await cls.open(address)
        assert await client.connect(device, **connect) == 0
        assert await client.subscribe() == [1]
        return client

    async def connect(self, device: str, **fields: object) -> int:
        """The return code of CONNACK; `fields` as of connect_packet."""
        self.id = device
        self.write(connect_packet(device, **fields))  # type: ignore[arg-type]
        answer = await self.read()
        assert answer.kind == CONNACK
        self.session_present = bool(answer.body[0])
        return answer.body[1]

    async def subscribe(self, *filters: str, qos: int = 1) -> list[int]:
        """The return codes; without filters the device's own one."""
        self.write(subscribe_packet(*(filters or (topics.down(self.id),)), qos=qos))
        answer = await self.read()
        assert answer.kind == SUBACK
        return list(answer.body[2:])

    async def publish(self, kind: str, payload: bytes, packet_id: int = 1) -> None:
        """QoS 1 on the device's own topic; returns when it is acknowledged."""
        self.write(publish_packet(topics.up(self.id, kind), payload, 1, packet_id))
        answer = await self.read()
        assert (answer.kind, answer.packet_id) == (PUBACK, packet_id)

    async def hear(self) -> bytes:
        """The payload of the next message, which is acknowledged."""
        message = await self.read()
        assert message.kind == PUBLISH
        if message.flags & 6:
            self.write(packet(0x40, message.packet_id.to_bytes(2, "big")))
        return message.payload

    async def ping(self) -> None:
        """Returns when everything sent so far has been dealt with."""
        self.write(PINGREQ)
        assert (await self.read()).kind == PINGRESP

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def read(self, timeout_s: float = 5) -> Packet:
        """The next packet; IncompleteReadError or ConnectionError when the hub has closed."""
        async with asyncio.timeout(timeout_s):
            first = (await self.reader.readexactly(1))[0]
            length = shift = 0
            while True:
                byte = (await self.reader.readexactly(1))[0]
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return Packet(first >> 4, first & 15, await self.reader.readexactly(length))

    async def closed(self, timeout_s: float = 5) -> bytes:
        """What is left to read until the hub closes."""
        async with asyncio.timeout(timeout_s):
            data = b""
            with contextlib.suppress(ConnectionError):
                while chunk := await self.reader.read(65536):
                    data += chunk
            return data

    async def leave(self) -> None:
        """DISCONNECT and wait for the hub's close."""
        self.write(DISCONNECT)
        await self.closed()
        await self.die()

    async def die(self) -> None:
        """Vanish without a word (the hub's kernel still tells it)."""
        self._open.discard(self)
        self.writer.transport.abort()
        with contextlib.suppress(ConnectionError, tls.SSLError):
            await self.writer.wait_closed()

    @classmethod
    async def close_all(cls) -> None:
        for client in list(cls._open):
            await client.die()
