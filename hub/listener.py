"""The HTTP listener: uvicorn, with bounds on what a client can hold open without asking anything.

uvicorn bounds neither connections nor the size of a head, and waits for ever: for the rest of a request, and for a
client that does not read its answer.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger("motet.api")

CONNECTIONS = 1000
HEAD_BYTES = 64 << 10
# From the first byte of a head, or an open connection, to its end; within a body and an answer, from byte to byte.
PATIENCE_S = 30.0
# What a request that is being answered may still take when the hub stops, and one that waits for its client.
GRACE_S = 5
WAITING_GRACE_S = 0.5


class Bounded(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """A connection that is ended when its client is too slow or asks too much. Every end is an abort."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._in_head = self._in_body = False
        self._head = 0
        self._since = self.loop.time()
        self._watch: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._watch = self.loop.call_later(PATIENCE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._watch, self._stalled):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if isinstance(self, H11Protocol):
            self._in_head, self._in_body = bool(self.conn.trailing_data[0]), self.conn.their_state is h11.SEND_BODY
        if self._in_head:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._end("the head of its request is too large")
        else:
            self._head, self._since = 0, self.loop.time()

    def on_message_begin(self) -> None:
        self._in_head, self._since = True, self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(PATIENCE_S, self._end, "it does not read its answer")

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    @property
    def owes(self) -> bool:
        """Whether the client has to send: a first request, or the rest of one. A body that was refused counts too."""
        return self.cycle is None or self._in_head or (self._in_body and not self.flow.read_paused)

    def _look(self) -> None:
        left = self._since + PATIENCE_S - self.loop.time()
        if self.owes and left <= 0:
            self._end("it does not send the rest of its request")
        else:
            self._watch = self.loop.call_later(left if left > 0 else PATIENCE_S, self._look)

    def _end(self, why: str) -> None:
        log.info("ended the connection of %s: %s", self.client, why)
        self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn without its signal handling, which would end the process before the store is closed."""

    def __init__(self, app: object, tls: ssl.SSLContext | None) -> None:
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            http=Bounded,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=HEAD_BYTES,
            ws="none",
        )
        config.load()
        config.ssl = tls  # it knows no context, only files, with its own idea of what to allow
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()  # or it has failed: then `serve` raises why

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who has stopped reading, or has not sent all of a request, does not keep the hub from stopping."""
        asyncio.get_running_loop().call_later(WAITING_GRACE_S, self._let_go)
        await super().shutdown(sockets)

    def _let_go(self) -> None:
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            if connection.owes or connection.flow.write_paused:
                connection.transport.abort()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)
