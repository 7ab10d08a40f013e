"""What many connections may hold together, and who gives way: the one that is stuck, never one that reads."""

import asyncio
import base64
import struct

import pytest

from hub.link.budget import Budget, Share
from hub.link.delivery import OVERHEAD_BYTES
from hub.link.embedded import EmbeddedLink
from hub.link.limits import KIB, Limits
from hub.link.messages import make_down
from shared import topics
from shared.messages import MAX_CHUNK, MAX_RESULT
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start, eventually
from tests.link.rawclient import RawClient

DATA = base64.b64encode(bytes(MAX_CHUNK)).decode()
CHUNK = {"module": "a" * 64, "offset": 1 << 23, "total": 1 << 23, "data": DATA}
HALF = raw.packet(0x30, bytes(60_000))[:-1]
"""A packet that lacks its last byte."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Held:
    """Shares by name, and who had to let go."""

    def __init__(self, most: int, each: int, patience_s: float = 0) -> None:
        self.clock = Clock()
        self.budget = Budget(most, each, patience_s, self.clock)
        self.gone: list[str] = []
        self.shares: dict[str, Share] = {}

    def add(self, name: str, count: int) -> None:
        share = self.shares.setdefault(name, Share(self.budget, lambda: self.gone.append(name)))
        share.add(count)


def test_what_each_has_for_itself_counts_for_nobody() -> None:
    held = Held(most=100, each=50)
    for number in range(1000):
        held.add(str(number), 50)
    assert held.budget.held == 0
    assert held.budget.make_room(100)
    held.add("7", 30)
    held.add("8", 10)
    assert held.budget.held == 40
    held.add("7", -20)
    assert held.budget.held == 20
    for share in held.shares.values():
        share.clear()
    assert held.budget.held == 0


def test_who_made_no_progress_for_longest_gives_way_first_and_no_more_than_needed() -> None:
    held = Held(most=100, each=50)
    for name in ("small", "a", "b", "c"):
        held.add(name, 40 if name == "small" else 80)
        held.clock.now += 1
    held.shares["a"].progressed()
    assert held.budget.make_room(10)
    assert held.gone == []
    assert held.budget.make_room(11)
    assert held.gone == ["b"]
    assert held.budget.make_room(100)
    assert held.gone == ["b", "c", "a"]
    assert (held.budget.held, held.shares["small"].bytes) == (0, 40)
    assert not held.budget.make_room(101)


def test_who_makes_progress_does_not_give_way() -> None:
    held = Held(most=100, each=0, patience_s=5)
    held.add("reads", 50)
    held.add("stuck", 50)
    for _ in range(4):
        held.clock.now += 1
        held.shares["reads"].progressed()
        assert not held.budget.make_room(1)
    held.clock.now += 1
    assert held.budget.make_room(50)
    assert held.gone == ["stuck"]
    assert not held.budget.make_room(51)


def test_by_default_nobody_can_keep_a_chunk_or_a_result_from_a_device() -> None:
    limits = Limits()
    assert len(make_down("chunk", CHUNK)) + OVERHEAD_BYTES < limits.outbound_each_bytes
    assert limits.connections * (MAX_RESULT + 1000 - limits.inbound_each_bytes) < limits.inbound_all_bytes


def sums(link: EmbeddedLink) -> tuple[int, int, int]:
    """Bytes of everybody beyond their own, in, out and of those who are away."""
    assert link._door is not None
    assert link._broker is not None
    return link._door.inbound.held, link._door.outbound.held, link._broker.away.held


async def deaf(link: EmbeddedLink, device: str, **connect: object) -> RawClient:
    """A device that has subscribed and reads no more; its kernel takes next to nothing."""
    client = await RawClient.open(link.address, receive_bytes=4096)
    assert await client.connect(device, **connect) == 0
    assert await client.subscribe() == [1]
    return client


async def test_many_that_do_not_read_stay_below_the_bound_and_those_that_read_lose_nothing(
    start: Start, ear: Ear
) -> None:
    link = await start(outbound_all_bytes=1024 * KIB, outbound_each_bytes=32 * KIB, pressed_s=5, kernel_bytes=4096)
    clock = link._door.outbound._clock = Clock()
    reader = await RawClient.device(link.address, "reader")
    stuck = [await deaf(link, f"stuck{number}") for number in range(20)]
    most = 0
    for number in range(30):
        for client in stuck:
            link.send(client.id, bytes(60_000))
        most = max(most, sums(link)[1])
        message = bytes(10_000) + bytes((number,))
        assert link.send("reader", message), "what is its own was refused"
        assert await reader.hear() == message
        await reader.ping()
    assert 900 * KIB < most <= (1024 + 64) * KIB
    assert not link.send("reader", bytes(200_000)), "there is no room, and nobody is known to be stuck"
    assert link.counters["kicked"] == 0
    clock.now += 5
    for number in range(3):
        message = bytes(200_000) + bytes((number,))
        assert link.send("reader", message)
        assert await reader.hear() == message
        await reader.ping()
    assert 0 < link.counters["kicked"] < len(stuck)
    assert not link._door.connection("reader").closed
    gone = [client for client in stuck if not link.is_connected(client.id)]
    await ear.until(lambda: sum(event[0] == "disconnected" for event in ear.events) == len(gone))
    for client in (*stuck, reader):
        await client.die()
    await eventually(lambda: not link._door._connections)
    assert sums(link) == (0, 0, 0)


async def test_a_device_that_reads_slowly_is_not_kicked_for_others(start: Start, ear: Ear) -> None:
    link = await start(outbound_all_bytes=1_000_000, outbound_each_bytes=0, pressed_s=1, kernel_bytes=4096)
    slow, stuck = await deaf(link, "slow"), await deaf(link, "stuck")
    # Each counts twice until the socket takes it: it would have to be sent again.
    assert link.send("slow", bytes(250_000))
    while link.send("stuck", bytes(50_000)):
        pass
    taken = 0
    while link.is_connected("stuck"):
        taken += len(await slow.reader.readexactly(5000))
        await asyncio.sleep(0.05)
        link._door.outbound.make_room(300_000)
    assert 50_000 < taken < 250_000, "it went at once, or for something else"
    assert link.is_connected("slow")
    await slow.reader.readexactly(250_000 - taken)
    await stuck.closed()
    assert link.counters["kicked"] == 1


async def test_who_acknowledges_what_it_does_not_read_is_stuck_all_the_same(start: Start, ear: Ear) -> None:
    link = await start(outbound_all_bytes=400_000, outbound_each_bytes=0, pressed_s=5, kernel_bytes=4096)
    clock = link._door.outbound._clock = Clock()
    liar = await deaf(link, "liar")
    connection = link._door.connection("liar")
    for packet_id in range(1, 6):
        assert link.send("liar", bytes(60_000))
        if packet_id == 5:
            # What the kernel took at first has been noticed.
            await eventually(lambda: connection._taken == connection._written - connection._unread)
            clock.now += 5
        liar.write(raw.packet(0x40, struct.pack(">H", packet_id)))
        await eventually(lambda: not link._broker.sessions["liar"][0].inflight_out)
    assert sums(link)[1] > 200_000
    reader = await RawClient.device(link.address, "reader")
    message = bytes(250_000)
    assert link.send("reader", message)
    assert await reader.hear() == message
    await reader.ping()
    await ear.heard("disconnected", "liar")
    assert sums(link) == (0, 0, 0)


async def test_half_packets_stay_below_the_bound_and_whole_ones_pass(start: Start, ear: Ear) -> None:
    link = await start(inbound_all_bytes=500_000, inbound_each_bytes=20_000)
    steady = await RawClient.device(link.address, "steady")
    result = bytes(48_000)
    for number in range(40):
        client = await RawClient.device(link.address, f"half{number}")
        client.write(HALF)
        await client.writer.drain()
        await steady.publish("result", result)
        assert sums(link)[0] <= 500_000
    await eventually(lambda: link.counters["kicked"] >= 25)
    assert ear.payloads("steady") == [result] * 40
    assert link.is_connected("steady")
    # Of the others the oldest have gone, and no more of them than necessary.
    left = [number for number in range(40) if link.is_connected(f"half{number}")]
    assert left == list(range(40 - len(left), 40))
    assert len(left) == 500_000 // (len(HALF) - 20_000)
    await RawClient.close_all()
    await eventually(lambda: not link._door._connections)
    assert sums(link) == (0, 0, 0)


async def test_packets_that_a_rate_holds_back_count_as_well(start: Start, ear: Ear) -> None:
    link = await start(inbound_all_bytes=200_000, inbound_each_bytes=0, publish_rate=0.1, publish_burst=4)
    for number in range(5):
        client = await RawClient.device(link.address, f"d{number}")
        client.write(raw.publish_packet(topics.up(client.id, "result"), bytes(30_000), qos=0) * 5)
    await eventually(lambda: link.counters["kicked"] > 0)
    assert 0 < sums(link)[0] <= 200_000
    budget = link._door.inbound
    await link.stop()
    assert budget.held == 0


async def test_what_waits_for_those_who_are_away_is_bounded_and_the_oldest_goes(start: Start, ear: Ear) -> None:
    link = await start(away_bytes=250_000)
    for number in range(5):
        client = await RawClient.device(link.address, f"d{number}", clean=False)
        assert link.send(client.id, b"%d" % number + bytes(80_000))
        await client.read()
        await client.die()
        await ear.heard("disconnected", client.id)
        await eventually(lambda at=number: sums(link)[2] >= min(at + 1, 3) * 80_000)
    assert sums(link)[2] < 250_000
    for number in (0, 4):
        back = await RawClient.open(link.address)
        assert await back.connect(f"d{number}", clean=False) == 0
        assert back.session_present
        if number == 4:
            assert (await back.read()).payload[:1] == b"4"
        assert link.send(back.id, b"new")
        assert (await back.read()).payload == b"new"
    assert 160_000 < sums(link)[2] < 170_000
    for number in (2, 3):
        fresh = await RawClient.device(link.address, f"d{number}", clean=True)
        await fresh.ping()
    assert sums(link)[2] == 0


async def test_sessions_that_expire_leave_no_sum(start: Start, ear: Ear) -> None:
    link = await start(session_s=0)
    client = await RawClient.device(link.address, "d1", clean=False)
    assert link.send("d1", bytes(100_000))
    await client.die()
    await ear.heard("disconnected", "d1")
    await eventually(lambda: not link._broker.sessions)
    assert sums(link) == (0, 0, 0)
    assert not link._broker._left


@pytest.mark.parametrize("clean", [True, False])
async def test_the_sums_are_nothing_after_take_overs_kicks_and_faults(start: Start, ear: Ear, clean: bool) -> None:
    link = await start(outbound_each_bytes=0, inbound_each_bytes=0, kernel_bytes=4096)
    ends = ("take-over", "kick", "fault", "vanishes", "leaves")
    for end in ends * 3:
        client = await deaf(link, "d1", clean=clean)
        for _ in range(5):
            assert link.send("d1", bytes(50_000))
        client.write(HALF)
        await eventually(lambda: link._door.inbound.held > 50_000)
        assert sums(link)[1] > 250_000
        if end == "take-over":
            await (await RawClient.device(link.address, "d1", clean=True)).die()
        elif end == "kick":
            link.kick("d1", "a test")
        elif end == "fault":
            client.write(b"\x00" * 2 + b"\xf0\xff\xff\xff\xff\xff")
        elif end == "vanishes":
            await client.die()
        else:
            client.write(b"\0" + raw.DISCONNECT)
            await ear.until(lambda: ear.events[-1][0] == "disconnected")
        await eventually(lambda: not link._door._connections)
        await eventually(lambda: not link._broker.channels)
        assert sums(link)[:2] == (0, 0)
        clean_end = await RawClient.device(link.address, "d1", clean=True)
        await clean_end.leave()
        await eventually(lambda: not link._broker.channels)
        assert sums(link) == (0, 0, 0)
