"""What has ended reads the same whether it is in the store or in the history, and does what it is told from there."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hub.archivist import Bounds
from hub.assembly import Assembly
from hub.core.commands import Start
from hub.core.model import Policy
from hub.store.moment import look
from hub.store.sqlite import HistoryDamaged
from tests.api.stage import FILE, MemoryLink, Stage
from tests.api.test_logs import run, say

TASK = {"name": "main", "inputs": [1, 2], "file": FILE}
ALL_STAY, NONE_STAYS = Policy(), Policy(keep_tasks=0)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as stage:
        yield stage


async def tell(stage: Stage) -> None:
    """Something of everything that ends, and some that does not."""
    stage.join("d1", slots=8)
    first = {"id": "w1", **TASK}
    await stage.call("POST", "/workflows", {"workflow_id": "wf", "name": "three", "tasks": [
        first, {"id": "w2", **TASK, "depends_on": ["w1"], "inputs": ["$w1", 5]},
        {"id": "w3", **TASK, "depends_on": ["w2"], "run_if": "failure"},
    ]})  # fmt: skip
    await stage.call("POST", "/workflows/wf/start")
    await stage.ended("w2")
    await stage.call("POST", "/jobs", {"job_id": "job", "name": "two", "execution_mode": "sequential", "tasks": [
        {"id": "j1", **TASK}, {"id": "j2", **TASK, "function": "none"},
    ]})  # fmt: skip
    await stage.call("POST", "/jobs/job/start")
    await stage.ended("j2")
    for id, more in (("alone", {"metadata": {"site": "north"}, "user_id": "u"}), ("all", {"broadcast": True}),
                     ("child", {"parent_id": "alone"})):  # fmt: skip
        await stage.call("POST", "/tasks", {"id": id, **TASK, **more})
        await stage.call("POST", f"/tasks/{id}/start")
        await stage.ended(id)
    linked = (await stage.call("POST", "/tasks/child/link")).json()["id"]
    assert (await stage.call("GET", f"/tasks/{linked}/results")).status_code == 200
    await stage.call("POST", "/tasks/alone/archive")
    await stage.call("POST", "/tasks", {"id": "new", **TASK})
    await stage.call("POST", "/tasks", {"id": "stopped", **TASK})
    await stage.call("POST", "/tasks", {"id": "behind", **TASK, "depends_on": ["stopped"]})
    await stage.call("POST", "/tasks/stopped/stop", {"error_message": "not now"})


async def read(stage: Stage) -> dict[str, Any]:
    """Every answer to every question about what there is."""
    paths = [
        "/jobs/job/trace", "/jobs/job/graph", "/jobs/job/plan", "/workflows/wf/trace", "/workflows/wf/graph",
        "/workflows/wf/plan", "/jobs?status=failed", "/jobs?status=completed", "/workflows?status=completed",
        "/tasks?workflow_id=wf", "/tasks?state=3", "/tasks?state=Pending", "/tasks?user_id=u", "/tasks?name=main",
        '/tasks?metadata={"site":"north"}', '/tasks?metadata={"site":"south"}', "/tasks?proplet_id=d1",
        "/tasks?parent_id=alone", "/tasks?offset=3&limit=4", "/tasks?offset=100", "/tasks?state=3&offset=2&limit=3",
        "/modules", "/jobs", "/workflows", "/tasks", "/events?workflow_id=wf", "/events?task_id=w2",
    ]  # fmt: skip
    tasks = (await stage.call("GET", "/tasks?limit=1000")).json()["tasks"]
    for id in (task["id"] for task in tasks):
        paths += [f"/tasks/{id}{more}" for more in ("", "/results", "/attempts", "/logs", "/metrics", "?file=full")]
    paths += [f"/{kind}/{id}" for kind, id in (("workflows", "wf"), ("jobs", "job"))]
    found = {}
    for path in paths:
        answer = await asyncio.wait_for(stage.call("GET", path), 5)
        assert answer.status_code == 200, (path, answer.text)
        # The id of the change that a stream begins behind is no part of what it tells.
        found[path] = answer.json() if "events" not in path else answer.text.partition("data:")[2]
    return found


async def test_everything_reads_the_same_from_the_history(stage):
    await tell(stage)
    before = await read(stage)
    world = stage.runtime.engine.world
    world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    assert set(world.tasks) == {"new"} and not world.workflows and not world.jobs
    assert stage.parts.archivist.moved == len(before["/tasks"]["tasks"]) - 1
    assert await read(stage) == before


async def test_and_after_a_new_start(tmp_path):
    async with Stage(tmp_path) as stage:
        await tell(stage)
        before = await read(stage)
        stage.runtime.engine.world.policy = NONE_STAYS
        await stage.parts.archivist.calm()
    async with Stage(tmp_path) as stage:
        assert set(stage.runtime.engine.world.tasks) == {"new"}
        assert await read(stage) == before


async def test_pages_are_cut_by_creation_wherever_their_tasks_are(stage):
    stage.join("d1")
    ids = [f"t{at:02}" for at in range(12)]
    for id in ids:
        await stage.call("POST", "/tasks", {"id": id, **TASK})
    for id in ids[::2] + ids[-1:]:
        await stage.call("POST", f"/tasks/{id}/start")
        await stage.ended(id)
    stage.runtime.engine.world.policy = Policy(keep_tasks=1)
    await stage.parts.archivist.calm()
    assert len(stage.runtime.engine.world.tasks) == 6
    for limit in (1, 2, 5, 12):
        for offset in range(14):
            page = (await stage.call("GET", f"/tasks?offset={offset}&limit={limit}")).json()
            assert [task["id"] for task in page["tasks"]] == ids[offset : offset + limit]
            assert page["total"] == 12


async def test_jobs_are_cut_newest_first(stage):
    stage.join("d1")
    for at in range(6):
        await stage.call("POST", "/jobs", {"job_id": f"j{at}", "tasks": [{"id": f"t{at}", **TASK}]})
        if at % 2:
            await stage.call("POST", f"/jobs/j{at}/start")
            await stage.ended(f"t{at}")
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    assert list(stage.runtime.engine.world.jobs) == ["j0", "j2", "j4"]
    for offset in range(7):
        page = (await stage.call("GET", f"/jobs?offset={offset}&limit=2")).json()
        assert [job["job_id"] for job in page["jobs"]] == [f"j{at}" for at in range(5 - offset, 3 - offset, -1)
                                                          if at >= 0]  # fmt: skip


async def archived(stage: Stage, *names: str, **more: Any) -> None:
    stage.join("d1")
    for name in names:
        await stage.call("POST", "/tasks", {"id": name, **TASK, **more})
        await stage.call("POST", f"/tasks/{name}/start")
        await stage.ended(name)
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    assert not stage.runtime.engine.world.tasks
    stage.runtime.engine.world.policy = ALL_STAY


async def test_a_task_of_the_history_starts_again(stage):
    await archived(stage, "t")
    assert (await stage.call("POST", "/tasks/t/start")).json() == {"started": True}
    task = await stage.ended("t")
    assert (task["state"], len(task["attempts"])) == (3, 2)
    await stage.parts.archivist.calm()
    assert stage.parts.archivist.history.tasks == 0 and not stage.runtime.tables["moves"]
    assert (await stage.call("GET", "/tasks")).json()["total"] == 1


async def test_a_task_that_was_deleted_from_the_history_is_gone_with_its_lines_at_once_and_for_good(tmp_path):
    async with Stage(tmp_path) as stage:
        await archived(stage, "t", "u")
        assert (await stage.call("DELETE", "/tasks/t")).status_code == 204
        for path in ("/tasks/t", "/tasks/t/logs"):
            assert (await stage.call("GET", path)).status_code == 404
        assert (await stage.call("DELETE", "/tasks/t")).status_code == 404
        assert [task["id"] for task in (await stage.call("GET", "/tasks")).json()["tasks"]] == ["u"]
    async with Stage(tmp_path) as stage:
        assert (await stage.call("GET", "/tasks/t")).status_code == 404
        assert (await stage.call("GET", "/tasks/u")).status_code == 200


@pytest.mark.parametrize(("method", "path", "body", "status"), [
    ("PUT", "/tasks/t", {"inputs": [7]}, 200), ("POST", "/tasks/t/stop", None, 409),
    ("POST", "/tasks/t/copy", None, 201), ("POST", "/tasks/t/link", None, 201), ("POST", "/tasks/t/archive", None, 201),
    ("POST", "/tasks/t/retry", {"from": "all"}, 200), ("POST", "/tasks/t/retry", None, 409),
    ("POST", "/tasks", {"id": "t", **TASK}, 409), ("POST", "/tasks", {"id": "next", **TASK, "depends_on": ["t"]}, 201),
    ("POST", "/workflows", {"name": "w", "tasks": [{"id": "t", **TASK}]}, 409),
    ("PUT", "/tasks/other", {"depends_on": ["t"]}, 200), ("POST", "/workflows/none/start", None, 404),
])  # fmt: skip
async def test_what_is_asked_of_a_task_in_the_history_is_answered_as_of_any_other(stage, method, path, body, status):
    await archived(stage, "t")
    await stage.call("POST", "/tasks", {"id": "other", **TASK})
    answer = await stage.call(method, path, body)
    assert answer.status_code == status, answer.text


async def test_a_workflow_of_the_history_is_copied_retried_and_deleted(stage):
    stage.join("d1")
    await stage.call("POST", "/workflows", {"workflow_id": "wf", "tasks": [{"id": "a", **TASK}]})
    await stage.call("POST", "/workflows/wf/start")
    await stage.ended("a")
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    copied = await stage.call("POST", "/workflows/wf/copy")
    assert copied.status_code == 201
    await stage.parts.archivist.calm()
    assert "wf" not in stage.runtime.engine.world.workflows
    assert (await stage.call("POST", "/workflows/wf/retry", {"from": "all"})).status_code == 200
    await stage.ended("a")
    await stage.parts.archivist.calm()
    assert (await stage.call("DELETE", "/workflows/wf")).status_code == 204
    await stage.parts.archivist.calm()
    assert [one["workflow_id"] for one in (await stage.call("GET", "/workflows")).json()["workflows"]] == [
        copied.json()["workflow_id"]
    ]


async def test_the_same_request_again_is_answered_with_what_it_made_though_that_is_in_the_history(stage):
    stage.join("d1")
    job = {"name": "one", "idempotency_key": "once", "tasks": [TASK]}
    made = (await stage.call("POST", "/jobs", job)).json()
    await stage.call("POST", f"/jobs/{made['job_id']}/start")
    await stage.ended(made["tasks"][0]["id"])
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    assert (await stage.call("POST", "/jobs", job)).json()["job_id"] == made["job_id"]
    assert (await stage.call("GET", "/jobs")).json()["total"] == 1


async def test_a_module_stays_while_a_task_in_the_history_refers_to_it(stage):
    await archived(stage, "t")
    (module,) = (await stage.call("GET", "/modules")).json()["modules"]
    assert module["tasks"] == 1
    assert (await stage.call("DELETE", f"/modules/{module['sha256']}")).status_code == 409


async def test_a_late_result_of_a_lost_attempt_is_kept_with_it_though_its_task_is_in_the_history(stage):
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "t", **TASK, "on_device_lost": "fail"})
    await stage.call("POST", "/tasks/t/start")
    lost = await stage.held.get()
    stage.join("d1", answers=False)  # it knows nothing of the task
    hello = {"proto": 1, "boot": "other", "agent": "0", "runtime": "stub", "caps": {}, "mem_free": 1, "mem_total": 1,
             "slots": 4, "running": [], "outbox": []}  # fmt: skip
    stage.say("d1", "hello", hello)
    await stage.ended("t")
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    acks = asyncio.Queue()
    stage.link.devices["d1"] = lambda kind, fields: acks.put_nowait(kind)
    stage.finish("d1", lost)
    assert await asyncio.wait_for(acks.get(), 5) == "ack"
    stage.finish("d1", {**lost, "task": "unknown"})
    assert await asyncio.wait_for(acks.get(), 5) == "ack"
    (attempt,) = (await stage.call("GET", "/tasks/t/attempts")).json()["attempts"]
    assert attempt["superseded"]["ok"] is True


async def test_lines_of_tasks_in_the_history_are_kept_over_a_start(tmp_path):
    async with Stage(tmp_path) as stage:
        stage.join("d1", answers=False)
        attempt = await run(stage, "t")
        say(stage, attempt, "hello")
        stage.finish("d1", attempt)
        await stage.ended("t")
        stage.runtime.engine.world.policy = NONE_STAYS
        await stage.parts.archivist.calm()
        assert (await stage.call("GET", "/tasks/t/logs")).json()["total"] == 1
    async with Stage(tmp_path) as stage:
        assert (await stage.call("GET", "/tasks/t/logs")).json()["logs"][0]["text"] == "hello"


async def test_what_is_over_the_bound_is_gone_for_good_the_oldest_first_and_lets_its_module_go(tmp_path):
    async with Stage(tmp_path, policy=NONE_STAYS, bounds=Bounds(bytes=0)) as stage:
        stage.join("d1")
        await stage.call("POST", "/tasks", {"id": "t", **TASK})
        await stage.call("POST", "/tasks/t/start")
        await stage.ended("t")
        await stage.parts.archivist.calm()
        assert (await stage.call("GET", "/tasks/t")).status_code == 404
        assert (await stage.call("GET", "/tasks")).json()["total"] == 0
        assert stage.parts.archivist.discarded == 1
        (module,) = (await stage.call("GET", "/modules")).json()["modules"]
        assert module["tasks"] == 0


async def test_moving_is_no_news_to_those_who_follow(stage):
    reader = stage.feed.join(__import__("hub.api.events", fromlist=["Scope"]).Scope())
    await archived(stage, "t")
    told = [reader.queue.get_nowait() for _ in range(reader.queue.qsize())]
    assert told and all(change.doc is not None for change in told)


async def test_a_copy_stays_until_what_came_back_is_on_the_disk(stage, monkeypatch):
    await archived(stage, "t")
    archivist, flush, goes_on = stage.parts.archivist, stage.runtime.journal.flush, threading.Event()
    monkeypatch.setattr(stage.runtime.journal, "flush", lambda: goes_on.wait(10) and flush())
    started = asyncio.create_task(stage.call("POST", "/tasks/t/start"))
    while "t" not in stage.runtime.engine.world.tasks:  # noqa: ASYNC110  nothing tells of what is not on the disk
        await asyncio.sleep(0)
    archivist._wake.set()
    for _ in range(10):
        await archivist.known([])  # by then its thread would have removed it
    assert (archivist.history.tasks, started.done()) == (1, False)
    goes_on.set()
    assert (await started).status_code == 200
    await stage.ended("t")
    await archivist.calm()
    assert archivist.history.tasks == 0


async def test_also_when_it_came_back_while_the_disk_was_busy_with_what_was_before(stage, monkeypatch):
    await archived(stage, "t")
    for id in ("first", "second"):
        await stage.call("POST", "/tasks", {"id": id, **TASK})
    runtime, archivist, loop = stage.runtime, stage.parts.archivist, asyncio.get_running_loop()
    file, settled = runtime.journal._file, runtime.settled
    append, writes, may_write = file.append, asyncio.Semaphore(0), threading.Semaphore(0)
    waits, has_waited = asyncio.Event(), asyncio.Event()

    def held(data: bytes) -> None:
        loop.call_soon_threadsafe(writes.release)
        assert may_write.acquire(timeout=10)
        append(data)

    async def watched() -> None:
        waits.set()
        await settled()
        has_waited.set()

    monkeypatch.setattr(file, "append", held)
    monkeypatch.setattr(runtime, "settled", watched)
    runtime.submit(Start("task", "first"))
    await asyncio.wait_for(writes.acquire(), 5)
    archivist._wake.set()
    await asyncio.wait_for(waits.wait(), 5)
    # The next write is the one that it waits for, and is on its way when the task comes back.
    runtime.submit(Start("task", "second"))
    may_write.release()
    await asyncio.wait_for(writes.acquire(), 5)
    await archivist.bring(Start("task", "t"))
    assert "t" in runtime.engine.world.tasks
    may_write.release()
    await asyncio.wait_for(has_waited.wait(), 5)
    await archivist.known([])  # by then its thread would have removed it
    assert archivist.history.tasks == 1
    may_write.release(100)
    await archivist.calm()
    assert archivist.history.tasks == 0


async def test_a_history_that_breaks_is_told_to_those_who_ask_for_what_is_in_it_and_stops_nobody_else(stage):
    await archived(stage, "t")
    with sqlite3.connect(stage.parts.archivist.history.path) as db:
        db.execute("UPDATE docs SET doc = x'00'")
        db.execute("DROP TABLE attempts")
    db.close()
    for method, path in (("GET", "/tasks/t"), ("POST", "/tasks/t/start"), ("DELETE", "/tasks/t")):
        answer = await stage.call(method, path)
        assert answer.status_code == 503 and "history" in answer.json()["error"], answer.text
    assert (await stage.call("POST", "/tasks", {"id": "new", **TASK})).status_code == 201
    assert (await stage.call("POST", "/tasks/new/start")).status_code == 200
    assert (await stage.ended("new"))["state"] == 3


async def test_a_page_reads_a_large_unit_once(stage, monkeypatch):
    stage.join("d1", answers=False)
    tasks = [{"id": "first", **TASK}, *({"id": f"t{at}", **TASK, "depends_on": ["first"]} for at in range(30))]
    await stage.call("POST", "/workflows", {"workflow_id": "wf", "tasks": tasks})
    await stage.call("POST", "/workflows/wf/start")
    await stage.call("POST", "/tasks/first/stop")
    stage.finish("d1", await stage.held.get())
    await stage.ended("first")
    before = (await stage.call("GET", "/tasks")).json()
    assert sum(task["state"] == 0 for task in before["tasks"]) == 30
    stage.runtime.engine.world.policy = NONE_STAYS
    await stage.parts.archivist.calm()
    found, find = [], stage.parts.archivist.history.find
    monkeypatch.setattr(stage.parts.archivist.history, "find", lambda ids: found.append(ids) or find(ids))
    assert (await stage.call("GET", "/tasks")).json() == before
    assert len(found) == 1


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
async def test_a_history_that_is_gone_is_told_and_not_begun_anew(tmp_path, left):
    """A folder that was copied without it, say: the runs in it would be gone without a word."""
    async with Stage(tmp_path) as stage:
        await archived(stage, "t")
    file = tmp_path / "store" / "history.sqlite"
    file.unlink()
    if left is not None:
        file.write_bytes(left)
    for _ in range(2):  # the first look does not make a new one
        with pytest.raises(HistoryDamaged, match="runs have moved to it"), look(tmp_path / "store"):
            pass
        with pytest.raises(HistoryDamaged, match="runs have moved to it"):
            Stage(tmp_path)
    anew = Assembly(tmp_path, MemoryLink(), Policy(), recover=True)
    anew.archivist.history.close()
    anew.journal.close()
    async with Stage(tmp_path) as stage:
        assert (await stage.call("GET", "/tasks")).json()["total"] == 0
        await archived(stage, "u")
