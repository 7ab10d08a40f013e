"""Every call of Propeller's two documents, over HTTP against a real hub and a real edge, answered as they print it.

What the documents cannot fix is compared by form: generated ids, times, and which proplet.
"""

import itertools
import re
import time
from datetime import datetime

import pytest

from tests.e2e.world import World, module

FILE = "AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL"
ZERO = "0001-01-01T00:00:00Z"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Any_:
    """Equals whatever its test accepts; prints what that is."""

    def __init__(self, what, test):
        self.what, self.test = what, test

    def __eq__(self, other):
        return self.test(other)

    def __repr__(self):
        return f"<{self.what}>"


def is_time(value):
    return isinstance(value, str) and value != ZERO and value.endswith("Z") and bool(datetime.fromisoformat(value))


A_UUID = Any_("a uuid", lambda value: isinstance(value, str) and bool(UUID.fullmatch(value)))
A_TIME = Any_("a time", is_time)
A_SENTENCE = Any_("a sentence", lambda value: isinstance(value, str))


def shown(answer: dict, expected: dict) -> None:
    """Every field that the document prints is there with its value; nothing it leaves out as empty is printed."""
    assert {key: answer.get(key, "absent") for key in expected} == expected


def post(world: World, path: str, body=None):
    """As curl sends it: with a body as JSON, without one with nothing."""
    return world.http.post(path, json=body) if body is not None else world.http.post(path)


def upload(world: World, id: str):
    return world.http.put(f"/tasks/{id}/upload", files={"file": ("addition.wasm", module("addition"))})


def ids(tasks):
    return [task["id"] for task in tasks]


@pytest.fixture
def one_edge(world):
    world.start_edges("ec182939-7940-4b25-869e-47b245ddec09")
    return world


def test_part_1_the_dag_workflow(one_edge):
    world = one_edge
    body = {"tasks": [
        {"id": "task-001", "name": "main", "inputs": [10, 20]},
        {"id": "task-002", "name": "main", "inputs": [5, 15], "depends_on": ["task-001"]},
        {"id": "task-003", "name": "main", "inputs": [100, 200], "depends_on": ["task-001"]},
    ]}  # fmt: skip
    created = post(world, "/workflows", body)
    assert created.status_code == 201
    workflow = created.json()["tasks"][0]["workflow_id"]
    assert workflow == A_UUID
    common = {"name": "main", "cli_args": None, "daemon": False, "encrypted": False, "workflow_id": workflow,
              "next_run": ZERO, "created_at": A_TIME}  # fmt: skip
    fresh = {**common, "state": 0, "start_time": ZERO, "finish_time": ZERO}
    for answer, asked in zip(created.json()["tasks"], body["tasks"], strict=True):
        shown(answer, {**fresh, **asked, "updated_at": ZERO, "results": "absent", "proplet_id": "absent",
                       "file": "absent", "depends_on": asked.get("depends_on", "absent")})  # fmt: skip

    for task in ("task-001", "task-002", "task-003"):
        answer = upload(world, task)
        assert answer.status_code == 200
        shown(answer.json(), {**fresh, "id": task, "file": FILE, "updated_at": A_TIME})

    started = post(world, "/tasks/task-001/start")
    assert (started.status_code, started.json()) == (200, {"started": True})
    world.client.wait_workflow(workflow, 20)

    page = world.call("GET", "/tasks")
    assert (page["offset"], page["limit"], page["total"]) == (0, 100, 3)
    tasks = [task for task in page["tasks"] if task["workflow_id"] == workflow]
    for answer, asked, results in zip(tasks, body["tasks"], ("30\n", "20\n", "300\n"), strict=True):
        shown(answer, {**common, **asked, "state": 3, "file": FILE, "results": results,
                       "proplet_id": "ec182939-7940-4b25-869e-47b245ddec09", "start_time": A_TIME,
                       "finish_time": A_TIME, "updated_at": A_TIME,
                       "depends_on": asked.get("depends_on", "absent"), "error": "absent"})  # fmt: skip
        assert answer["start_time"] <= answer["finish_time"]
    assert tasks[1]["start_time"] >= tasks[0]["finish_time"]
    assert tasks[2]["start_time"] >= tasks[0]["finish_time"]


