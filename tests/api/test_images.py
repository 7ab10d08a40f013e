"""image_url: the hub fetches the module at the first dispatch, and a POST never waits for it."""

import asyncio

import pytest

from shared.errors import Unavailable
from tests.api.stage import ADDITION, Stage

URL = "docker.io/myorg/extract:v1"


class Images:
    """Answers when the test lets it: with bytes, or with what it raises."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return await asyncio.shield(self.answer)


@pytest.fixture
async def images():
    return Images()


@pytest.fixture
async def stage(tmp_path, images):
    async with Stage(tmp_path, images) as stage:
        stage.join("d1")
        yield stage


async def start(stage: Stage, *ids: str) -> None:
    for id in ids:
        body = {"id": id, "name": "main", "inputs": [1, 2], "image_url": URL}
        assert (await stage.call("POST", "/tasks", body)).status_code == 201
        assert (await stage.call("POST", f"/tasks/{id}/start")).json() == {"started": True}


async def test_the_module_is_fetched_once_kept_and_run(stage, images):
    await start(stage, "a", "b")
    task = (await stage.call("GET", "/tasks/a")).json()
    assert task["pending_reason"] == f"its module is being fetched from {URL}"
    images.answer.set_result(ADDITION)
    for id in ("a", "b"):
        task = await stage.ended(id)
        assert (task["outputs"], task["image_url"], task["file_size"]) == ([3], URL, len(ADDITION))
    assert images.asked == [URL]
    assert (await stage.call("GET", f"/modules/{task['module']}")).json()["tasks"] == 2


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Unavailable("registry.example answered 503"), "answered 503"),
        (b"<html>", "HTML"),
        (KeyError("a fault"), "the hub made a mistake"),
    ],
)
async def test_a_failed_pull_fails_the_task_with_a_sentence(stage, images, answer, word):
    await start(stage, "a")
    images.answer.set_result(answer) if isinstance(answer, bytes) else images.answer.set_exception(answer)
    task = await stage.ended("a")
    assert (task["state_name"], task["error_info"]["code"]) == ("Failed", "bad_module")
    assert word in task["error"]


async def test_a_put_of_the_url_takes_the_module_away(stage, images):
    images.answer.set_result(ADDITION)
    await start(stage, "a")
    assert "module" in await stage.ended("a")
    assert "module" not in (await stage.call("PUT", "/tasks/a", {"image_url": URL})).json()
    await stage.call("POST", "/tasks/a/start")
    assert (await stage.ended("a"))["state_name"] == "Completed"
    assert images.asked == [URL, URL]


async def test_a_hub_that_stops_while_it_fetches_fetches_again_at_its_start(tmp_path, images):
    async with Stage(tmp_path, images) as stage:
        await start(stage, "a")
    images.answer.set_result(ADDITION)
    async with Stage(tmp_path, images) as stage:
        stage.join("d1")
        assert (await stage.ended("a"))["outputs"] == [3]
    assert images.asked == [URL, URL]


async def test_a_hub_without_a_way_to_fetch_says_so(tmp_path):
    async with Stage(tmp_path) as stage:
        await start(stage, "a")
        task = await stage.ended("a")
        assert (task["state_name"], task["error_info"]["code"]) == ("Failed", "bad_module")
        assert "upload" in task["error"]
