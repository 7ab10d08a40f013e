"""What tasks and devices say beside results: log lines, which are kept, and messages that tasks publish."""

import asyncio
import base64
import binascii
import logging
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from hub.core import attempts
from hub.core.model import PROPLETS, TASKS, Doc, Now, Put, Task
from hub.core.world import World
from hub.store.logs import Logs
from hub.store.rings import Bounds, Rings
from shared import host

log = logging.getLogger("motet.devices")

LEVELS = ("debug", "info", "warning", "error")
LOG, PUBLISH = "log", "publish"
FLUSH_S = 0.5
# Of each device, in memory only.
MESSAGES = Bounds(lines=100, bytes_each=1 << 20, bytes_all=16 << 20)


class Telemetry:
    """Lines and messages of this hub's devices. All calls come from the event loop.

    What belongs to an attempt counts only while that is the current one, on the device that says it; anything else is
    dropped and counted in `dropped`. on_said is called with the kind, the task and the document of what was said.
    """

    def __init__(self, world: World, logs: Logs, clock: Callable[[], Now]) -> None:
        self.dropped: Counter[str] = Counter()
        self.on_said: Callable[[str, Task, Doc], None] = lambda kind, task, said: None
        self._world = world
        self._logs = logs
        self._messages = Rings(MESSAGES)
        self._clock = clock
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="logs")
        self._timer: asyncio.TimerHandle | None = None

    # --- from devices

    def hear_log(self, device: str, fields: Doc) -> None:
        """fields as in hub.link.messages.UP["log"]."""
        level = fields["level"] if fields["level"] in LEVELS else "info"
        said: Doc = {"time": self._clock().wall, "level": level, "proplet": device, "text": fields["text"]}
        if "task" in fields and "attempt" in fields:
            task = self._current(LOG, device, fields)
            if task is None:
                return
            said["attempt"] = fields["attempt"]
            self._logs.add(_task(task.id), said)
            self.on_said(LOG, task, {"task": task.id, **said})
        else:
            if "task" in fields:
                said["task"] = fields["task"]
            self._logs.add(_device(device), said)
            # Quoted: a device must not write lines of its own into the hub's log.
            about = {"proplet": device, **({"task": fields["task"]} if "task" in fields else {})}
            log.info("%s: %r", device, fields["text"], extra=about)
        self._flush_soon()

    def hear_publish(self, device: str, fields: Doc) -> None:
        """fields as in hub.link.messages.UP["publish"]."""
        task = self._current(PUBLISH, device, fields)
        if task is None:
            return
        topic: str = fields["topic"]
        content: Doc = {key: fields[key] for key in ("text", "data") if key in fields}
        allowed = host.valid_topic(topic) and host.is_allowed(task.doc.get("allow") or [], PUBLISH, topic)
        if not allowed or len(content) != 1 or not _is_base64(content.get("data", "")):
            self.dropped[PUBLISH] += 1
            return
        said: Doc = {"time": self._clock().wall, "proplet": device, "task": task.id, "topic": topic, **content}
        self._messages.add(device, msgspec.json.encode(said))
        self.on_said(PUBLISH, task, said)

    def _current(self, kind: str, device: str, fields: Doc) -> Task | None:
        task = attempts.current(self._world, device, fields["task"], fields["attempt"])
        if task is None:
            self.dropped[kind] += 1
        return task

    # --- for people

    def task_logs(self, task: str) -> "Lines":
        return Lines(self._logs, _task(task))

    def device_logs(self, device: str) -> "Lines":
        """Lines that belong to no task."""
        return Lines(self._logs, _device(device))

    def messages(self, device: str) -> list[Doc]:
        """The last ones that tasks on the device have published, the oldest first."""
        return [msgspec.json.decode(said) for said in self._messages.read(device)]

    # --- its life

    def changed(self, put: Put) -> None:
        """What belongs to a task or a device goes with it."""
        if put.doc is None and put.table == TASKS:
            self.forget_task(put.id)
        elif put.doc is None and put.table == PROPLETS:
            self._forget(_device(put.id))
            self._messages.forget(put.id)

    def forget_task(self, id: str) -> None:
        self._forget(_task(id))

    def strangers(self) -> list[str]:
        """Tasks that have lines and are not in the store."""
        tasks = [key.removeprefix("task/") for key in self._logs.keys() if key.startswith("task/")]  # noqa: SIM118
        return [id for id in tasks if id not in self._world.tasks]

    def open(self, bygone: Collection[str] = ()) -> None:
        """Forgets those of tasks and devices that went without the file hearing of it; not those of bygone tasks."""
        known = {*map(_task, self._world.tasks), *map(_task, bygone), *map(_device, self._world.proplets)}
        for key in set(self._logs.keys()) - known:
            self._forget(key)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.get_running_loop().run_in_executor(self._disk, self._logs.close)
        self._disk.shutdown()

    def _forget(self, key: str) -> None:
        self._logs.forget(key)
        self._flush_soon()

    def _flush_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _flush(self) -> None:
        self._timer = None
        self._disk.submit(self._logs.flush).add_done_callback(_report)


def _report(flushed: Future[None]) -> None:
    error = flushed.exception()
    if error is not None:
        log.error("log lines could not be written", exc_info=error)


class Lines:
    """The log lines of one task or device, for a page of them."""

    def __init__(self, logs: Logs, key: str) -> None:
        self._logs = logs
        self._key = key
        self.total, self.dropped = logs.count(key)

    def read(self, offset: int, limit: int) -> list[Doc]:
        return self._logs.page(self._key, offset, limit)


def _task(id: str) -> str:
    return f"task/{id}"


def _device(id: str) -> str:
    return f"proplet/{id}"


def _is_base64(text: Any) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
