"""One device, two connections: the new one hears, the old one is gone, and the handler is told in order."""

import asyncio

import pytest

from hub.link.embedded import EmbeddedLink
from shared import topics
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start, eventually
from tests.link.rawclient import RawClient

GONE = (topics.up("d1", "gone"), b"bye")


@pytest.mark.parametrize("new_clean", [True, False])
@pytest.mark.parametrize("old_clean", [True, False])
async def test_the_new_connection_hears_and_the_old_one_is_closed(
    link: EmbeddedLink, ear: Ear, old_clean: bool, new_clean: bool
) -> None:
    old = await RawClient.device(link.address, "d1", clean=old_clean, will=GONE)
    new = await RawClient.open(link.address)
    assert await new.connect("d1", clean=new_clean) == 0
    goes_on = not old_clean and not new_clean
    assert new.session_present is goes_on
    if not goes_on:
        assert not link.send("d1", b"not subscribed")
        await new.subscribe()
    await old.closed()
    assert link.send("d1", b"hello")
    assert await new.hear() == b"hello"
    await new.publish("hello", b"{}")
    assert ear.events == [
        ("connected", "d1"),
        ("message", "d1", "gone", b"bye"),
        ("disconnected", "d1"),
        ("connected", "d1"),
        ("message", "d1", "hello", b"{}"),
    ]
    assert link.counters["taken_over"] == 1


async def test_a_device_that_comes_back_while_its_old_socket_is_half_open(link: EmbeddedLink, ear: Ear) -> None:
    """What umqtt.robust does after Wi-Fi loss: clean_session=0, no new SUBSCRIBE, the old socket never closed."""
    await RawClient.device(link.address, "d1", clean=False)
    for number in range(5):
        assert link.send("d1", str(number).encode())
        back = await RawClient.open(link.address)
        assert await back.connect("d1", clean=False) == 0
        assert await back.hear() == str(number).encode()
        await back.ping()


async def test_the_old_connection_is_not_heard_any_more(link: EmbeddedLink, ear: Ear) -> None:
    old = await RawClient.device(link.address, "d1")
    new = await RawClient.open(link.address)
    new.write(raw.connect_packet("d1"))
    await new.read()
    old.write(raw.publish_packet(topics.up("d1", "result"), b"from the grave"))
    await old.closed()
    assert ear.payloads("d1") == []


async def test_twenty_newcomers_at_once_leave_one(link: EmbeddedLink, ear: Ear) -> None:
    clients = [await RawClient.open(link.address) for _ in range(20)]
    for number, client in enumerate(clients):
        client.write(raw.connect_packet("d1", clean=number % 2 == 0, will=GONE))
    await eventually(lambda: len(link._door._connections) == 1)
    await ear.until(lambda: ear.events[-1] == ("connected", "d1"))
    states = [event[0] for event in ear.events if event[0] != "message"]
    assert states == ["connected", "disconnected"] * (len(states) // 2) + ["connected"]
    assert len(link._broker.sessions) == len(link._broker.channels) == 1


async def test_a_connection_can_end_at_any_step_of_its_beginning(link: EmbeddedLink, ear: Ear) -> None:
    for steps in range(15):
        client = await RawClient.open(link.address)
        client.write(raw.connect_packet("d1"))
        await eventually(lambda: link._door.connection("d1") is not None, every_s=0)
        for _ in range(steps):
            await asyncio.sleep(0)
        link.kick("d1", "a test")
        await client.closed()
        await eventually(lambda: link._door.connection("d1") is None)
    assert link._broker.sessions == {}
    assert len(ear.events) == 2 * ear.events.count(("disconnected", "d1"))


async def test_a_session_that_came_back_is_not_collected_as_expired(link: EmbeddedLink) -> None:
    device = await RawClient.device(link.address, "d1", clean=False)
    await link._broker._cleanup_session("d1")  # amqtt's monitor, with a list made before the device came back
    assert link.send("d1", b"still here")
    assert await device.hear() == b"still here"


async def test_a_session_of_a_device_that_stays_away_expires(start: Start, ear: Ear) -> None:
    link = await start(session_s=0)
    device = await RawClient.device(link.address, "d1", clean=False)
    await device.leave()
    await eventually(lambda: not link._broker.sessions)
    assert len(link._broker.filters) == 0


async def test_who_waits_for_the_credentials_does_not_disturb_the_device(start: Start, ear: Ear) -> None:
    class Second:
        def __init__(self) -> None:
            self.asked = asyncio.Event()
            self.answer = asyncio.Event()

        async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
            if password == b"slow":
                self.asked.set()
                await self.answer.wait()
            return True

    credentials = Second()
    link = await start(credentials=credentials)
    old = await RawClient.device(link.address, "d1")
    new = await RawClient.open(link.address)
    new.write(raw.connect_packet("d1", username="d1", password=b"slow"))
    await credentials.asked.wait()
    await old.ping()
    credentials.answer.set()
    assert (await new.read()).kind == raw.CONNACK
    await old.closed()
