"""Start, stop, and that whatever comes in from the net, the hub goes back to where it was."""

import asyncio
import gc
import logging
import os
import random

import pytest

from hub.link.embedded import EmbeddedLink
from shared import topics
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start, eventually
from tests.link.rawclient import RawClient


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_kib() -> int:
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("VmRSS")).split()[1])


async def test_stop_with_connected_clients_is_quick_and_tells_the_handler(start: Start, ear: Ear) -> None:
    link = await start()
    devices = [
        await RawClient.device(link.address, f"d{n}", clean=n % 2 == 0, will=(topics.up(f"d{n}", "gone"), b"bye"))
        for n in range(30)
    ]
    half_way = await RawClient.open(link.address)
    half_way.write(b"\x10")
    link.send("d1", bytes(100_000))
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await link.stop()
    assert loop.time() - begin < 1
    assert sorted(event[1] for event in ear.events if event[0] == "disconnected") == sorted(d.id for d in devices)
    assert not [event for event in ear.events if event[0] == "message"], "no device has gone, the hub has"
    assert not link.is_connected("d1")
    assert not link.send("d1", b"")
    for client in [*devices, half_way]:
        await client.closed()
    await link.stop()


async def test_a_link_can_start_again(start: Start, ear: Ear) -> None:
    link = await start()
    await RawClient.device(link.address, "d1")
    await link.stop()
    await link.start(ear)
    await RawClient.device(link.address, "d1")
    assert ear.events == [("connected", "d1"), ("disconnected", "d1"), ("connected", "d1")]


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing(link: EmbeddedLink, ear: Ear) -> None:
    tasks = asyncio.all_tasks()
    second = EmbeddedLink(*link.address)
    with pytest.raises(OSError, match="address already in use"):
        await second.start(ear)
    assert asyncio.all_tasks() == tasks
    await second.stop()


async def knock(link: EmbeddedLink, data: bytes, device: str | None) -> None:
    """Bytes of an unknown kind, before or after a CONNECT, then whatever the hub does about them."""
    client = await RawClient.open(link.address)
    if device is not None:
        assert await client.connect(device, clean=random.random() < 0.5) == 0
    client.write(data)
    closing = asyncio.ensure_future(client.closed())
    await asyncio.wait([closing], timeout=0.02)
    await client.die()
    await closing


def noise(seed: int) -> bytes:
    """Random bytes, or packets with some bytes changed."""
    chance = random.Random(seed)
    if chance.random() < 0.3:
        return chance.randbytes(chance.randint(1, 300))
    samples = [
        raw.connect_packet("fuzz", will=(topics.up("fuzz", "gone"), b"x"), username="fuzz", password=b"p"),
        raw.subscribe_packet(topics.down("fuzz"), "other"),
        raw.unsubscribe_packet(topics.down("fuzz")),
        raw.publish_packet(topics.up("fuzz", "result"), b"{}"),
        raw.packet(0x40, b"\0\1"),
        raw.PINGREQ,
        raw.DISCONNECT,
    ]
    data = bytearray(b"".join(chance.choices(samples, k=3)))
    for _ in range(chance.randint(0, 3)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("connected", [False, True])
async def test_noise_leaves_no_socket_session_or_task(link: EmbeddedLink, ear: Ear, connected: bool) -> None:
    steady = await RawClient.device(link.address, "steady")
    await eventually(lambda: len(link._door._connections) == 1)
    files, tasks = open_files(), len(asyncio.all_tasks())
    for batch in range(0, 600, 20):
        names = [f"fuzz{n % 7}" if connected and n % 3 else ("fuzz" + str(n) if connected else None) for n in range(20)]
        await asyncio.gather(
            *(
                knock(link, noise(batch + n), name)
                for n, name in enumerate(dict.fromkeys(names) if connected else names)
            )
        )
    await eventually(lambda: len(link._door._connections) == 1)
    await eventually(lambda: len(asyncio.all_tasks()) == tasks)
    gc.collect()
    assert open_files() == files
    assert list(link._broker.channels) == ["steady"]
    assert not [s for s, _ in link._broker.sessions.values() if s.clean_session and s.client_id != "steady"]
    assert link.counters["errors"] == 0
    assert link.send("steady", b"still there?")
    assert await steady.hear() == b"still there?"


async def test_a_flooding_publisher_leaves_memory_flat(start: Start, ear: Ear) -> None:
    link = await start(publish_rate=500, publish_burst=500)
    ear._add = lambda event: None  # type: ignore[method-assign]
    device = await RawClient.device(link.address, "d1")
    flood = raw.publish_packet(topics.up("d1", "result"), bytes(60_000), qos=0) * 10
    connection = link._door.connection("d1")
    before = resident_kib()
    most = 0
    for _ in range(170):  # 100 MB, if the hub took them
        device.write(flood)
        try:
            async with asyncio.timeout(0.01):
                await device.writer.drain()
        except TimeoutError:
            device.writer.transport.set_write_buffer_limits(high=1 << 30)
        most = max(most, len(connection._buffer))
        if device.writer.transport.get_write_buffer_size() > 4 << 20:
            break
    assert device.writer.transport.get_write_buffer_size() > 4 << 20, "the hub should have made the device wait"
    assert most <= 512 * 1024
    assert resident_kib() - before < 24 * 1024, "the test's own 4 MB included"


async def test_the_loggers_of_amqtt_are_quiet(link: EmbeddedLink) -> None:
    for name in ("amqtt.broker", "amqtt.mqtt.protocol.handler", "transitions.core"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
