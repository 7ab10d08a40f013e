"""What amqtt knows of one connected device: its streams, and the messages on their way to it."""

import ssl
from collections import deque
from typing import Any

from amqtt.adapters import ReaderAdapter, WriterAdapter
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.session import OutgoingApplicationMessage, Session

from hub.link.connection import Connection
from hub.link.limits import Limits
from hub.link.port import Handler

OVERHEAD_BYTES = 300
"""What a waiting message takes besides its payload: topic, header, the object that holds it (265 bytes measured)."""


class BrokerStream(ReaderAdapter, WriterAdapter):  # type: ignore[misc]
    """A connection as amqtt reads and writes it: whole packets come in, so a read of one ends within it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._packet = bytearray()
        self._ended = False

    async def read(self, n: int = -1) -> bytes:
        if n and not self._packet and not self._ended:
            self._packet += await self.connection.requests.get()
            self._ended = not self._packet
        size = n if n >= 0 else len(self._packet)
        data = bytes(self._packet[:size])
        del self._packet[:size]
        return data

    def feed_eof(self) -> None:
        """The connection says itself when it ends."""

    def write(self, data: bytes) -> None:
        self.connection.write(data)

    async def drain(self) -> None:
        """Not to wait for: a device that lets too much wait is kicked."""

    def get_peer_info(self) -> tuple[str, int]:
        return self.connection.peer

    def get_ssl_info(self) -> ssl.SSLObject | None:
        """amqtt needs no certificate: who a device is was decided before."""
        return None

    async def close(self) -> None:
        self.connection.close()


class DeviceChannel(BrokerProtocolHandler):  # type: ignore[misc]
    """amqtt's side of a device: its session, and QoS 1 towards it, kept in the session's `inflight_out`.

    amqtt's own QoS 1 flow costs a task and a `wait_for` a message, forgets a message that is not acknowledged within
    5 s or at the end of the connection, raises CancelledError into the sender, and sends any number at once. Here a
    message is an entry that waits for its turn and then for its PUBACK; no task, no timer. What is not acknowledged
    when the connection ends is sent again if the device comes back to its session (clean_session=0).
    """

    port: Handler
    limits: Limits
    connection: Connection

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unsent: deque[OutgoingApplicationMessage] = deque()
        self.waiting_bytes = 0
        """Of all messages in `inflight_out`."""

    def attach(self, session: Session, reader: BrokerStream, writer: BrokerStream) -> None:
        super().attach(session, reader, writer)
        self.connection = writer.connection

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        """Queue a message of QoS 0 or 1; False when too much waits already or the connection is over."""
        size = len(payload) + OVERHEAD_BYTES
        too_much = self.waiting_bytes + size > self.limits.outbound_bytes
        if too_much or len(payload) > self.limits.packet_bytes or not self.connection.outbound.make_room(size):
            return False
        if self.connection.closed:
            return False
        packet_id = self.session.next_packet_id if qos else None
        message = OutgoingApplicationMessage(packet_id, topic, qos, payload, False)
        if qos:
            self._queue(message)
            self._send_waiting()
        else:
            self.connection.write(message.build_publish_packet().to_bytes())
        return True

    def _queue(self, message: OutgoingApplicationMessage) -> None:
        self.session.inflight_out[message.packet_id] = message
        self._unsent.append(message)
        self._count(len(message.data) + OVERHEAD_BYTES)

    def _count(self, size: int) -> None:
        self.waiting_bytes += size
        if not self.connection.closed:
            self.connection.outbound.add(size)

    def _send_waiting(self) -> None:
        while self._unsent and len(self.session.inflight_out) - len(self._unsent) < self.limits.inflight:
            message = self._unsent.popleft()
            again = message.publish_packet is not None
            message.publish_packet = message.build_publish_packet(dup=again)
            self.connection.write(message.publish_packet.to_bytes())

    # What the connection reports

    def message(self, kind: str, payload: bytes) -> None:
        self.port.message(self.connection.device, kind, payload)

    def acknowledged(self, packet_id: int) -> bool:
        message = self.session.inflight_out.get(packet_id)
        if message is None or message.publish_packet is None:
            return False
        del self.session.inflight_out[packet_id]
        self._count(-len(message.data) - OVERHEAD_BYTES)
        if not self.connection.is_behind:
            # Who acknowledges what it cannot have read has not moved.
            self.connection.outbound.progressed()
        self._send_waiting()
        return True

    def farewell(self) -> None:
        self.session.will_flag = False

    # What amqtt calls

    async def _retry_deliveries(self) -> None:
        """Send again what an earlier connection of this session left; amqtt waits 10 s here before it lets the device
        subscribe."""
        for message in list(self.session.inflight_out.values()):
            self._queue(message)
        self._send_waiting()

    async def mqtt_acknowledge_subscription(self, packet_id: int, return_codes: list[int]) -> None:
        await super().mqtt_acknowledge_subscription(packet_id, return_codes)
        self.connection.proceed()

    async def mqtt_acknowledge_unsubscription(self, packet_id: int) -> None:
        await super().mqtt_acknowledge_unsubscription(packet_id)
        self.connection.proceed()
