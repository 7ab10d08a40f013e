"""HTTP for fetching modules: to permitted addresses only, and bounded in size, time and redirects."""

import asyncio
import contextlib
import ipaddress
import re
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import httpx2

from hub.modules.hosts import Hosts
from hub.modules.reader import refuse
from hub.modules.unpack import gunzip
from shared import VERSION

MAX_REDIRECTS = 5
# What is read of an answer that is no success.
MAX_EXPLANATION = 8 << 10
MAX_CHALLENGE = 4096

_BUSY = (429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 10.0
_WORD = re.compile(r'([\w-]+)(?:\s*(=)\s*(?:"((?:\\.|[^"\\])*)"|([^\s",]+)))?')
_PORTS = {"http": 80, "https": 443}

# (host, port) -> its addresses; OSError when there are none.
Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a fetch may take, in seconds. pauses: before each further try when a server is busy or out of reach."""

    connect_s: float = 5.0
    silence_s: float = 15.0
    whole_s: float = 120.0
    pauses: tuple[float, ...] = (0.5, 2.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of all redirects. body: cut off at MAX_EXPLANATION unless the status is 200."""

    url: httpx2.URL
    status: int
    headers: httpx2.Headers
    body: bytes

    def challenges(self) -> dict[str, dict[str, str]]:
        """{"bearer": {"realm": …, "service": …}} of the headers WWW-Authenticate (RFC 9110, 11.6.1)."""
        found: dict[str, dict[str, str]] = {}
        for header in self.headers.get_list("www-authenticate"):
            parameters: dict[str, str] = {}
            for word, equals, quoted, bare in _WORD.findall(header[:MAX_CHALLENGE]):
                if equals:
                    parameters[word.lower()] = re.sub(r"\\(.)", r"\1", quoted) or bare
                else:
                    parameters = found.setdefault(word.lower(), {})
        return found


class Session:
    """The requests of one fetch. Everything that goes wrong is `bad_module` with a sentence."""

    def __init__(self, client: httpx2.AsyncClient, bounds: Bounds) -> None:
        self._client = client
        self._bounds = bounds

    async def get(self, url: str, most: int, headers: Mapping[str, str] | None = None) -> Answer:
        """GET with up to MAX_REDIRECTS redirects. Authorization goes to the origin of the url only, see httpx2."""
        return await self._follow(self._request("GET", url, headers), most)

    async def post(self, url: str, most: int, form: Mapping[str, str]) -> Answer:
        """POST of a form; a redirect is an answer like any other."""
        return await self._ask(self._request("POST", url, None, form), most)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str] | None, form: Mapping[str, str] | None = None
    ) -> httpx2.Request:
        try:
            return self._client.build_request(method, url, headers=headers, data=form)
        except (httpx2.InvalidURL, ValueError) as error:
            refuse(f"{url[:80]!r} is no URL: {error}")

    async def _follow(self, request: httpx2.Request, most: int) -> Answer:
        for _ in range(MAX_REDIRECTS + 1):
            answer, onward = await self._send(request, most)
            if onward is None:
                return answer
            if request.url.scheme == "https" and onward.url.scheme != "https":
                refuse(f"{request.url.host} redirects from https to {onward.url.scheme}://{onward.url.host}")
            request = onward
        refuse(f"{request.url.host} redirects more than {MAX_REDIRECTS} times")

    async def _ask(self, request: httpx2.Request, most: int) -> Answer:
        return (await self._send(request, most))[0]

    async def _send(self, request: httpx2.Request, most: int) -> tuple[Answer, httpx2.Request | None]:
        """The answer, and where it redirects to; tried again when that may help."""
        for pause in (*self._bounds.pauses, None):
            try:
                answer, onward = await self._try(request, most)
                if answer.status not in _BUSY or pause is None:
                    return answer, onward
                pause = max(pause, _retry_after(answer.headers))
            except httpx2.HTTPError as error:
                if pause is None:
                    refuse(_sentence(request.url.host, error))
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or refuses")

    async def _try(self, request: httpx2.Request, most: int) -> tuple[Answer, httpx2.Request | None]:
        response = await self._client.send(request, stream=True)
        try:
            ok = response.status_code == 200
            body = await _body(response, most) if ok else await _explanation(response)
            return Answer(response.url, response.status_code, response.headers, body), response.next_request
        finally:
            await response.aclose()


