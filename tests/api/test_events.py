"""/events: what changes, live, with an end; whatever the reader does."""

import asyncio
import json
import threading

import pytest

from hub.api import events
from hub.core.model import TASKS, Put
from tests.api.stage import FILE

# The ids of the hub's first start.
FIRST = 10**12


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
    stream = await asyncio.wait_for(stage.http.get("/tasks/t/events", headers={"Last-Event-ID": str(FIRST + 1)}), 5)
    assert [(one["event"], one["data"]["priority"]) for one in parse(stream.text)] == [
        ("task", 60), ("task", 60), ("done", 60),
    ]  # fmt: skip


async def test_two_things_at_once_cannot_be_followed(stage):
    assert (await stage.call("GET", "/events?task_id=a&job_id=b")).status_code == 400


async def test_an_end_that_is_not_yet_on_the_disk_is_not_told(stage, monkeypatch):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    disk, flush = threading.Event(), stage.runtime.journal.flush
    monkeypatch.setattr(stage.runtime.journal, "flush", lambda: disk.wait(5) and flush())
    stop = asyncio.create_task(stage.call("POST", "/tasks/t/stop"))
    await asyncio.sleep(0.05)
    assert (await stage.call("GET", "/tasks/t")).json()["state_name"] == "Interrupted"
    client = Client(stage, "/tasks/t/events")
    await client.until(": motet")
    await asyncio.sleep(0.05)
    assert parse(client.text) == []
    disk.set()
    await asyncio.wait_for(client.call, 5)
    assert [one["event"] for one in parse(client.text)] == ["task", "done"]
    assert (await stop).status_code == 200


# --- coming back


async def follow(stage, path: str, last: str = "") -> list[dict]:
    """The events of a stream that ends."""
    answer = await asyncio.wait_for(stage.http.get(path, headers={"Last-Event-ID": last} if last else {}), 5)
    assert answer.status_code == 200, answer.text
    return parse(answer.text)


