"""Who is let in, and that nobody else changes anything."""

import asyncio
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest

from hub.link.embedded import EmbeddedLink
from shared import topics
from tests.link import rawclient as raw
from tests.link.conftest import Ear, Start, eventually
from tests.link.rawclient import RawClient


class Keys:
    """Credentials that know one password a device."""

    def __init__(self, **passwords: str) -> None:
        self.passwords = passwords

    async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
        return username is not None and password == self.passwords.get(device, "").encode()


async def test_a_device_connects_subscribes_and_is_known(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.device(link.address, "d1", username="d1", password=b"x")
    assert ear.events == [("connected", "d1")]
    assert link.is_connected("d1")
    await device.leave()
    await ear.heard("disconnected", "d1")
    assert not link.is_connected("d1")
    assert link.counters["accepted"] == 1


async def test_every_socket_sends_at_once(link: EmbeddedLink) -> None:
    await RawClient.device(link.address, "d1")
    transport = link._door.connection("d1")._transport
    assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (raw.connect_packet("d1", level=5), 1),
        (raw.connect_packet("d 1"), 2),
        (raw.connect_packet(""), 2),
        (raw.connect_packet("d1", username="d2"), 5),
        (raw.connect_packet("d1", will=("motet/v1/d/victim/up/gone", b"")), 5),
        (raw.connect_packet("d1", protocol="HTTP"), None),
        (b"GET / HTTP/1.1\r\n\r\n", None),
        (raw.packet(0x10, bytes(5000)), None),
    ],
)
async def test_a_wrong_connect_gets_its_code_and_a_close(
    link: EmbeddedLink, ear: Ear, wrong: bytes, code: int | None
) -> None:
    client = await RawClient.open(link.address)
    client.write(wrong)
    assert await client.closed() == (b"" if code is None else bytes((0x20, 2, 0, code)))
    assert ear.events == []
    assert link.counters["refused_connect"] == 1


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("victim_clean", [True, False])
async def test_a_wrong_password_changes_nothing_for_anybody(
    start: Start, ear: Ear, clean: bool, victim_clean: bool
) -> None:
    link = await start(credentials=Keys(victim="right"))
    will = (topics.up("victim", "gone"), b"of the victim")
    victim = await RawClient.device(
        link.address, "victim", clean=victim_clean, username="victim", password=b"right", will=will
    )
    attacker = await RawClient.open(link.address)
    injected = (topics.up("victim", "gone"), b"injected")
    assert await attacker.connect("victim", clean=clean, username="victim", password=b"wrong", will=injected) == 5
    await attacker.closed()
    assert link.counters["refused_login"] == 1
    assert link.send("victim", b"still yours")
    assert await victim.hear() == b"still yours"
    assert ear.events == [("connected", "victim")]
    await victim.die()
    await ear.heard("message", "victim", "gone", b"of the victim")


