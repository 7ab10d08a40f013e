"""Fetches the module that an image_url names: from the web, from a registry, or from a folder of the hub."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from hub.modules import credentials, digests, download, folder
from hub.modules.credentials import Login
from hub.modules.download import Answer, Bounds, Resolve, Session
from hub.modules.header import MAX_MODULE
from hub.modules.hosts import DEFAULT, Hosts, split
from hub.modules.reader import refuse
from hub.modules.references import Image, LocalFile, Web, parse
from hub.modules.registry import Pull
from hub.modules.unpack import module_in
from shared.errors import BadRequest, MotetError

log = logging.getLogger("motet.hub")

# Each holds up to 40 MiB: a layer, what it unpacks to, and the module.
MAX_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Sources:
    """What a hub was told about fetching: hosts (see Hosts), a folder for file://, a file of logins; "" for none."""

    hosts: tuple[str, ...] = DEFAULT
    folder: str = ""
    auth: str = ""


class Images:
    """Fetches modules, a few at a time and each image_url once at a time.

    kept: the bytes of a module by its sha256 if the hub has it; then what a digest names is not fetched again.
    """

    def __init__(
        self,
        sources: Sources,
        kept: Callable[[str], bytes | None] = lambda sha: None,
        bounds: Bounds = Bounds(),  # noqa: B008
        resolve: Resolve = download.resolve,
    ) -> None:
        """BadRequest `bad_config` when the folder or the file of logins is not there or not right."""
        self._sources = sources
        self._hosts = Hosts(sources.hosts)
        self._kept = kept
        self._bounds = bounds
        self._resolve = resolve
        self._places = asyncio.Semaphore(MAX_AT_ONCE)
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._transport: httpx2.AsyncBaseTransport | None = None
        if sources.folder and not Path(sources.folder).is_dir():
            raise BadRequest(f"image_dir: {sources.folder} is no folder", "bad_config")
        if sources.auth:
            credentials.read(sources.auth)

    async def fetch(self, url: str) -> bytes:
        """What the image_url names; not yet inspected.

        BadRequest `bad_module`: "cannot fetch <image_url>: " and what, why, what to do. Who asks while the same is
        being fetched gets the same; who stops waiting does not stop the others.
        """
        task = self._fetching.get(url)
        if task is None:
            task = self._fetching[url] = asyncio.create_task(self._fetch(url))
            task.add_done_callback(lambda done: self._ended(url, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends what is being fetched."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._transport is not None:
            await self._transport.aclose()

    def _ended(self, url: str, done: asyncio.Task[bytes]) -> None:
        del self._fetching[url]
        if not done.cancelled():
            # Nobody may be waiting any more; asyncio would complain of an error that nobody has seen.
            done.exception()

    async def _fetch(self, url: str) -> bytes:
        async with self._places:
            try:
                async with asyncio.timeout(self._bounds.whole_s):
                    data = await self._from(parse(url))
            except TimeoutError:
                sentence = f"it took over {self._bounds.whole_s:g} s"
            except MotetError as error:
                sentence = error.message
            except Exception:
                # A server that finds a hole in a library costs the task that named it, and the log tells where.
                log.exception("fetching a module broke in a way that is not known")
                sentence = "the hub could not make sense of what was sent; its log says more"
            else:
                log.info("fetched %s: %d bytes", _shown(url), len(data), extra={"url": _shown(url)})
                return data
        log.warning("could not fetch %s: %s", _shown(url), sentence, extra={"url": _shown(url)})
        refuse(f"cannot fetch {_shown(url)}: {sentence}")

    async def _from(self, source: Web | LocalFile | Image) -> bytes:
        if isinstance(source, Image):
            return await self._pull(source)
        if (kept := await self._known(source.digest)) is not None:
            return kept
        if isinstance(source, LocalFile):
            data = await asyncio.to_thread(folder.read, self._sources.folder, source.path)
        else:
            data = await self._load(source)
        if source.digest:
            digests.verify("file", data, source.digest)
        return data

    # --- the web

    async def _load(self, source: Web) -> bytes:
        async with self._session(self._hosts) as session:
            answer = await session.get(source.url, MAX_MODULE)
            login = await self._login(source.origin) if answer.status == 401 else None
            if login is not None and _asks_for_login(source, answer):
                if not source.url.lower().startswith("https:") and not self._is_local(source.origin):
                    refuse(f"{source.origin} wants a login, which goes over https only")
                answer = await session.get(source.url, MAX_MODULE, {"Authorization": login.basic()})
        if answer.status == 200:
            return answer.body
        if answer.status in (401, 403):
            refuse(f"{answer.url.host} wants {'another' if login else 'a'} login ({answer.status}, --registry-auth)")
        refuse(f"{answer.url.host} answers {answer.status}{': is the path right?' if answer.status == 404 else ''}")

    # --- registries

    async def _pull(self, image: Image) -> bytes:
        local = self._is_local(image.registry)
        self._hosts.check_host(*_host_and_port(image.registry, 80 if local else 443))
        # Registries send us on to their token services and to their stores, whose names change.
        async with self._session(self._hosts.opened()) as session:
            pull = Pull(image, session, await self._login(image.registry), plain=local)
            layer = await pull.layer()
            data = await self._known(layer.digest)
            if data is None:
                data = await pull.blob(layer)
        return await asyncio.to_thread(module_in, data)

    def _is_local(self, origin: str) -> bool:
        return self._hosts.is_local(*_host_and_port(origin, 80))

    # --- what both need

    @asynccontextmanager
    async def _session(self, hosts: Hosts) -> AsyncIterator[Session]:
        if self._transport is None:
            self._transport = await asyncio.to_thread(download.transport)
        async with download.session(hosts, self._resolve, self._bounds, self._transport) as session:
            yield session

    async def _login(self, origin: str) -> Login | None:
        """Read each time: logins of clouds are good for hours, and the file is written anew."""
        if not self._sources.auth:
            return None
        return (await asyncio.to_thread(credentials.read, self._sources.auth)).get(origin)

    async def _known(self, digest: str | None) -> bytes | None:
        name, _, sha = (digest or "").partition(":")
        return await asyncio.to_thread(self._kept, sha) if name == "sha256" else None


def _asks_for_login(source: Web, answer: Answer) -> bool:
    """Whether the host itself asks, and not one that it redirects to."""
    return answer.url.origin == httpx2.URL(source.url).origin and "basic" in answer.challenges()


def _host_and_port(origin: str, port: int) -> tuple[str, int]:
    host, given = split(origin)
    return host, given or port


def _shown(url: str) -> str:
    """Without a query, in which there may be a key."""
    return url.partition("#")[0].partition("?")[0][:200]
