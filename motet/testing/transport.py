"""HTTP without sockets: transports of httpx2 into an ASGI app, whose answers stream, for both kinds of client."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

import httpx2
from starlette.types import ASGIApp, Message

T = TypeVar("T")


class InProcess(httpx2.AsyncBaseTransport):
    """Calls the app in this loop. httpx2's own ASGITransport keeps an answer back until it is whole."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        exchange = _Exchange(await request.aread(), request.extensions.get("timeout", {}).get("read"))
        exchange.running = asyncio.create_task(exchange.run(self._app, _scope(request)))
        try:
            start = await exchange.next()
        except BaseException:  # who asks has gone
            await exchange.close()
            raise
        assert start is not None and start["type"] == "http.response.start", "the app gave no answer"
        return httpx2.Response(start["status"], headers=start.get("headers", []), stream=_AsyncBody(exchange))


class Bridge(httpx2.BaseTransport):
    """The same for a client in another thread than the loop."""

    def __init__(self, app: ASGIApp, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = InProcess(app)
        self._loop = loop
        self._waiting: set[Future[Any]] = set()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        copy = httpx2.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=request.extensions
        )
        response = self.wait(self._inner.handle_async_request(copy))
        assert isinstance(response.stream, _AsyncBody)
        return httpx2.Response(response.status_code, headers=response.headers, stream=_Body(response.stream, self))

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The value of a coroutine of the loop's thread; ConnectError when the loop has ended, or ends meanwhile."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise httpx2.ConnectError(f"the hub has closed: {error}") from None
        self._waiting.add(future)
        if self._loop.is_closed():
            future.cancel()
        try:
            return future.result()
        except CancelledError:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
            raise httpx2.ConnectError("the hub has closed") from None
        finally:
            self._waiting.discard(future)

    def abandon(self) -> None:
        """The loop has closed: what was given to it after its last turn it will never do."""
        for future in list(self._waiting):
            future.cancel()


class _Exchange:
    """One request: what the app sends waits in a queue; None is its end."""

    running: "asyncio.Task[None]"

    def __init__(self, body: bytes, read_timeout: float | None) -> None:
        self._body: bytes | None = body
        self._read_timeout = None if read_timeout == float("inf") else read_timeout
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    async def run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._messages.put)
        finally:
            self._messages.put_nowait(None)

    async def next(self) -> Message | None:
        try:
            async with asyncio.timeout(self._read_timeout):
                return await self._messages.get()
        except TimeoutError:
            raise httpx2.ReadTimeout("the app is silent") from None

    async def close(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def _receive(self) -> Message:
        if self._body is None:
            # The client leaves by cancelling the app.
            await asyncio.Event().wait()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self.exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self.next()) is not None:
            yield piece

    async def next(self) -> bytes | None:
        message = await self.exchange.next()
        return None if message is None else message.get("body", b"")

    async def aclose(self) -> None:
        await self.exchange.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, body: _AsyncBody, bridge: Bridge) -> None:
        self._body = body
        self._bridge = bridge

    def __iter__(self) -> Iterator[bytes]:
        while (piece := self._bridge.wait(self._body.next())) is not None:
            yield piece

    def close(self) -> None:
        with suppress(httpx2.ConnectError):
            self._bridge.wait(self._body.aclose())


def _scope(request: httpx2.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
        "root_path": "",
    }
