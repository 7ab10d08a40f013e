"""MQTT 3.1.1 client on asyncio streams, QoS 0 and 1: one source for CPython and MicroPython.

    client = Client("hub", 1883, "dev-1", on_message=heard)
    await client.connect()              # CONNACK has come: MqttError otherwise
    serving = asyncio.create_task(client.run())
    await client.subscribe("a/b")
    sent = await client.post("a/c", b"...")
    await sent.done.wait()              # PUBACK has come, or the connection has ended
    await serving                       # MqttError says why the connection ended

A client serves one connection; after an error make a new one.
"""

import asyncio

from edge import packets
from edge.clock import now_ms
from edge.packets import MqttError
from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Unacknowledged packets a connection: each is kept for a re-publish.
_WINDOW = const(16)


class _Pending:
    """A packet that waits for its acknowledgement."""

    def __init__(self, packet: bytes, now: int) -> None:
        self.packet = packet
        self.sent_ms = now
        self.repeated = False
        self.done = asyncio.Event()


class Client:
    """will: (topic, payload), published by the broker with QoS 1 when the connection breaks.

    on_message(topic, payload) is called for every message, before its PUBACK leaves. timeout_s: how long CONNACK,
    PUBACK, SUBACK and PINGRESP may take. max_packet: bytes of a packet that is accepted.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: str,
        on_message: "Callable[[str, bytes], None]",
        username: "str | None" = None,
        password: "str | None" = None,
        ssl: "Any" = None,
        will: "tuple[str, bytes] | None" = None,
        keepalive_s: int = 30,
        timeout_s: float = 10.0,
        max_packet: int = 300 * 1024,
    ) -> None:
        self._address = (host, port)
        self.ssl = ssl
        self._hello = packets.connect(client_id, username, password, will, keepalive_s)
        self._on_message = on_message
        self._keepalive_ms = keepalive_s * 1000
        self.timeout_ms = int(timeout_s * 1000)
        self.max_packet = max_packet
        self.reader: Any = None
        self.writer: Any = None
        self._over = asyncio.Event()
        self._fault: Exception | None = None
        self._writing = asyncio.Lock()
        self.error = ""
        self.packet_id = 0
        self.pending: dict[int, _Pending] = {}
        self._room = asyncio.Event()
        self._sent_ms = 0
        self._asked_ms = 0  # when what asks for this left; 0: it has been answered
        self._awaited = "CONNACK"

    async def connect(self) -> None:
        """Open the connection and wait for CONNACK."""
        self._asked_ms = now_ms()
        await self._attend(self._open())
        self._asked_ms = 0
        self._awaited = "PINGRESP"
        if self.error:
            self._close()
            raise MqttError(self.error)

    async def _open(self) -> None:
        host, port = self._address
        try:
            if self.ssl:
                opened = asyncio.open_connection(host, port, ssl=self.ssl, server_hostname=host)
            else:
                opened = asyncio.open_connection(host, port)
            self.reader, self.writer = await opened
            _no_delay(self.writer)
            await self._write(self._hello)
            packets.check_connack(*await packets.read(self.reader, self.max_packet))
        except EOFError:
            self._fail("the broker closed the connection before CONNACK")
        except OSError as error:
            self._fail("no connection: %s" % error)
        except MqttError as error:
            self._fail(str(error))

    async def run(self) -> None:
        """Serve the connection until it ends: MqttError says why. Cancelled, it leaves the rest to disconnect()."""
        await self._attend(self._read())
        self._close()
        raise MqttError(self.error)

    async def _attend(self, work: "Any") -> None:
        """Until the work is done, or the connection has ended.

        It waits for an event: to be cancelled at the moment when a task ends that is awaited, or is waited for by
        wait_for, goes unnoticed on Python before 3.12, and where that task was cancelled itself on any.
        """
        self._over.clear()
        working = asyncio.create_task(self._do(work))
        watching = asyncio.create_task(self._watch())
        try:
            await self._over.wait()
        finally:
            working.cancel()
            watching.cancel()
        if self._fault is not None:
            raise self._fault

    async def _do(self, work: "Any") -> None:
        try:
            await work
        except Exception as error:  # a fault of ours: who waits has it
            self._fault = error
        self._over.set()

    async def post(self, topic: str, payload: bytes) -> "_Pending":
        """Publish with QoS 1 without waiting for PUBACK, but for one of the last _WINDOW before.

        It is published again with DUP when PUBACK does not come in time, and after that the connection ends.
        """
        while len(self.pending) >= _WINDOW:
            self._room.clear()
            await self._room.wait()
            self._check()
        packet_id = self._new_id()
        return await self._request(packet_id, packets.publish(topic, payload, packet_id))

    async def send(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 0."""
        await self._write(packets.publish(topic, payload, 0))

    async def subscribe(self, topic: str) -> None:
        """Subscribe one filter with QoS 1 and wait for SUBACK; MqttError when it is refused."""
        packet_id = self._new_id()
        pending = await self._request(packet_id, packets.subscribe(topic, packet_id))
        await pending.done.wait()
        self._check()

    async def disconnect(self) -> None:
        """Say good-bye, so that the broker does not publish the will, and close."""
        if self.writer is not None and not self.error:
            try:
                await asyncio.wait_for(self._write(packets.DISCONNECT), 1)
            except (MqttError, asyncio.TimeoutError):  # noqa: UP041
                pass
        self._fail("disconnected")
        self._close()

    def _check(self) -> None:
        if self.error:
            raise MqttError(self.error)

    def _fail(self, why: str) -> None:
        """End the connection; the first reason stays."""
        if self.error:
            return
        self.error = why
        self._over.set()
        for pending in self.pending.values():
            pending.done.set()
        self.pending = {}
        self._room.set()

    def _close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _new_id(self) -> int:
        while True:
            self.packet_id = self.packet_id % 65535 + 1
            if self.packet_id not in self.pending:
                return self.packet_id

    async def _request(self, packet_id: int, packet: bytes) -> "_Pending":
        pending = self.pending[packet_id] = _Pending(packet, now_ms())
        await self._write(packet)
        return pending

    async def _write(self, data: bytes) -> None:
        self._check()
        async with self._writing:
            try:
                self.writer.write(data)
                await self.writer.drain()
            # AttributeError: closed while this one waited; ValueError: MicroPython does not trust the certificate
            except (OSError, AttributeError, ValueError) as error:
                self._fail("the connection broke: %s" % str(error).strip())
        self._sent_ms = now_ms()
        self._check()

    async def _read(self) -> None:
        try:
            while True:
                head, body = await packets.read(self.reader, self.max_packet)
                self._asked_ms = 0  # whatever the broker says, it lives
                await self._heard(head, body)
        except EOFError:
            self._fail("the broker closed the connection")
        except OSError as error:
            self._fail("the connection broke: %s" % error)
        except (MqttError, ValueError, IndexError) as error:  # the last two: a packet shorter than it must be
            self._fail("the broker broke the protocol: %s" % error)

    async def _heard(self, head: int, body: bytes) -> None:
        kind = head >> 4
        if kind == packets.PUBLISH:
            topic, packet_id, payload = packets.split_publish(head, body)
            self._on_message(topic, payload)
            if packet_id:
                await self._write(b"\x40\x02" + packet_id)
        elif kind in (packets.PUBACK, packets.SUBACK):
            pending = self.pending.pop(body[0] << 8 | body[1], None)
            if pending is not None:
                pending.done.set()
                self._room.set()
            if kind == packets.SUBACK and body[2] & 0x80:
                raise MqttError("the subscription was refused")

    async def _watch(self) -> None:
        """Ping an idle connection, publish again what nobody acknowledged, end a connection that does not answer."""
        step_s = min(self._keepalive_ms, self.timeout_ms) / 4000
        try:
            while not self.error:
                await asyncio.sleep(step_s)
                await self._keep_alive(now_ms())
                for pending in list(self.pending.values()):
                    await self._repeat(pending, now_ms())
        except MqttError:  # _write has said it
            pass

    async def _keep_alive(self, now: int) -> None:
        if self._asked_ms:
            if now - self._asked_ms > self.timeout_ms:
                self._fail("no %s within %d ms" % (self._awaited, self.timeout_ms))
        elif now - self._sent_ms >= self._keepalive_ms // 2:
            self._asked_ms = now
            await self._write(packets.PINGREQ)

    async def _repeat(self, pending: "_Pending", now: int) -> None:
        if now - pending.sent_ms <= self.timeout_ms or pending.done.is_set():
            return
        if pending.repeated:
            self._fail("no acknowledgement within twice %d ms" % self.timeout_ms)
            return
        pending.repeated = True
        pending.sent_ms = now
        await self._write(packets.again(pending.packet))


def _no_delay(writer: "Any") -> None:
    """Nagle and delayed ACK together cost 40 ms a message. CPython's asyncio switches Nagle off by itself."""
    try:
        writer.s.setsockopt(6, 1, 1)  # IPPROTO_TCP, TCP_NODELAY: names MicroPython's socket lacks
    except (AttributeError, OSError, ValueError):
        pass
