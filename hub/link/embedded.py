"""The link with the broker in the hub's own process: front door, amqtt behind it, one loop."""

import logging
import ssl as tls
from collections import Counter

from hub.link.broker import EmbeddedBroker
from hub.link.frontdoor import Anybody, Credentials, FrontDoor
from hub.link.limits import Limits
from hub.link.port import Handler, Link
from shared import topics

log = logging.getLogger(__name__)


class EmbeddedLink(Link):
    """Devices connect to the hub itself. Port 0 is any free port; `ssl` (a server context) makes it TLS."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1883,
        *,
        limits: Limits | None = None,
        credentials: Credentials | None = None,
        ssl: tls.SSLContext | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._address = (host, port)
        self._limits = limits or Limits()
        self._credentials = credentials or Anybody()
        self._ssl = ssl
        self._broker: EmbeddedBroker | None = None
        self._door: FrontDoor | None = None

    async def start(self, handler: Handler) -> None:
        # amqtt formats every packet for its log; transitions tells every step of every session.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)
        broker = EmbeddedBroker(_Guarded(handler, self.counters), self._limits)
        door = FrontDoor(broker.serve, self._limits, self._credentials, self.counters)
        await broker.start()
        try:
            self._address = await door.open(*self._address, self._ssl)
        except BaseException:
            await broker.shutdown()
            raise
        self._broker, self._door = broker, door
        log.info("devices can connect to %s:%d", *self._address)

    async def stop(self) -> None:
        if self._broker is None or self._door is None:
            return
        broker, door = self._broker, self._door
        self._broker = self._door = None
        for channel in broker.channels.values():
            channel.farewell()
        await door.close()
        await broker.shutdown()

    def send(self, device: str, payload: bytes) -> bool:
        sent = self._publish(device, payload)
        self.counters["sent" if sent else "unsent"] += 1
        return sent

    def _publish(self, device: str, payload: bytes) -> bool:
        channel = self._broker.channels.get(device) if self._broker else None
        if self._broker is None or channel is None:
            return False
        topic = topics.down(device)
        granted = self._broker.filters.qos(device, topic)
        return granted is not None and channel.publish(topic, payload, granted)

    def kick(self, device: str, reason: str) -> None:
        connection = self._door.connection(device) if self._door else None
        if connection is not None:
            connection.kick(reason)

    def is_connected(self, device: str) -> bool:
        connection = self._door.connection(device) if self._door else None
        return connection is not None and not connection.closed

    @property
    def address(self) -> tuple[str, int]:
        return self._address


class _Guarded(Handler):
    """A handler that never raises: one bad message must not stop the device's next one."""

    def __init__(self, handler: Handler, counters: Counter[str]) -> None:
        self._handler = handler
        self._counters = counters

    def connected(self, device: str) -> None:
        try:
            self._handler.connected(device)
        except Exception:
            self._failed(device)

    def disconnected(self, device: str) -> None:
        try:
            self._handler.disconnected(device)
        except Exception:
            self._failed(device)

    def message(self, device: str, kind: str, payload: bytes) -> None:
        try:
            self._handler.message(device, kind, payload)
        except Exception:
            self._failed(device)

    def _failed(self, device: str) -> None:
        self._counters["errors"] += 1
        log.exception("the handler failed for %s", device, extra={"proplet": device})
