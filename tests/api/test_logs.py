"""What tasks and devices say beside results: kept, shown by pages, and told to who listens."""

import asyncio
import base64

import pytest

from hub.api.events import KEPT, Scope
from tests.api.stage import FILE, Stage
from tests.api.test_events import Client, parse


@pytest.fixture
async def stage(tmp_path):
    async with Stage(tmp_path) as stage:
        stage.join("d1", answers=False)
        yield stage


async def run(stage: Stage, id: str, **more) -> dict:
    """A task that has been sent; the fields of its attempt."""
    await stage.call("POST", "/tasks", {"id": id, "name": "main", "file": FILE, **more})
    await stage.call("POST", f"/tasks/{id}/start")
    start = await asyncio.wait_for(stage.held.get(), 5)
    return {"task": id, "attempt": start["attempt"]}


def say(stage: Stage, attempt: dict, text: str, level: str = "info", device: str = "d1") -> None:
    stage.say(device, "log", {**attempt, "level": level, "text": text})


async def texts(stage: Stage, path: str) -> list[str]:
    answer = await stage.call("GET", path)
    assert answer.status_code == 200, answer.text
    return [line["text"] for line in answer.json()["logs"]]


# --- log lines


async def test_a_tasks_lines_are_shown_with_level_time_attempt_and_proplet(stage):
    attempt = await run(stage, "t")
    say(stage, attempt, "first")
    say(stage, attempt, "second", "warning")
    page = (await stage.call("GET", "/tasks/t/logs")).json()
    assert {key: page[key] for key in ("offset", "limit", "total", "dropped")} == {
        "offset": 0, "limit": 100, "total": 2, "dropped": 0
    }  # fmt: skip
    first, second = page["logs"]
    assert first["time"].startswith("20") and first["time"].endswith("Z")
    del first["time"], second["time"]
    assert first == {"level": "info", "proplet": "d1", "attempt": 1, "text": "first"}
    assert second == {"level": "warning", "proplet": "d1", "attempt": 1, "text": "second"}


async def test_they_come_by_pages_and_by_level(stage):
    attempt = await run(stage, "t")
    for at in range(10):
        say(stage, attempt, str(at), ["debug", "info", "warning", "error", "loud"][at % 5])
    assert await texts(stage, "/tasks/t/logs?offset=2&limit=3") == ["2", "3", "4"]
    assert await texts(stage, "/tasks/t/logs?level=warning") == ["2", "3", "7", "8"]
    assert await texts(stage, "/tasks/t/logs?level=info&offset=1&limit=2") == ["2", "3"]
    assert (await stage.call("GET", "/tasks/t/logs?level=loud")).json()["code"] == "bad_level"
    assert (await stage.call("GET", "/tasks/nobody/logs")).status_code == 404


async def test_a_thousand_lines_a_task_are_kept_and_the_others_counted(stage):
    attempt = await run(stage, "t")
    for at in range(1005):
        say(stage, attempt, str(at))
    page = (await stage.call("GET", "/tasks/t/logs?limit=1")).json()
    assert (page["total"], page["dropped"], page["logs"][0]["text"]) == (1000, 5, "5")


async def test_only_the_current_attempt_on_its_device_is_heard(stage):
    attempt = await run(stage, "t", proplet_id="d1")
    stage.join("d2", answers=False)
    say(stage, attempt, "from another device", device="d2")
    say(stage, {**attempt, "attempt": 2}, "of another attempt")
    say(stage, {"task": "nobody", "attempt": 1}, "of no task")
    stage.finish("d1", {**attempt, "inputs": []})
    await stage.ended("t")
    say(stage, attempt, "after its end")
    assert await texts(stage, "/tasks/t/logs") == []
    assert stage.parts.telemetry.dropped["log"] == 4


