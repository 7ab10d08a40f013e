"""What devices say, and how it reaches the handler."""

import asyncio
import contextlib
import random

import pytest

from hub.link.embedded import EmbeddedLink
from shared import topics
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start
from tests.link.rawclient import RawClient


async def test_a_message_is_with_the_handler_before_it_is_acknowledged(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1")
    await device.publish("result", b"one", packet_id=9)
    assert ear.events[-1] == ("message", "d1", "result", b"one")
    device.write(raw.publish_packet(topics.up("d1", "beat"), b"two", qos=0))
    await ear.heard("message", "d1", "beat", b"two")
    assert link.counters["received"] == 2


async def churn(link: EmbeddedLink, name: str, enough: asyncio.Event) -> None:
    """A client that comes, subscribes, says something, and goes in one of three ways, again and again."""
    while not enough.is_set():
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            client = await RawClient.device(link.address, name, clean=random.random() < 0.5)
            client.write(raw.publish_packet(topics.up(name, "beat"), b"{}", qos=0))
            await random.choice([client.leave, client.die, client.ping])()


async def test_3000_messages_among_clients_that_come_and_go_arrive_once_and_in_order(
    link: EmbeddedLink, ear: Ear
) -> None:
    enough = asyncio.Event()
    # 20 clients with 15 names: some take each other over.
    others = [asyncio.create_task(churn(link, f"other{number % 15}", enough)) for number in range(20)]
    device = await RawClient.device(link.address, "d1")
    sent = [str(number).encode() for number in range(3000)]
    for start in range(0, 3000, 20):
        for number in range(start, start + 20):
            device.write(raw.publish_packet(topics.up("d1", "result"), sent[number], packet_id=number + 1))
        acknowledged = [(await device.read()).packet_id for _ in range(20)]
        assert acknowledged == list(range(start + 1, start + 21))
    assert ear.payloads("d1") == sent
    assert sum(event[0] == "connected" for event in ear.events) > 20
    enough.set()
    await asyncio.gather(*others)


async def test_a_handler_that_fails_costs_one_message_and_nothing_else(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1")
    add = ear._add
    ear._add = lambda event: 1 / 0  # type: ignore[assignment,return-value]
    await device.publish("result", b"poison")
    ear._add = add  # type: ignore[method-assign]
    await device.publish("result", b"good")
    assert ear.payloads("d1") == [b"good"]
    assert link.counters["errors"] == 1


@pytest.mark.parametrize("topic", [topics.up("d2", "result"), topics.down("d1"), "elsewhere", "$SYS/x"])
async def test_a_publish_outside_the_own_topics_is_acknowledged_dropped_and_counted(
    link: EmbeddedLink, ear: Ear, topic: str
) -> None:
    victim = await RawClient.device(link.address, "d2")
    device = await RawClient.device(link.address, "d1")
    device.write(raw.publish_packet(topic, b"injected", packet_id=5))
    assert (await device.read()).kind == raw.PUBACK
    await victim.ping()
    assert [event for event in ear.events if event[0] == "message"] == []
    assert link.counters["denied"] == 1


@pytest.mark.parametrize("filter_", [topics.down("d2"), "#", "+/+/+/+/+", "motet/v1/d/d1/#", topics.up("d1", "result")])
async def test_a_subscribe_outside_the_own_topic_is_refused_and_counted(link: EmbeddedLink, filter_: str) -> None:
    other = await RawClient.device(link.address, "d2")
    device = await RawClient.open(link.address)
    await device.connect("d1")
    assert await device.subscribe(filter_, topics.down("d1")) == [0x80, 1]
    assert link.send("d2", b"for d2")
    assert await other.hear() == b"for d2"
    await device.ping()
    assert link.counters["denied"] == 1


@pytest.mark.parametrize("subscribe", [True, False])
async def test_a_hundred_denials_are_borne_then_the_device_is_kicked(link: EmbeddedLink, subscribe: bool) -> None:
    device = await RawClient.device(link.address, "d1")
    wrong = raw.subscribe_packet("#") if subscribe else raw.publish_packet("elsewhere", b"", qos=0)
    device.write(wrong * 100)
    await device.ping() if not subscribe else [await device.read() for _ in range(100)]
    assert link.is_connected("d1")
    device.write(wrong)
    await device.closed()
    assert (link.counters["denied"], link.counters["kicked"]) == (101, 1)


async def test_retain_is_ignored(link: EmbeddedLink, ear: Ear) -> None:
    will = (topics.up("d1", "gone"), b"bye")
    device = await RawClient.device(link.address, "d1", will=will, will_flags=0x20)
    device.write(raw.publish_packet(topics.up("d1", "result"), b"kept?", flags=1))
    assert (await device.read()).kind == raw.PUBACK
    await device.die()
    await ear.heard("message", "d1", "gone", b"bye")
    assert link._broker._retained_messages == {}
    assert link.counters["retained"] == 1
    device = await RawClient.device(link.address, "d1")
    await device.ping()


@pytest.mark.parametrize(
    "packet",
    [
        raw.publish_packet(topics.up("d1", "result"), bytes(64 * 1024 + 1)),
        b"\x30\xff\xff\xff\x7f",
        raw.publish_packet(topics.up("d1", "result"), b"", qos=2),
        raw.publish_packet("", b""),
        raw.publish_packet("motet/v1/d/d1/up/+", b""),
        raw.packet(0x50, b"\0\1"),
        raw.packet(0x62, b"\0\1"),
        raw.packet(0x20, b"\0\0"),
        raw.packet(0xF0, b""),
        raw.packet(0xC0, b"x"),
        raw.subscribe_packet("t\0"),
    ],
)
async def test_what_no_device_may_send_ends_its_connection(link: EmbeddedLink, ear: Ear, packet: bytes) -> None:
    device = await RawClient.device(link.address, "d1")
    device.write(packet)
    await device.closed()
    await ear.heard("disconnected", "d1")
    assert ear.payloads("d1") == []
    assert link.counters["kicked"] == 1


async def test_a_message_of_64_kib_passes(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1")
    await device.publish("result", bytes(64 * 1024))
    assert ear.payloads("d1") == [bytes(64 * 1024)]


async def test_the_will_comes_when_a_device_dies(link: EmbeddedLink, ear: Ear) -> None:
    for message in (b"bye", b""):
        ear.events.clear()
        device = await RawClient.device(link.address, "d1", will=(topics.up("d1", "gone"), message))
        await device.die()
        await ear.heard("disconnected", "d1")
        assert ear.events[1:] == [("message", "d1", "gone", message), ("disconnected", "d1")]


async def test_the_will_does_not_come_after_disconnect(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1", will=(topics.up("d1", "gone"), b"bye"))
    await device.leave()
    await ear.heard("disconnected", "d1")
    assert ear.events == [("connected", "d1"), ("disconnected", "d1")]


async def test_the_will_of_a_session_that_goes_on_is_that_of_its_last_connect(link: EmbeddedLink, ear: Ear) -> None:
    topic = topics.up("d1", "gone")
    for will in ((topic, b"first"), None, (topic, b"third")):
        ear.events.clear()
        device = await RawClient.device(link.address, "d1", clean=False, will=will)
        await device.die()
        await ear.heard("disconnected", "d1")
        assert ear.payloads("d1") == ([will[1]] if will else [])


async def test_a_device_beyond_its_rate_waits_and_loses_nothing(start: Start, ear: Ear) -> None:
    link = await start(publish_rate=1000, publish_burst=100)
    device = await RawClient.device(link.address, "d1")
    loop = asyncio.get_running_loop()
    begin = loop.time()
    sent = [str(number).encode() for number in range(600)]
    for number in sent:
        device.write(raw.publish_packet(topics.up("d1", "result"), number, qos=0))
    await device.ping()
    assert loop.time() - begin > 0.45
    assert ear.payloads("d1") == sent
    assert link.counters["held_back"] > 0
    assert link.is_connected("d1")


async def test_a_device_that_was_held_back_is_not_called_silent(start: Start, ear: Ear) -> None:
    link = await start(beat_rate=2, kind_burst=0.5, keep_alive_least_s=0.2, keep_alive_most_s=0.2)
    device = await RawClient.device(link.address, "d1")
    loop = asyncio.get_running_loop()
    device.write(raw.publish_packet(topics.up("d1", "beat"), b"", qos=0) * 2)
    await ear.until(lambda: len(ear.payloads("d1")) == 2)
    begin = loop.time()
    await ear.heard("disconnected", "d1")
    assert loop.time() - begin > 0.25


async def test_bursts_with_calm_between_them_are_no_abuse(start: Start, ear: Ear) -> None:
    link = await start(beat_rate=20, kind_burst=0.5, over_rate_s=1.2)
    device = await RawClient.device(link.address, "d1")
    burst = raw.publish_packet(topics.up("d1", "beat"), b"", qos=0) * 14
    device.write(burst)
    await ear.until(lambda: len(ear.payloads("d1")) == 14)
    await asyncio.sleep(1.4)
    device.write(burst)
    await ear.until(lambda: len(ear.payloads("d1")) == 28)
    assert link.counters["held_back"] >= 2
    assert link.is_connected("d1")


async def test_one_device_beyond_its_rate_does_not_slow_another(start: Start, ear: Ear) -> None:
    link = await start(beat_rate=1, kind_burst=1)
    loud, other = [await RawClient.device(link.address, name) for name in ("loud", "other")]
    loud.write(raw.publish_packet(topics.up("loud", "beat"), b"", qos=0) * 3)
    for number in range(100):
        await other.publish("result", str(number).encode())
    assert len(ear.payloads("loud")) == 1


async def test_a_burst_of_one_device_lets_others_have_their_turn(link: EmbeddedLink, ear: Ear) -> None:
    loud, other = [await RawClient.device(link.address, name) for name in ("loud", "other")]
    loud.write(raw.publish_packet(topics.up("loud", "result"), b"", qos=0) * 3000)
    other.write(raw.publish_packet(topics.up("other", "result"), b"me too", qos=0))
    await ear.heard("message", "other", "result", b"me too")
    assert len(ear.payloads("loud")) < 1000
    await loud.ping()
    assert len(ear.payloads("loud")) == 3000


@pytest.mark.parametrize("packet", [raw.PINGREQ, raw.packet(0x40, b"\0\1"), raw.subscribe_packet(topics.down("d1"))])
async def test_other_packets_have_a_rate_as_well(start: Start, packet: bytes) -> None:
    link = await start(publish_rate=100, publish_burst=10, over_rate_s=0.2)
    device = await RawClient.device(link.address, "d1")
    device.write(packet * 1000)
    answers = await device.closed()
    assert link.counters["kicked"] == 1
    assert len(answers) < 60 * 5


async def test_acknowledgements_of_what_the_hub_sent_have_no_rate(start: Start) -> None:
    link = await start(publish_rate=1, publish_burst=5)
    device = await RawClient.device(link.address, "d1")
    for number in range(100):
        assert link.send("d1", str(number).encode())
    assert [await device.hear() for _ in range(100)] == [str(number).encode() for number in range(100)]
    assert link.counters["held_back"] == 0


async def test_a_device_that_stays_beyond_its_rate_is_kicked(start: Start, ear: Ear) -> None:
    link = await start(beat_rate=5, kind_burst=1, over_rate_s=0.5)
    device = await RawClient.device(link.address, "d1")
    device.write(raw.publish_packet(topics.up("d1", "beat"), b"", qos=0) * 50)
    await device.closed()
    assert 5 < len(ear.payloads("d1")) < 12
    assert link.counters["kicked"] == 1
