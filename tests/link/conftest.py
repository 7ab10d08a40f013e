"""A hub to knock at: an embedded link on a free port, and an ear that records what its handler is told."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from hub.link.embedded import EmbeddedLink
from hub.link.limits import Limits
from tests.link.rawclient import RawClient


class Ear:
    """A handler that keeps (what, device, ...) in order and can be waited for."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def connected(self, device: str) -> None:
        self._add(("connected", device))

    def disconnected(self, device: str) -> None:
        self._add(("disconnected", device))

    def message(self, device: str, kind: str, payload: bytes) -> None:
        self._add(("message", device, kind, payload))

    def _add(self, event: tuple[Any, ...]) -> None:
        self.events.append(event)
        self._changed.set()

    def payloads(self, device: str) -> list[bytes]:
        return [event[3] for event in self.events if event[:2] == ("message", device)]

    async def until(self, enough: Callable[[], bool], timeout_s: float = 10) -> None:
        async with asyncio.timeout(timeout_s):
            while not enough():
                self._changed.clear()
                await self._changed.wait()

    async def heard(self, *event: Any) -> None:
        """Wait for an event."""
        await self.until(lambda: event in self.events)


async def eventually(true: Callable[[], bool], timeout_s: float = 5, every_s: float = 0.005) -> None:
    """For what nobody reports."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(every_s)


@pytest.fixture
def ear() -> Ear:
    return Ear()


Start = Callable[..., Awaitable[EmbeddedLink]]


@pytest.fixture
async def start(ear: Ear) -> AsyncIterator[Start]:
    """start(credentials=..., ssl=..., **limits) -> a running link whose handler is `ear`."""
    links: list[EmbeddedLink] = []

    async def start(credentials: Any = None, ssl: Any = None, **limits: Any) -> EmbeddedLink:
        link = EmbeddedLink(
            "127.0.0.1", 0, limits=Limits(**{"sweep_s": 0.02, **limits}), credentials=credentials, ssl=ssl
        )
        await link.start(ear)
        links.append(link)
        return link

    yield start
    await RawClient.close_all()
    for link in links:
        await link.stop()
    assert len(asyncio.all_tasks()) == 1, "stop leaves tasks behind"
    gc.collect()  # a task or future that nobody looked at complains now, as an error of this test


@pytest.fixture
async def link(start: Start) -> EmbeddedLink:
    """A link with the limits of the contract."""
    return await start()
