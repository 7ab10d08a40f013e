"""A hub whose disk is full: it refuses changes and says what to do, reads go on, and it comes back by itself."""

import asyncio
import errno
import os

import pytest

import hub.runtime
import hub.store.disk
from hub.core.model import Policy
from hub.store.disk import StoreFailed
from tests.api.stage import FILE, Stage

TASK = {"name": "main", "file": FILE}


@pytest.fixture
def full(monkeypatch):
    """Call it to fill the disk of the journal, or with False to have room again."""
    real = hub.store.disk.write_all
    monkeypatch.setattr(hub.runtime, "ROOM_S", 0.02)

    def write(fd: int, data: bytes, offset: int) -> None:
        real(fd, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(is_full: bool = True) -> None:
        monkeypatch.setattr(hub.store.disk, "write_all", write if is_full else real)

    return fill


async def recovered(stage: Stage) -> None:
    back = asyncio.Event()
    stage.runtime.on_recovered.append(back.set)
    await asyncio.wait_for(back.wait(), 5)


async def test_changes_are_507_with_what_to_do_reads_go_on_and_it_comes_back_by_itself(stage, full):
    await stage.call("POST", "/tasks", {"id": "kept", **TASK})
    full()
    first = await stage.call("POST", "/tasks", {"id": "first", "name": "main"})
    later = await stage.call("POST", "/tasks", {"id": "later", "name": "main"})
    for answer in (first, later):
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full"), answer.text
        assert "free some space" in answer.json()["error"] and "by itself" in answer.json()["error"]
    # What was on its way when the disk filled up may still be done; what came later is not.
    assert first.json()["detail"] == {"outcome": "unknown"} and later.json()["detail"] == {}
    assert (await stage.call("GET", "/tasks/kept")).status_code == 200
    health = await stage.call("GET", "/health")
    assert (health.status_code, health.json()["status"]) == (503, "fail") and "disk is full" in health.json()["output"]
    assert "motet_read_only 1.0" in (await stage.call("GET", "/metrics")).text
    full(False)
    await recovered(stage)
    assert (await stage.call("GET", "/health")).status_code == 200
    assert (await stage.call("POST", "/tasks", {"id": "after", "name": "main"})).status_code == 201
    assert [task["id"] for task in (await stage.call("GET", "/tasks")).json()["tasks"]] == ["kept", "first", "after"]


async def test_results_meanwhile_are_not_acknowledged_and_taken_when_it_is_back(stage, full):
    """The device is asked to report by a new welcome."""
    heard = []
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "t", **TASK})
    await stage.call("POST", "/tasks/t/start")
    start = await stage.held.get()
    stage.say("d1", "started", start)
    await stage.runtime.settled()
    stage.link.devices["d1"] = lambda kind, fields: heard.append(kind)
    full()
    stage.finish("d1", start)  # applied, and never told of
    stage.finish("d1", start)
    with pytest.raises(StoreFailed):
        await stage.runtime.settled()
    stage.finish("d1", start)
    await asyncio.sleep(0.05)
    assert heard == [] and stage.bridge.refused == {"Result": 1}
    full(False)
    await recovered(stage)
    await asyncio.sleep(0)
    assert heard == ["ack", "ack", "welcome"]
    task = (await stage.call("GET", "/tasks/t")).json()
    assert task["state"] == 3 and len(task["attempts"]) == 1


async def test_a_device_that_comes_meanwhile_has_no_welcome_and_one_that_goes_is_away(stage, full):
    heard = []
    stage.join("goes")
    full()
    assert (await stage.call("POST", "/tasks", {"name": "main"})).status_code == 507
    stage.join("comes")
    stage.link.devices["comes"] = lambda kind, fields: heard.append(kind)
    del stage.link.devices["goes"]
    stage.bridge.disconnected("goes")
    await asyncio.sleep(0.05)
    assert heard == []
    full(False)
    await recovered(stage)
    proplets = {one["id"]: one["alive"] for one in (await stage.call("GET", "/proplets")).json()["proplets"]}
    assert proplets == {"goes": False}
    stage.join("comes")
    proplets = {one["id"]: one["alive"] for one in (await stage.call("GET", "/proplets")).json()["proplets"]}
    assert proplets == {"goes": False, "comes": True}


async def test_streams_of_events_go_on_and_hear_what_became_durable(stage, full):
    await stage.call("POST", "/tasks", {"id": "t", **TASK})
    full()
    assert (await stage.call("POST", "/tasks/t/stop")).status_code == 507
    following = asyncio.create_task(stage.http.get("/events?task_id=t"))
    await asyncio.sleep(0.05)
    assert not following.done()
    full(False)
    told = (await asyncio.wait_for(following, 5)).text
    assert told.count("event: done") == 1 and '"status":"cancelled"' in told


@pytest.mark.parametrize("keep_tasks", [0, 10])
async def test_who_follows_what_had_ended_before_is_told_so_at_once(tmp_path, full, keep_tasks):
    """In the store, or in the history."""
    async with Stage(tmp_path, policy=Policy(keep_tasks=keep_tasks)) as stage:
        stage.join("d1")
        await stage.call("POST", "/tasks", {"id": "t", **TASK})
        await stage.call("POST", "/tasks/t/start")
        assert (await stage.ended("t"))["state"] == 3
        await stage.parts.archivist.calm()
        full()
        assert (await stage.call("POST", "/tasks", {"name": "main"})).status_code == 507
        assert (await stage.ended("t"))["state"] == 3
        full(False)


async def test_a_hub_that_stops_while_its_disk_is_full_keeps_what_it_acknowledged(tmp_path, full):
    async with Stage(tmp_path) as stage:
        await stage.call("POST", "/tasks", {"id": "kept", "name": "main"})
        full()
        assert (await stage.call("POST", "/tasks", {"id": "not", "name": "main"})).status_code == 507
    full(False)
    async with Stage(tmp_path) as stage:
        assert [task["id"] for task in (await stage.call("GET", "/tasks")).json()["tasks"]] == ["kept"]


async def test_an_upload_without_room_is_507_and_the_hub_goes_on(stage, monkeypatch):
    def write(fd: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("hub.store.blobs.write_all", write)
    answer = await stage.call("POST", "/tasks", {"id": "u", **TASK})
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert (await stage.call("POST", "/tasks", {"name": "main"})).status_code == 201
    assert (await stage.call("GET", "/tasks/u")).status_code == 404
