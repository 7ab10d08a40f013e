"""What the hub says to devices."""

import asyncio

import pytest

from hub.link.embedded import EmbeddedLink
from shared import topics
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start, eventually
from tests.link.rawclient import RawClient


async def test_messages_arrive_in_the_order_sent_with_qos_1(link: EmbeddedLink) -> None:
    device = await RawClient.device(link.address, "d1")
    sent = [str(number).encode() for number in range(2000)]
    assert all(link.send("d1", payload) for payload in sent)
    heard = []
    for _ in sent:
        message = await device.read()
        assert message.flags & 6 == 2
        heard.append(message.payload)
        device.write(raw.packet(0x40, message.packet_id.to_bytes(2, "big")))
    assert heard == sent
    await device.ping()
    assert not link._broker.sessions["d1"][0].inflight_out
    assert link.counters["sent"] == 2000


async def test_a_device_has_at_most_16_unacknowledged(link: EmbeddedLink) -> None:
    device = await RawClient.device(link.address, "d1")
    for _ in range(20):
        link.send("d1", b"")
    ids = [(await device.read()).packet_id for _ in range(16)]
    await device.ping()
    device.write(raw.packet(0x40, ids[3].to_bytes(2, "big")))
    assert (await device.read()).packet_id not in ids
    await device.ping()


async def test_what_is_acknowledged_makes_room(link: EmbeddedLink) -> None:
    device = await RawClient.device(link.address, "d1")
    for number in range(50):
        assert link.send("d1", bytes(60_000) + bytes((number,)))
        assert (await device.hear())[-1] == number
    await device.ping()
    assert not link.send("d1", bytes(256 * 1024 + 1))


async def test_send_says_no_when_nobody_can_hear(link: EmbeddedLink, ear: Ear) -> None:
    assert not link.send("d1", b"")
    device = await RawClient.open(link.address)
    await device.connect("d1")
    assert not link.send("d1", b"")
    await device.subscribe()
    assert link.send("d1", b"")
    await device.hear()
    device.write(raw.unsubscribe_packet(topics.down("d1")))
    assert (await device.read()).kind == raw.UNSUBACK
    assert not link.send("d1", b"")
    await device.leave()
    await ear.heard("disconnected", "d1")
    assert not link.send("d1", b"")
    assert link.counters["unsent"] == 4


@pytest.mark.parametrize(("asked", "granted"), [(0, 0), (1, 1), (2, 1)])
async def test_a_subscription_gets_qos_1_at_most(link: EmbeddedLink, asked: int, granted: int) -> None:
    device = await RawClient.open(link.address)
    await device.connect("d1")
    assert await device.subscribe(qos=1 - granted) == [1 - granted]
    assert await device.subscribe(qos=asked) == [granted]
    link.send("d1", b"x")
    assert ((await device.read()).flags & 6) >> 1 == granted


async def test_send_to_a_device_that_vanishes_returns_and_never_raises(link: EmbeddedLink, ear: Ear) -> None:
    for _ in range(10):
        ear.events.clear()
        device = await RawClient.device(link.address, "d1")
        assert link.send("d1", bytes(100_000))
        dying = asyncio.create_task(device.die())
        while ("disconnected", "d1") not in ear.events:
            link.send("d1", b"x")
            await asyncio.sleep(0)
        assert not link.send("d1", b"x")
        await dying
    link.kick("nobody", "it is not there")


async def test_send_from_the_handler_answers_in_order(link: EmbeddedLink, ear: Ear) -> None:
    add = ear._add

    def answer(event: tuple[object, ...]) -> None:
        add(event)
        if event[0] == "message":
            link.send("d1", event[3])  # type: ignore[arg-type]

    ear._add = answer  # type: ignore[method-assign]
    device = await RawClient.device(link.address, "d1")
    for number in range(10):
        device.write(raw.publish_packet(topics.up("d1", "need"), str(number).encode(), qos=0))
    assert [await device.hear() for _ in range(10)] == [str(number).encode() for number in range(10)]


