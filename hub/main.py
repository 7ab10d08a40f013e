"""The hub put together: opens the store, starts the link and the API, and stops them again in the right order."""

import asyncio
import gc
import ipaddress
import logging
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hub.api import guard
from hub.archivist import Bounds
from hub.assembly import Assembly
from hub.core.model import Policy
from hub.link.embedded import EmbeddedLink
from hub.link.limits import limits_for
from hub.listener import Server, listen
from hub.modules import hosts
from hub.modules.images import Images, Sources
from hub.tls import server_context
from shared.errors import MotetError

log = logging.getLogger("motet.hub")

# A full garbage collection took 40 to 59 ms at 33,000 tasks: it is to be rare. Documents have no cycles.
COLLECTION = (50_000, 20, 100)
# For tasks that are nearly done.
DRAIN_S = 1.0
OPEN_FILES = 16_384
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved once, never changed. A port of 0 means any free one."""

    host: str = "127.0.0.1"
    port: int = 7070
    mqtt_port: int = 1883
    data: str = "motet-data"
    insecure: bool = False
    recover: bool = False
    beat_s: float = 10.0
    lease_s: float = 30.0
    task_timeout_s: float = 300.0
    max_pending: int = 100_000
    keep_tasks: int = 10_000
    keep_mb: int = 32
    keep_days: float = 7.0
    history_mb: int = 512
    history_days: float = 0.0
    image_host: tuple[str, ...] = hosts.DEFAULT
    image_dir: str = ""
    registry_auth: str = ""
    tls_cert: str = ""
    tls_key: str = ""


class Hub:
    """One hub. start() returns when it can be reached, at `url` and at `link.address`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Before the store is read: what comes of that stays.
        gc.set_threshold(*COLLECTION)
        policy = Policy(
            settings.beat_s,
            settings.lease_s,
            settings.task_timeout_s,
            settings.max_pending,
            keep_tasks=settings.keep_tasks,
            keep_bytes=settings.keep_mb << 20,
            keep_s=settings.keep_days * DAY_S,
        )
        bounds = Bounds(settings.history_mb << 20, settings.history_days * DAY_S)
        names = guard.LOOPBACK | {settings.host} if is_loopback(settings.host) else None
        self._tls = server_context(settings.tls_cert, settings.tls_key)
        limits = limits_for(settings.beat_s)
        self.link = EmbeddedLink(settings.host, settings.mqtt_port, limits=limits, ssl=self._tls)
        self.parts = Assembly(
            Path(settings.data), self.link, policy, recover=settings.recover, bounds=bounds, names=names
        )
        sources = Sources(settings.image_host, settings.image_dir, settings.registry_auth)
        self.images = self.parts.library.images = Images(sources, self.parts.library.kept)
        self.url = ""
        self._server: Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises OSError when a port is taken."""
        for name in self.parts.journal.recovered:
            log.warning("set aside the damaged file %s", name)
        await self.parts.start()
        listener = listen(self.settings.host, self.settings.port)
        try:
            await self.link.start(self.parts.bridge)
        except BaseException:
            listener.close()
            raise
        host, port = listener.getsockname()[:2]
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        self._server = Server(self.parts.app, self._tls)
        serving = asyncio.create_task(self._server.serve([listener]))
        await self._server.ready.wait()
        if not self._server.started:
            listener.close()
            await serving
        self._serving = serving
        # What lives now lives as long as the hub: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Starts nothing more, lets what is nearly done be reported, lets devices go, writes what waits.

        What still runs goes on without the hub: its result waits on the device for the next start.
        """
        await self.parts.runtime.drain(DRAIN_S)
        self.parts.feed.close()
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        await self.link.stop()
        await self.images.close()
        await self.parts.stop()


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, insecure: bool) -> str | None:
    """Why the hub must not listen there, None when it may."""
    if insecure or is_loopback(host):
        return None
    return (
        f"{host} can be reached from other machines, and this version knows no credentials: "
        "anybody there could run code on your devices. Add --insecure if the network is yours alone."
    )


async def _serve(settings: Settings, say: Callable[[str], None]) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    hub = Hub(settings)
    try:
        await hub.start()
    except OSError as error:
        await hub.stop()
        log.error("cannot listen: %s", error)
        return 1
    host, port = hub.link.address
    say(f"motet hub is ready: {hub.url} (MQTT on {host}:{port}, data in {settings.data})")
    await stop.wait()
    log.info("stopping")
    await hub.stop()
    return 0


def run(settings: Settings) -> int:
    """Runs a hub until SIGINT or SIGTERM; the exit code. One line on stdout tells that it is ready, the rest is log."""
    # It writes every URL whole, with the keys that may be in it.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    _allow_connections()
    refusal = check_host(settings.host, settings.insecure)
    if refusal is not None:
        log.error("%s", refusal)
        return 1
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, _say))
    except MotetError as error:
        log.error("%s", error.message)
        return 1


def _allow_connections() -> None:
    """As many open files as the system lets us have: each device and each reader is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft if soft == resource.RLIM_INFINITY else max(soft, most), hard))


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where the extra `fast` has installed it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
