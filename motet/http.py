"""The ports that speak HTTP, over httpx2: the only place of the client that does I/O."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from motet import calls
from motet.calls import Call
from motet.extras import need
from motet.port import AwaitingPort, BlockingPort
from shared.errors import BadRequest, Unavailable

if TYPE_CHECKING:
    import httpx2


class BlockingHttp(BlockingPort):
    def __init__(self, url: str, transport: "httpx2.BaseTransport | None", timeout: float) -> None:
        """BadRequest (code `bad_url`) when it is no address; MotetError (`missing_extra`) without httpx2."""
        options = _options(url, timeout)
        import httpx2

        self.url, self._timeout = url, timeout
        self._http = httpx2.Client(transport=transport, **options)

    async def close(self) -> None:
        self._http.close()

    async def send(self, call: Call) -> Any:
        with _sentences(self.url):
            response = self._http.request(**_request(call))
        return _read(self.url, response, call)

    @asynccontextmanager
    async def stream(self, call: Call, last_id: str, silence_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        with (
            _sentences(self.url),
            self._http.stream(**_listening(call, last_id, self._timeout, silence_s)) as response,
        ):
            if response.status_code != 200:
                response.read()
                _read(self.url, response, call)
            yield _pieces(response)


class AwaitingHttp(AwaitingPort):
    def __init__(self, url: str, transport: "httpx2.AsyncBaseTransport | None", timeout: float) -> None:
        """As BlockingHttp."""
        options = _options(url, timeout)
        import httpx2

        self.url, self._timeout = url, timeout
        self._http = httpx2.AsyncClient(transport=transport, **options)

    async def close(self) -> None:
        await self._http.aclose()

    async def send(self, call: Call) -> Any:
        with _sentences(self.url):
            response = await self._http.request(**_request(call))
        return _read(self.url, response, call)

    @asynccontextmanager
    async def stream(self, call: Call, last_id: str, silence_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        with _sentences(self.url):
            async with self._http.stream(**_listening(call, last_id, self._timeout, silence_s)) as response:
                if response.status_code != 200:
                    await response.aread()
                    _read(self.url, response, call)
                yield response.aiter_bytes()


def _options(url: str, timeout: float) -> dict[str, Any]:
    need("client", "motet's client needs the HTTP library")
    import httpx2

    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BadRequest(f"{url!r} is no address of a hub: write http://HOST:PORT", "bad_url")
    # A proxy of the environment is never the way to this machine itself.
    local = parsed.host in ("127.0.0.1", "::1", "localhost")
    options = {"base_url": url, "timeout": timeout, "trust_env": not local}
    if parsed.scheme == "https":
        import ssl

        # The system's certificates, or those of SSL_CERT_FILE: also for this machine, where a hub has its own.
        options["verify"] = ssl.create_default_context()
    return options


def _request(call: Call) -> dict[str, Any]:
    files = None if call.upload is None else {"file": ("module.wasm", call.upload, "application/wasm")}
    return {"method": call.method, "url": call.path, "json": call.json, "params": dict(call.query), "files": files}


def _listening(call: Call, last_id: str, timeout: float, silence_s: float) -> dict[str, Any]:
    import httpx2

    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    return {**_request(call), "headers": headers, "timeout": httpx2.Timeout(timeout, read=silence_s)}


async def _pieces(response: "httpx2.Response") -> AsyncIterator[bytes]:
    for piece in response.iter_bytes():
        yield piece


def _read(url: str, response: "httpx2.Response", call: Call) -> Any:
    retry_after = response.headers.get("Retry-After")
    return calls.answer(url, response.status_code, response.content, retry_after, call.text)


@contextmanager
def _sentences(url: str) -> Iterator[None]:
    """Turns what goes wrong on the way into Unavailable."""
    import httpx2

    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise Unavailable(f"no hub answers at {url}: start one with `motet hub`", "no_hub") from error
    except httpx2.TimeoutException as error:
        raise Unavailable(f"the hub at {url} did not answer in time", "no_answer") from error
    except httpx2.HTTPError as error:
        raise Unavailable(f"the connection to the hub at {url} broke: {error}", "broken") from error
