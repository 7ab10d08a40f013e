"""The way to the hub: stay connected, queue what goes up, hand over what comes down."""

import asyncio

from edge.mqtt import Client
from edge.packets import MqttError
from shared import const
from shared.backoff import delay
from shared.faults import MotetError
from shared.topics import down, up

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_KEEPALIVE_S = const(30)


class Link:
    """One device's connection. owner is told and asked:

    online(), offline()     the down topic is subscribed; the connection is gone
    heard(payload)          a message from the hub
    payload(kind, fields)   the bytes of a queued message at the moment it leaves; None: not wanted any more
    """

    def __init__(self, device: str, owner: "Any", most: int, unit: "Callable[[], float]", log: "Callable[[str], None]"):
        """most: messages the queue holds; unit gives random numbers in [0, 1)."""
        self.device = device
        self.owner = owner
        self.most = most
        self._unit = unit
        self._log = log
        self._outgoing: list[tuple[str, Any, int]] = []
        self._wake = asyncio.Event()
        self.failures = 0
        self.cap_s = 24.0
        self.dropped = 0

    def post(self, kind: str, fields: "Any", qos: int) -> None:
        """Queue a message. One too many is dropped: whatever it says, the agent will say again."""
        item = (kind, fields, qos)
        if kind == "result" and item in self._outgoing:
            return
        if len(self._outgoing) >= self.most:
            self.dropped += 1
            return
        self._outgoing.append(item)
        self._wake.set()

    def welcomed(self, lease_s: float) -> None:
        """The hub answers: the backoff starts anew. It stays below the lease: after that a task here is given up."""
        self.failures = 0
        self.cap_s = max(1.0, min(60.0, 0.8 * lease_s))

    async def serve(self, host: str, port: int, password: "str | None", ssl: "Any", base_s: float) -> None:
        """Stay connected; ends only by being cancelled, then with DISCONNECT."""
        place = "%s:%d" % (host, port)
        while True:
            client = self._client(host, port, password, ssl)
            wait_s = 0.0
            try:
                await client.connect()
                self._log("edge %s connected to %s" % (self.device, place))
                await self._session(client)
            except MqttError as error:
                self.failures += 1
                wait_s = delay(self.failures, self._unit(), base_s, self.cap_s)
                self._log("edge %s lost %s: %s; trying again in %.1f s" % (self.device, place, error, wait_s))
            finally:
                await client.disconnect()
            await asyncio.sleep(wait_s)

    def _client(self, host: str, port: int, password: "str | None", ssl: "Any") -> Client:
        return Client(
            host,
            port,
            self.device,
            lambda topic, payload: self.owner.heard(payload),
            username=self.device if password else None,
            password=password,
            ssl=ssl,
            will=(up(self.device, "gone"), b"{}"),
            keepalive_s=_KEEPALIVE_S,
        )

    async def _session(self, client: Client) -> None:
        talking = asyncio.create_task(self._talk(client))
        try:
            await client.run()
        finally:
            talking.cancel()
            self.owner.offline()

    async def _talk(self, client: Client) -> None:
        try:
            await client.subscribe(down(self.device))
            self._outgoing = []
            self.owner.online()
            while True:
                while self._outgoing:
                    await self._send(client, *self._outgoing.pop(0))
                self._wake.clear()
                await self._wake.wait()
        except MqttError:  # Client.run says it
            pass
        except Exception as error:  # a fault of ours: without this the session would be mute for ever
            self._log("edge %s starts a new session after %r" % (self.device, error))
            await client.disconnect()

    async def _send(self, client: Client, kind: str, fields: "Any", qos: int) -> None:
        try:
            payload = self.owner.payload(kind, fields)
        except MotetError as error:
            self._log("a message was not sent: " + error.message)
            return
        if payload is not None:
            topic = up(self.device, kind)
            await (client.post(topic, payload) if qos else client.send(topic, payload))
