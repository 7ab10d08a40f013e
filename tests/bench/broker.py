"""Many devices: what they cost the hub while idle, and how many messages it takes from them."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from shared import PROTOCOL, messages, topics
from tests.bench.proc import cpu_s, rss_mb
from tests.bench.report import Figure
from tests.bench.stage import Stage
from tests.e2e.world import World
from tests.link.rawclient import PUBACK, PUBLISH, connect_packet, packet, publish_packet, subscribe_packet

BEAT_S = 10.0
IDLE_S = 30.0
KEEP_ALIVE_S = 30
# Connections that are being opened at a time.
AT_ONCE = 20
# So many that none of them comes near its limit of 2,000 a second.
FLOODERS = 64
FLOOD_S = 5.0
# Messages of one device that wait for their PUBACK: one is the worst case, each in a segment of its own.
WINDOWS = (1, 16)


class Device(asyncio.Protocol):
    """A device that connects, subscribes, says hello and acknowledges what it hears."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        self._seq = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        will = topics.up(self.id, "gone"), b"{}"
        hello = self.publish("hello", {"proto": PROTOCOL, "boot": "b" * 16, "agent": "0.1.0", "runtime": "bench",
                                       "caps": {"abi": ["call"]}, "mem_free": 100_000, "mem_total": 200_000, "slots": 1,
                                       "running": [], "outbox": []})  # fmt: skip
        down = subscribe_packet(topics.down(self.id))
        self.transport.write(connect_packet(self.id, keep_alive=KEEP_ALIVE_S, will=will) + down + hello)

    def publish(self, kind: str, fields: dict[str, Any], qos: int = 1, packet_id: int = 2) -> bytes:
        return publish_packet(topics.up(self.id, kind), messages.make_up(kind, fields), qos, packet_id)

    def beat(self) -> None:
        self._seq += 1
        fields = {"boot": "b" * 16, "seq": self._seq, "mem_free": 100_000, "uptime_s": self._seq * 10, "running": []}
        self.transport.write(self.publish("beat", fields, qos=0))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (size := _size(self._buffer)) and len(self._buffer) >= size:
            frame, self._buffer = self._buffer[:size], self._buffer[size:]
            self.heard(frame)

    def heard(self, frame: bytes) -> None:
        if frame[0] >> 4 != PUBLISH:
            return
        if not self.welcomed.done():
            self.welcomed.set_result(None)
        if frame[0] & 6:
            at = 2 if frame[1] < 128 else 3
            topic = int.from_bytes(frame[at : at + 2], "big")
            self.transport.write(packet(PUBACK << 4, frame[at + 2 + topic : at + 4 + topic]))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError(f"the hub closed the connection of {self.id}"))


class Flooder(Device):
    """Sends `started` of a task that is not there: the hub checks it, asks the engine, and has nothing to do."""

    def __init__(self, id: str, window: int) -> None:
        super().__init__(id)
        self.acknowledged = 0
        self.window = window
        self.flooding = False
        self._batch = b"".join(self.publish("started", {"task": "nothing", "attempt": 1}, 1, 10 + at)
                               for at in range(window))  # fmt: skip

    def flood(self) -> None:
        self.flooding = True
        self.acknowledged = 0
        self.transport.write(self._batch)

    def data_received(self, data: bytes) -> None:
        if not self.flooding:
            super().data_received(data)
            return
        # PUBACKs of four bytes and nothing else come now.
        self._buffer += data
        if len(self._buffer) == 4 * self.window:
            self.acknowledged += self.window
            self._buffer = b""
            self.transport.write(self._batch)


def _size(data: bytes) -> int:
    """The bytes of the packet at the beginning, 0 when not even its length is there."""
    length = 0
    for at in range(1, min(len(data), 5)):
        length |= (data[at] & 127) << 7 * (at - 1)
        if data[at] < 128:
            return 1 + at + length
    return 0


async def _join(world: World, devices: list[Any]) -> None:
    """Has them all connect, a few at a time, until each was welcomed."""
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(AT_ONCE)

    async def join(device: Device) -> None:
        async with room:
            await loop.create_connection(lambda: device, world.mqtt_host, int(world.mqtt_port))
            async with asyncio.timeout(20):
                await device.welcomed

    await asyncio.gather(*[join(device) for device in devices])


def idle(stage: Stage) -> Iterator[Figure]:
    """Devices that only beat."""
    with stage.world() as world:
        pid = world.hub.child.pid
        empty = rss_mb(pid)
        joined, percent, rss = asyncio.run(_idle(world, stage.devices))
    count = f"{stage.devices:,}"
    yield Figure("idle.cpu_percent", f"hub's CPU for {count} idle devices", percent, "% of a core", most=10)
    yield Figure("idle.rss_mb", f"hub's memory with {count} devices (RSS)", rss, "MB",
                 note=f"{(rss - empty) * 1024 / stage.devices:.1f} KB a device")  # fmt: skip
    yield Figure("idle.join_ms", "hub's CPU to take in one device", joined / stage.devices * 1000, "ms")


async def _idle(world: World, count: int) -> tuple[float, float, float]:
    """CPU seconds to take them all in, CPU % while they beat, MB then."""
    pid = world.hub.child.pid
    before = cpu_s(pid)
    devices = [Device(f"device-{at}") for at in range(count)]
    await _join(world, devices)
    await asyncio.sleep(1)
    joined = cpu_s(pid) - before
    beats = [asyncio.create_task(_beat(device, at / count * BEAT_S)) for at, device in enumerate(devices)]
    before, begin = cpu_s(pid), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    percent = (cpu_s(pid) - before) / (time.perf_counter() - begin) * 100
    for beat in beats:
        beat.cancel()
    alive = await asyncio.to_thread(world.client.proplets, status="active", limit=1)
    if alive["total"] != count or any(device.transport.is_closing() for device in devices):
        raise RuntimeError(f"only {alive['total']} of {count} devices are alive")
    return joined, percent, rss_mb(pid)


async def _beat(device: Device, after_s: float) -> None:
    await asyncio.sleep(after_s)
    while True:
        device.beat()
        await asyncio.sleep(BEAT_S)


def messages_up(stage: Stage) -> Iterator[Figure]:
    """QoS 1 from devices to the engine."""
    for window in WINDOWS:
        with stage.world() as world:
            count, took_s, used_s = asyncio.run(_flood(world, window))
        yield Figure(f"up.window_{window}", f"QoS 1 messages up, {FLOODERS} devices, {window} in flight",
                     count / took_s, "/s", note=f"{used_s / count * 1e6:.0f} us of the hub's CPU each, "
                     f"hub {used_s / took_s * 100:.0f} % of a core")  # fmt: skip


async def _flood(world: World, window: int) -> tuple[int, float, float]:
    """Messages acknowledged, seconds, CPU seconds of the hub."""
    devices = [Flooder(f"flooder-{at}", window) for at in range(FLOODERS)]
    await _join(world, devices)
    # What the hello leads to must have come before only PUBACKs come.
    await asyncio.sleep(0.5)
    pid = world.hub.child.pid
    before, begin = cpu_s(pid), time.perf_counter()
    for device in devices:
        device.flood()
    await asyncio.sleep(FLOOD_S)
    took_s, used_s = time.perf_counter() - begin, cpu_s(pid) - before
    if any(device.transport.is_closing() for device in devices):
        raise RuntimeError("the hub has closed a connection under load")
    return sum(device.acknowledged for device in devices), took_s, used_s