async def test_kick_ends_the_connection(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1")
    link.kick("d1", "its key was withdrawn")
    assert not link.is_connected("d1")
    assert not link.send("d1", b"")
    await device.closed()
    await ear.heard("disconnected", "d1")


async def test_a_stuck_reader_is_kicked_and_costs_no_more_than_the_bound(start: Start, ear: Ear) -> None:
    link = await start(stall_s=0.3, inflight=1000, kernel_bytes=4096)
    stuck = await RawClient.open(link.address, receive_bytes=4096)
    assert await stuck.connect("stuck") == 0
    assert await stuck.subscribe() == [1]
    while link.send("stuck", bytes(60_000)):
        pass
    session = link._broker.sessions["stuck"][0]
    waiting = sum(len(message.data) for message in session.inflight_out.values())
    assert 900_000 < waiting <= 1024 * 1024
    stuck.write(raw.publish_packet(topics.up("stuck", "result"), b"", qos=1) * 100)
    other = await RawClient.device(link.address, "other")
    assert link.send("other", b"unhindered")
    assert await other.hear() == b"unhindered"
    await ear.heard("disconnected", "stuck")
    assert link.counters["kicked"] == 1
    assert not link.send("stuck", b"")


async def test_a_device_that_lets_its_acknowledgements_pile_up_is_kicked(start: Start, ear: Ear) -> None:
    link = await start(outbound_bytes=2000, publish_burst=1e9, publish_rate=1e9, kernel_bytes=4096, stall_s=1000)
    device = await RawClient.open(link.address, receive_bytes=4096)
    await device.connect("d1")
    flood = raw.publish_packet(topics.up("d1", "result"), b"", qos=1) * 1000
    for _ in range(200):
        device.write(flood)
        await asyncio.sleep(0)
    await ear.heard("disconnected", "d1")
    assert link.counters["kicked"] == 1


async def test_a_session_that_goes_on_keeps_the_subscription_and_what_was_not_acknowledged(
    link: EmbeddedLink, ear: Ear
) -> None:
    device = await RawClient.device(link.address, "d1", clean=False)
    assert not device.session_present
    for number in range(20):
        link.send("d1", str(number).encode())
    for _ in range(3):
        await device.hear()
    assert [(await device.read()).payload for _ in range(16)] == [str(number).encode() for number in range(3, 19)]
    await device.die()
    await ear.heard("disconnected", "d1")
    assert not link.send("d1", b"nobody is there")
    back = await RawClient.open(link.address)
    assert await back.connect("d1", clean=False) == 0
    assert back.session_present
    again = [await back.read() for _ in range(16)]
    assert [message.payload for message in again] == [str(number).encode() for number in range(3, 19)]
    assert {message.flags & 8 for message in again} == {8}
    for message in again:
        back.write(raw.packet(0x40, message.packet_id.to_bytes(2, "big")))
    assert await back.hear() == b"19"
    assert link.send("d1", b"new")
    assert await back.hear() == b"new"


async def test_a_clean_session_starts_afresh(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1", clean=False)
    link.send("d1", b"old")
    await device.die()
    back = await RawClient.open(link.address)
    assert await back.connect("d1", clean=True) == 0
    assert not back.session_present
    assert not link.send("d1", b"")
    await back.ping()


async def test_sessions_of_those_who_are_away_are_bounded(start: Start, ear: Ear) -> None:
    link = await start(offline_sessions=5)
    for number in range(20):
        device = await RawClient.device(link.address, f"d{number}", clean=False)
        await device.leave()
        await ear.heard("disconnected", f"d{number}")
    await eventually(lambda: len(link._broker.sessions) == 5)
    assert len(link._broker.filters) == 5
    back = await RawClient.open(link.address)
    assert await back.connect("d19", clean=False) == 0
    assert back.session_present


async def test_a_broadcast_in_the_hub_reaches_who_has_subscribed(link: EmbeddedLink) -> None:
    devices = [await RawClient.device(link.address, f"d{number}") for number in range(3)]
    for _ in range(50):
        await link._broker.internal_message_broadcast(topics.down("d1"), b"to d1")
        assert await devices[1].hear() == b"to d1"
    for device in devices:
        await device.ping()
