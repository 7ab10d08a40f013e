"""The examples of dagron's, pyWorkflowy's and apflow's documents, rewritten for our client; named after them."""

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from motet import (
    CheckpointError,
    CycleError,
    DependencyFailedError,
    ExecutionStep,
    NodeStatus,
    RetryExhaustedError,
    RunResult,
    Task,
    TaskCancelledError,
    TaskError,
    TaskTimeoutError,
    Workflow,
    pipeline,
    task,
)
from motet.testing import MODULE, Clock, Hub, TaskFailure
from shared.errors import BadRequest, Conflict


def fail(*_: Any) -> None:
    raise RuntimeError("oops")


def graph(edges: list[tuple[str, str]], **options: Any) -> Workflow:
    """dagron's DAG.builder().add_edge(...)."""
    wf = Workflow(**options)
    tasks: dict[str, Task] = {}
    for edge in edges:
        for name in edge:
            if name not in tasks:
                tasks[name] = wf.task(name, MODULE)
        tasks[edge[1]].after(tasks[edge[0]])
    return wf


def run(hub: Hub, wf: Workflow, tasks: dict[str, Callable[[], Any]], **options: Any) -> RunResult:
    """dagron's DAGExecutor(dag).execute(tasks)."""
    for name, function in tasks.items():
        hub.on(name, function)
    return hub.client().run(wf, **{"on_task_error": "continue", "timeout": 20, **options})


def ordered(hub: Hub, *names: str) -> list[str]:
    """Has tasks of these names note that they run."""
    order: list[str] = []

    def noting(name: str) -> Callable[..., str]:
        def note(*_: Any) -> str:
            order.append(name)
            return name

        return note

    for name in names:
        hub.on(name, noting(name))
    return order


# --- dagron: Executing Tasks