@asynccontextmanager
async def session(
    hosts: Hosts, look_up: Resolve, bounds: Bounds, inner: httpx2.AsyncBaseTransport
) -> AsyncIterator[Session]:
    """A session that reaches what `hosts` permits, over `inner` (see transport())."""
    timeout = httpx2.Timeout(bounds.silence_s, connect=bounds.connect_s)
    headers = {"User-Agent": f"motet/{VERSION}", "Accept-Encoding": "identity"}
    async with httpx2.AsyncClient(
        transport=_Checked(hosts, look_up, inner), timeout=timeout, headers=headers, trust_env=False
    ) as client:
        yield Session(client, bounds)


def transport() -> httpx2.AsyncBaseTransport:
    """Trusts the certificates of the system, or those of SSL_CERT_FILE; making it reads them, for 10 ms and more.

    Keeps no connection: one to an address that two hosts share was checked for one of them only.
    """
    return httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_keepalive_connections=0))


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order of the system.

    In a thread that nobody waits for: one that asks a name server which is away cannot be stopped, and those of the
    loop keep a process from ending.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()

    def look_up() -> None:
        try:
            answer = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            tell(found.set_exception, error)
        else:
            tell(found.set_result, list(dict.fromkeys(str(address[0]) for *_, address in answer)))

    def tell(settle: Callable[[Any], None], what: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(lambda: None if found.done() else settle(what))

    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    return await found


class _Checked(httpx2.AsyncBaseTransport):
    """Every request, redirects too, comes through here: it goes to an address that was checked, and to no other.

    Nothing is looked up between the check and the connection; Host and the name in TLS stay those of the URL.
    """

    def __init__(self, hosts: Hosts, look_up: Resolve, inner: httpx2.AsyncBaseTransport) -> None:
        self._hosts = hosts
        self._look_up = look_up
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        host, port = url.raw_host.decode("ascii"), url.port or _PORTS.get(url.scheme, 0)
        if not port or not host:
            refuse(f"it leads to {url.scheme}://: only http and https are fetched")
        failed: httpx2.HTTPError = httpx2.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            pinned = httpx2.Request(
                request.method, url.copy_with(host=address), headers=request.headers, stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )  # fmt: skip
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                failed = error
        raise failed

    async def _addresses(self, host: str, port: int) -> list[str]:
        self._hosts.check_host(host, port)
        try:
            addresses = [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                addresses = await self._look_up(host, port)
            except (OSError, UnicodeError) as error:
                raise httpx2.ConnectError(f"its name cannot be looked up: {error}") from None
        for address in addresses:
            self._hosts.check_address(host, port, address)
        return addresses


async def _body(response: httpx2.Response, most: int) -> bytes:
    if int(response.headers.get("content-length") or 0) > most:
        _too_large(response, most)
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            _too_large(response, most)
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding in ("gzip", "x-gzip"):
        return await asyncio.to_thread(gunzip, bytes(body), most)
    if encoding not in ("identity", ""):
        refuse(f"{response.url.host} sends the encoding {encoding[:40]}: only gzip, and none, are understood")
    return bytes(body)


def _too_large(response: httpx2.Response, most: int) -> NoReturn:
    limit = f"{most >> 20} MiB" if most >> 20 else f"{most} bytes"
    refuse(f"{response.url.host} sends more than {limit}, the limit for this")


async def _explanation(response: httpx2.Response) -> bytes:
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= MAX_EXPLANATION:
            break
    return body[:MAX_EXPLANATION]


def _retry_after(headers: httpx2.Headers) -> float:
    """Seconds that a busy server asks for; a date, or more than we wait, counts as none."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 4 and float(text) <= _LONGEST_PAUSE_S else 0


def _sentence(host: str, error: httpx2.HTTPError) -> str:
    if isinstance(error, httpx2.ConnectTimeout):
        return f"{host} does not take the connection in time"
    if isinstance(error, httpx2.TimeoutException):
        return f"{host} fell silent"
    what = " ".join(str(error).split())[:200] or type(error).__name__
    return f"{host} cannot be reached: {what}"
