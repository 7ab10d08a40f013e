"""The async client: the same operations, awaited."""

import asyncio
import inspect
import json
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx2
import pytest

from motet import AsyncClient, Client, NodeStatus, TaskCancelledError, TaskError, Workflow
from motet.both import operation
from motet.testing import MODULE, AsyncHub, Hub
from shared.errors import BadRequest, NotFound, Unavailable
from tests.motet.conftest import Calls


@pytest.fixture
async def stage() -> AsyncIterator[AsyncHub]:
    async with Hub() as hub:
        hub.on("a", lambda: 10)
        hub.on("b", lambda x: x + 1)
        yield hub


def chain() -> Workflow:
    wf = Workflow("chain")
    a = wf.task("a", MODULE)
    wf.task("b", MODULE, inputs=[a.output])
    return wf


def test_both_clients_have_the_same_methods() -> None:
    names = {name for name in dir(Client) if not name.startswith("_")}
    assert names == {name for name in dir(AsyncClient) if not name.startswith("_")}
    shared = {name for name in names if isinstance(getattr(Client, name), operation)}
    assert names - shared == {"attach", "attach_task", "events", "submit"}
    assert all(getattr(Client, name) is getattr(AsyncClient, name) for name in shared)
    assert all(getattr(Client, name).__doc__ for name in ("create_task", "run", "wait_task"))


async def test_operations_are_coroutines() -> None:
    def hub(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"method": request.method, "path": request.url.path})

    async with AsyncClient(transport=httpx2.MockTransport(hub)) as client:
        coroutine = client.start_task("t")
        assert inspect.iscoroutine(coroutine)
        assert await coroutine == {"method": "POST", "path": "/tasks/t/start"}
        assert await client.upload("t", b"x") == {"method": "PUT", "path": "/tasks/t/upload"}


async def test_errors() -> None:
    def hub(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/health":
            raise httpx2.ConnectError("refused")
        return httpx2.Response(404, json={"error": "no such task", "code": "unknown_task"})

    async with AsyncClient(transport=httpx2.MockTransport(hub)) as client:
        with pytest.raises(NotFound, match="no such task"):
            await client.task("t")
        with pytest.raises(NotFound, match="no such task"):
            await client.wait_task("t")
        with pytest.raises(Unavailable, match="no hub answers"):
            await client.health()
    with pytest.raises(BadRequest, match="write http://HOST:PORT"):
        AsyncClient("nowhere")


async def test_a_run(stage: AsyncHub, calls: Calls) -> None:
    result = await stage.async_client().run(chain(), callbacks=calls, timeout=10)
    assert result.node_results["b"].result == 11
    assert calls.told == [("start", "a"), ("complete", "a", 10), ("start", "b"), ("complete", "b", 11)]


async def test_handles_are_awaitable(stage: AsyncHub) -> None:
    client = stage.async_client()
    run = await client.submit(chain())
    assert await run["b"] == 11
    assert await run[chain()["a"]].result(timeout=5) == 10
    assert (await (await client.attach(run.workflow_id)).wait(timeout=5)).succeeded == 2
    assert await (await client.attach_task(run["a"].id)) == 10


async def test_a_failure_is_raised(stage: AsyncHub) -> None:
    stage.on("a", lambda: 1 / 0)
    client = stage.async_client()
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        await client.run(chain())
    run = await client.submit(chain())
    with pytest.raises(TaskError, match="ZeroDivisionError"):
        await run["a"]


@pytest.mark.parametrize("kind", [asyncio.Event, threading.Event])
async def test_cancel(stage: AsyncHub, kind: type[Any]) -> None:
    gate, event = stage.hold("a"), kind()

    class CancelAtStart:
        def on_node_start(self, name: str) -> None:
            event.set()

        def on_node_error(self, name: str, error: Exception) -> None:
            gate.release(1)

    result = await stage.async_client().run(chain(), callbacks=CancelAtStart(), cancel_event=event, timeout=10)
    assert [node.status for node in result.node_results.values()] == [NodeStatus.COMPLETED, NodeStatus.CANCELLED]


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.task("t"),
        lambda client: client.wait_task("t"),
        lambda client: client.wait_proplet("stub", lambda proplet: False),
        lambda client: client.run(chain()),
    ],
    ids=["task", "wait_task", "wait_proplet", "run"],
)
async def test_who_asks_may_go_at_any_moment_and_leaves_nothing_behind(
    stage: AsyncHub, ask: Callable[[AsyncClient], Coroutine[Any, Any, Any]]
) -> None:
    """Who went before the answer came left it to itself: a stream, which has no end."""
    client = stage.async_client()
    await client.create_task("a", id="t")
    await stage.settle()
    before = asyncio.all_tasks()
    for turns in range(100):
        asking = asyncio.create_task(ask(client))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking], timeout=5)
        assert asking.done()
        await stage.settle()
        assert asyncio.all_tasks() == before, f"after {turns} turns of the loop"
        if not asking.cancelled():
            await asking
            break


async def test_two_runs_at_a_time(stage: AsyncHub) -> None:
    gate = stage.hold("a")
    client = stage.async_client()
    held = asyncio.create_task(client.run(chain(), timeout=10))
    await stage.settle()
    other = Workflow()
    other.task("b", MODULE, inputs=[1])
    assert (await client.run(other)).node_results["b"].result == 2
    gate.release(4)
    assert (await held).node_results["b"].result == 5


async def test_stop_all(stage: AsyncHub) -> None:
    stage.hold("a")
    client = stage.async_client()
    run = await client.submit(chain())
    await stage.settle()
    assert await client.stop_all(error_message="closing") == 1
    with pytest.raises(TaskCancelledError, match="task a: closing"):
        await run["a"]


async def test_events(stage: AsyncHub) -> None:
    client = stage.async_client()
    run = await client.submit(chain())
    seen = [event["event"] async for event in client.events(workflow_id=run.workflow_id)]
    assert seen[-1] == "done"


async def test_events_of_a_stream_that_breaks(at_once: None) -> None:
    streams = [[b'id: 1\nevent: task\ndata: "a"\n\n'], [b'id: 2\nevent: done\ndata: "b"\n\n']]
    asked = []

    def hub(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.headers.get("last-event-id"))
        return httpx2.Response(200, content=b"".join(streams.pop(0)))

    async with AsyncClient(transport=httpx2.MockTransport(hub)) as client:
        assert [event["data"] async for event in client.events()] == ["a", "b"]
    assert asked == [None, "1"]


async def test_texts_are_answers_too() -> None:
    def hub(request: httpx2.Request) -> httpx2.Response:
        query = dict(request.url.params)
        if request.url.path == "/cron/preview":
            return httpx2.Response(200, json={"times": [json.dumps(query)]})
        if query.get("format") == "json":
            return httpx2.Response(200, json={"nodes": []})
        return httpx2.Response(200, text="graph TD")

    async with AsyncClient(transport=httpx2.MockTransport(hub)) as client:
        assert await client.graph("w", "mermaid") == "graph TD"
        assert await client.graph("w", "json") == {"nodes": []}
        assert await client.cron_preview("0 9 * * *", count=2) == ['{"schedule": "0 9 * * *", "count": "2"}']
        with pytest.raises(Unavailable, match="as no Motet hub does"):
            await client.plan("w")
