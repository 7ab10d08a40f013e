"""The API over a real runtime and journal, with a link in process and devices that answer at once."""

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from hub.archivist import Bounds
from hub.assembly import Assembly
from hub.core.model import Policy
from hub.library import Images
from hub.link.port import Handler, Link
from shared import PROTOCOL, messages

ADDITION = base64.b64decode("AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL")
FILE = base64.b64encode(ADDITION).decode()


class MemoryLink(Link):
    """A link without sockets: what is sent to a device lands in its list, or in its answer function."""

    def __init__(self) -> None:
        self.counters = {}
        self.handler: Handler | None = None
        self.devices: dict[str, Callable[[str, dict[str, Any]], None]] = {}
        self.kicked: list[str] = []

    async def start(self, handler: Handler) -> None:
        self.handler = handler

    async def stop(self) -> None:
        self.devices.clear()

    def send(self, device: str, payload: bytes) -> bool:
        if device not in self.devices:
            return False
        kind, fields = messages.read_down(payload)
        # As over a socket: never within the call that sends.
        asyncio.get_running_loop().call_soon(self.devices[device], kind, fields)
        return True

    def kick(self, device: str, reason: str) -> None:
        self.kicked.append(device)

    def is_connected(self, device: str) -> bool:
        return device in self.devices

    @property
    def address(self) -> tuple[str, int]:
        return ("memory", 0)


class Stage:
    """A hub in process, and a client that speaks HTTP to it."""

    def __init__(
        self,
        directory: Path,
        images: Images | None = None,
        policy: Policy = Policy(),  # noqa: B008  it is frozen
        bounds: Bounds = Bounds(),  # noqa: B008
    ) -> None:
        self.link = MemoryLink()
        self.parts = Assembly(directory, self.link, policy, bounds=bounds)
        self.parts.library.images = images
        self.runtime, self.bridge, self.feed = self.parts.runtime, self.parts.bridge, self.parts.feed
        transport = httpx2.ASGITransport(app=self.parts.app, raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://hub")
        self.held: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> "Stage":
        await self.parts.start()
        await self.link.start(self.bridge)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.feed.close()
        await self.http.aclose()
        await self.link.stop()
        await self.parts.stop()

    def join(self, device: str, answers: bool = True, slots: int = 4, boot: str = "b") -> None:
        """A device that adds its inputs, or one that keeps what it is told in `held`."""

        def hear(kind: str, fields: dict[str, Any]) -> None:
            if kind == "start" and answers:
                self.say(device, "started", fields)
                self.finish(device, fields)
            elif kind in ("start", "stop"):
                self.held.put_nowait({"device": device, "kind": kind, **fields})

        self.link.devices[device] = hear
        self.bridge.connected(device)
        hello = {"proto": PROTOCOL, "boot": boot, "agent": "0", "runtime": "stub", "caps": {}, "mem_free": 1,
                 "mem_total": 1, "slots": slots, "running": [], "outbox": []}  # fmt: skip
        self.bridge.message(device, "hello", messages.make_up("hello", hello))

    def say(self, device: str, kind: str, fields: dict[str, Any]) -> None:
        self.bridge.message(device, kind, messages.make_up(kind, fields))

    def finish(self, device: str, start: dict[str, Any], ok: bool = True, code: str = "trap_unreachable") -> None:
        inputs = start.get("inputs")
        total = sum(one for one in inputs if isinstance(one, int)) if isinstance(inputs, list) else 0
        outcome = {"ok": True, "outputs": [total], "text": f"{total}\n"} if ok else {
            "ok": False, "error": {"code": code, "message": "unreachable"}}  # fmt: skip
        self.say(device, "result", {"task": start["task"], "attempt": start["attempt"], **outcome})

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return await self.http.request(method, path, json=body, **more)

    async def ended(self, id: str) -> dict[str, Any]:
        """The task once it has ended; follows its events."""
        await asyncio.wait_for(self.http.get(f"/events?task_id={id}"), 5)
        answer: dict[str, Any] = (await self.http.get(f"/tasks/{id}")).json()
        return answer
