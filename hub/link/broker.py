"""amqtt behind the front door: it keeps sessions, subscriptions' life and wills; the rest of it never runs.

A device's message goes from its connection to the port without the broker, because nobody else may hear it. What amqtt
offers beyond that is left out on purpose: its listeners, plugins, retained messages, queues for those who are away
(the hub's own reconciliation replaces them), QoS 2.
"""

from collections import deque
from typing import Any

from amqtt.broker import AMQTT_MAGIC_VALUE_RET_SUBSCRIBED as REFUSED
from amqtt.broker import Broker
from amqtt.session import Session

from hub.link import access, packets
from hub.link.budget import Budget, Share
from hub.link.connection import Connection
from hub.link.delivery import BrokerStream, DeviceChannel
from hub.link.limits import Limits
from hub.link.port import Handler
from hub.link.subscriptions import Subscriptions

_WILL = ("will_flag", "will_topic", "will_message", "will_qos")


class EmbeddedBroker(Broker):  # type: ignore[misc]
    """amqtt 0.12.1 with the methods replaced that are wrong or too slow; a test holds their signatures.

    `filters` takes the place of amqtt's dict of subscriptions, which stays empty: amqtt walks all of it for every
    connect, disconnect and message, and prints all of it at every SUBSCRIBE (52 ms with 10,000 devices).
    """

    def __init__(self, port: Handler, limits: Limits) -> None:
        # Without a `plugins` key amqtt lets anonymous clients in, publishes $SYS and logs every packet.
        config = {"listeners": {"default": {"type": "external"}}, "plugins": {}}
        super().__init__({**config, "session_expiry_interval": limits.session_s})
        self.filters = Subscriptions()
        self.channels: dict[str, DeviceChannel] = {}
        self.away = Budget(limits.away_bytes, 0)
        self._left: dict[str, Share] = {}
        self._port = port
        self._limits = limits

    async def serve(self, connection: Connection, connect: packets.Connect) -> None:
        """The session of a connection that the door has let in, until it ends."""
        connection.requests.put_nowait(connect.for_broker())
        stream = BrokerStream(connection)
        await self.external_connected(stream, stream, "default")

    async def _initialize_client_session(
        self, reader: BrokerStream, writer: BrokerStream, remote_address: str, remote_port: int
    ) -> tuple[DeviceChannel, Session]:
        """As amqtt's, with our handler; a session that goes on has the will of the new CONNECT."""
        channel, session = await DeviceChannel.init_from_connect(reader, writer, self.plugins_manager)
        channel.port = self._port
        channel.limits = self._limits
        known, _ = self._sessions.get(session.client_id, (None, None))
        if session.clean_session or known is None:
            await self._delete_session(session.client_id)
            return channel, session
        self._settle(session.client_id)
        for name in _WILL:
            setattr(known, name, getattr(session, name))
        known.parent = 1
        return channel, known

    async def _authenticate(self, session: Session, _: Any) -> bool:
        """The front door has done it."""
        return True

    async def _client_message_loop(self, client_session: Session, handler: DeviceChannel) -> None:
        """amqtt's loop, with our beginning and end. CONNACK is out when it begins."""
        device = client_session.client_id
        self.channels[device] = handler
        self._port.connected(device)
        handler.connection.admit(handler)
        if handler.connection.closed:
            # A device that was reset before CONNACK: its end came before amqtt made the future that waits for it.
            await handler.handle_connection_closed()
        try:
            await super()._client_message_loop(client_session, handler)
        finally:
            handler.connection.close()
            del self.channels[device]
            self._port.disconnected(device)
            await self._forget(client_session, handler.waiting_bytes)

    async def _forget(self, session: Session, waiting_bytes: int) -> None:
        """Drop what a session leaves: everything of a clean one, and the oldest ones beyond the bounds."""
        if session.clean_session:
            await self._delete_session(session.client_id)
        elif waiting_bytes:
            share = self._left[session.client_id] = Share(self.away, session.inflight_out.clear)
            share.add(waiting_bytes)
            self.away.make_room()
        most = self._limits.offline_sessions
        if len(self._sessions) - len(self.channels) <= most:
            return
        away = [device for device, (known, _) in self._sessions.items() if known.transitions.state == "disconnected"]
        for device in away[: max(0, len(away) - most)]:
            await self._delete_session(device)

    def _settle(self, device: str) -> None:
        """What waits for the device is no longer that of one who is away."""
        share = self._left.pop(device, None)
        if share is not None:
            share.clear()

    async def _delete_session(self, client_id: str) -> None:
        self._settle(client_id)
        await super()._delete_session(client_id)

    async def _cleanup_session(self, client_id: str) -> None:
        """amqtt's monitor collects the expired and then drops them one by one: one of them may have come back."""
        session, _ = self._sessions.get(client_id, (None, None))
        if session is not None and session.transitions.state == "disconnected":
            self._settle(client_id)
            await super()._cleanup_session(client_id)

    # Subscriptions

    async def add_subscription(self, subscription: tuple[str, int], session: Session) -> int:
        """The granted QoS, at most 1, or 0x80: a device hears its own down topic only."""
        filter_, qos = subscription
        device = session.client_id
        if not access.may_subscribe(device, filter_):
            self.channels[device].connection.deny()
            return int(REFUSED)
        granted = min(qos, 1)
        self.filters.add(device, filter_, granted)
        return granted

    def _del_subscription(self, a_filter: str, session: Session) -> int:
        return int(self.filters.remove(session.client_id, a_filter))

    async def _del_all_subscriptions(self, session: Session) -> None:
        self.filters.remove_client(session.client_id)

    # Messages that go through the broker

    async def _broadcast_message(
        self,
        session: Session | None,
        topic: str,
        data: bytes | bytearray,
        force_qos: int | None = None,
    ) -> None:
        """A message with a session is its will: it goes to the port at once."""
        if session is not None:
            self._port.message(session.client_id, packets.GONE, bytes(data))
        await super()._broadcast_message(session, topic, data, force_qos)

    async def _run_broadcast(self, running_tasks: deque[Any]) -> None:
        """One message to all that hear it, in one step: amqtt walks a dict that changes under it and loses messages
        (190 of 3,000 while clients came and went)."""
        message = await self._broadcast_queue.get()
        for device, granted in self.filters.match(message["topic"]).items():
            channel = self.channels.get(device)
            if channel is not None:
                channel.publish(message["topic"], bytes(message["data"]), min(message.get("qos", granted), granted))
