"""Every field of a task, a job and a workflow once through REST, with real edges that run real modules."""

import itertools
import time
from datetime import datetime

import pytest

from tests.e2e.world import World, module

_numbers = itertools.count()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"), "--beat-s", "0.5", "--lease-s", "2")
    world.start_edge("a", "--labels", "site=roof")
    world.start_edges("b")
    yield world
    world.close()


@pytest.fixture
def name():
    """A prefix that no other test uses."""
    return f"n{next(_numbers)}-"


def add(id: str, inputs=(1, 2), **fields):
    return {"id": id, "name": "main", "file": module("addition"), "inputs": list(inputs), **fields}


def bad(id: str, **fields):
    """A task that traps."""
    return {"id": id, "name": "main", "file": module("trap"), **fields}


def spin(id: str, count: int = 100_000_000, **fields):
    return {"id": id, "name": "spin", "file": module("spin"), "inputs": [count], "timeout": 60, **fields}


def workflow(world, tasks, timeout=30, **fields):
    """The workflow's document and its tasks by id, when it has ended."""
    made = world.client.create_workflow(tasks, **fields)
    world.client.start_workflow(made["workflow_id"])
    ended = world.client.wait_workflow(made["workflow_id"], timeout)
    return ended, {task["id"]: task for task in ended["tasks"]}


def one(world, task, timeout=30):
    world.client.create_task(**task)
    world.client.start_task(task["id"])
    return world.client.wait_task(task["id"], timeout)


def states(tasks):
    return [task["state_name"] for task in tasks.values()]


def seconds(text):
    return datetime.fromisoformat(text).timestamp()


def test_conditions(world, name):
    a, b, c, d, e, f = (name + letter for letter in "abcdef")
    _, tasks = workflow(world, [
        bad(a), add(b, depends_on=[a]), add(c, depends_on=[b], run_if="always"),
        add(d, depends_on=[{"id": a, "required": False}]), add(e, depends_on=[a], on_dep_failure="fail"),
        add(f, depends_on=[a], on_dep_failure="run-anyway"),
    ])  # fmt: skip
    assert states(tasks) == ["Failed", "Skipped", "Completed", "Completed", "Failed", "Completed"]
    assert tasks[e]["error_info"]["code"] == "dependency_failed"
    assert tasks[d]["depends_on"] == [{"id": a, "required": False}]


def test_when(world, name):
    a, b, c = (name + letter for letter in "abc")
    over = f'parents["{a}"].result > '
    _, tasks = workflow(
        world, [add(a, [4, 5]), add(b, depends_on=[a], when=over + "8"), add(c, depends_on=[a], when=over + "9")]
    )
    assert states(tasks) == ["Completed", "Completed", "Skipped"]


def test_fail_fast_and_summary_state(world, name):
    tasks = [bad(name + "a"), *(spin(f"{name}{at}", 20_000_000, depends_on=[name + "s"]) for at in range(3))]
    ended, done = workflow(world, [*tasks, spin(name + "s", 50_000_000)], fail_fast=True)
    assert ended["state_name"] == "Failed"
    assert [done[f"{name}{at}"]["state_name"] for at in range(3)] == ["Skipped"] * 3
    assert done[name + "s"]["state_name"] == "Completed"


def test_max_parallel(world, name):
    _, tasks = workflow(world, [spin(f"{name}{at}", 5_000_000) for at in range(4)], max_parallel=1)
    spans = sorted((task["start_time"], task["finish_time"]) for task in tasks.values())
    assert all(after[0] >= before[1] for before, after in itertools.pairwise(spans))


def test_retries_with_backoff_and_attempts(world, name):
    task = one(world, bad(name, retries=2, backoff="fixed", backoff_base=0.2))
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["failed"] * 3
    gaps = [seconds(b["dispatched_at"]) - seconds(a["finish_time"]) for a, b in itertools.pairwise(task["attempts"])]
    # Times of today as floats are exact to a fraction of a microsecond.
    assert all(0.2 <= round(gap, 6) < 1.2 for gap in gaps), gaps


