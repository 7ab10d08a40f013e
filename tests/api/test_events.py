"""/events: what changes, live, with an end."""

import asyncio
import json

from tests.api.stage import FILE


def parse(text: str) -> list[dict]:
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if fields:
            events.append({**fields, "data": json.loads(fields["data"])})
    return events


async def test_a_stream_tells_each_step_of_a_workflow_and_ends_with_done(stage):
    stage.join("d1")
    tasks = [{"id": "a", "name": "main", "file": FILE}, {"id": "b", "name": "main", "file": FILE, "depends_on": ["a"]}]
    await stage.call("POST", "/workflows", {"workflow_id": "w", "tasks": tasks})
    stream = asyncio.create_task(stage.http.get("/events?workflow_id=w"))
    await asyncio.sleep(0)
    await stage.call("POST", "/workflows/w/start")
    events = parse((await asyncio.wait_for(stream, 5)).text)
    steps = [(one["data"]["id"], one["data"]["state"]) for one in events if one["event"] == "task"]
    assert steps[-1] == ("b", 3) and ("a", 3) in steps
    assert steps.index(("a", 3)) < steps.index(("b", 3))
    assert events[-1]["event"] == "done"
    assert (events[-1]["data"]["workflow_id"], events[-1]["data"]["status"]) == ("w", "completed")
    numbers = [int(one["id"]) for one in events if "id" in one]
    assert numbers == sorted(set(numbers))


async def test_what_has_ended_already_is_done_at_once(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    await stage.call("POST", "/tasks/t/stop")
    events = parse((await asyncio.wait_for(stage.http.get("/tasks/t/events"), 5)).text)
    assert [(one["event"], one["data"]["status"]) for one in events] == [("done", "cancelled")]


async def test_a_reader_that_comes_back_is_told_what_it_missed(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    await stage.call("PUT", "/tasks/t", {"priority": 60})
    await stage.call("POST", "/tasks/t/stop")
    stream = await asyncio.wait_for(stage.http.get("/tasks/t/events", headers={"Last-Event-ID": "1"}), 5)
    assert [(one["event"], one["data"]["priority"]) for one in parse(stream.text)] == [
        ("task", 60), ("task", 60), ("done", 60),
    ]  # fmt: skip


async def test_closing_the_feed_ends_an_open_stream(stage):
    stream = stage.feed.join(after=None)
    stage.feed.close()
    assert await asyncio.wait_for(stream.get(), 5) is None


async def test_two_things_at_once_cannot_be_followed(stage):
    assert (await stage.call("GET", "/events?task_id=a&job_id=b")).status_code == 400
