"""A hub that is killed between any two steps of a move: what ended is there, once, and what was deleted is not."""

import shutil
import threading
from pathlib import Path
from typing import Any

from hub.check.finding import OK
from hub.check.store import check_store
from hub.core.model import Policy
from tests.api.stage import FILE, Stage

TASK = {"name": "main", "inputs": [1, 2], "file": FILE}


class Camera:
    """Takes the folder of a hub as a kill -9 would leave it, before and behind each step, and what is promised then."""

    def __init__(self, stage: Stage, folder: Path, images: Path) -> None:
        self.images: list[tuple[Path, set[str], set[str]]] = []
        self.there: set[str] = set()
        self.gone: set[str] = set()
        self._folder = folder
        self._room = images
        self._lock = threading.Lock()
        journal, history = stage.parts.journal, stage.parts.archivist.history
        journal.flush = self._watched(journal.flush)  # type: ignore[method-assign]
        for name in ("add", "remove"):
            setattr(history, name, self._watched(getattr(history, name)))

    def _watched(self, step: Any) -> Any:
        def watched(*given: Any) -> Any:
            # One step at a time: an image is of one moment.
            with self._lock:
                self._take()
                try:
                    return step(*given)
                finally:
                    self._take()

        return watched

    def _take(self) -> None:
        there, gone = set(self.there), set(self.gone)
        image = self._room / f"{len(self.images)}"
        # What comes and goes beside the journal is not in it: a module on its way in has a file for a moment.
        shutil.copytree(self._folder, image, ignore=lambda folder, names: {"logs", "tmp"} & set(names))
        self.images.append((image, there, gone))


async def tell(stage: Stage, camera: Camera) -> None:
    stage.join("d1")
    for id in ("again", "deleted", "stays"):
        await stage.call("POST", "/tasks", {"id": id, **TASK})
        camera.there.add(id)
        await stage.call("POST", f"/tasks/{id}/start")
        await stage.ended(id)
    await stage.parts.archivist.calm()
    await stage.call("POST", "/tasks/again/start")
    camera.there.discard("deleted")
    assert (await stage.call("DELETE", "/tasks/deleted")).status_code == 204
    camera.gone.add("deleted")
    await stage.ended("again")
    await stage.parts.archivist.calm()


async def holds(image: Path, there: set[str], gone: set[str]) -> str:
    """What is wrong with a hub that starts with this."""
    async with Stage(image, policy=Policy(keep_tasks=0)) as stage:
        for _ in range(2):  # as it is found, and when it has gone on from there
            tasks = (await stage.call("GET", "/tasks")).json()["tasks"]
            ids = [task["id"] for task in tasks]
            if len(ids) != len(set(ids)) or not there <= set(ids) or gone & set(ids):
                return f"{image.name} has {ids}, must have {there}, must not {gone}"
            for id in ids:
                answer = await stage.call("GET", f"/tasks/{id}")
                if answer.status_code != 200 or answer.json() != next(task for task in tasks if task["id"] == id):
                    return f"{image.name} lists {id} and answers {answer.text}"
            for id in gone:
                if (await stage.call("GET", f"/tasks/{id}")).status_code != 404:
                    return f"{image.name} has {id} again"
            await stage.parts.archivist.calm()
    bad = [finding for finding in check_store(image) if finding.status != OK]
    return f"{image.name}: {bad}" if bad else ""


async def failures(tmp_path: Path) -> list[str]:
    folder = tmp_path / "data"
    async with Stage(folder, policy=Policy(keep_tasks=0)) as stage:
        camera = Camera(stage, folder, tmp_path)
        await tell(stage, camera)
    assert len(camera.images) > 30
    assert camera.images[-1][1:] == ({"again", "stays"}, {"deleted"})
    return [wrong for image in camera.images if (wrong := await holds(*image))]


async def test_a_kill_at_any_step_of_a_move_loses_nothing_doubles_nothing_and_brings_nothing_back(tmp_path):
    assert await failures(tmp_path) == []


async def test_and_it_would_be_seen(tmp_path, monkeypatch):
    """Without the marks that say which copies do not count."""
    monkeypatch.setattr("hub.core.retention._hide", lambda world, first, last: None)
    assert await failures(tmp_path) != []