def run_job(world, mode, names, inputs, name):
    tasks = [{"id": id, "name": "main", "inputs": list(pair)} for id, pair in zip(names, inputs, strict=True)]
    created = post(world, "/jobs", {"name": name, "execution_mode": mode, "tasks": tasks})
    assert created.status_code == 201
    job = created.json()["job_id"]
    assert job == A_UUID
    fresh = {"state": 0, "name": "main", "cli_args": None, "daemon": False, "encrypted": False, "job_id": job,
             "start_time": ZERO, "finish_time": ZERO, "created_at": A_TIME, "next_run": ZERO}  # fmt: skip
    for answer, asked in zip(created.json()["tasks"], tasks, strict=True):
        shown(answer, {**fresh, **asked, "updated_at": ZERO, "workflow_id": "absent", "depends_on": "absent"})
    for id in names:
        shown(upload(world, id).json(), {**fresh, "id": id, "file": FILE, "updated_at": A_TIME})
    started = post(world, f"/jobs/{job}/start")
    assert (started.status_code, started.json()) == (200, {"job_id": job, "message": "job started"})
    world.client.wait_job(job, 20)
    answer = world.http.get(f"/jobs/{job}")
    assert answer.status_code == 200
    assert answer.json()["job_id"] == job
    for task, (a, b) in zip(answer.json()["tasks"], inputs, strict=True):
        shown(task, {"name": "main", "state": 3, "file": FILE, "job_id": job, "inputs": [a, b],
                     "results": f"{a + b}\n", "start_time": A_TIME, "finish_time": A_TIME})  # fmt: skip
    return job, answer.json()["tasks"]


def seconds(task, field):
    return datetime.fromisoformat(task[field]).timestamp()


def test_part_2_the_parallel_job_and_the_sequential_one(one_edge):
    parallel = ["job-task-001", "job-task-002", "job-task-003"]
    first, _ = run_job(one_edge, "parallel", parallel, [(100, 50), (25, 75), (200, 300)], "addition-pipeline")
    sequential = ["seq-task-001", "seq-task-002", "seq-task-003"]
    second, tasks = run_job(one_edge, "sequential", sequential, [(1, 2), (3, 4), (5, 6)], "sequential-pipeline")
    for before, after in itertools.pairwise(tasks):
        assert after["start_time"] >= before["finish_time"]

    page = one_edge.call("GET", "/jobs?offset=0&limit=100")
    assert (page["offset"], page["limit"], page["total"]) == (0, 100, 2)
    expected = [(second, "sequential-pipeline", 3), (first, "addition-pipeline", 3)]
    assert [(job["job_id"], job["name"], job["state"]) for job in page["jobs"]] == expected
    assert all(len(job["tasks"]) == 3 and job["created_at"] == A_TIME for job in page["jobs"])


def test_three_tasks_of_a_parallel_job_overlap_on_one_edge(one_edge):
    """As in the document, where each of the three starts before any has finished."""
    tasks = [{"id": f"p{at}", "name": "spin", "inputs": [30_000_000], "file": module("spin")} for at in range(3)]
    job = one_edge.client.create_job("overlap", tasks, execution_mode="parallel")["job_id"]
    one_edge.client.start_job(job)
    ended = one_edge.client.wait_job(job, 30)["tasks"]
    assert max(task["start_time"] for task in ended) < min(task["finish_time"] for task in ended)


def test_scheduling_document_jobs(world):
    tasks = [{"name": name, "image_url": f"docker.io/myorg/{name}:v1"} for name in ("extract", "transform", "load")]
    created = post(world, "/jobs", {"name": "data-pipeline", "execution_mode": "sequential", "tasks": tasks})
    assert created.status_code == 201
    for task, asked in zip(created.json()["tasks"], tasks, strict=True):
        shown(task, {"id": A_UUID, "state": 0, **asked})
    job = created.json()["job_id"]
    assert post(world, f"/jobs/{job}/stop").json() == {"job_id": job, "message": "job stopped"}


