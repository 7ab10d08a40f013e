"""The network between hub and devices: connections that lose, double, delay and reorder messages, and that break.

`SimLink` is the hub's end, a hub.link.port.Link; `SimClient` a device's, in the place of edge.mqtt.Client. What comes
out of a connection came out of this one: as with TCP, nothing of it arrives after its end.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.packets import MqttError
from hub.link.port import Handler, Link
from shared import topics
from tests.sim.loop import Loop, Process

Heard = Callable[[str, bytes], None]  # (topic, payload)

CONNACK_S = 10.0
# Until a side that hears nothing any more takes the connection for ended: keep-alive of 30 s and a half.
DEAF_S = 45.0
DOUBLE_S = 5.0


@dataclass
class Weather:
    """loss, double: shares of the messages. delay_s: their mean delay. reorder: they may overtake each other."""

    loss: float = 0.0
    double: float = 0.0
    delay_s: float = 0.005
    reorder: bool = False

    @property
    def quick(self) -> bool:
        """Every message arrives, and soon."""
        return not self.loss and self.delay_s <= 0.1


CALM = Weather()


class Connection:
    """Between one boot of a device and one run of the hub."""

    def __init__(self, network: "Network", client: "SimClient", device: Process, hub: Process, link: "SimLink") -> None:
        self.network = network
        self.client = client
        self.device, self.hub, self.link = device, hub, link
        self.name: str = device.machine.name
        self.wire = True  # bytes go through
        self.accepted = False
        self.hub_open = self.device_open = False
        self.subscribed = False
        self.chance = random.Random(f"{network.seed}/{self.name}/{network.count}")
        self._arrival = {"up": 0.0, "down": 0.0}

    def up(self, kind: str, payload: bytes) -> None:
        self.network.say(self.name, "->", kind, payload)
        self._carry("up", self.hub, self._hub_hears, kind, payload)

    def down(self, payload: bytes) -> None:
        self._carry("down", self.device, self._device_hears, payload)

    def _carry(self, way: str, to: Process, deliver: Callable[..., None], *what: Any) -> None:
        weather = self.network.weather
        loop = self.network.loop
        for copy in range(2 if self.chance.random() < weather.double else 1):
            # Drawn in any case, so that a message more or less does not change the fate of those behind it.
            lost, delay = self.chance.random() < weather.loss, self.chance.expovariate(1.0)
            # A second copy comes late: after what the first has led to.
            at = loop.now + 0.001 + delay * (weather.delay_s + DOUBLE_S * copy)
            if not weather.reorder and not copy:
                at = self._arrival[way] = max(at, self._arrival[way])
            if lost:
                self.network.say(self.name, "lost", what[0] if way == "up" else "", what[-1])
            else:
                loop.call_at(at, deliver, *what, context=to.context)

    def _hub_hears(self, kind: str, payload: bytes) -> None:
        if self.wire and self.hub_open:
            self.link.handler.message(self.name, kind, payload)

    def _device_hears(self, payload: bytes) -> None:
        if self.wire and self.device_open:
            self.network.say(self.name, "<-", "", payload)
            self.client.heard(payload)

    # --- ends

    def cut(self, device_after: float, hub_after: float, will: bool = True) -> None:
        """Nothing passes any more; each side finds out after some time."""
        self.wire = False
        loop = self.network.loop
        loop.call_later(device_after, self.end_at_device, "the connection broke", context=self.device.context)
        loop.call_later(hub_after, self.end_at_hub, will, context=self.hub.context)

    def end_at_device(self, why: str) -> None:
        if self.device_open:
            self.device_open = False
            self.client.ended(why)

    def end_at_hub(self, will: bool = False) -> None:
        if self.hub_open:
            self.hub_open = False
            self.link.drop(self)
            if will:
                self.link.handler.message(self.name, "gone", b"{}")
            self.link.handler.disconnected(self.name)


class Network:
    """say(device, direction, kind, payload) is told of every message."""

    def __init__(self, loop: Loop, seed: object, say: Callable[[str, str, str, bytes], None]) -> None:
        self.loop = loop
        self.seed = seed
        self.say = say
        self.weather = CALM
        self.count = 0  # of connections
        self.blocked: dict[str, float] = {}  # devices whose way is closed until then
        self.connections: list[Connection] = []
        self.link: SimLink | None = None

    def of(self, device: str) -> list[Connection]:
        return [one for one in self.connections if one.name == device and one.wire]

    def forget(self) -> None:
        self.connections = [one for one in self.connections if one.wire or one.hub_open or one.device_open]

    def hub_died(self, chance: random.Random) -> None:
        """The system of the dead hub, if it still runs, resets its connections; else devices find out."""
        for one in self.connections:
            if one.wire and one.hub.dead:
                one.wire = one.hub_open = False
                after = chance.choice((0.01, 0.01, chance.uniform(0, DEAF_S)))
                self.loop.call_later(after, one.end_at_device, "the hub died", context=one.device.context)
        self.forget()

    def device_died(self, process: Process, chance: random.Random) -> None:
        for one in self.connections:
            if one.device is process:
                one.wire = one.device_open = False
                after = chance.choice((0.01, 0.01, chance.uniform(0, DEAF_S)))
                self.loop.call_later(after, one.end_at_hub, True, context=one.hub.context)
        self.forget()


class SimLink(Link):
    """The hub's end. It lives as long as the hub's process."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.process = Process.current()
        self.counters: dict[str, int] = {}
        self.handler: Handler
        self._now: dict[str, Connection] = {}

    async def start(self, handler: Handler) -> None:
        self.handler = handler
        self.network.link = self

    async def stop(self) -> None:
        self.network.link = None
        for one in list(self._now.values()):
            one.end_at_hub()
            one.cut(0.01, 0.01)

    def accept(self, connection: Connection) -> None:
        """A device has come: a connection it had before ends first."""
        if not connection.wire:
            return
        before = self._now.get(connection.name)
        if before is not None:
            before.end_at_hub()
            before.cut(0.01, 0.01)
        self._now[connection.name] = connection
        connection.hub_open = connection.accepted = True
        self.handler.connected(connection.name)

    def drop(self, connection: Connection) -> None:
        if self._now.get(connection.name) is connection:
            del self._now[connection.name]

    def send(self, device: str, payload: bytes) -> bool:
        connection = self._now.get(device)
        if connection is None or not connection.subscribed:
            return False
        connection.down(payload)
        return True

    def kick(self, device: str, reason: str) -> None:
        connection = self._now.get(device)
        if connection is not None:
            connection.end_at_hub()
            connection.cut(0.01, 0.01)

    def is_connected(self, device: str) -> bool:
        return device in self._now

    @property
    def address(self) -> tuple[str, int]:
        return "hub", 1883