def test_retry_on_and_timeout(world, name):
    task = {
        "id": name,
        "name": "main",
        "file": module("endless"),
        "timeout": 0.3,
        "retries": 1,
        "retry_on": ["timeout"],
    }
    ended = one(world, task)
    assert [attempt["error_info"]["code"] for attempt in ended["attempts"]] == ["timeout", "timeout"]


def test_queue_timeout(world, name):
    task = one(world, add(name, proplet_id="nobody", queue_timeout=0.3))
    assert (task["state_name"], task["error_info"]["code"]) == ("Failed", "timeout")


def test_workflow_timeout(world, name):
    endless = {"id": name + "a", "name": "main", "file": module("endless")}
    made = world.client.create_workflow([endless, add(name + "b", depends_on=[name + "a"])], **{"timeout": 0.5})
    world.client.start_workflow(made["workflow_id"])
    ended = world.client.wait_workflow(made["workflow_id"], 30)
    tasks = {task["id"]: task for task in ended["tasks"]}
    assert ended["state_name"] == "Interrupted"
    assert {task["error_info"]["code"] for task in tasks.values()} == {"timeout"}


def test_priority_and_cost_order_what_waits(world, name):
    busy = [spin(f"{name}busy{at}", 120_000_000, proplet_id="a") for at in range(4)]
    for task in busy:
        world.client.create_task(**task)
        world.client.start_task(task["id"])
    waiting = [add(f"{name}{priority}", priority=priority, proplet_id="a") for priority in (10, "urgent", 50)]
    for task in waiting:
        world.client.create_task(**task)
        world.client.start_task(task["id"])
    ended = [world.client.wait_task(task["id"], 60) for task in waiting]
    low, urgent, normal = (task["attempts"][0]["dispatched_at"] for task in ended)
    assert urgent <= normal <= low
    assert ended[1]["priority"] == 90


def test_placement_by_capability_and_memory_and_what_nobody_offers(world, name):
    assert one(world, add(name + "a", placement={"forbid": ["a"]}))["proplet_id"] == "b"
    assert one(world, add(name + "b", resources={"memory_kb": 64}))["state_name"] == "Completed"
    assert (
        one(world, add(name + "d", placement={"labels": {"site": "roof"}, "capabilities": ["call"]}))["proplet_id"]
        == "a"
    )
    world.client.create_task(**add(name + "c", placement={"labels": {"site": "moon"}}))
    world.client.start_task(name + "c")
    assert world.client.task(name + "c")["pending_reason"] == "no known proplet has the label site=moon"
    world.client.stop_task(name + "c")


def test_broadcast(world, name):
    task = one(world, add(name, [20, 22], broadcast=True))
    assert (task["state_name"], task["outputs"]) == ("Completed", [42, 42])
    assert {device: part["results"] for device, part in task["proplet_results"].items()} == {"a": "42\n", "b": "42\n"}


def test_for_each_and_references(world, name):
    a, each, last = name + "a", name + "each", name + "last"
    _, tasks = workflow(world, [
        add(a, [1, 2]), add(each, ["$item", f"${a}"], depends_on=[a], for_each=[10, 20, 30]),
        add(last, [f"${{{each}.outputs[1]}}", 100], depends_on=[each]),
    ])  # fmt: skip
    assert tasks[each]["outputs"] == [13, 23, 33]
    assert tasks[last]["results"] == "123\n"


def fired(templates):
    """The templates when the first has fired three times and the second once."""
    return templates if [one["run_count"] for one in templates] == [3, 1] else None


def test_every_and_at(world, name):
    made = world.client.create_task(**add(name + "e", every=0.2, max_runs=3))
    assert made["is_recurring"] is True
    at = time.time() + 0.5
    world.client.create_task(**add(name + "t", at=datetime.fromtimestamp(at).astimezone().isoformat()))
    templates = world.until(lambda: fired([world.client.task(name + letter) for letter in "et"]))
    for template in templates:
        firing = world.client.wait_task(template["last_firing"], 10)
        assert firing["origin"] == {"type": "schedule", "id": template["id"]}
        assert 0 <= seconds(firing["start_time"]) - seconds(firing["scheduled_for"]) < 1
        template = world.client.task(template["id"])
        assert (template["results"], template["enabled"]) == ("3\n", False)