async def test_lines_of_a_new_run_follow_those_of_the_last(stage):
    attempt = await run(stage, "t")
    say(stage, attempt, "one")
    stage.finish("d1", attempt, ok=False)
    await stage.ended("t")
    await stage.call("POST", "/tasks/t/start")
    start = await asyncio.wait_for(stage.held.get(), 5)
    say(stage, {"task": "t", "attempt": start["attempt"]}, "two")
    page = (await stage.call("GET", "/tasks/t/logs")).json()
    assert [(line["attempt"], line["text"]) for line in page["logs"]] == [(1, "one"), (2, "two")]


async def test_lines_of_a_device_that_belong_to_no_task_are_the_devices(stage, caplog):
    caplog.set_level("INFO")
    say(stage, {}, "the outbox is full\nERROR motet.hub: not said by the hub", "warning")
    say(stage, {"task": "t"}, "of a task, without its attempt")
    page = (await stage.call("GET", "/proplets/d1/logs")).json()
    assert [line["text"] for line in page["logs"]] == [
        "the outbox is full\nERROR motet.hub: not said by the hub", "of a task, without its attempt"
    ]  # fmt: skip
    assert page["logs"][1]["task"] == "t"
    assert "\nERROR motet.hub" not in caplog.text
    assert (await stage.call("GET", "/proplets/nobody/logs")).status_code == 404


async def test_a_link_shows_the_lines_of_the_task_it_links_to(stage):
    attempt = await run(stage, "t", inputs=[1])
    say(stage, attempt, "said")
    stage.finish("d1", {**attempt, "inputs": [1]})
    await stage.ended("t")
    link = (await stage.call("POST", "/tasks/t/link")).json()
    assert await texts(stage, f"/tasks/{link['id']}/logs") == ["said"]


async def test_lines_survive_a_restart_of_the_hub_and_go_with_their_task(tmp_path):
    async with Stage(tmp_path) as stage:
        stage.join("d1", answers=False)
        for id in ("kept", "gone"):
            attempt = await run(stage, id)
            say(stage, attempt, id)
            stage.finish("d1", {**attempt, "inputs": []})
            await stage.ended(id)
        say(stage, {}, "of the device")
        await stage.call("DELETE", "/tasks/gone")
    async with Stage(tmp_path) as stage:
        assert await texts(stage, "/tasks/kept/logs") == ["kept"]
        assert await texts(stage, "/proplets/d1/logs") == ["of the device"]
        await stage.call("POST", "/tasks", {"id": "gone", "name": "main"})
        assert await texts(stage, "/tasks/gone/logs") == []
        assert (await stage.call("DELETE", "/proplets/d1")).status_code == 204
    async with Stage(tmp_path) as stage:
        stage.join("d1", answers=False)
        assert await texts(stage, "/proplets/d1/logs") == []


async def test_half_a_utf_16_pair_that_json_can_escape_and_nothing_can_store_does_no_harm(stage):
    attempt = await run(stage, "t")
    for kind, fields in (
        ("log", '"level": "info", "text": "half \\ud83d of it"'),
        ("progress", '"permille": 10, "text": "\\uD83D"'),
        ("result", '"ok": true, "text": "half \\ud83d\\n", "stdout": "whole \\ud83d\\ude00"'),
    ):
        payload = f'{{"task": "t", "attempt": {attempt["attempt"]}, {fields}}}'
        stage.bridge.message("d1", kind, payload.encode())
    task = await stage.ended("t")
    assert (task["outputs"], task["stdout"]) == (["half ?"], "whole \U0001f600")
    assert await texts(stage, "/tasks/t/logs") == ["half ? of it"]


# --- messages


async def publish(stage: Stage, attempt: dict, topic: str, device: str = "d1", **content) -> None:
    stage.say(device, "publish", {**attempt, "topic": topic, **content})