class Slow:
    """Credentials that take their time."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
        self.asked.set()
        await self.answer.wait()
        return True


async def test_stop_does_not_wait_for_credentials(start: Start, ear: Ear) -> None:
    credentials = Slow()
    link = await start(credentials=credentials)
    client = await RawClient.open(link.address)
    client.write(raw.connect_packet("d1"))
    await credentials.asked.wait()
    async with asyncio.timeout(1):
        await link.stop()
    assert ear.events == []


async def test_a_device_that_is_reset_before_connack_leaves_nothing(start: Start, ear: Ear) -> None:
    credentials = Slow()
    link = await start(credentials=credentials)
    client = await RawClient.open(link.address)
    client.write(raw.connect_packet("d1"))
    await credentials.asked.wait()
    reset_on_close = struct.pack("ii", 1, 0)
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_on_close)
    await client.die()
    credentials.answer.set()
    await eventually(lambda: not link._door._tasks)
    assert link._broker.sessions == {}
    assert ear.events in ([], [("connected", "d1"), ("disconnected", "d1")])


async def test_credentials_that_hang_or_fail_cost_only_that_connection(start: Start, ear: Ear) -> None:
    class Odd:
        async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
            if device == "slow":
                await asyncio.Event().wait()
            if device == "bad":
                raise RuntimeError("no such key file")
            return True

    link = await start(credentials=Odd(), connect_s=0.1)
    bad, gone, slow = [await RawClient.open(link.address) for _ in range(3)]
    bad.write(raw.connect_packet("bad"))
    assert await bad.closed() == b""
    gone.write(raw.connect_packet("slow"))
    await gone.die()
    assert await slow.connect("slow") == 3
    assert link.counters["errors"] == 1
    await RawClient.device(link.address, "good")
    assert ear.events == [("connected", "good")]


async def test_silent_sockets_are_closed(start: Start) -> None:
    link = await start(connect_s=0.2)
    silent = [await RawClient.open(link.address) for _ in range(200)]
    for client in silent[::2]:
        client.write(b"\x10")
    await asyncio.gather(*(client.closed() for client in silent))
    assert not link._door._connections


async def test_a_connect_that_drips_in_is_too_slow(start: Start) -> None:
    link = await start(connect_s=0.2)
    client = await RawClient.open(link.address)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    closing = asyncio.ensure_future(client.closed())
    for byte in raw.connect_packet("a-device-with-a-long-name"):
        client.write(bytes((byte,)))
        await asyncio.wait([closing], timeout=0.02)
        if closing.done():
            break
    await closing
    assert loop.time() - begin < 0.5


async def test_over_the_limit_of_connections_a_socket_is_closed(start: Start) -> None:
    link = await start(connections=2)
    devices = [await RawClient.device(link.address, name) for name in ("d1", "d2")]
    third = await RawClient.open(link.address)
    assert await third.closed() == b""
    assert link.counters["refused_full"] == 1
    await devices[0].leave()
    await eventually(lambda: len(link._door._connections) == 1)
    await RawClient.device(link.address, "d3")


async def test_a_silent_device_is_kicked_at_one_and_a_half_keep_alives(start: Start, ear: Ear) -> None:
    link = await start(keep_alive_least_s=0.2, keep_alive_default_s=0.2)
    loop = asyncio.get_running_loop()
    for asked in (0, 1):
        device = await RawClient.device(link.address, f"d{asked}", keep_alive=asked)
        begin = loop.time()
        await device.closed()
        assert (0.3 if asked == 0 else 1.5) - 0.01 < loop.time() - begin
    assert link.counters["kicked"] == 2


async def test_a_device_that_pings_stays(start: Start) -> None:
    link = await start(keep_alive_least_s=0.1, keep_alive_most_s=0.1)
    device = await RawClient.device(link.address, "d1")
    for _ in range(6):
        await asyncio.sleep(0.05)
        await device.ping()
    assert link.is_connected("d1")


async def test_a_second_connect_ends_the_connection(link: EmbeddedLink) -> None:
    device = await RawClient.device(link.address, "d1")
    device.write(raw.connect_packet("d1"))
    await device.closed()


async def test_what_a_device_sends_before_connack_is_dealt_with_after_it(link: EmbeddedLink, ear: Ear) -> None:
    device = await RawClient.open(link.address)
    device.id = "d1"
    device.write(
        raw.connect_packet("d1")
        + raw.subscribe_packet(topics.down("d1"))
        + raw.publish_packet(topics.up("d1", "hello"), b"{}", packet_id=7)
    )
    kinds = [(await device.read()).kind for _ in range(3)]
    assert kinds == [raw.CONNACK, raw.SUBACK, raw.PUBACK]
    assert ear.events == [("connected", "d1"), ("message", "d1", "hello", b"{}")]


async def test_connect_and_disconnect_in_one_breath_is_a_whole_life(link: EmbeddedLink, ear: Ear) -> None:
    for _ in range(20):
        client = await RawClient.open(link.address)
        client.write(raw.connect_packet("d1", will=(topics.up("d1", "gone"), b"")) + raw.DISCONNECT)
        client.writer.write_eof()
        await client.closed()
    await ear.until(lambda: len(ear.events) == 40)
    assert ear.events == [("connected", "d1"), ("disconnected", "d1")] * 20


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "both.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {path} -out {path}.crt"
    try:
        subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl to make a certificate with")
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


async def test_tls_serves_the_same_devices(start: Start, ear: Ear, certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    link = await start(ssl=server)
    device = await RawClient.open(link.address, ssl=ssl.create_default_context(cafile=certificate))
    assert await device.connect("d1") == 0
    assert await device.subscribe() == [1]
    await device.publish("result", bytes(60_000))
    assert link.send("d1", bytes(200_000))
    assert await device.hear() == bytes(200_000)
    plain = await RawClient.open(link.address)
    plain.write(raw.connect_packet("d2"))
    await plain.closed()
    assert ear.events == [("connected", "d1"), ("message", "d1", "result", bytes(60_000))]