def test_a_daemon_stays_running_until_it_is_stopped(world, name):
    world.client.create_task(id=name, name="main", file=module("endless"), daemon=True, timeout=0.2)
    world.client.start_task(name)
    world.wait_state(name, 2)
    time.sleep(0.5)  # longer than its timeout, which a daemon has none of
    assert world.client.task(name)["state_name"] == "Running"
    world.client.stop_task(name)
    assert world.client.wait_task(name, 10)["state_name"] == "Interrupted"


def test_retry_copy_link_archive(world, name):
    a, b = name + "a", name + "b"
    ended, tasks = workflow(world, [add(a), bad(b, depends_on=[a], user_id="u")])
    path = f"/workflows/{ended['workflow_id']}"
    started = tasks[a]["start_time"]
    world.call("POST", f"{path}/retry", {"from": "failed"})
    again = world.client.wait_workflow(ended["workflow_id"], 20)
    assert [task["start_time"] == started for task in again["tasks"]] == [True, False]
    copied = world.call("POST", f"{path}/copy", {"link": [a]}, 201)
    assert [task["state_name"] for task in copied["tasks"]] == ["Completed", "Pending"]
    assert copied["tasks"][0]["results"] == "3\n"
    frozen = world.call("POST", f"{path}/archive", None, 201)
    assert [task["state_name"] for task in frozen["tasks"]] == ["Completed", "Failed"]
    assert world.http.post(f"/workflows/{frozen['workflow_id']}/start").json()["code"] == "archived"
    assert world.http.post(f"/tasks/{b}/link").json()["code"] == "not_completed"
    made = world.call("POST", f"/tasks/{a}/copy", {"overrides": {"inputs": [5, 6]}}, 201)
    world.client.start_task(made["id"])
    assert world.client.wait_task(made["id"], 20)["results"] == "11\n"


def test_cache_idempotency_and_dedup(world, name):
    fields = {"inputs": [7, 8], "cache": {"ttl": 60}}
    assert "cached" not in one(world, add(name + "a", **fields))
    again = one(world, add(name + "b", **fields))
    assert (again["cached"], again["results"]) == (True, "15\n")
    body = {"name": "main", "inputs": [1, 1]}
    answers = [world.http.post("/tasks", json=body, headers={"Idempotency-Key": name}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    answer = world.http.post("/tasks", json={"name": "other"}, headers={"Idempotency-Key": name})
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_conflict")
    twins = [world.http.post("/tasks", json={**body, "dedup_key": name}) for _ in range(2)]
    assert [twin.status_code for twin in twins] == [201, 200]
    assert twins[0].json()["id"] == twins[1].json()["id"]


def test_stop_with_finish_lets_the_running_end(world, name):
    tasks = [spin(name + "a", 250_000_000), add(name + "b", depends_on=[name + "a"])]
    made = world.client.create_workflow(tasks)
    world.client.start_workflow(made["workflow_id"])
    world.wait_state(name + "a", 2)
    assert world.call("POST", "/stop", {"workflow_id": made["workflow_id"], "running": "finish"}) == {"stopped": 1}
    ended = world.client.wait_workflow(made["workflow_id"], 30)
    assert [task["state_name"] for task in ended["tasks"]] == ["Completed", "Interrupted"]
    assert ended["tasks"][0]["progress"] == 1.0


def test_a_thousand_children_between_one_and_one(world, name):
    middle = [add(f"{name}m{at}", [at, 1], depends_on=[name + "root"]) for at in range(1000)]
    tasks = [add(name + "root"), *middle, add(name + "end", depends_on=[task["id"] for task in middle])]
    begin = time.monotonic()
    made = world.client.create_workflow(tasks)
    assert time.monotonic() - begin < 2
    world.client.start_workflow(made["workflow_id"])
    ended = world.client.wait_workflow(made["workflow_id"], 60)
    assert ended["state_name"] == "Completed"
