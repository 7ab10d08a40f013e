"""The MQTT client against a broker that is well, rude, slow or gone."""

import asyncio
import socket

import pytest

from edge.link import Link
from edge.mqtt import _WINDOW, Client
from edge.packets import MqttError
from tests.edge import broker as b
from tests.edge.broker import Broker, packet


class Session:
    """A connected client that runs."""

    def __init__(self, broker, **options):
        self.messages = asyncio.Queue()
        options.setdefault("timeout_s", 5)
        hear = lambda topic, payload: self.messages.put_nowait((topic, payload))  # noqa: E731
        self.client = Client("127.0.0.1", broker.port, "dev", hear, **options)

    async def __aenter__(self):
        await self.client.connect()
        self.running = asyncio.create_task(self.client.run())
        return self

    async def __aexit__(self, *exc):
        await self.client.disconnect()
        await asyncio.gather(self.running, return_exceptions=True)

    async def ended(self):
        """The sentence that run ends with."""
        with pytest.raises(MqttError) as error:
            await asyncio.wait_for(self.running, 5)
        return str(error.value)


async def test_connect_says_who_and_leaves_a_will():
    async with Broker() as broker:
        async with Session(broker, username="u", password="p", will=("t", b"gone"), keepalive_s=7):
            _, body = await broker.got(b.CONNECT)
        assert body == b"\0\4MQTT\4\xce\0\7" + b"\0\3dev" + b"\0\1t\0\4gone" + b"\0\1u\0\1p"
        await broker.got(b.DISCONNECT)


async def test_without_a_password_and_a_will():
    async with Broker() as broker, Session(broker):
        assert (await broker.got(b.CONNECT))[1] == b"\0\4MQTT\4\2\0\x1e\0\3dev"


async def refusal(broker, **options):
    with pytest.raises(MqttError) as error:
        async with Session(broker, **options):
            pass
    return str(error.value)


async def test_no_connack():
    async with Broker() as broker:
        broker.silent = {b.CONNECT}
        assert "no CONNACK" in await refusal(broker, timeout_s=0.05)


@pytest.mark.parametrize(("code", "words"), [(4, "wrong username or password"), (5, "not authorized"), (77, "code 77")])
async def test_a_refusing_connack(code, words):
    async with Broker() as broker:
        broker.connack = bytes([0, code])
        assert words in await refusal(broker)


async def test_nobody_listens():
    broker = Broker()
    async with broker:
        pass
    assert "no connection" in await refusal(broker)


async def test_a_message_in_pieces_is_whole():
    async with Broker() as broker, Session(broker) as session:
        data = packet(0x32, b"\0\1t\0\x09" + b"x" * 300)
        for piece in (data[:1], data[1:2], data[2:3], data[3:10], data[10:]):
            broker.write(piece)
            await broker.writer.drain()
            await asyncio.sleep(0.005)
        assert await session.messages.get() == ("t", b"x" * 300)
        assert (await broker.got(b.PUBACK))[1] == b"\0\x09"


async def test_a_message_of_qos_0_is_not_acknowledged():
    async with Broker() as broker, Session(broker) as session:
        broker.publish("t", b"zero", qos=0)
        broker.publish("t", b"one")
        assert [(await session.messages.get())[1] for _ in range(2)] == [b"zero", b"one"]
        await broker.got(b.PUBACK)
        assert len(broker.of(b.PUBACK)) == 1


async def publish(client, topic, payload):
    """Wait for PUBACK, or the end of the connection."""
    await (await client.post(topic, payload)).done.wait()


async def test_subscribe_and_publish_wait_for_their_answers():
    async with Broker() as broker, Session(broker) as session:
        await session.client.subscribe("a/b")
        assert (await broker.got(b.SUBSCRIBE))[1] == b"\0\1\0\3a/b\1"
        await publish(session.client, "a/c", b"hello")
        head, body = await broker.got(b.PUBLISH)
        assert (head, body) == (0x32, b"\0\3a/c\0\2hello")
        await session.client.send("a/d", b"x" * 200)
        head, body = await broker.got(b.PUBLISH, 2)
        assert (head, body) == (0x30, b"\0\3a/d" + b"x" * 200)


