"""/workflows, /jobs and /stop."""

from tests.api.stage import FILE

TASK = {"name": "main", "inputs": [1, 2], "file": FILE}


async def test_a_workflow_links_its_tasks_and_ends_when_they_have(stage):
    stage.join("d1")
    tasks = [{"id": "a", **TASK}, {"id": "b", "depends_on": ["a"], **TASK}]
    answer = await stage.call("POST", "/workflows", {"name": "w", "tasks": tasks})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/workflows/{made['workflow_id']}"
    assert [task["workflow_id"] for task in made["tasks"]] == [made["workflow_id"]] * 2
    assert "depends_on" not in made["tasks"][0] and made["tasks"][1]["depends_on"] == ["a"]
    path = f"/workflows/{made['workflow_id']}"
    assert (await stage.call("POST", f"{path}/start")).status_code == 200
    await stage.http.get(f"{path}/events")
    whole = (await stage.call("GET", path)).json()
    assert (whole["state"], whole["state_name"], whole["counts"]["completed"]) == (3, "Completed", 2)
    assert whole["tasks"][1]["start_time"] >= whole["tasks"][0]["finish_time"]
    assert whole["finish_time"] == whole["tasks"][1]["finish_time"]
    assert (await stage.call("DELETE", path)).status_code == 204
    assert (await stage.call("GET", "/tasks")).json()["total"] == 0


async def test_a_dry_run_plans_and_stores_nothing(stage):
    tasks = [{"id": "a", **TASK}, {"id": "b", "depends_on": ["a"], **TASK}, {"id": "c", "depends_on": ["a"], **TASK}]
    answer = await stage.call("POST", "/workflows?dry_run=true", {"tasks": tasks})
    assert answer.status_code == 200
    assert answer.json()["steps"] == [{"level": 0, "nodes": ["a"]}, {"level": 1, "nodes": ["b", "c"]}]
    assert (await stage.call("GET", "/tasks")).json()["total"] == 0
    assert (await stage.call("GET", "/workflows")).json()["total"] == 0
    assert (await stage.call("GET", "/modules")).json()["total"] == 0


async def test_a_job_is_made_started_stopped_and_listed_newest_first(stage):
    first = await stage.call("POST", "/jobs", {"name": "one", "execution_mode": "parallel", "tasks": [TASK]})
    job = first.json()["job_id"]
    assert (first.status_code, first.headers["location"]) == (201, f"/jobs/{job}")
    await stage.call("POST", "/jobs", {"name": "two", "execution_mode": "sequential", "tasks": [TASK]})
    assert (await stage.call("POST", f"/jobs/{job}/start")).json() == {"job_id": job, "message": "job started"}
    assert (await stage.call("POST", f"/jobs/{job}/start")).status_code == 409
    assert (await stage.call("POST", f"/jobs/{job}/stop")).json() == {"job_id": job, "message": "job stopped"}
    page = (await stage.call("GET", "/jobs")).json()
    assert [(one["name"], one["state"]) for one in page["jobs"]] == [("two", 0), ("one", 6)]
    assert [one["name"] for one in (await stage.call("GET", "/jobs?status=failed")).json()["jobs"]] == ["one"]
    assert [one["name"] for one in (await stage.call("GET", "/jobs?status=pending")).json()["jobs"]] == ["two"]


async def test_a_job_never_changes(stage):
    made = (await stage.call("POST", "/jobs", {"tasks": [{"id": "t", **TASK}]})).json()
    answer = await stage.call("PUT", f"/jobs/{made['job_id']}", {})
    assert (answer.status_code, answer.json()["error"][:18]) == (405, "jobs are immutable")
    assert (await stage.call("PUT", "/tasks/t", {"name": "x"})).json()["code"] == "job_immutable"


async def test_a_job_is_deleted_with_its_tasks(stage):
    job = (await stage.call("POST", "/jobs", {"tasks": [{"id": "t", **TASK}]})).json()["job_id"]
    assert (await stage.call("DELETE", f"/jobs/{job}")).status_code == 204
    for path in (f"/jobs/{job}", "/tasks/t"):
        assert (await stage.call("GET", path)).status_code == 404
    assert (await stage.call("DELETE", f"/jobs/{job}")).status_code == 404


async def test_the_seeds_cycle_and_unknown_dependency_are_400_in_their_words_and_store_nothing(stage):
    cycle = [{"name": f"task-{a}", "depends_on": [f"task-{b}"]} for a, b in ("ac", "ba", "cb")]
    answer = await stage.call("POST", "/workflows", {"tasks": cycle})
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "DAG validation failed: circular dependency detected: cycle detected involving tasks task-a and task-b"
    )
    unknown = [{"name": "process", "depends_on": ["nonexistent-task"], "file": FILE}]
    answer = await stage.call("POST", "/workflows", {"tasks": unknown})
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "dependency validation failed: dependency task not found: "
        "task process depends on nonexistent-task which does not exist"
    )
    for path in ("/tasks", "/workflows"):
        assert (await stage.call("GET", path)).json()["total"] == 0


async def test_post_stop_names_one_group_or_all(stage):
    for job in ("j1", "j2"):
        await stage.call("POST", "/jobs", {"job_id": job, "tasks": [TASK, TASK]})
        await stage.call("POST", f"/jobs/{job}/start")
    assert (await stage.call("POST", "/stop", {"job_id": "j1"})).json() == {"stopped": 2}
    assert (await stage.call("POST", "/stop", {"all": True})).json() == {"stopped": 2}
    assert (await stage.call("POST", "/stop", {})).status_code == 400


async def test_a_name_that_is_not_given_is_empty_and_a_mode_that_is_not_given_is_parallel(stage):
    made = (await stage.call("POST", "/jobs", {"tasks": [TASK]})).json()
    job = (await stage.call("GET", f"/jobs/{made['job_id']}")).json()
    assert (job["name"], job["execution_mode"]) == ("", "parallel")


async def test_the_same_request_again_answers_the_group_that_it_made(stage):
    for path, key in (("/workflows", "workflow_id"), ("/jobs", "job_id")):
        body = {"tasks": [TASK]}
        answers = [await stage.call("POST", path, body, headers={"Idempotency-Key": path}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json()[key] == answers[1].json()[key]
        assert answers[0].headers["location"] == answers[1].headers["location"]
        assert (await stage.call("GET", answers[1].headers["location"])).status_code == 200


async def test_an_interrupted_workflow_with_waiting_tasks_can_be_stopped(stage):
    tasks = [{"id": "a", **TASK}, {"id": "b", "depends_on": ["a"], **TASK}]
    await stage.call("POST", "/workflows", {"workflow_id": "w", "tasks": tasks})
    await stage.call("POST", "/workflows/w/start")
    await stage.call("POST", "/tasks/a/stop")
    assert (await stage.call("GET", "/workflows/w")).json()["state_name"] == "Interrupted"
    assert (await stage.call("POST", "/workflows/w/stop")).status_code == 200
    assert (await stage.call("GET", "/tasks/b")).json()["state_name"] == "Interrupted"
    assert (await stage.call("POST", "/workflows/w/stop")).status_code == 409