DIAMOND = [("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]
DIAMOND_TASKS = {"a": lambda: "data", "b": lambda: "processed_b", "c": lambda: "processed_c", "d": lambda: "merged"}


def test_dagron_diamond(hub: Hub) -> None:
    result = run(hub, graph(DIAMOND), DIAMOND_TASKS)
    assert {name: node.result for name, node in result.node_results.items()} == {
        "a": "data",
        "b": "processed_b",
        "c": "processed_c",
        "d": "merged",
    }


def test_dagron_understanding_execution_result(hub: Hub) -> None:
    result = run(hub, graph(DIAMOND), DIAMOND_TASKS)
    assert (result.succeeded, result.failed, result.skipped, result.timed_out, result.cancelled) == (4, 0, 0, 0, 0)
    assert isinstance(result.total_duration_seconds, float)
    for name, node in result.node_results.items():
        assert (node.name, node.error) == (name, None)
        assert node.duration_seconds >= 0


def test_dagron_node_status(hub: Hub) -> None:
    assert run(hub, graph(DIAMOND), DIAMOND_TASKS).node_results["d"].status == NodeStatus.COMPLETED


def test_dagron_fail_fast(hub: Hub) -> None:
    gate = hub.hold("a")

    class Release:
        def on_node_error(self, name: str, error: Exception) -> None:
            gate.release("ok")

    wf = graph([("a", "c"), ("b", "c"), ("a", "a2")], fail_fast=True)
    result = run(hub, wf, {"b": fail, "c": lambda: "never reached"}, callbacks=Release())
    assert result.node_results["a"].status == NodeStatus.COMPLETED
    assert result.node_results["b"].status == NodeStatus.FAILED
    assert result.node_results["c"].status == NodeStatus.SKIPPED
    # As its document says, and not as its code does: nothing new starts, on another branch neither.
    assert result.node_results["a2"].status == NodeStatus.SKIPPED


def test_dagron_best_effort(hub: Hub) -> None:
    wf = graph([("root", "branch_a"), ("root", "branch_b"), ("branch_a", "join"), ("branch_b", "join")])
    ok = dict.fromkeys(("root", "branch_b", "join"), lambda: "ok")
    result = run(hub, wf, {**ok, "branch_a": fail})
    assert result.node_results["branch_b"].status == NodeStatus.COMPLETED
    assert result.node_results["join"].status == NodeStatus.SKIPPED


def test_dagron_global_timeout(hub: Hub) -> None:
    hub.hold("b")
    result = run(hub, graph([("a", "b"), ("b", "c")]), {"a": lambda: 1}, timeout=0.2)
    timed_out = [name for name, node in result.node_results.items() if node.status == NodeStatus.TIMED_OUT]
    assert timed_out == ["b", "c"]


def test_dagron_cancellation_from_another_thread(hub: Hub) -> None:
    gate, cancel = hub.hold("a"), threading.Event()

    class Cancelling:
        def on_node_start(self, name: str) -> None:
            threading.Thread(target=cancel.set).start()

        def on_node_error(self, name: str, error: Exception) -> None:
            gate.release("finished")

    result = run(hub, graph([("a", "b")]), {}, cancel_event=cancel, callbacks=Cancelling())
    assert result.node_results["a"].result == "finished"
    assert result.node_results["b"].status == NodeStatus.CANCELLED


def test_dagron_cancellation_by_a_signal(hub: Hub) -> None:
    gate, cancel = hub.hold("a"), threading.Event()

    class Interrupting:
        def on_node_start(self, name: str) -> None:
            signal.raise_signal(signal.SIGINT)

        def on_node_error(self, name: str, error: Exception) -> None:
            gate.release()

    before = signal.signal(signal.SIGINT, lambda *_: cancel.set())
    try:
        result = run(hub, graph([("a", "b")]), {}, cancel_event=cancel, callbacks=Interrupting())
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.cancelled == 1


def test_dagron_callbacks(hub: Hub) -> None:
    lines: list[str] = []

    class MyCallbacks:
        def on_node_start(self, name: str) -> None:
            lines.append(f"[START] {name}")

        def on_node_complete(self, name: str, result: Any) -> None:
            lines.append(f"[DONE] {name} -> {result}")

        def on_node_error(self, name: str, error: Exception) -> None:
            lines.append(f"[FAIL] {name}: {error}")

        def on_node_skip(self, name: str) -> None:
            lines.append(f"[SKIP] {name}")

    run(hub, graph([("a", "b"), ("b", "c")]), {"a": lambda: 1, "b": fail}, callbacks=MyCallbacks())
    assert lines == [
        "[START] a",
        "[DONE] a -> 1",
        "[START] b",
        "[FAIL] b: task b: RuntimeError: oops",
        "[SKIP] c",
    ]


def test_dagron_progress_tracking(hub: Hub) -> None:
    class ProgressTracker:
        def __init__(self, total: int) -> None:
            self.total = total
            self.done = 0
            self.seen: list[int] = []

        def on_node_complete(self, name: str, result: Any) -> None:
            self.done += 1
            self.seen.append(self.done * 100 // self.total)

        def on_node_error(self, name: str, error: Exception) -> None:
            self.done += 1

        def on_node_skip(self, name: str) -> None:
            self.done += 1

    wf = graph(DIAMOND)
    tracker = ProgressTracker(len(wf))
    run(hub, wf, DIAMOND_TASKS, callbacks=tracker)
    assert tracker.seen == [25, 50, 75, 100]
    tracker = ProgressTracker(len(wf))
    run(hub, wf, {**DIAMOND_TASKS, "b": fail}, callbacks=tracker)
    assert (tracker.seen, tracker.done) == ([25, tracker.seen[-1]], 4)


def test_dagron_cost_aware_scheduling(hub: Hub) -> None:
    wf = Workflow()
    preprocess = wf.task("preprocess", MODULE, cost=5.0)
    train = wf.task("train_model", MODULE, cost=100.0).after(preprocess)
    wf.task("evaluate", MODULE, cost=10.0).after(train)
    order = ordered(hub, "preprocess", "train_model", "evaluate")
    client = hub.client()
    result = client.run(wf)
    assert order == ["preprocess", "train_model", "evaluate"]
    assert [one["cost"] for one in client.workflow(result.workflow_id)["tasks"]] == [5, 100, 10]


async def test_dagron_async_executor() -> None:
    async def fetch_users() -> list[dict[str, Any]]:
        return [{"id": 1, "name": "Alice"}]

    async def fetch_orders() -> list[dict[str, Any]]:
        return [{"id": 1, "item": "Widget"}]

    async with Hub() as hub:
        hub.on("fetch_users", fetch_users)
        hub.on("fetch_orders", fetch_orders)
        hub.on("enrich", lambda: {"users": 1, "orders": 1})
        hub.on("store", lambda: "stored")
        wf = graph([("fetch_users", "enrich"), ("fetch_orders", "enrich"), ("enrich", "store")])
        result = await hub.async_client().run(wf)
    assert result.succeeded == 4
    assert result.node_results["fetch_users"].result == [{"id": 1, "name": "Alice"}]


def test_dagron_pipeline(hub: Hub) -> None:
    hub.on("download", lambda: {"raw": [1, 2, 3]})
    hub.on("normalize", lambda download: [x * 10 for x in download["raw"]])
    hub.on("summarize", lambda normalize: {"count": len(normalize), "total": sum(normalize)})
    wf = pipeline(
        [
            task("download", MODULE, params=[]),
            task("normalize", MODULE, params=["download"]),
            task("summarize", MODULE, params=["normalize"]),
        ],
        name="etl",
    )
    result = hub.client().run(wf)
    assert result.node_results["summarize"].result == {"count": 3, "total": 60}


def test_dagron_how_dependency_inference_works(hub: Hub) -> None:
    hub.on("a", lambda: 1)
    hub.on("b", lambda: 2)
    hub.on("c", lambda a, b: a + b)
    wf = pipeline([task("a", MODULE, params=[]), task("b", MODULE, params=[]), task("c", MODULE, params=["a", "b"])])
    assert wf["c"].depends_on == [wf["a"], wf["b"]]
    assert hub.client().run(wf).node_results["c"].result == 3


async def test_dagron_async_pipelines() -> None:
    async with Hub() as hub:
        hub.on("a", lambda: 1)
        hub.on("b", lambda a: a + 1)
        result = await hub.async_client().run(pipeline([task("a", MODULE, params=[]), task("b", MODULE, params=["a"])]))
        assert result.node_results["b"].result == 2


def test_dagron_max_workers(hub: Hub) -> None:
    running, most = set(), []

    class Counting:
        def on_node_start(self, name: str) -> None:
            running.add(name)
            most.append(len(running))

        def on_node_complete(self, name: str, result: Any) -> None:
            running.discard(name)

    wf = Workflow(max_parallel=2)
    for at in range(6):
        wf.task(f"t{at}", MODULE)
        hub.on(f"t{at}", lambda: None)
    assert hub.client().run(wf, callbacks=Counting()).succeeded == 6
    assert max(most) <= 2


def test_dagron_one_worker_is_topological_order(hub: Hub) -> None:
    order = ordered(hub, "a", "b", "c", "d")
    hub.client().run(graph([("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")], max_parallel=1))
    assert order == ["a", "b", "c", "d"]


def test_dagron_execution_plan_preview() -> None:
    plan = graph(DIAMOND).execution_plan()
    assert [str(step) for step in plan] == [
        "ExecutionStep(level=0, nodes=['a'])",
        "ExecutionStep(level=1, nodes=['b', 'c'])",
        "ExecutionStep(level=2, nodes=['d'])",
    ]
    assert plan[1] == ExecutionStep(1, ["b", "c"])


def test_dagron_putting_it_all_together(hub: Hub) -> None:
    wf = graph(
        [
            ("extract", "validate"),
            ("validate", "transform"),
            ("validate", "enrich"),
            ("transform", "load"),
            ("enrich", "load"),
            ("load", "notify"),
        ],
        max_parallel=4,
        fail_fast=True,
    )
    lines: list[str] = []

    class Logger:
        def on_node_start(self, name: str) -> None:
            lines.append(f" -> {name}")

        def on_node_complete(self, name: str, result: Any) -> None:
            lines.append(f" <- {name}: {result}")

    tasks: dict[str, Callable[[], Any]] = {
        "extract": lambda: {"rows": 1000},
        "validate": lambda: {"valid": True},
        "transform": lambda: {"transformed": 1000},
        "enrich": lambda: {"enriched": 1000},
        "load": lambda: {"loaded": 1000},
        "notify": lambda: "email sent",
    }
    result = run(hub, wf, tasks, timeout=60.0, callbacks=Logger(), cancel_event=threading.Event())
    assert f"Completed: {result.succeeded}/{len(wf)}" == "Completed: 6/6"
    assert lines[0] == " -> extract"
    assert lines[-1] == " <- notify: email sent"
    assert len(lines) == 12
    assert [node.status.name for node in result.node_results.values()] == ["COMPLETED"] * 6


# --- pyWorkflowy: README


def alone(hub: Hub, name: str, function: Callable[..., Any], inputs: Any = None, **fields: Any) -> Any:
    """pyWorkflowy's task.submit(...): the handle on one task."""
    hub.on(name, function)
    wf = Workflow()
    wf.task(name, MODULE, inputs=inputs, **fields)
    return hub.client().submit(wf)[name]


def test_pyworkflowy_submit_and_result(hub: Hub) -> None:
    assert alone(hub, "square", lambda x: x * x, [5]).result() == 25


def test_pyworkflowy_task_with_options(hub: Hub) -> None:
    handle = alone(hub, "checkout", lambda cart_id: {"cart": cart_id}, [7], retries=3, timeout=10.0)
    assert handle.result(timeout=5) == {"cart": 7}


def test_pyworkflowy_max_attempts_is_retries_and_one(hub: Hub) -> None:
    calls: list[int] = []

    def flaky() -> None:
        calls.append(1)
        fail()

    with pytest.raises(RetryExhaustedError):
        alone(hub, "flaky", flaky, max_attempts=3).result(timeout=5)
    assert len(calls) == 3
    with pytest.raises(BadRequest, match="not both"):
        alone(hub, "flaky", flaky, max_attempts=3, retries=2)


def test_pyworkflowy_depends_on(hub: Hub) -> None:
    order = ordered(hub, "load_csv", "clean_rows", "write_db")
    wf = Workflow()
    load = wf.task("load_csv", MODULE, inputs=["data.csv"])
    clean = wf.task("clean_rows", MODULE, depends_on=[load])
    wf.task("write_db", MODULE, depends_on=[clean])
    hub.client().run(wf)
    assert order == ["load_csv", "clean_rows", "write_db"]


def test_pyworkflowy_cycles_are_detected_eagerly() -> None:
    wf = Workflow()
    first = wf.task("first", MODULE)
    second = wf.task("second", MODULE, depends_on=[first])
    with pytest.raises(CycleError):
        first.after(second)


@pytest.mark.parametrize(
    ("policy", "status"),
    [("fail", NodeStatus.FAILED), ("skip", NodeStatus.SKIPPED), ("run-anyway", NodeStatus.COMPLETED)],
)
def test_pyworkflowy_on_dep_failure(hub: Hub, policy: str, status: NodeStatus) -> None:
    result = run(hub, graph([("a", "b"), ("b", "c")], on_dep_failure=policy), {"a": fail, "b": int, "c": int})
    assert result.node_results["b"].status == status
    # A fail child of a failed one fails, downstream sees the skip too.
    assert result.node_results["c"].status == status
    assert isinstance(result.node_results["b"].error, DependencyFailedError) == (policy == "fail")


def test_pyworkflowy_retries_with_exponential_backoff(clock: Clock) -> None:
    tries: list[float] = []

    def fetch(url: str) -> str:
        tries.append(clock.time.timestamp())
        if len(tries) < 4:
            raise TaskFailure("try again", "worker_died")
        return url

    with Hub(clock) as hub:
        handle = alone(
            hub, "fetch", fetch, ["https://example.com"],
            retries=3, backoff="exponential", backoff_base=1.0, backoff_max=3.0, retry_on=["worker_died"], timeout=15.0,
        )  # fmt: skip
        for _ in range(6):
            hub.settle()
            clock.advance(1)
        assert handle.result(timeout=5) == "https://example.com"
    assert [round(later - tries[0]) for later in tries] == [0, 1, 3, 6]


def test_pyworkflowy_other_errors_fail_at_once(hub: Hub) -> None:
    handle = alone(hub, "fetch", fail, retries=3, retry_on=["worker_died"])
    with pytest.raises(TaskError, match="oops") as caught:
        handle.result(timeout=5)
    assert type(caught.value) is TaskError


def test_pyworkflowy_timeouts_are_terminal(hub: Hub) -> None:
    tries: list[int] = []

    def slow() -> None:
        tries.append(1)
        raise TimeoutError("over 15 s")

    with pytest.raises(TaskTimeoutError):
        alone(hub, "slow", slow, retries=3, timeout=15.0).result(timeout=5)
    assert tries == [1]


def test_pyworkflowy_cancel_a_handle(hub: Hub) -> None:
    handle = alone(hub, "long_loop", hub.hold("long_loop"))
    handle.cancel()
    with pytest.raises(TaskCancelledError):
        handle.result(timeout=5)


def test_pyworkflowy_cancel_all(hub: Hub) -> None:
    hub.hold("a")
    run = hub.client().submit(graph([("a", "b")]))
    run.cancel_all()
    assert run.wait(timeout=5).cancelled == 2


def test_pyworkflowy_on_task_error(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    wf = graph([("a", "b")])
    with pytest.raises(TaskError, match="task a"):
        run(hub, wf, {"a": fail}, on_task_error="raise")
    assert run(hub, wf, {"a": fail}, on_task_error="continue").failed == 1
    assert not caplog.records
    assert run(hub, wf, {"a": fail}, on_task_error="log").failed == 1
    assert [record.name for record in caplog.records] == ["motet"]


def test_pyworkflowy_resume(hub: Hub) -> None:
    """The hub keeps the state: one who comes back with the id finds what has completed, and nothing runs again."""
    order = ordered(hub, "a", "c")
    gate = hub.hold("b")
    with hub.client() as crashing:
        workflow_id = crashing.submit(graph([("a", "b"), ("b", "c")])).workflow_id
    resumed = hub.client().attach(workflow_id)
    assert resumed["a"].result(timeout=5) == "a"
    gate.release("b")
    assert resumed.wait(timeout=5).succeeded == 3
    assert order == ["a", "c"]


def test_pyworkflowy_unserialisable_arguments_raise_at_submit() -> None:
    with pytest.raises(CheckpointError):
        Workflow().task("a", MODULE, inputs=[threading.Lock()])


def test_pyworkflowy_scheduler(clock: Clock) -> None:
    with Hub(clock) as hub:
        hub.on("cleanup", lambda: "clean")
        client = hub.client()
        every = client.create_task("cleanup", file=MODULE, every=60)
        cron = client.create_task("cleanup", file=MODULE, schedule="0 * * * *")
        once = client.create_task("cleanup", file=MODULE, at="2026-01-01T00:59:30Z")
        assert hub.tick() == []
        clock.advance(60)
        [handle] = hub.tick()
        assert handle.result(timeout=5) == "clean"
        assert client.task(handle.id)["origin"] == {"type": "schedule", "id": every["id"]}
        client.stop_task(every["id"])
        clock.advance(58.5 * 60)
        assert [client.task(handle.id)["origin"]["id"] for handle in hub.tick()] == [once["id"]]
        clock.advance(30)
        assert [client.task(handle.id)["origin"]["id"] for handle in hub.tick()] == [cron["id"]]
        assert client.task(cron["id"])["next_run"] == "2026-01-01T02:00:00Z"


async def test_pyworkflowy_scheduler_async(clock: Clock) -> None:
    async with Hub(clock) as hub:
        hub.on("cleanup", lambda: "clean")
        await hub.async_client().create_task("cleanup", file=MODULE, every=0.5)
        for _ in range(3):
            clock.advance(0.5)
            [handle] = await hub.tick()
            assert await handle == "clean"


@pytest.mark.parametrize(
    ("field", "next_run"),
    [
        ("* * * * *", "2026-01-01T00:01:00Z"),
        ("5 * * * *", "2026-01-01T00:05:00Z"),
        ("0 9-17 * * *", "2026-01-01T09:00:00Z"),
        ("0,15,30 * * * *", "2026-01-01T00:15:00Z"),
        ("*/15 * * * *", "2026-01-01T00:15:00Z"),
        ("0 9-17/2 * * *", "2026-01-01T09:00:00Z"),
        ("0 0 * * 0", "2026-01-04T00:00:00Z"),
    ],
)
def test_pyworkflowy_cron_syntax(field: str, next_run: str) -> None:
    with Hub(Clock(datetime(2026, 1, 1, tzinfo=UTC))) as hub:
        assert hub.client().create_task("t", file=MODULE, schedule=field)["next_run"] == next_run


async def test_pyworkflowy_handles_are_awaitable() -> None:
    async def fetch(url: str) -> dict[str, str]:
        return {"url": url}

    async with Hub() as hub:
        hub.on("fetch", fetch)
        wf = Workflow()
        wf.task("fetch", MODULE, inputs=["https://example.com"])
        handle = (await hub.async_client().submit(wf))["fetch"]
        assert await handle == {"url": "https://example.com"}


def test_pyworkflowy_exceptions() -> None:
    for kind in (
        TaskTimeoutError,
        TaskCancelledError,
        CycleError,
        DependencyFailedError,
        RetryExhaustedError,
        CheckpointError,
    ):
        assert issubclass(kind, TaskError)


# --- apflow: Task Orchestration Guide


def test_apflow_parent_is_organisation_only(hub: Hub) -> None:
    order = ordered(hub, "task_a", "task_b")
    hub.hold("task_a")
    wf = Workflow()
    task_a = wf.task("task_a", MODULE, id="folder")
    wf.task("task_b", MODULE, parent_id=task_a)
    run = hub.client().submit(wf)
    assert run["task_b"].result(timeout=5) == "task_b"
    assert order == ["task_b"]
    assert hub.client().task(run["task_b"].id)["parent_id"] == "folder"


def test_apflow_dependencies_are_execution_order(hub: Hub) -> None:
    order = ordered(hub, "task_b", "task_c")
    wf = Workflow()
    task_b = wf.task("task_b", MODULE)
    task_b.after(wf.task("task_c", MODULE))
    hub.client().run(wf)
    assert order == ["task_c", "task_b"]


def test_apflow_combined_example(hub: Hub) -> None:
    order = ordered(hub, "task_a", "task_b", "task_c")
    wf = Workflow()
    task_a = wf.task("task_a", MODULE, id="a")
    task_c = wf.task("task_c", MODULE, priority="low")
    wf.task("task_b", MODULE, parent_id=task_a, depends_on=[{"id": task_c, "required": True}], priority="urgent")
    hub.client().run(wf)
    assert order.index("task_c") < order.index("task_b")


def test_apflow_basic_task_tree(hub: Hub) -> None:
    hub.on("system_info_executor", lambda inputs: f"info of {inputs['resource']}")
    wf = Workflow(user_id="user123")
    wf.task("system_info_executor", MODULE, inputs={"resource": "cpu"}, priority=50)
    node = hub.client().run(wf).node_results["system_info_executor"]
    assert (node.status.value, node.result) == ("completed", "info of cpu")


def test_apflow_hierarchical_task_tree(hub: Hub) -> None:
    order = ordered(hub, "root_task", "child_task_1", "child_task_2")
    wf = Workflow()
    root = wf.task("root_task", MODULE, id="root", priority="high")
    wf.task("child_task_1", MODULE, parent_id=root, inputs={"step": 1})
    wf.task("child_task_2", MODULE, parent_id=root, inputs={"step": 2})
    client = hub.client()
    client.run(wf)
    assert sorted(order) == ["child_task_1", "child_task_2", "root_task"]
    assert client.tasks(parent_id="root")["total"] == 2


def test_apflow_basic_dependency(hub: Hub) -> None:
    hub.on("fetch_data", lambda inputs: {"from": inputs["url"]})
    hub.on("process_data", lambda inputs: inputs)
    wf = Workflow()
    fetch = wf.task("fetch_data", MODULE, inputs={"url": "https://api.example.com/data"}, id="fetch")
    wf.task("process_data", MODULE, inputs={"operation": "analyze"}, depends_on=[fetch], parent_id=fetch)
    # Dependency results are merged into the inputs by the dependency's id.
    assert hub.client().run(wf).node_results["process_data"].result == {
        "operation": "analyze",
        "fetch": [{"from": "https://api.example.com/data"}],
    }


def test_apflow_sequential_pipeline(hub: Hub) -> None:
    order = ordered(hub, "fetch_data", "process_data", "save_results")
    hub.client().run(graph([("fetch_data", "process_data"), ("process_data", "save_results")]))
    assert order == ["fetch_data", "process_data", "save_results"]


def test_apflow_multiple_dependencies(hub: Hub) -> None:
    order = ordered(hub, "task1", "task2", "task3")
    hub.client().run(graph([("task1", "task3"), ("task2", "task3")]))
    assert order[2] == "task3"


def test_apflow_required_dependencies(hub: Hub) -> None:
    result = run(hub, graph([("task1", "task2")]), {"task1": fail})
    assert result.node_results["task2"].status == NodeStatus.SKIPPED


@pytest.mark.parametrize("primary", [fail, lambda: "fine"])
def test_apflow_optional_dependencies(hub: Hub, primary: Callable[[], Any]) -> None:
    order = ordered(hub, "fallback_task")

    def noting() -> Any:
        order.append("primary_task")
        return primary()

    wf = Workflow()
    first = wf.task("primary_task", MODULE)
    wf.task("fallback_task", MODULE, depends_on=[{"id": first, "required": False}])
    result = run(hub, wf, {"primary_task": noting})
    # It waits for the end either way, which apflow's own code does not.
    assert order == ["primary_task", "fallback_task"]
    assert result.node_results["fallback_task"].status == NodeStatus.COMPLETED


def test_apflow_basic_priority() -> None:
    with Hub(slots=1) as hub:
        order = ordered(hub, "urgent_task", "high_task", "normal_task", "low_task")
        wf = Workflow()
        for word in ("low", "normal", "urgent", "high"):
            wf.task(f"{word}_task", MODULE, priority=word)
        hub.client().run(wf)
        assert order == ["urgent_task", "high_task", "normal_task", "low_task"]


def test_apflow_priority_with_dependencies() -> None:
    with Hub(slots=1) as hub:
        order = ordered(hub, "task1", "task2")
        wf = Workflow()
        task1 = wf.task("task1", MODULE, priority="normal")
        wf.task("task2", MODULE, depends_on=[task1], priority="urgent")
        hub.client().run(wf)
        assert order == ["task1", "task2"]


def test_apflow_pattern_1_sequential_pipeline(hub: Hub) -> None:
    order = ordered(hub, "step1", "step2", "step3")
    hub.client().run(graph([("step1", "step2"), ("step2", "step3")]))
    assert order == ["step1", "step2", "step3"]


def test_apflow_pattern_2_fan_out(hub: Hub) -> None:
    wf = Workflow()
    root = wf.task("root", MODULE, id="root")
    for name in ("task1", "task2", "task3"):
        wf.task(name, MODULE, parent_id=root)
    ordered(hub, "root", "task1", "task2", "task3")
    assert wf.execution_plan() == [ExecutionStep(0, ["root", "task1", "task2", "task3"])]
    assert hub.client().run(wf).succeeded == 4


def test_apflow_pattern_3_fan_in(hub: Hub) -> None:
    wf = graph([("task1", "final"), ("task2", "final"), ("task3", "final")])
    order = ordered(hub, "task1", "task2", "task3", "final")
    hub.client().run(wf)
    assert order[-1] == "final"


def test_apflow_pattern_4_complex_workflow(hub: Hub) -> None:
    wf = graph([("task1", "task4"), ("task2", "task4"), ("task3", "task4"), ("task4", "final"), ("task5", "final")])
    order = ordered(hub, "task1", "task2", "task3", "task4", "task5", "final")
    hub.client().run(wf)
    assert order.index("task4") > max(order.index(name) for name in ("task1", "task2", "task3"))
    assert order[-1] == "final"


def test_apflow_pattern_5_conditional_execution(hub: Hub) -> None:
    wf = Workflow()
    either = [wf.task("primary", MODULE), wf.task("fallback", MODULE)]
    wf.task("success", MODULE).after(*either, required=False)
    result = run(hub, wf, {"primary": fail, "fallback": lambda: 1, "success": lambda: 2})
    assert result.node_results["success"].result == 2


def test_apflow_handle_errors_gracefully(hub: Hub) -> None:
    result = run(hub, graph([("a", "b")]), {"a": fail})
    failed = {name: str(node.error) for name, node in result.node_results.items() if node.status == NodeStatus.FAILED}
    assert failed == {"a": "task a: RuntimeError: oops"}


def test_apflow_task_cancellation(hub: Hub) -> None:
    hub.hold("task_123")
    client = hub.client()
    created = client.create_task("task_123", file=MODULE)
    client.start_task(created["id"])
    client.stop_task(created["id"], error_message="User requested cancellation")
    ended = client.wait_task(created["id"], timeout=5)
    assert (ended["state_name"], ended["error"]) == ("Interrupted", "User requested cancellation")
    with pytest.raises(Conflict):
        client.stop_task(created["id"])


def test_apflow_task_re_execution(hub: Hub) -> None:
    wf = graph([("a", "b")])
    hub.on("a", fail)
    hub.on("b", lambda: 2)
    run = hub.client().submit(wf)
    assert run.wait(timeout=5).failed == 1
    hub.on("a", lambda: 1)
    run.start()
    assert run.wait(timeout=5).succeeded == 2


def test_apflow_streaming_execution(hub: Hub) -> None:
    ordered(hub, "a", "b")
    client = hub.client()
    run = client.submit(graph([("a", "b")]))
    words = [event["data"]["status"] for event in client.events(workflow_id=run.workflow_id)]
    assert words[-1] == "completed"
    assert set(words) <= {"pending", "in_progress", "completed"}


def finished(hub: Hub) -> tuple[str, list[str]]:
    """A workflow a → b → c of user123 that has completed, and the order in which its tasks run from here on."""
    order = ordered(hub, "a", "b", "c")
    workflow_id = hub.client().run(graph([("a", "b"), ("b", "c")], user_id="user123")).workflow_id
    order.clear()
    return workflow_id, order


def test_apflow_from_copy(hub: Hub) -> None:
    workflow_id, order = finished(hub)
    client = hub.client()
    before = client.workflow(workflow_id)
    copy = client.copy_workflow(workflow_id)
    assert {task["id"] for task in copy["tasks"]}.isdisjoint(task["id"] for task in before["tasks"])
    assert {task["state_name"] for task in copy["tasks"]} == {"Pending"}
    run = client.attach(copy["workflow_id"])
    run.start()
    assert run.wait(timeout=5).succeeded == 3
    assert order == ["a", "b", "c"]
    assert client.workflow(workflow_id) == before


def test_apflow_from_link(hub: Hub) -> None:
    workflow_id, order = finished(hub)
    client = hub.client()
    link = client.attach(client.link_workflow(workflow_id)["workflow_id"])
    assert link["c"].result(timeout=5) == "c"
    assert order == []
    with pytest.raises(Conflict) as caught:
        client.link_workflow(workflow_id, user_id="somebody else")
    assert caught.value.code == "user_mismatch"


def test_apflow_from_archive(hub: Hub) -> None:
    workflow_id, _ = finished(hub)
    archive = hub.client().attach(hub.client().archive_workflow(workflow_id)["workflow_id"])
    assert archive.status().succeeded == 3
    with pytest.raises(Conflict):
        archive.start()


def test_apflow_from_mixed(hub: Hub) -> None:
    workflow_id, order = finished(hub)
    client = hub.client()
    linked = client.attach(workflow_id)["a"].id
    run = client.attach(client.copy_workflow(workflow_id, link=[linked])["workflow_id"])
    run.start()
    assert run.wait(timeout=5).succeeded == 3
    assert order == ["b", "c"]


def test_apflow_retry_from_failed(hub: Hub) -> None:
    order = ordered(hub, "a", "c")
    hub.on("b", fail)
    client = hub.client()
    run = client.submit(graph([("a", "b"), ("b", "c")]))
    assert (run.wait(timeout=5).failed, order) == (1, ["a"])
    hub.on("b", lambda: 2)
    client.retry_workflow(run.workflow_id)
    assert run.wait(timeout=5).succeeded == 3
    assert order == ["a", "c"]


def test_dagron_cache_hit(hub: Hub) -> None:
    order = ordered(hub, "a")
    wf = Workflow()
    wf.task("a", MODULE, cache={"ttl": 60})
    client = hub.client()
    assert [client.run(wf).node_results["a"].status for _ in range(2)] == [NodeStatus.COMPLETED, NodeStatus.CACHE_HIT]
    assert client.run(wf).cached == 1
    assert order == ["a"]


def test_dagron_costs_and_the_critical_path(hub: Hub) -> None:
    costs = {"train_model": 100.0, "evaluate": 10.0, "preprocess": 5.0}
    wf = Workflow()
    ids = {name: wf.task(name, MODULE, id=name, cost=cost) for name, cost in costs.items()}
    ids["evaluate"].after(ids["train_model"])
    plan = hub.client().dry_run(wf)
    assert (plan["critical_path"], plan["makespan_s"]) == (["train_model", "evaluate"], 110)


def test_dagron_ready_nodes_go_by_their_longest_path() -> None:
    with Hub(slots=1) as hub:
        order = ordered(hub, "cheap", "dear", "short", "behind")
        wf = Workflow()
        wf.task("cheap", MODULE, cost=2)
        wf.task("dear", MODULE, cost=9)
        wf.task("behind", MODULE, cost=20).after(wf.task("short", MODULE, cost=1))
        hub.client().run(wf)
        assert order == ["short", "behind", "dear", "cheap"]


def test_dagron_a_dynamic_fan_out(hub: Hub) -> None:
    hub.on("rows", lambda: [1, 2, 3])
    hub.on("power", lambda x, n: x**n)
    hub.on("total", sum)
    wf = Workflow()
    rows = wf.task("rows", MODULE)
    power = wf.task("power", MODULE, for_each=rows.output, inputs=["$item", 2])
    wf.task("total", MODULE, inputs=[power.result])
    result = hub.client().run(wf, timeout=10)
    assert result.node_results["total"].result == 14
    with pytest.raises(BadRequest, match="depends on item which does not exist"):
        wf.task("other", MODULE, inputs=["$item"])