async def test_one_that_saw_the_end_but_not_the_done_is_told_whatever_else_has_changed(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    await stage.call("POST", "/tasks/t/stop")
    last = str(FIRST + stage.feed.number)
    await stage.call("POST", "/tasks", {"id": "other", "name": "main"})
    assert [one["event"] for one in await follow(stage, "/tasks/t/events", last)] == ["done"]


@pytest.mark.parametrize(
    "last",
    ["1", str(FIRST - 1), str(FIRST + 10**6), str(2 * FIRST + 1), "9" * 500, "-1", "a\xe9", "0x1", "1.0", "\u0663"],
)
async def test_an_id_that_says_nothing_to_this_hub_is_answered_by_resync(stage, last):
    """As after a restart, whose ids go on from another number; an id of nonsense is no different."""
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    await stage.call("POST", "/tasks/t/stop")
    headers = [(b"last-event-id", last.encode())]
    told = parse((await asyncio.wait_for(stage.http.get("/tasks/t/events", headers=headers), 5)).text)
    assert [one["event"] for one in told] == ["resync", "done"]
    assert int(told[0]["id"]) == FIRST + stage.feed.number
    assert "read the state anew" in told[0]["data"]["reason"]


async def test_an_id_too_far_in_the_past_is_answered_by_resync_and_one_just_within_is_not(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    await stage.call("POST", "/tasks/t/stop")
    publish(stage, "other", events.KEPT)
    last = FIRST + stage.feed.number - events.KEPT
    assert [one["event"] for one in await follow(stage, "/tasks/t/events", str(last - 1))] == ["resync", "done"]
    assert [one["event"] for one in await follow(stage, "/tasks/t/events", str(last))] == ["done"]


async def test_a_replay_tells_the_states_that_a_workflow_had(stage):
    stage.join("d1")
    await stage.call("POST", "/workflows", {"workflow_id": "w", "tasks": [{"name": "main", "file": FILE}]})
    await stage.call("POST", "/workflows/w/start")
    live = await follow(stage, "/workflows/w/events")
    replayed = await follow(stage, "/workflows/w/events", str(FIRST))
    words = [one["data"]["status"] for one in replayed if one["event"] == "workflow"]
    assert words == ["pending", "in_progress", "completed"]
    assert live[-1]["data"] == replayed[-1]["data"]


async def test_what_is_deleted_is_told_and_ends_its_stream(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    stream = asyncio.create_task(follow(stage, "/tasks/t/events"))
    await asyncio.sleep(0.01)
    await stage.call("DELETE", "/tasks/t")
    told = await stream
    assert [one["event"] for one in told] == ["deleted", "done"]
    assert told[0]["data"] == {"kind": "task", "id": "t", "status": "deleted"}


# --- readers that are no friends


def publish(stage, id: str, count: int) -> None:
    """So many durable changes of a task."""
    for _ in range(count):
        doc = {"id": id, "name": id, "state": 0, "created_at": 1.0}
        stage.feed.publish(Put(TASKS, id, doc, None))


class Client:
    """An HTTP connection as the server sees it: what it sends lands here, as fast as the client reads."""

    def __init__(self, stage, path: str, method: str = "GET") -> None:
        self.gone = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()
        self.chunks: list[bytes] = []
        self.news = asyncio.Event()
        self.ended = False
        route, _, query = path.partition("?")
        scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
                 "method": method, "path": route, "query_string": query.encode(), "headers": []}  # fmt: skip
        self.call = asyncio.create_task(stage.parts.app(scope, self.receive, self.send))

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message) -> None:
        await self.reads.wait()
        self.chunks.append(message.get("body", b""))
        self.news.set()
        self.ended = message["type"] == "http.response.body" and not message.get("more_body")

    @property
    def text(self) -> str:
        return b"".join(self.chunks).decode()

    async def until(self, part: str) -> None:
        """Waits for a piece that holds this."""
        async with asyncio.timeout(5):
            seen = 0
            while not any(part.encode() in chunk for chunk in self.chunks[seen:]):
                seen = len(self.chunks)
                self.news.clear()
                await self.news.wait()


def readers(stage) -> int:
    return len(stage.feed._readers)


async def test_a_reader_that_goes_away_in_the_middle_is_forgotten(stage):
    client = Client(stage, "/events")
    await client.until(": motet")
    assert readers(stage) == 1
    client.gone.set()
    await asyncio.wait_for(client.call, 5)
    assert readers(stage) == 0


async def test_one_that_is_gone_before_the_first_byte_is_forgotten_too(stage):
    client = Client(stage, "/events")
    client.reads.clear()
    client.gone.set()
    await asyncio.wait_for(client.call, 5)
    assert readers(stage) == 0


async def test_thousands_of_changes_all_arrive_in_order(stage):
    client = Client(stage, "/events")
    await client.until(": motet")
    for last in range(1, 6):
        publish(stage, "t", 1000)
        await client.until(f"id: {FIRST + last * 1000}\n")
    assert [int(one["id"]) - FIRST for one in parse(client.text)] == list(range(1, 5001))
    assert readers(stage) == 1


async def test_a_slow_reader_is_let_go_and_told_so_by_the_end_of_its_stream(stage):
    client = Client(stage, "/events")
    await client.until(": motet")
    client.reads.clear()
    publish(stage, "t", events.BEHIND + 10)
    assert readers(stage) == 0, "what it does not read must not pile up"
    client.reads.set()
    await asyncio.wait_for(client.call, 5)
    told = parse(client.text)
    assert client.ended and len(told) >= events.BEHIND
    assert [int(one["id"]) - FIRST for one in told] == list(range(1, len(told) + 1))


async def test_a_reader_that_has_stopped_reading_is_given_up(stage, monkeypatch, caplog):
    monkeypatch.setattr(events, "STALL_S", 0.05)
    client = Client(stage, "/events")
    await client.until(": motet")
    client.reads.clear()
    publish(stage, "t", 1)
    await asyncio.wait_for(client.call, 5)
    assert readers(stage) == 0 and not client.ended
    assert "has taken nothing" in caplog.text


async def test_who_follows_a_quiet_task_on_a_busy_hub_is_pinged_and_not_pushed_out(stage, monkeypatch):
    monkeypatch.setattr(events, "PING_S", 0.02)
    await stage.call("POST", "/tasks", {"id": "quiet", "name": "main"})
    client = Client(stage, "/tasks/quiet/events")
    await client.until(": motet")
    for _ in range(20):
        publish(stage, "busy", 200)
        await asyncio.sleep(0.005)
    assert ": ping" in client.text and "busy" not in client.text
    await stage.call("POST", "/tasks/quiet/stop")
    await client.until("event: done")


async def test_more_streams_than_there_may_be_are_429(stage, monkeypatch):
    monkeypatch.setattr(events, "READERS", 1)
    client = Client(stage, "/events")
    await client.until(": motet")
    answer = await stage.call("GET", "/events")
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
    client.gone.set()
    await client.call


async def test_head_is_answered_and_opens_no_stream(stage):
    answer = await asyncio.wait_for(stage.http.request("HEAD", "/events"), 5)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert readers(stage) == 0


async def test_a_hub_that_stops_ends_every_stream_and_opens_no_other(stage):
    client = Client(stage, "/events")
    await client.until(": motet")
    stage.feed.close()
    await asyncio.wait_for(client.call, 5)
    assert client.ended
    answer = await stage.call("GET", "/events")
    assert (answer.status_code, answer.json()["code"]) == (503, "stopping")