def test_scheduling_document_workflow_creation(world):
    url = "docker.io/myorg/{}:v1"
    body = {"name": "etl-workflow", "tasks": [
        {"id": "fetch-a", "name": "fetch-source-a", "image_url": url.format("fetch"), "env": {"SOURCE": "database-a"}},
        {"id": "fetch-b", "name": "fetch-source-b", "image_url": url.format("fetch"), "env": {"SOURCE": "database-b"}},
        {"id": "merge", "name": "merge-data", "image_url": url.format("merge"), "depends_on": ["fetch-a", "fetch-b"],
         "run_if": "success"},
        {"id": "report", "name": "generate-report", "image_url": url.format("report"), "depends_on": ["merge"],
         "run_if": "success"},
        {"id": "alert", "name": "send-alert", "image_url": url.format("alert"), "depends_on": ["merge"],
         "run_if": "failure"},
    ]}  # fmt: skip
    created = post(world, "/workflows", body)
    assert created.status_code == 201
    workflow = created.json()["workflow_id"]
    for answer, asked in zip(created.json()["tasks"], body["tasks"], strict=True):
        shown(answer, {"workflow_id": workflow, "state": 0, "run_if": "absent", "depends_on": "absent", **asked})


def test_scheduling_document_validation(world):
    cycle = {"tasks": [{"name": "task-a", "depends_on": ["task-c"]}, {"name": "task-b", "depends_on": ["task-a"]},
                       {"name": "task-c", "depends_on": ["task-b"]}]}  # fmt: skip
    answer = post(world, "/workflows", cycle)
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "DAG validation failed: circular dependency detected: cycle detected involving tasks task-a and task-b"
    )
    answer = post(world, "/workflows", {"tasks": [{"name": "process", "depends_on": ["nonexistent-task"]}]})
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "dependency validation failed: dependency task not found: "
        "task process depends on nonexistent-task which does not exist"
    )
    assert world.call("GET", "/tasks")["total"] == 0


def test_scheduling_document_priority_and_pinning(world):
    urgent = {"name": "urgent-task", "image_url": "docker.io/myorg/process:v1", "priority": 90}
    shown(post(world, "/tasks", urgent).json(), {**urgent, "state": 0})
    pinned = {"name": "pinned-task", "image_url": "docker.io/myorg/process:v1", "proplet_id": "proplet-specific-001"}
    shown(post(world, "/tasks", pinned).json(), {**pinned, "state": 0})


def test_scheduling_document_cron(world):
    body = {"name": "hourly-cleanup", "image_url": "docker.io/myorg/cleanup:v1", "schedule": "0 * * * *",
            "timezone": "UTC", "is_recurring": True}  # fmt: skip
    created = post(world, "/tasks", body)
    assert created.status_code == 201
    task = created.json()
    next_hour = time.strftime("%Y-%m-%dT%H:00:00Z", time.gmtime(time.time() // 3600 * 3600 + 3600))
    shown(task, {**body, "id": A_UUID, "state": 0, "next_run": next_hour})
    shown(world.call("GET", f"/tasks/{task['id']}"), {"next_run": next_hour, "is_recurring": True})
    answer = world.http.put(f"/tasks/{task['id']}", json={"is_recurring": False})
    assert answer.status_code == 200
    shown(answer.json(), {"id": task["id"], "name": "hourly-cleanup", "state": 0, "is_recurring": False,
                          "schedule": "0 * * * *", "updated_at": A_TIME})  # fmt: skip
    assert post(world, f"/tasks/{task['id']}/stop").json() == {"stopped": True}
    assert world.call("GET", f"/tasks/{task['id']}")["state"] == 6


def test_scheduling_document_daemon(world):
    body = {"name": "api-server", "image_url": "docker.io/myorg/api:v1", "daemon": True}
    created = post(world, "/tasks", body)
    assert created.status_code == 201
    shown(created.json(), {**body, "id": A_UUID, "kind": "standard", "state": 0, "encrypted": False,
                           "start_time": ZERO, "finish_time": ZERO, "created_at": A_TIME, "updated_at": ZERO,
                           "priority": 50})  # fmt: skip


def test_round_robin_goes_over_the_alive_proplets(world):
    world.start_edges("a", "b", "c")
    proplets = [world.run(f"t{at}", "main", "addition", [at, 1])["proplet_id"] for at in range(6)]
    assert sorted(proplets[:3]) == ["a", "b", "c"] and proplets[3:] == proplets[:3]