async def test_what_a_task_publishes_is_kept_for_its_device(stage):
    attempt = await run(stage, "t", allow=["publish:room/"])
    data = base64.b64encode(b"\xff").decode()
    await publish(stage, attempt, "room/1", text="21.5")
    await publish(stage, attempt, "room/2", data=data)
    page = (await stage.call("GET", "/proplets/d1/messages")).json()
    assert page["total"] == 2
    first, second = page["messages"]
    assert first.pop("time").endswith("Z")
    assert first == {"proplet": "d1", "task": "t", "topic": "room/1", "text": "21.5"}
    assert second["data"] == data
    assert (await stage.call("GET", "/proplets/nobody/messages")).status_code == 404


async def test_the_last_hundred_of_a_device_are_kept(stage):
    attempt = await run(stage, "t", allow=["publish"])
    for at in range(105):
        await publish(stage, attempt, "n", text=str(at))
    page = (await stage.call("GET", "/proplets/d1/messages?limit=1")).json()
    assert (page["total"], page["messages"][0]["text"]) == (100, "5")


async def test_what_is_not_allowed_not_well_formed_or_of_another_attempt_is_dropped_and_counted(stage):
    attempt = await run(stage, "t", allow=["publish:room/"])
    await publish(stage, attempt, "hall/1", text="x")
    await publish(stage, attempt, "room/a b", text="x")
    await publish(stage, attempt, "room/1")
    await publish(stage, attempt, "room/1", text="x", data="eA==")
    await publish(stage, attempt, "room/1", data="%%%")
    await publish(stage, {**attempt, "attempt": 7}, "room/1", text="x")
    assert (await stage.call("GET", "/proplets/d1/messages")).json()["total"] == 0
    assert stage.parts.telemetry.dropped["publish"] == 6


# --- live


async def test_who_follows_a_task_hears_it_speak_and_then_its_end(stage):
    attempt = await run(stage, "t", allow=["publish"])
    client = Client(stage, "/events?task_id=t")
    await client.until(": motet")
    say(stage, attempt, "halfway")
    await publish(stage, attempt, "topic", text="5")
    stage.finish("d1", {**attempt, "inputs": []})
    await asyncio.wait_for(client.call, 5)
    told = parse(client.text)
    assert [one["event"] for one in told] == ["log", "publish", "task", "done"]
    log, message = told[0]["data"], told[1]["data"]
    assert (log["task"], log["level"], log["text"], log["attempt"], log["proplet"]) == ("t", "info", "halfway", 1, "d1")
    assert (message["proplet"], message["task"], message["topic"], message["text"]) == ("d1", "t", "topic", "5")
    assert "id" not in told[0] and "id" not in told[1]


async def test_who_follows_a_workflow_hears_its_tasks_and_who_follows_everything_only_messages(stage):
    tasks = [{"id": "t", "name": "main", "file": FILE, "allow": ["publish"]}]
    await stage.call("POST", "/workflows", {"workflow_id": "w", "tasks": tasks})
    await stage.call("POST", "/workflows/w/start")
    start = await asyncio.wait_for(stage.held.get(), 5)
    attempt = {"task": "t", "attempt": start["attempt"]}
    heard = {}
    for name, scope in (("of it", ("workflow", "w")), ("all", ("", "")), ("another", ("task", "x"))):
        heard[name] = stage.feed.join(Scope(*scope)).queue
    say(stage, attempt, "x")
    await publish(stage, attempt, "topic", text="5")
    told = {name: [queue.get_nowait().event for _ in range(queue.qsize())] for name, queue in heard.items()}
    assert told == {"of it": ["log", "publish"], "all": ["publish"], "another": []}


async def test_a_reader_that_is_behind_misses_lines_and_no_changes(stage):
    attempt = await run(stage, "t")
    reader = stage.feed.join(Scope("task", "t"))
    for at in range(KEPT + 50):
        say(stage, attempt, str(at))
    assert reader.queue.qsize() == KEPT
    stage.finish("d1", {**attempt, "inputs": []})
    await stage.runtime.settled()
    assert reader.ended
