"""A hub that stops: it starts nothing more, takes what is reported, and goes on where it was after its next start."""

import asyncio

import pytest
import uvicorn

from hub.main import Hub, Settings
from tests.api.stage import FILE, Stage

TASK = {"name": "main", "file": FILE}


async def test_a_stopping_hub_answers_503_to_a_start_and_dispatches_nothing(stage):
    await stage.call("POST", "/tasks", {"id": "a", **TASK})
    await stage.call("POST", "/tasks", {"id": "b", **TASK})
    await stage.call("POST", "/tasks/a/start")
    await stage.runtime.drain(0)
    stage.join("d1", answers=False)
    answer = await stage.call("POST", "/tasks/b/start")
    assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
    assert answer.headers["retry-after"] == "1"
    assert stage.held.empty()
    assert (await stage.call("GET", "/tasks/a")).json()["state"] == 0


async def test_it_waits_for_what_runs_to_be_reported(stage):
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "a", **TASK})
    await stage.call("POST", "/tasks/a/start")
    start = await stage.held.get()
    draining = asyncio.create_task(stage.runtime.drain(30))
    await asyncio.sleep(0)
    stage.finish("d1", start)
    await asyncio.wait_for(draining, 5)
    assert (await stage.call("GET", "/tasks/a")).json()["state"] == 3


async def test_what_was_queued_goes_on_after_the_next_start(tmp_path):
    async with Stage(tmp_path) as stage:
        await stage.call("POST", "/tasks", {"id": "a", **TASK})
        await stage.call("POST", "/tasks/a/start")
        await stage.runtime.drain(0)
    async with Stage(tmp_path) as stage:
        stage.join("d1")
        assert (await stage.ended("a"))["state"] == 3


async def test_a_hub_whose_http_does_not_start_says_why_and_can_be_stopped(tmp_path, monkeypatch):
    async def startup(self, sockets):
        raise OSError("no memory for a socket")

    monkeypatch.setattr(uvicorn.Server, "startup", startup)
    hub = Hub(Settings(port=0, mqtt_port=0, data=str(tmp_path)))
    with pytest.raises(OSError, match="no memory for a socket"):
        await asyncio.wait_for(hub.start(), 10)
    await asyncio.wait_for(hub.stop(), 10)
