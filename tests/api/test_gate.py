"""What is too much at a time is told to come again, and costs nobody else anything."""

import asyncio

import pytest

from hub.api import gate
from hub.api.bodies import MAX_BODY
from hub.core.model import Policy
from tests.api.stage import Stage

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def slow():
    """A body that has begun and goes on when it is told to."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body():
        yield b'{"name": '
        begun.set()
        await go_on.wait()
        yield b'"main"}'

    return body, begun, go_on


def check(answer, code="busy"):
    assert (answer.status_code, answer.json()["code"]) == (429, code), answer.text
    assert answer.headers["retry-after"] == "1"


async def test_requests_beyond_so_many_at_a_time_are_429(stage, monkeypatch, slow):
    body, begun, go_on = slow
    monkeypatch.setattr(gate, "REQUESTS", 1)
    first = asyncio.create_task(stage.http.post("/tasks", content=body(), headers={**JSON, "Content-Length": "16"}))
    await begun.wait()
    check(await stage.call("GET", "/tasks"))
    check(await stage.call("POST", "/tasks", {"name": "main"}))
    # Whether it is well, a hub says in any case, and streams are counted on their own.
    assert (await stage.call("GET", "/health")).status_code == 200
    assert (await stage.http.head("/events")).status_code == 200
    go_on.set()
    assert (await first).status_code == 201
    assert (await stage.call("GET", "/tasks")).json()["total"] == 1


@pytest.mark.parametrize("announced", [True, False])
async def test_bodies_beyond_so_many_bytes_at_a_time_are_429(stage, monkeypatch, slow, announced):
    """A body that does not say how large it will be counts as the largest."""
    body, begun, go_on = slow
    monkeypatch.setattr(gate, "BODIES_BYTES", MAX_BODY)
    length = {"Content-Length": "16"} if announced else {}
    first = asyncio.create_task(stage.http.post("/tasks", content=body(), headers={**JSON, **length}))
    await begun.wait()
    check(await stage.http.post("/tasks", content=b" " * MAX_BODY, headers=JSON))
    assert (await stage.call("POST", "/tasks", {"name": "small"})).status_code == (201 if announced else 429)
    assert (await stage.call("GET", "/tasks")).status_code == 200
    go_on.set()
    assert (await first).status_code == 201
    assert (await stage.call("POST", "/tasks", {"name": "after"})).status_code == 201


async def test_a_body_over_the_limit_of_one_is_413_and_not_429(stage):
    answer = await stage.http.post("/tasks", content=b" " * (MAX_BODY + 1), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_tasks_beyond_max_pending_are_429_whatever_they_wait_for(tmp_path):
    async with Stage(tmp_path, policy=Policy(max_pending=4)) as stage:
        for _ in range(2):
            assert (await stage.call("POST", "/tasks", {"name": "main"})).status_code == 201
        three = {"tasks": [{"name": f"t{at}"} for at in range(3)]}
        for path in ("/jobs", "/workflows"):
            check(await stage.call("POST", path, three), "too_many_tasks")
        assert (await stage.call("GET", "/tasks")).json()["total"] == 2
        made = (await stage.call("POST", "/workflows", {"tasks": three["tasks"][:2]})).json()
        check(await stage.call("POST", "/tasks", {"name": "main"}), "too_many_tasks")
        check(await stage.call("POST", f"/workflows/{made['workflow_id']}/copy"), "too_many_tasks")
        assert (await stage.call("DELETE", f"/workflows/{made['workflow_id']}")).status_code == 204
        assert (await stage.call("POST", "/tasks", {"name": "main"})).status_code == 201


async def test_a_client_that_goes_away_within_its_body_is_no_fault_of_the_hub(stage, caplog):
    heard = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive():
        return next(heard)

    async def send(message):
        pass

    headers = [(b"content-type", b"application/json"), (b"host", b"hub")]
    await stage.parts.app(
        {"type": "http", "method": "POST", "path": "/tasks", "query_string": b"", "headers": headers}, receive, send
    )
    assert not caplog.records
