"""The library of modules: takes uploads in, keeps both forms of each, and lets go of what nobody refers to."""

import asyncio
import contextlib
import logging
from collections import Counter
from hashlib import sha256
from typing import Any, Protocol

from hub.core.commands import AddModule, Fetched, Sweep
from hub.core.model import MODULES, Doc, Put
from hub.modules.accept import Accepted, accept
from hub.modules.prepare import FORM
from hub.runtime import Runtime
from hub.store.blobs import Blobs
from hub.store.journal import Journal, StoreFailed
from shared.errors import BadRequest, Damaged, MotetError, NotFound

log = logging.getLogger("motet.hub")

# Up to this size, checking and preparing take less than 2 ms: not worth a thread.
INLINE_BYTES = 2 << 10
# More at a time would only take turns.
ACCEPTING = 2
# How long a module stays without a task, and how often one that does is looked for.
GRACE_S = 3600.0
SWEEP_S = 600.0


class Images(Protocol):
    """Where modules come from that tasks name by a url."""

    async def fetch(self, url: str) -> bytes:
        """The module behind a task's image_url; a MotetError says why there is none."""


class Library:
    """The modules of one hub. All calls come from the event loop; files and long checks are left to threads.

    Blobs are deleted only when the journal no longer has them, and never while an upload of the same bytes is on its
    way: that would leave a module without them.
    """

    def __init__(self, runtime: Runtime, grace_s: float = GRACE_S) -> None:
        self._runtime = runtime
        self._blobs = runtime.blobs
        self._modules = runtime.engine.world.modules
        # What fetches the modules that tasks name by a url.
        self.images: Images | None = None
        self._grace_s = grace_s
        self._accepting = asyncio.Semaphore(ACCEPTING)
        # Blobs that an upload is about to need, and those that are being deleted.
        self._wanted: Counter[str] = Counter()
        self._going: dict[str, asyncio.Task[None]] = {}
        self._fetching: set[asyncio.Task[None]] = set()
        # What came of a fetch while the hub was read-only.
        self._untold: list[Fetched] = []
        self._sweeper: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Lets go of what was left over, and from now on of what becomes so."""
        await self._sweep()
        self._sweeper = asyncio.create_task(self._keep_sweeping())

    async def close(self) -> None:
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for fetching in self._fetching:
            fetching.cancel()
        await asyncio.gather(*self._going.values(), *self._fetching, return_exceptions=True)

    async def take(self, data: bytes) -> str:
        """Checks, prepares and stores a module; its sha256. BadRequest (`bad_module`) or TooLarge say why not."""
        if len(data) <= INLINE_BYTES:
            sha = sha256(data).hexdigest()
        else:
            sha = await asyncio.to_thread(lambda: sha256(data).hexdigest())
        known = self._modules.get(sha)
        # Storing it again would cost syncs: 18 s for a job of 2,000 tasks with one module on an SD card.
        if known is not None and known.doc.get("prepared") and all(map(self._blobs.has, known.blobs)):
            self._runtime.submit(AddModule(known.doc))
            return sha
        if len(data) <= INLINE_BYTES:
            accepted = accept(data)
        else:
            async with self._accepting:
                accepted = await asyncio.to_thread(accept, data)
        await self._store(sha, data, accepted)
        return sha

    async def _store(self, sha: str, data: bytes, accepted: Accepted) -> None:
        doc = document(sha, accepted)
        forms = {sha: data, doc["prepared"]: accepted.prepared}
        self._wanted.update(forms.keys())
        try:
            for blob, content in forms.items():
                while (going := self._going.get(blob)) is not None:
                    await asyncio.wait([going])
                await asyncio.to_thread(self._blobs.put, content)
            await self._runtime.do(AddModule(doc))
        finally:
            self._wanted.subtract(forms.keys())
            for blob in forms:
                if not self._wanted[blob]:
                    del self._wanted[blob]

    def fetch(self, url: str) -> None:
        """Gets the module behind a url, and tells the engine what came of it."""
        if not self._closed:
            task = asyncio.create_task(self._fetch(url))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)

    async def _fetch(self, url: str) -> None:
        try:
            if self.images is None:
                raise BadRequest("this hub does not fetch modules by image_url: upload the module")
            fetched = Fetched(url, await self.take(await self.images.fetch(url)))
        except MotetError as error:
            fetched = Fetched(url, None, error.message)
        except Exception:
            log.exception("a module could not be fetched")
            fetched = Fetched(url, None, "the hub made a mistake while it fetched the module: its log says more")
        try:
            await self._runtime.do(fetched)
        except StoreFailed:
            self._untold.append(fetched)

    def recovered(self) -> None:
        """Changes are taken again."""
        untold, self._untold = self._untold, []
        for fetched in untold:
            self._runtime.submit(fetched)

    def kept(self, sha: str) -> bytes | None:
        """The bytes of a module, by the hash of its upload; None when they are not here. Blocks."""
        with contextlib.suppress(NotFound, Damaged):
            return self._blobs.get(sha) if sha in self._modules else None
        return None

    def read(self, blob: str, offset: int, count: int) -> tuple[bytes, int]:
        """So many bytes of a module's form from there, and its whole size; NotFound when there is none."""
        return self._blobs.read(blob, offset, count), self._blobs.size(blob)

    def changed(self, put: Put) -> None:
        """Tells people of a module that is quarantined."""
        quarantine = (put.doc or {}).get("quarantined") if put.table == MODULES else None
        if quarantine and "quarantined" in (put.changed or ()):
            log.warning("module %s is quarantined: %s", put.id, quarantine["reason"], extra={"sha256": put.id})

    def discard(self, blob: str) -> None:
        """Deletes a blob, unless it is needed by now; what is left at the end goes at the next start."""
        if not (self._needs(blob) or self._closed or blob in self._going):
            self._going[blob] = asyncio.create_task(self._delete(blob))

    def _needs(self, blob: str) -> bool:
        return blob in self._wanted or self._modules.with_form(blob) is not None

    async def _delete(self, blob: str) -> None:
        try:
            with contextlib.suppress(NotFound):  # a sweep may find what is about to go
                await asyncio.to_thread(self._blobs.delete, blob)
        except (MotetError, OSError) as error:
            log.warning("blob %s could not be deleted: %s", blob, error)
        finally:
            del self._going[blob]

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            with contextlib.suppress(MotetError):  # a hub that is read-only deletes nothing
                await self._sweep()

    async def _sweep(self) -> None:
        """Modules without a task, and blobs without a module: what a crash between two steps has left."""
        count = await self._runtime.do(Sweep(self._grace_s))
        if count:
            log.info("%d modules that no task refers to were deleted", count)
        old = await asyncio.to_thread(self._blobs.older_than, self._grace_s)
        loose = [blob for blob in old if not self._needs(blob)]
        # The module of one may have gone this moment, and not on the disk yet.
        await self._runtime.settled()
        for blob in loose:
            self.discard(blob)


def document(sha: str, accepted: Accepted) -> Doc:
    """What the hub knows of a module (hub.core.abi.Module)."""
    prepared = sha256(accepted.prepared).hexdigest()
    size = len(accepted.prepared)
    return {"id": sha, "prepared": prepared, "prepared_size": size, "form": FORM, **accepted.info.to_doc()}


def prepare_old(journal: Journal, blobs: Blobs) -> None:
    """Prepares the modules of a store that an older hub has left, before the engine sees them. Blocks."""
    old = [doc for doc in journal.tables.get(MODULES, {}).values() if doc.get("form") != FORM]
    for doc in old:
        changed = _prepared(blobs, doc["id"])
        journal.append([Put(MODULES, doc["id"], {**doc, **changed})])
        journal.flush()
    if old:
        log.info("%d modules of an older hub were prepared for devices", len(old))


def _prepared(blobs: Blobs, sha: str) -> dict[str, Any]:
    try:
        accepted = accept(blobs.get(sha))
    except MotetError as error:
        log.warning("module %s cannot be used any more: %s", sha, error.message, extra={"sha256": sha})
        return {"refused": error.message, "form": FORM, "prepared": None}
    blobs.put(accepted.prepared)
    return {**document(sha, accepted), "refused": None}
