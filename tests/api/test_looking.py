"""Looking at a workflow or a job: plan, trace, summary; and at what a schedule would do."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from tests.api.stage import FILE

TASK = {"name": "main", "inputs": [1, 2], "file": FILE}
DIAMOND = [
    {"id": "a", **TASK},
    {"id": "b", "depends_on": ["a"], **TASK},
    {"id": "c", "depends_on": ["a"], "cost": 3, **TASK},
    {"id": "d", "depends_on": ["b", {"id": "c", "required": False}], **TASK},
]


async def workflow(stage, tasks, run: bool = True, kind: str = "workflow", **more) -> str:
    """The path of a new workflow or job, which has ended if it was to run."""
    answer = await stage.call("POST", f"/{kind}s", {f"{kind}_id": "w", "name": "all", "tasks": tasks, **more})
    assert answer.status_code == 201, answer.text
    if run:
        await stage.call("POST", f"/{kind}s/w/start")
        await stage.http.get(f"/events?{kind}_id=w")
    return f"/{kind}s/w"


async def get(stage, path: str):
    answer = await stage.call("GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- plan


async def test_a_plan_has_steps_critical_path_and_makespan_for_so_many_workers(stage):
    path = await workflow(stage, DIAMOND, run=False)
    steps = [{"level": 0, "nodes": ["a"]}, {"level": 1, "nodes": ["b", "c"]}, {"level": 2, "nodes": ["d"]}]
    assert await get(stage, f"{path}/plan") == {
        "steps": steps, "critical_path": ["a", "c", "d"], "makespan_s": 5.0, "workers": None,
    }  # fmt: skip
    one = await get(stage, f"{path}/plan?workers=1")
    assert (one["makespan_s"], one["workers"], one["steps"]) == (6.0, 1, steps)


async def test_a_dry_run_plans_like_the_workflow_it_would_make(stage):
    dry = (await stage.call("POST", "/workflows?dry_run=true", {"tasks": DIAMOND, "max_parallel": 1})).json()
    path = await workflow(stage, DIAMOND, run=False, max_parallel=1)
    plan = await get(stage, f"{path}/plan?workers=8")
    assert [dry[key] for key in ("steps", "critical_path", "makespan_s")] == [
        plan[key] for key in ("steps", "critical_path", "makespan_s")
    ]
    assert plan["makespan_s"] == 6.0, "max_parallel bounds it, however many workers there are"


async def test_a_sequential_job_is_planned_as_the_chain_that_it_is(stage):
    path = await workflow(stage, [{"id": "a", **TASK}, {"id": "b", **TASK}], False, "job", execution_mode="sequential")
    plan = await get(stage, f"{path}/plan")
    assert (plan["critical_path"], plan["makespan_s"]) == (["a", "b"], 2.0)
    edge = {"from": "a", "to": "b", "required": True, "order_only": True}
    assert (await get(stage, f"{path}/graph"))["edges"] == [edge]


# --- trace


async def test_a_trace_has_each_attempt_of_each_task_with_its_times_in_order(stage):
    stage.join("d1", answers=False)
    tasks = [{"id": "a", **TASK, "retries": 1}, {"id": "b", **TASK, "depends_on": ["a"]}]
    path = await workflow(stage, tasks, run=False)
    await stage.call("POST", f"{path}/start")
    for ok in (False, True, True):
        start = await stage.held.get()
        stage.say("d1", "started", {"task": start["task"], "attempt": start["attempt"]})
        stage.finish("d1", start, ok)
    await stage.ended("b")
    trace = await get(stage, f"{path}/trace")
    assert (trace["workflow_id"], trace["name"]) == ("w", "all")
    spans = [(one["task_id"], one["attempt"], one["proplet_id"], one["outcome"]) for one in trace["spans"]]
    assert spans == [("a", 1, "d1", "failed"), ("a", 2, "d1", "completed"), ("b", 1, "d1", "completed")]
    assert trace["spans"][0]["error_info"]["code"] == "trap_unreachable"
    moments = [datetime.fromisoformat(one[key]) for one in trace["spans"]
               for key in ("queued_at", "dispatched_at", "start_time", "finish_time")]  # fmt: skip
    assert moments == sorted(moments) and moments[0].year > 1
    listed = await get(stage, "/tasks/a/attempts")
    assert [one["queued_at"] for one in listed["attempts"]] == [one["queued_at"] for one in trace["spans"][:2]]


async def test_a_chrome_trace_names_process_and_threads_and_no_two_spans_of_a_thread_overlap(stage):
    stage.join("d1", answers=False, slots=3)
    path = await workflow(stage, [{"id": f"t{at}", **TASK} for at in range(7)], run=False, kind="job")
    await stage.call("POST", f"{path}/start")
    for _ in range(6):
        stage.finish("d1", await stage.held.get())
        await stage.call("GET", "/tasks")
    trace = await get(stage, f"{path}/trace?format=chrome")
    events = trace["traceEvents"]
    named = {(one["name"], one["args"].get("name")) for one in events if one["ph"] == "M"}
    assert {("process_name", "job all"), ("thread_name", "d1"), ("thread_name", "d1 #3")} <= named
    spans = [one for one in events if one["ph"] == "X"]
    assert len(spans) == 7 and {one["pid"] for one in events} == {1}
    assert all(isinstance(one[key], int) and one[key] >= 0 for one in spans for key in ("ts", "dur", "pid", "tid"))
    assert min(one["ts"] for one in spans) == 0
    assert sorted(one["args"]["outcome"] for one in spans) == ["completed"] * 6 + ["running"]
    assert {one["tid"] for one in spans} <= {one["tid"] for one in events if one["name"] == "thread_name"}
    for tid in {one["tid"] for one in spans}:
        thread = sorted((one["ts"], one["ts"] + one["dur"]) for one in spans if one["tid"] == tid)
        assert all(end <= begin for (_, end), (begin, _) in pairwise(thread))


async def test_the_parts_that_a_task_has_become_are_in_its_trace(stage):
    stage.join("d1")
    stage.join("d2")
    path = await workflow(stage, [{"id": "all", **TASK, "broadcast": True}])
    spans = (await get(stage, f"{path}/trace"))["spans"]
    assert [(one["part_of"], one["outcome"]) for one in spans] == [("all", "completed")] * 2
    assert {one["proplet_id"] for one in spans} == {"d1", "d2"}


async def test_what_never_ran_has_an_empty_trace(stage):
    path = await workflow(stage, DIAMOND, run=False)
    assert (await get(stage, f"{path}/trace"))["spans"] == []
    events = (await get(stage, f"{path}/trace?format=chrome"))["traceEvents"]
    assert [one["name"] for one in events] == ["process_name"]


# --- summary


EMPTY = dict.fromkeys("succeeded failed skipped timed_out cancelled cached running pending handled".split(), 0)


async def test_a_summary_counts_each_task_once_by_how_it_ended(stage):
    stage.join("d1", answers=False)
    tasks = [
        {"id": "good", **TASK},
        {"id": "bad", **TASK},
        {"id": "behind", **TASK, "depends_on": ["bad"]},
        {"id": "alarm", **TASK, "depends_on": ["bad"], "run_if": "failure"},
    ]
    path = await workflow(stage, tasks, run=False)
    assert (await get(stage, path))["summary"] == {**EMPTY, "pending": 4, "total_duration_s": 0.0}
    await stage.call("POST", f"{path}/start")
    starts = {one["task"]: one for one in [await stage.held.get(), await stage.held.get()]}
    running = (await get(stage, path))["summary"]
    assert {**running, "total_duration_s": 0} == {**EMPTY, "running": 2, "pending": 2, "total_duration_s": 0}
    stage.finish("d1", starts["bad"], ok=False)
    stage.finish("d1", await stage.held.get())
    stage.finish("d1", starts["good"])
    await stage.http.get(f"{path}/events")
    whole = await get(stage, path)
    counted = {key: value for key, value in whole["summary"].items() if value}
    took = datetime.fromisoformat(whole["finish_time"]) - datetime.fromisoformat(whole["start_time"])
    assert counted.pop("total_duration_s") == pytest.approx(took.total_seconds(), abs=1e-5)
    assert counted == {"succeeded": 2, "failed": 1, "skipped": 1, "handled": 1}


async def test_what_timed_out_counts_as_timed_out_only_whatever_its_state(stage):
    stage.join("d1", answers=False, slots=2)
    tasks = [{"id": "late", **TASK}, {"id": "loop", **TASK}, {"id": "clear", **TASK, "depends_on": ["late"],
             "run_if": "failure"}]  # fmt: skip
    path = await workflow(stage, tasks, run=False, timeout=0.2)
    await stage.call("POST", f"{path}/start")
    starts = {one["task"]: one for one in [await stage.held.get(), await stage.held.get()]}
    error = {"ok": False, "error": {"code": "timeout", "message": "too long"}}
    stage.say("d1", "result", {"task": "late", "attempt": starts["late"]["attempt"], **error})
    start = await stage.held.get()
    stage.finish("d1", start)
    stop = await stage.held.get()
    assert (stop["kind"], stop["task"]) == ("stop", "loop")
    stage.say("d1", "result", {"task": "loop", "attempt": starts["loop"]["attempt"], **error})
    await stage.http.get(f"{path}/events")
    whole = await get(stage, path)
    assert {task["id"]: task["state_name"] for task in whole["tasks"]} == {
        "late": "Failed", "loop": "Interrupted", "clear": "Completed",
    }  # fmt: skip
    counted = {key: value for key, value in whole["summary"].items() if value and key != "total_duration_s"}
    assert counted == {"succeeded": 1, "timed_out": 2}


async def test_a_stopped_job_has_cancelled_tasks_and_its_duration_stands_still(stage):
    path = await workflow(stage, [TASK, TASK], run=False, kind="job")
    await stage.call("POST", f"{path}/start")
    await stage.call("POST", f"{path}/stop")
    assert (await get(stage, path))["summary"] == {**EMPTY, "cancelled": 2, "total_duration_s": 0.0}


async def test_daemons_are_left_out_as_they_are_of_the_state(stage):
    stage.join("d1", answers=False)
    path = await workflow(stage, [{"id": "d", **TASK, "daemon": True}], run=False)
    await stage.call("POST", f"{path}/start")
    summary = (await get(stage, path))["summary"]
    assert {**summary, "total_duration_s": 0} == {**EMPTY, "total_duration_s": 0}


# --- schedules


@pytest.mark.parametrize(
    "query, times",
    [
        # Clocks in Riga go from 03:00 to 04:00 on this day, at 01:00 UTC: a fixed time in the gap is due just after it.
        ({"schedule": "30 3 * * *", "timezone": "Europe/Riga", "from": "2025-03-29T12:00:00Z", "count": 2},
         ["2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"]),
        ({"schedule": "0 0 * * *", "from": "2026-01-01T00:00:00Z", "count": 1}, ["2026-01-02T00:00:00Z"]),
        ({"schedule": "@hourly", "from": "2026-01-01T00:30:00+02:00", "count": 1}, ["2025-12-31T23:00:00Z"]),
        ({"schedule": "0 9 * * *", "timezone": "America/New_York", "from": "2026-07-01T08:59", "count": 1},
         ["2026-07-01T13:00:00Z"]),
        ({"schedule": "0 0 1 1 *", "from": "9998-06-01T00:00:00Z", "count": 5}, ["9999-01-01T00:00:00Z"]),
    ],
)  # fmt: skip
async def test_the_next_times_of_a_schedule_are_strictly_after_from(stage, query, times):
    answer = await stage.call("GET", "/cron/preview", params=query)
    assert answer.json() == {"times": times}


async def test_without_from_and_count_it_is_the_next_five_from_now(stage):
    times = (await stage.call("GET", "/cron/preview", params={"schedule": "* * * * *"})).json()["times"]
    moments = [datetime.fromisoformat(text) for text in times]
    assert len(moments) == 5 and 0 < (moments[0] - datetime.now(UTC)).total_seconds() <= 60


@pytest.mark.parametrize("wrong", [{"schedule": "61 * * * *"}, {"schedule": "0 0 30 2 *"}, {"timezone": "Mars/Base"}])
async def test_a_bad_schedule_is_refused_in_the_words_of_a_task_s_schedule(stage, wrong):
    given = {"schedule": "* * * * *", **wrong}
    preview = await stage.call("GET", "/cron/preview", params=given)
    task = await stage.call("POST", "/tasks", {"name": "t", **given})
    assert preview.status_code == task.status_code == 400
    assert preview.json() == task.json()


@pytest.mark.parametrize(
    "path, code, word",
    [
        ("/workflows/w/plan?workers=0", "bad_workers", "100000"),
        ("/workflows/w/plan?workers=many", "bad_workers", "100000"),
        ("/workflows/w/graph?format=svg", "bad_format", "json, mermaid, dot"),
        ("/jobs/w/graph?format=", "bad_format", "json, mermaid, dot"),
        ("/workflows/w/trace?format=otel", "bad_format", "json, chrome"),
        ("/cron/preview", "bad_schedule", "*/5"),
        ("/cron/preview?schedule=@daily&count=0", "bad_count", "1 to 100"),
        ("/cron/preview?schedule=@daily&count=101", "bad_count", "1 to 100"),
        ("/cron/preview?schedule=@daily&from=yesterday", "bad_from", "2026-12-31T23:59:00Z"),
    ],
)
async def test_an_unknown_value_is_400_and_says_what_is_allowed(stage, path, code, word):
    await workflow(stage, [TASK], run=False)
    await workflow(stage, [TASK], run=False, kind="job")
    answer = await stage.call("GET", path)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert word in answer.json()["error"]


@pytest.mark.parametrize("what", ["plan", "graph", "trace"])
async def test_what_does_not_exist_is_404(stage, what):
    for kind in ("workflow", "job"):
        answer = await stage.call("GET", f"/{kind}s/nope/{what}")
        assert (answer.status_code, answer.json()["code"]) == (404, f"unknown_{kind}")