async def test_a_refused_subscription_ends_the_connection():
    async with Broker() as broker, Session(broker) as session:
        broker.silent = {b.SUBSCRIBE}
        asking = asyncio.create_task(session.client.subscribe("a"))
        await broker.got(b.SUBSCRIBE)
        broker.write(packet(0x90, b"\0\1\x80"))
        assert "refused" in await session.ended()
        with pytest.raises(MqttError):
            await asking


async def test_what_is_not_acknowledged_is_published_again_with_dup():
    async with Broker() as broker, Session(broker, timeout_s=0.2) as session:
        broker.silent = {b.PUBLISH}
        publishing = asyncio.create_task(publish(session.client, "t", b"x"))
        first = await broker.got(b.PUBLISH)
        second = await broker.got(b.PUBLISH, 2)
        assert first == (0x32, second[1])
        assert second[0] == 0x3A
        broker.write(packet(0x40, b"\0\1"))
        await publishing


async def test_never_acknowledged_ends_the_connection():
    async with Broker() as broker, Session(broker, timeout_s=0.1) as session:
        broker.silent = {b.PUBLISH}
        await publish(session.client, "t", b"x")
        assert "no acknowledgement" in await session.ended()


async def test_a_full_window_waits():
    async with Broker() as broker, Session(broker) as session:
        broker.silent = {b.PUBLISH}
        for _ in range(_WINDOW):
            await session.client.post("t", b"x")
        waiting = asyncio.create_task(session.client.post("t", b"last"))
        await broker.got(b.PUBLISH, _WINDOW)
        assert not waiting.done()
        broker.write(packet(0x40, b"\0\1"))
        await waiting
        assert (await broker.got(b.PUBLISH, _WINDOW + 1))[1].endswith(b"last")


async def test_pings_keep_it_alive():
    async with Broker() as broker, Session(broker, keepalive_s=1, timeout_s=0.2) as session:
        await broker.got(b.PINGREQ)
        await asyncio.sleep(0.3)
        assert not session.running.done()


async def test_a_missing_pingresp_ends_the_connection():
    async with Broker() as broker:
        broker.silent = {b.PINGREQ}
        async with Session(broker, keepalive_s=1, timeout_s=0.1) as session:
            assert "no PINGRESP" in await session.ended()


async def test_a_dropped_connection_ends_what_waits():
    async with Broker() as broker, Session(broker) as session:
        broker.silent = {b.PUBLISH}
        publishing = asyncio.create_task(publish(session.client, "t", b"x"))
        await broker.got(b.PUBLISH)
        broker.drop()
        assert await session.ended()
        await publishing
        with pytest.raises(MqttError):
            await session.client.send("t", b"x")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (packet(0x32, b"x" * 2000), "at most 1000"),
        (b"\x32\xff\xff\xff\xff\xff", "no MQTT"),
        (packet(0x32, b"\0"), "protocol"),
        (packet(0x32, b"\0\1t"), "packet id"),
        (packet(0x30, b"\0\2\xff\xff"), "protocol"),
        (packet(0x40, b"\0"), "protocol"),
    ],
)
async def test_what_is_no_mqtt_ends_the_connection(data, words):
    async with Broker() as broker, Session(broker, max_packet=1000) as session:
        broker.write(data)
        assert words in await session.ended()


async def test_run_can_be_cancelled():
    async with Broker() as broker, Session(broker) as session:
        session.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await session.running
        await broker.until(lambda: True)


class Owner:
    """Who has nothing to say."""

    def online(self):
        pass

    offline = online


@pytest.mark.parametrize("drops_at", [None, b.CONNECT, b.SUBSCRIBE])
async def test_an_edge_that_is_told_to_stop_stops_whatever_its_connection_is_at(drops_at, monkeypatch):
    async with Broker() as broker:
        heard = broker._heard

        def hear(head, body):
            heard(head, body)
            if head >> 4 == drops_at:
                broker.writer.close()

        monkeypatch.setattr(broker, "_heard", hear)
        for turns in range(80):
            link = Link("dev", Owner(), 1, lambda: 0.5, lambda line: None)
            serving = asyncio.create_task(link.serve("127.0.0.1", broker.port, None, None, 0.001))
            for _ in range(turns):
                await asyncio.sleep(0)
            serving.cancel()
            await asyncio.wait([serving], timeout=5)
            assert serving.cancelled(), f"goes on after {turns} turns of the loop"


async def test_nagle_is_off():
    async with Broker() as broker, Session(broker) as session:
        raw = session.client.writer.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