class SimClient:
    """What edge.link makes of edge.mqtt.Client."""

    def __init__(self, host: str, port: int, client_id: str, on_message: Heard, **_: Any) -> None:
        self._on_message = on_message
        self._process = Process.current()
        self._network: Network = self._process.machine.network
        self._connection: Connection | None = None
        self._ended = asyncio.Event()
        self._why = ""

    async def connect(self) -> None:
        network = self._network
        link = network.link
        await asyncio.sleep(0.002)
        if link is None or network.blocked.get(self._process.machine.name, 0.0) > network.loop.now:
            raise MqttError("no connection")
        network.count += 1
        self._connection = one = Connection(network, self, self._process, link.process, link)
        network.connections.append(one)
        network.loop.call_later(0.001, link.accept, one, context=link.process.context)
        # As long as the hub does not answer there is no CONNACK.
        for wait_s in (0.003, 0.1, CONNACK_S):
            await asyncio.sleep(wait_s)
            if one.hub_open and one.wire:
                one.device_open = True
                return
        one.cut(0.0, 0.0)
        raise MqttError("no CONNACK")

    async def subscribe(self, topic: str) -> None:
        assert topic == topics.down(self._process.machine.name)
        await asyncio.sleep(0.002)
        self._open().subscribed = True

    async def run(self) -> None:
        await self._ended.wait()
        raise MqttError(self._why)

    async def post(self, topic: str, payload: bytes) -> None:
        await self.send(topic, payload)

    async def send(self, topic: str, payload: bytes) -> None:
        self._open().up(topic.rpartition("/")[2], payload)

    async def disconnect(self) -> None:
        if self._connection is not None:
            self._connection.cut(0.0, 0.01, will=False)
            self._network.forget()

    def heard(self, payload: bytes) -> None:
        self._on_message(topics.down(self._process.machine.name), payload)

    def ended(self, why: str) -> None:
        self._why = self._why or why
        self._ended.set()

    def _open(self) -> Connection:
        if self._connection is None or not self._connection.device_open:
            raise MqttError("the connection has ended")
        return self._connection
