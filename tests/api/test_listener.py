"""What a client can hold open without asking anything is bounded, and nobody keeps a hub from stopping."""

import asyncio
import contextlib
import time

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, StreamingResponse

from hub import listener
from hub.listener import Server, listen

QUICK_S = 0.2
GET = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n"
POST = b"POST /body HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000\r\n\r\n"


async def app(scope, receive, send):
    if scope["path"] == "/endless":
        answer = StreamingResponse(endless())
    elif scope["path"] == "/refused":
        answer = PlainTextResponse("too large", 413)
    elif scope["path"] == "/slow":
        await asyncio.sleep(3 * QUICK_S)
        answer = PlainTextResponse("at last")
    else:
        with contextlib.suppress(ClientDisconnect):
            await PlainTextResponse(str(len(await Request(scope, receive).body())))(scope, receive, send)
        return
    await answer(scope, receive, send)


async def endless():
    while True:
        yield b"x" * 100_000
        await asyncio.sleep(0)


class Listening:
    """The listener with that app."""

    async def __aenter__(self):
        socket = listen("127.0.0.1", 0)
        self.address = socket.getsockname()
        self.server = Server(app, None)
        self.serving = asyncio.create_task(self.server.serve([socket]))
        await self.server.ready.wait()
        self.opened = []
        return self

    async def open(self):
        reader, writer = await asyncio.open_connection(*self.address)
        self.opened.append(writer)
        return reader, writer

    async def answers(self, data):
        """The first line of the answer to it."""
        reader, writer = await self.open()
        writer.write(data)
        return await asyncio.wait_for(reader.readline(), 5)

    async def stop(self) -> float:
        """Seconds that it took."""
        began = time.perf_counter()
        self.server.should_exit = True
        await self.serving
        return time.perf_counter() - began

    async def __aexit__(self, *_):
        await self.stop()
        for writer in self.opened:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def ended(reader, timeout_s=5.0):
    """What still comes until the connection is over."""
    try:
        return await asyncio.wait_for(reader.read(), timeout_s)
    except ConnectionError:
        return b""


async def test_connections_beyond_the_bound_are_closed_at_once_and_those_within_go_on(monkeypatch):
    monkeypatch.setattr(listener, "CONNECTIONS", 2)
    async with Listening() as hub:
        first, second = await hub.open(), await hub.open()
        second[1].write(GET)
        assert b" 200 " in await second[0].readline()
        third = await hub.open()
        assert await ended(third[0]) == b""
        first[1].transport.abort()
        await asyncio.sleep(0.05)
        assert b" 200 " in await hub.answers(GET)


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: h", GET + b"GET / HT", POST + b"x"])
async def test_who_does_not_send_the_rest_of_a_request_is_let_go(monkeypatch, beginning):
    monkeypatch.setattr(listener, "PATIENCE_S", QUICK_S)
    async with Listening() as hub:
        reader, writer = await hub.open()
        writer.write(beginning)
        began = time.perf_counter()
        await ended(reader)
        assert QUICK_S <= time.perf_counter() - began + 0.05 < 3
        assert b" 200 " in await hub.answers(GET)


async def test_a_head_that_drips_is_not_awaited_for_ever_and_a_body_that_flows_is(monkeypatch):
    monkeypatch.setattr(listener, "PATIENCE_S", QUICK_S)
    async with Listening() as hub:
        _, head = await hub.open()
        body_reader, body = await hub.open()
        head.write(b"GET / HTTP/1.1\r\nX: ")
        body.write(POST)
        for _ in range(10):
            await asyncio.sleep(QUICK_S / 4)
            head.write(b"x")
            body.write(b"x" * 100)
        assert head.transport.is_closing()
        assert b" 200 " in await body_reader.readline()


async def test_a_head_without_end_is_cut_off():
    async with Listening() as hub:
        reader, writer = await hub.open()
        writer.write(b"GET / HTTP/1.1\r\nHost: hub\r\nX: ")
        for _ in range(20):
            writer.write(b"x" * 10_000)
            await asyncio.sleep(0)
        await ended(reader)
        # And behind a request that is being answered as well.
        reader, writer = await hub.open()
        writer.write(b"GET /slow HTTP/1.1\r\nHost: hub\r\n\r\nGET / HTTP/1.1\r\nX: " + b"x" * (3 * listener.HEAD_BYTES))
        assert b" 200 " not in await ended(reader)


async def test_who_does_not_read_is_let_go_and_who_waits_for_an_answer_is_not(monkeypatch):
    monkeypatch.setattr(listener, "PATIENCE_S", QUICK_S)
    async with Listening() as hub:
        _, writer = await hub.open()
        writer.write(b"GET /endless HTTP/1.1\r\nHost: hub\r\n\r\n")
        slow = await hub.answers(b"GET /slow HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert b" 200 " in slow
        await asyncio.sleep(3 * QUICK_S)
        assert not hub.server.server_state.tasks


async def test_a_body_that_was_refused_at_its_head_is_let_pass_so_that_the_answer_is_read():
    async with Listening() as hub:
        reader, writer = await hub.open()
        writer.write(b"POST /refused HTTP/1.1\r\nHost: hub\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(10):
            writer.write(b"x" * 100_000)
            await writer.drain()
        assert b" 413 " in await reader.readline()


@pytest.mark.parametrize("sent", [b"GET /endless HTTP/1.1\r\nHost: hub\r\n\r\n", POST, b"GET / HTTP/1.1\r\nX: x", b""])
async def test_nobody_who_stands_still_keeps_it_from_stopping(sent, caplog):
    async with Listening() as hub:
        _, writer = await hub.open()
        writer.write(sent)
        await asyncio.sleep(0.2)
        assert await hub.stop() < 1.5
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]
