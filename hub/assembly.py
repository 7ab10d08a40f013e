"""A hub without its sockets: every part between the link to the devices and HTTP, put together once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from hub.api.app import build
from hub.api.counting import Requests
from hub.api.events import Feed
from hub.archivist import Archivist, Bounds
from hub.core.engine import Engine
from hub.core.model import Now, Policy, Put
from hub.library import GRACE_S, Library, prepare_old
from hub.link.bridge import Bridge
from hub.link.port import Link
from hub.metrics import registry_of
from hub.runtime import Runtime
from hub.store.blobs import Blobs
from hub.store.history import NAME, History, was_moved_to
from hub.store.journal import Journal
from hub.store.logs import Logs
from hub.store.sqlite import HistoryDamaged, set_aside
from hub.telemetry import Telemetry
from hub.updates import Updates


class Assembly:
    """`app` answers HTTP, `bridge` hears devices. The link is started by its owner, between start() and stop()."""

    def __init__(
        self,
        data: Path,
        link: Link,
        policy: Policy,
        *,
        clock: Callable[[], Now] | None = None,
        recover: bool = False,
        bounds: Bounds = Bounds(),  # noqa: B008  it is frozen
        names: frozenset[str] | None = None,
    ) -> None:
        """names: what a request may call the hub in its Host header; None for anything."""
        self.journal = Journal(data / "store", recover=recover)
        self.runtime = Runtime(Engine(policy), self.journal, Blobs(data / "blobs"), clock)
        self.archivist = Archivist(self.runtime, _history(data / "store", self.journal, recover), bounds)
        self.library = Library(self.runtime, GRACE_S)
        self.updates = Updates(self.runtime, self.library)
        self.feed = Feed()
        self.bridge = Bridge(link, self.archivist.submit, self.updates.read, self.runtime.clock, policy)
        self.telemetry = Telemetry(self.runtime.engine.world, Logs(data / "logs"), self.runtime.clock)
        self.telemetry.on_said = self.feed.say
        self.bridge.on_log = self.telemetry.hear_log
        self.bridge.on_greeted = self.updates.greeted
        self.bridge.on_publish = self.telemetry.hear_publish
        self.runtime.on_send = self.bridge.send
        self.runtime.on_changed = self._changed
        self.runtime.on_discard = self.library.discard
        self.runtime.on_fetch = self.library.fetch
        self.runtime.on_recovered += self.bridge.recovered, self.library.recovered
        requests = Requests()
        self.archivist.on_gone = self.telemetry.forget_task
        self.registry = registry_of(self.runtime, self.archivist, self.bridge, self.telemetry, self.feed, requests)
        self.app = build(
            self.runtime,
            self.archivist,
            self.library,
            self.updates,
            self.telemetry,
            self.feed,
            self.registry,
            requests,
            str(uuid4()),
            names,
        )

    def _changed(self, put: Put) -> None:
        self.feed.publish(put)
        self.library.changed(put)
        self.telemetry.changed(put)

    async def start(self) -> None:
        """Takes up what the store holds."""
        await asyncio.to_thread(prepare_old, self.journal, self.runtime.blobs)
        await self.runtime.start(await self.archivist.prepare(self.journal))
        self.bridge.epoch = self.runtime.epoch
        await self.library.open()
        known = await self.archivist.known(self.telemetry.strangers())
        self.telemetry.open(known)
        self.archivist.open()

    async def stop(self) -> None:
        """Writes what waits, and lets go of the store. Neither requests nor messages must come any more."""
        await self.updates.close()
        await self.archivist.close()
        await self.library.close()
        await self.runtime.stop()
        await self.telemetry.close()


def _history(directory: Path, journal: Journal, recover: bool) -> History:
    """The journal, which holds the directory, is let go of when there is none."""
    path = directory / NAME
    try:
        return History(path, may_be_new=not was_moved_to(journal.tables))
    except HistoryDamaged:
        if not recover:
            journal.close()
            raise
        journal.recovered.append(set_aside(path))
        return History(path)
    except BaseException:
        journal.close()
        raise
