"""The port between the client and whatever carries its calls to a hub: HTTP (http.py), or one's own way."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from motet.both import finished
from motet.calls import Call

# How often an event that only threads can wait for is looked at.
LOOK_S = 0.05
# Between two tries of what is done at an event.
AGAIN_S = 1.0

Act = Callable[[], Coroutine[Any, Any, bool]]


class Port(ABC):
    """Subclass BlockingPort for a Client, AwaitingPort for an AsyncClient; what fails on the way is Unavailable."""

    url: str

    @abstractmethod
    async def send(self, call: Call) -> Any:
        """The JSON of the answer; raises the MotetError of calls.answer."""

    @abstractmethod
    def stream(self, call: Call, last_id: str, silence_s: float) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of an event stream behind the event last_id ("": from now on), as they come.

        Raises what send() raises when the hub refuses it, Unavailable after silence_s without a byte.
        """

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    def watch(self, event: "threading.Event | asyncio.Event | None", act: Act) -> AbstractAsyncContextManager[None]:
        """While entered, act is called when the event is set, and again until it answers True."""


class BlockingPort(Port):
    """Its coroutines block and never suspend; send() may be called from several threads."""

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  it is meant to block

    @asynccontextmanager
    async def watch(self, event: "threading.Event | asyncio.Event | None", act: Act) -> AsyncIterator[None]:
        if event is None:
            yield
            return
        if not isinstance(event, threading.Event):
            raise TypeError("a blocking client needs a threading.Event")
        over = threading.Event()

        def look() -> None:
            while not event.wait(LOOK_S):
                if over.is_set():
                    return
            while not finished(act()) and not over.wait(AGAIN_S):
                pass

        thread = threading.Thread(target=look, name="motet-cancel", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class AwaitingPort(Port):
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def watch(self, event: "threading.Event | asyncio.Event | None", act: Act) -> AsyncIterator[None]:
        if event is None:
            yield
            return

        async def look() -> None:
            if isinstance(event, asyncio.Event):
                await event.wait()
            while not event.is_set():  # noqa: ASYNC110  nothing can be awaited of a threading.Event
                await asyncio.sleep(LOOK_S)
            while not await act():  # noqa: ASYNC110  it may answer otherwise
                await asyncio.sleep(AGAIN_S)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
