"""A disk that is full at any step of a move: what ended is there, once, also after a kill, and it goes on by itself."""

import asyncio
import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import hub.archivist
import hub.runtime
import hub.store.disk
from hub.check.finding import OK
from hub.check.store import check_store
from hub.core.model import Policy
from hub.store.disk import StoreFailed
from shared import states
from tests.api.stage import Stage
from tests.effort import SOAK
from tests.store.test_history_cuts import TASK, holds

# So many writes in a row find no room.
FAILURES = 3
# So many has the story below, of the journal and of the history.
WRITES = 33


class Disk:
    """From its n-th write on, of the journal or the history, it is full for a while; an image is taken there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, n: int) -> None:
        self.there: set[str] = set()
        self.gone: set[str] = set()
        self.image: tuple[Path, set[str], set[str]] | None = None
        self._left = n
        self._folder = folder
        self._write = hub.store.disk.write_all
        self._lock = threading.Lock()
        monkeypatch.setattr(hub.store.disk, "write_all", self._written)

    def watch(self, stage: Stage) -> None:
        history = stage.parts.archivist.history
        for name in ("add", "remove"):
            setattr(history, name, self._of_history(getattr(history, name)))

    def _written(self, fd: int, data: bytes, offset: int) -> None:
        if not self._is_full():
            return self._write(fd, data, offset)
        self._write(fd, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _of_history(self, step: Any) -> Any:
        def call(*given: Any) -> Any:
            if self._is_full():
                raise StoreFailed("the history was not written, the disk is full", "disk_full")
            return step(*given)

        return call

    def _is_full(self) -> bool:
        with self._lock:
            self._left -= 1
            if not -FAILURES < self._left <= 0:
                return False
            if self.image is None:
                there, gone = set(self.there), set(self.gone)
                image = self._folder.with_name("image")
                shutil.copytree(self._folder, image, ignore=lambda folder, names: {"logs", "tmp"} & set(names))
                self.image = image, there, gone
            return True


def join(stage: Stage) -> None:
    """A device that reports until it is heard, as they do."""
    outbox: dict[str, dict[str, Any]] = {}

    def hear(kind: str, fields: dict[str, Any]) -> None:
        if kind == "start":
            outbox[fields["task"]] = fields
            stage.finish("d1", fields)
        elif kind == "ack":
            outbox.pop(fields["task"], None)
        elif kind == "welcome":
            for start in list(outbox.values()):
                stage.finish("d1", start)

    stage.join("d1")
    stage.link.devices["d1"] = hear


async def insist(stage: Stage, method: str, path: str, body: Any = None) -> int:
    """The answer, from when there is room. What was answered with 507 may be done: then it says so."""
    refused = False
    while (answer := await stage.call(method, path, body)).status_code == 507:
        refused = True
        assert answer.json()["code"] == "disk_full"
        await asyncio.sleep(0.005)
    assert answer.status_code < 300 or (refused and answer.status_code in (404, 409)), answer.text
    return answer.status_code


async def tell(stage: Stage, disk: Disk) -> None:
    for id in ("again", "deleted", "stays"):
        await insist(stage, "POST", "/tasks", {"id": id, **TASK})
        disk.there.add(id)
        await insist(stage, "POST", f"/tasks/{id}/start")
        assert (await stage.ended(id))["state"] == states.COMPLETED
    await stage.parts.archivist.calm()
    await insist(stage, "POST", "/tasks/again/start")
    disk.there.discard("deleted")
    await insist(stage, "DELETE", "/tasks/deleted")
    disk.gone.add("deleted")
    assert (await stage.ended("again"))["state"] == states.COMPLETED
    await stage.parts.archivist.calm()


@pytest.mark.parametrize("first", range(1, WRITES, 8))
async def test_a_full_disk_at_any_write_of_a_move_loses_nothing_and_doubles_nothing(first, tmp_path, monkeypatch):
    monkeypatch.setattr(hub.runtime, "ROOM_S", 0.01)
    monkeypatch.setattr(hub.archivist, "AGAIN_S", 0.01)
    for n in range(first, first + 8, 1 if SOAK else 3):
        folder = tmp_path / f"{n}" / "data"
        with monkeypatch.context() as patch:
            async with Stage(folder, policy=Policy(keep_tasks=0)) as stage:
                join(stage)
                disk = Disk(patch, folder, n)
                disk.watch(stage)
                async with asyncio.timeout(20):
                    await tell(stage, disk)
                    while stage.runtime.engine.world.tasks:  # all moves, once there is room
                        await stage.parts.archivist.calm()
                        await asyncio.sleep(0.005)
                assert sorted(task["id"] for task in (await stage.call("GET", "/tasks")).json()["tasks"]) == [
                    "again",
                    "stays",
                ]
        assert {finding.status for finding in check_store(folder)} == {OK}
        assert await holds(folder, {"again", "stays"}, {"deleted"}) == ""
        if disk.image is None:
            assert n > 24, "the story has more writes than that"
            break
        assert await holds(*disk.image) == ""
