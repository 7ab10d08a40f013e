"""The hub's own MQTT listener: what comes in is framed, bounded, checked and authenticated before the broker sees it.

amqtt acts on a CONNECT before it authenticates (a wrong password with a known client id publishes a foreign will and
takes the session over), hands a taken-over session to a connection that stays deaf, and has no time or size limits.
"""

import asyncio
import logging
import ssl as tls
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from hub.link import packets
from hub.link.budget import Budget
from hub.link.connection import Connection
from hub.link.limits import Limits

log = logging.getLogger(__name__)

Serve = Callable[[Connection, packets.Connect], Awaitable[None]]
"""The broker's part of a connection: calls `Connection.admit`, returns when the session is over."""


class Credentials(Protocol):
    """Who may speak as which device."""

    async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
        """Whether this CONNECT may be the device. The username, when given, is known to equal the device's id.

        It has `connect_s` to answer and must not block the loop (argon2 would, for 0.1 s a connect).
        """


class Anybody:
    """Credentials that let everyone in, for a hub on a network that is trusted. Enrolment, which gives each device its
    own key, replaces it."""

    async def check(self, device: str, username: str | None, password: bytes | None) -> bool:
        return True


class FrontDoor:
    """All connections, at most one a device: a newcomer with credentials ends the old connection, waits until its
    session is over, and only then reaches the broker."""

    def __init__(self, serve: Serve, limits: Limits, credentials: Credentials, counters: Counter[str]) -> None:
        self._serve = serve
        self._limits = limits
        self._credentials = credentials
        self._counters = counters
        self.inbound = Budget(limits.inbound_all_bytes, limits.inbound_each_bytes)
        self.outbound = Budget(limits.outbound_all_bytes, limits.outbound_each_bytes, limits.pressed_s)
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._connections: set[Connection] = set()
        self._devices: dict[str, Connection] = {}
        self._waiting: dict[Connection, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()

    async def open(self, host: str, port: int, ssl: tls.SSLContext | None) -> tuple[str, int]:
        """Listen, and tell the address; port 0 is any free one. OSError when it cannot be had."""
        loop = asyncio.get_running_loop()
        bounds: dict[str, Any] = {}
        if ssl is not None:
            bounds = {"ssl_handshake_timeout": self._limits.connect_s, "ssl_shutdown_timeout": self._limits.connect_s}
        self._server = await loop.create_server(
            lambda: Connection(self, self._limits, self._counters), host, port, ssl=ssl, backlog=512, **bounds
        )
        self._sweeper = loop.call_later(self._limits.sweep_s, self._sweep)
        name = self._server.sockets[0].getsockname()
        return name[0], name[1]

    async def close(self) -> None:
        """Close the listener and every connection, and wait until all sessions are over."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        if self._sweeper:
            self._sweeper.cancel()
        for connection in list(self._connections):
            connection.close()
        while self._connections:
            self._empty.clear()
            await self._empty.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def connection(self, device: str) -> Connection | None:
        """The device's connection, if it has one that was let in."""
        return self._devices.get(device)

    # What connections report

    def opened(self, connection: Connection) -> bool:
        if self._server is None or len(self._connections) >= self._limits.connections:
            self._counters["refused_full"] += 1
            return False
        self._connections.add(connection)
        return True

    def asked(self, connection: Connection, connect: packets.Connect) -> None:
        task = asyncio.create_task(self._host(connection, connect))
        self._tasks.add(task)
        self._waiting[connection] = task
        task.add_done_callback(self._tasks.discard)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
        task = self._waiting.pop(connection, None)
        if task is not None:
            task.cancel()

    # One connection, from CONNECT to the end

    async def _host(self, connection: Connection, connect: packets.Connect) -> None:
        try:
            await self._let_in(connection, connect)
        except packets.Refused as refused:
            self._counters["refused_login"] += 1
            connection.refuse(refused)
            return
        except Exception:
            self._failed(connection)
            return
        finally:
            self._waiting.pop(connection, None)
        self._devices[connection.device] = connection
        self._counters["accepted"] += 1
        try:
            await self._serve(connection, connect)
        except Exception:
            self._failed(connection)
        finally:
            del self._devices[connection.device]
            connection.close()
            connection.ended.set()

    async def _let_in(self, connection: Connection, connect: packets.Connect) -> None:
        """Check the credentials and end the connection that the device may still have."""
        device = connect.device
        try:
            async with asyncio.timeout(self._limits.connect_s):
                if not await self._credentials.check(device, connect.username, connect.password):
                    raise packets.Refused("wrong credentials", packets.NOT_AUTHORIZED)
                while old := self._devices.get(device):
                    self._counters["taken_over"] += not old.closed
                    old.close()
                    await old.ended.wait()
        except TimeoutError:
            raise packets.Refused("nobody could say in time whether it may come in", packets.UNAVAILABLE) from None

    def _failed(self, connection: Connection) -> None:
        self._counters["errors"] += 1
        log.exception("the connection of %s failed", connection.device, extra={"proplet": connection.device})
        connection.close()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            connection.sweep(now)
        self._sweeper = loop.call_later(self._limits.sweep_s, self._sweep)
