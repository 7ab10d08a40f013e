"""Running a workflow: callbacks, errors, time, cancellation, and streams that break."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from motet import (
    Client,
    DependencyFailedError,
    NodeStatus,
    RetryExhaustedError,
    RunResult,
    TaskCancelledError,
    TaskError,
    TaskTimeoutError,
    WaitTimeout,
    Workflow,
)
from motet.testing import MODULE, Hub, TaskFailure
from shared.errors import BadRequest, NotFound, Unavailable
from tests.motet.conftest import Calls


def boom(*_: Any) -> None:
    raise RuntimeError("boom")


def diamond(**options: Any) -> Workflow:
    wf = Workflow("diamond", **options)
    a = wf.task("a", MODULE)
    b = wf.task("b", MODULE, inputs=[a.output, 1])
    c = wf.task("c", MODULE, inputs=[a.output, 2])
    wf.task("d", MODULE, inputs=[b.output, c.output])
    return wf


@pytest.fixture
def hub(hub: Hub) -> Hub:
    hub.on("a", lambda: 10)
    for name in "bcd":
        hub.on(name, lambda x, y: x + y)
    return hub


def test_a_result(hub: Hub) -> None:
    result = hub.client().run(diamond(), timeout=10)
    assert {name: node.result for name, node in result.node_results.items()} == {"a": 10, "b": 11, "c": 12, "d": 23}
    assert {node.status for node in result.node_results.values()} == {NodeStatus.COMPLETED}
    assert (result.succeeded, result.failed, result.skipped, result.timed_out, result.cancelled) == (4, 0, 0, 0, 0)
    assert all(node.error is None and node.duration_seconds >= 0 for node in result.node_results.values())
    assert result.total_duration_seconds > 0


def test_values(hub: Hub) -> None:
    hub.on("none", lambda: None)
    hub.on("two", lambda: (1, "x"))
    hub.on("object", lambda: {"rows": [1, 2]})
    wf = Workflow()
    for name in ("none", "two", "object"):
        wf.task(name, MODULE)
    result = hub.client().run(wf)
    assert [node.result for node in result.node_results.values()] == [None, [1, "x"], {"rows": [1, 2]}]


def test_callbacks_in_order(hub: Hub, calls: Calls) -> None:
    hub.client().run(diamond(), callbacks=calls)
    assert calls.told[:2] == [("start", "a"), ("complete", "a", 10)]
    assert calls.told[-2:] == [("start", "d"), ("complete", "d", 23)]
    assert sorted(calls.told[2:6]) == [("complete", "b", 11), ("complete", "c", 12), ("start", "b"), ("start", "c")]


def test_callbacks_of_a_failure(hub: Hub, calls: Calls) -> None:
    hub.on("b", boom)
    hub.client().run(diamond(), callbacks=calls, on_task_error="continue")
    assert ("error", "b", "TaskError") in calls.told
    assert calls.told.count(("skip", "d")) == 1
    assert ("start", "d") not in calls.told


def test_any_subset_of_callbacks_and_one_that_raises(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    class Some:
        skipped: tuple[str, ...] = ()

        def on_node_start(self, name: str) -> None:
            raise ValueError("mine")

        def on_node_skip(self, name: str) -> None:
            self.skipped += (name,)

    hub.on("c", boom)
    some = Some()
    result = hub.client().run(diamond(), callbacks=some, on_task_error="continue")
    assert (result.succeeded, some.skipped) == (2, ("d",))
    assert [record.getMessage() for record in caplog.records if "raised" in record.message].count(
        "on_node_start(a) raised"
    ) == 1


# -- errors


def test_raise_stops_the_rest(hub: Hub) -> None:
    hub.hold("slow")
    hub.on("bad", boom)
    wf = Workflow()
    slow = wf.task("slow", MODULE)
    wf.task("bad", MODULE)
    wf.task("later", MODULE).after(slow)
    client = hub.client()
    with pytest.raises(TaskError, match="task bad: RuntimeError: boom") as caught:
        client.run(wf)
    assert type(caught.value) is TaskError
    assert caught.value.code == "trap_unreachable"
    assert caught.value.detail["task"] == "bad"
    [workflow] = client.workflows()["workflows"]
    assert client.wait_workflow(workflow["workflow_id"], 5)["state_name"] == "Failed"
    states = {task["name"]: task["state_name"] for task in client.workflow(workflow["workflow_id"])["tasks"]}
    assert states == {"slow": "Interrupted", "bad": "Failed", "later": "Interrupted"}


@pytest.mark.parametrize(
    "handle",
    [
        lambda wf, bad: wf.task("alert", MODULE, run_if="failure").after(bad),
        lambda wf, bad: wf.task("alert", MODULE, run_if="always").after(bad),
        lambda wf, bad: wf.task("alert", MODULE, on_dep_failure="run-anyway").after(bad),
        lambda wf, bad: wf.task("alert", MODULE).after(bad, required=False),
    ],
)
def test_a_failure_that_is_handled_is_not_raised(hub: Hub, handle: Callable[..., Any]) -> None:
    hub.on("bad", boom)
    hub.on("alert", lambda: "sent")
    wf = Workflow()
    handle(wf, wf.task("bad", MODULE))
    result = hub.client().run(wf)
    assert (result.failed, result.node_results["alert"].result) == (1, "sent")
    assert str(result.node_results["bad"].error) == "task bad: RuntimeError: boom"


def test_a_failure_whose_handling_fails_is_raised(hub: Hub) -> None:
    hub.on("bad", boom)
    hub.on("alert", boom)
    wf = Workflow()
    wf.task("alert", MODULE, run_if="failure").after(wf.task("bad", MODULE))
    with pytest.raises(TaskError, match="task alert"):
        hub.client().run(wf)


def test_log(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.on("b", boom)
    with caplog.at_level(logging.ERROR, "motet"):
        result = hub.client().run(diamond(), on_task_error="log")
    assert result.failed == 1
    assert [record.message for record in caplog.records] == ["task b: RuntimeError: boom"]


def test_an_unknown_word(hub: Hub) -> None:
    with pytest.raises(BadRequest, match="raise, log or continue, not 'ignore'"):
        hub.client().run(diamond(), on_task_error="ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "fields", "kind"),
    [
        (TaskFailure("no room", "memory_limit"), {}, TaskError),
        (TimeoutError(), {}, TaskTimeoutError),
        (TimeoutError(), {"retries": 3}, TaskTimeoutError),
        (ValueError("bad"), {"retries": 2}, RetryExhaustedError),
        (TaskFailure("no", "denied"), {"retries": 2}, TaskError),
        (TaskFailure("no", "denied"), {"retries": 2, "retry_on": ["denied"]}, RetryExhaustedError),
    ],
)
def test_exceptions(hub: Hub, error: Exception, fields: dict[str, Any], kind: type[TaskError]) -> None:
    def fail() -> None:
        raise error

    hub.on("t", fail)
    wf = Workflow()
    wf.task("t", MODULE, **fields)
    run = hub.client().submit(wf)
    with pytest.raises(TaskError) as caught:
        run["t"].result(timeout=5)
    assert type(caught.value) is kind
    if kind is RetryExhaustedError:
        assert "failed 3 times" in caught.value.message
        assert type(caught.value.__cause__) is TaskError
        assert caught.value.__cause__.code == caught.value.detail["error_info"]["code"]  # type: ignore[index]


def test_a_failed_dependency(hub: Hub) -> None:
    hub.on("b", boom)
    result = hub.client().run(diamond(on_dep_failure="fail"), on_task_error="continue")
    assert isinstance(result.node_results["d"].error, DependencyFailedError)
    assert result.failed == 2


# -- time


def test_a_run_that_takes_too_long(hub: Hub, calls: Calls) -> None:
    hub.hold("b")
    client = hub.client()
    result = client.run(diamond(), timeout=0.3, callbacks=calls)
    assert {name: node.status for name, node in result.node_results.items()} == {
        "a": NodeStatus.COMPLETED,
        "b": NodeStatus.TIMED_OUT,
        "c": NodeStatus.COMPLETED,
        "d": NodeStatus.TIMED_OUT,
    }
    assert (result.timed_out, result.cancelled) == (2, 0)
    assert isinstance(result.node_results["b"].error, TaskTimeoutError)
    assert calls.told[-2:] == [("error", "b", "TaskTimeoutError"), ("error", "d", "TaskTimeoutError")]
    assert client.wait_workflow(result.workflow_id, 5)["state_name"] == "Interrupted"


def test_the_hubs_own_time_limits(hub: Hub) -> None:
    hub.hold("a")
    result = hub.client().run(diamond(timeout=0.05), on_task_error="continue", timeout=10)
    assert result.timed_out == 4


def test_a_handle_waits_so_long(hub: Hub) -> None:
    gate = hub.hold("a")
    run = hub.client().submit(diamond())
    with pytest.raises(WaitTimeout, match=r"task a has not ended within 0\.05 s"):
        run["a"].result(timeout=0.05)
    assert run["d"].status().status == NodeStatus.PENDING
    gate.release(1)
    assert run["d"].result(timeout=5) == 5
    assert run.status().succeeded == 4
    assert run["d"].status().result == 5


# -- cancellation


class CancelAt:
    """Sets an event when a task starts, and then lets it end."""

    def __init__(self, name: str, event: threading.Event, release: Callable[[], None]) -> None:
        self.name, self.event, self.release = name, event, release
        self.cancelled: list[str] = []

    def on_node_start(self, name: str) -> None:
        if name == self.name:
            self.event.set()

    def on_node_error(self, name: str, error: Exception) -> None:
        assert isinstance(error, TaskCancelledError)
        self.cancelled.append(name)
        self.release()


def test_cancel_lets_what_runs_finish(hub: Hub) -> None:
    gate = hub.hold("a")
    event = threading.Event()
    callbacks = CancelAt("a", event, lambda: gate.release(10))
    result = hub.client().run(diamond(), callbacks=callbacks, cancel_event=event, timeout=10)
    assert result.node_results["a"].status == NodeStatus.COMPLETED
    assert (result.succeeded, result.cancelled, callbacks.cancelled) == (1, 3, ["b", "c", "d"])


class Deaf:
    """Stands before a hub: stops do not reach it, the first so many; from then on nothing does, if it is to go."""

    def __init__(self, inner: httpx2.BaseTransport, stops: float, goes: bool) -> None:
        self.inner, self.stops, self.goes = inner, stops, goes
        self.gone = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/stop") and self.stops > 0:
            self.stops -= 1
            self.gone = self.goes
            raise httpx2.ConnectError("refused")
        if self.gone:
            raise httpx2.ConnectError("refused")
        return self.inner.handle_request(request)


def test_a_cancellation_is_told_to_the_hub_as_often_as_it_takes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.port.AGAIN_S", 0.01)
    gate, event = hub.hold("a"), threading.Event()
    callbacks = CancelAt("a", event, lambda: gate.release(10))
    client = Client(transport=httpx2.MockTransport(Deaf(hub.transport(), 3, goes=False)))
    assert client.run(diamond(), callbacks=callbacks, cancel_event=event, timeout=10).cancelled == 3


def test_a_cancelled_run_whose_hub_stays_away_is_given_up(hub: Hub) -> None:
    """What tells the hub of the cancellation went on for ever, and the run with it."""
    hub.hold("a")
    event = threading.Event()
    client = Client(transport=httpx2.MockTransport(Deaf(hub.transport(), float("inf"), goes=True)))
    results: list[RunResult] = []

    class CancelAtStart:
        def on_node_start(self, name: str) -> None:
            event.set()

    def run() -> None:
        results.append(client.run(diamond(), callbacks=CancelAtStart(), cancel_event=event, timeout=2))

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(10)
    assert not running.is_alive()
    assert [result.timed_out for result in results] == [4]


def test_cancelled_before_it_starts(hub: Hub) -> None:
    event = threading.Event()
    event.set()
    result = hub.client().run(diamond(), cancel_event=event, timeout=10)
    assert result.cancelled == 4


def test_an_event_that_is_never_set(hub: Hub) -> None:
    assert hub.client().run(diamond(), cancel_event=threading.Event()).succeeded == 4


def test_cancel_all_and_cancel_one(hub: Hub) -> None:
    hub.hold("a")
    run = hub.client().submit(diamond())
    run.cancel_all("enough")
    run.cancel_all()
    assert run.wait(timeout=5).cancelled == 4
    with pytest.raises(TaskCancelledError, match="task d: enough"):
        run["d"].result(timeout=5)
    run = hub.client().submit(diamond())
    run["a"].cancel("only this")
    result = run.wait(timeout=5)
    assert (result.cancelled, result.node_results["b"].status) == (1, NodeStatus.PENDING)
    with pytest.raises(TaskCancelledError, match="task b never ran"):
        run["b"].result(timeout=5)
    run["a"].cancel()


def test_a_skipped_task_has_no_value(hub: Hub) -> None:
    hub.on("b", boom)
    with pytest.raises(TaskError, match="task d was skipped") as caught:
        hub.client().submit(diamond())["d"].result(timeout=5)
    assert caught.value.code == "skipped"


# -- handles


def test_attach(hub: Hub) -> None:
    run = hub.client().submit(diamond())
    again = hub.client().attach(run.workflow_id)
    assert again["d"].result(timeout=5) == 23
    assert hub.client().attach_task(again["d"].id).result() == 23
    assert repr(again["d"]) == f"<TaskHandle d {again['d'].id}>"
    with pytest.raises(NotFound):
        hub.client().attach("nobody")


def test_tasks_of_the_same_name_go_by_their_ids(hub: Hub) -> None:
    client = hub.client()
    tasks = [{"name": "a", "id": id_, "file": MODULE} for id_ in ("x", "y")]
    workflow = client.create_workflow(tasks)
    run = client.attach(workflow["workflow_id"])
    run.start()
    assert set(run.wait(timeout=5).node_results) == {"x", "y"}


async def test_a_blocking_handle_can_be_awaited(hub: Hub) -> None:
    wf = diamond()
    assert await hub.client().submit(wf)[wf["d"]] == 23


def test_dry_run_is_the_local_plan(hub: Hub) -> None:
    wf = diamond()
    wf.task("e", MODULE).after(wf["b"], wf["a"])
    document = hub.client().dry_run(wf)
    names = {task["id"]: task["name"] for task in document["tasks"]}
    steps = [(step["level"], [names[id_] for id_ in step["nodes"]]) for step in document["steps"]]
    assert steps == [(step.level, step.nodes) for step in wf.execution_plan()]
    assert hub.client().workflows()["total"] == 0


# -- streams that break


class Cutting(httpx2.BaseTransport):
    """Breaks the first event streams after so many pieces."""

    def __init__(self, inner: httpx2.BaseTransport, cuts: list[int]) -> None:
        self.inner, self.cuts = inner, cuts
        self.streams = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = self.inner.handle_request(request)
        if request.url.path != "/events":
            return response
        self.streams += 1
        if not self.cuts:
            return response
        cut = _Cut(response.stream, self.cuts.pop(0))
        return httpx2.Response(response.status_code, headers=response.headers, stream=cut)


class _Cut(httpx2.SyncByteStream):
    def __init__(self, inner: Any, pieces: int) -> None:
        self.inner, self.pieces = inner, pieces

    def __iter__(self) -> Iterator[bytes]:
        for number, piece in enumerate(self.inner):
            if number == self.pieces:
                raise httpx2.ReadError("reset")
            yield piece

    def close(self) -> None:
        self.inner.close()


@pytest.mark.parametrize("pieces", range(8))
def test_callbacks_once_across_broken_streams(hub: Hub, calls: Calls, at_once: None, pieces: int) -> None:
    with Client(transport=Cutting(hub.transport(), [pieces, 0, pieces + 1])) as client:
        result = client.run(diamond(), callbacks=calls, timeout=10)
    assert result.succeeded == 4
    assert len(calls.told) == len({one[:2] for one in calls.told}) == 8
    for before, after in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        order = [one[:2] for one in calls.told]
        assert order.index(("start", before)) < order.index(("complete", before)) < order.index(("start", after))


def test_a_hub_that_was_never_there(hub: Hub) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unavailable, match="no hub answers"):
        client.run(diamond())
