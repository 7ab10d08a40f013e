"""/tasks: create, read, change, upload, start, stop, delete."""

import base64

import pytest

from tests.api.stage import ADDITION, FILE

ZERO = "0001-01-01T00:00:00Z"


async def test_a_new_task_prints_every_promised_field_and_no_empty_one(stage):
    answer = await stage.call("POST", "/tasks", {"name": "main"})
    task = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/tasks/{task['id']}"
    created = task.pop("created_at")
    assert created.startswith("20") and created.endswith("Z")
    assert task == {
        "id": task["id"], "name": "main", "kind": "standard", "state": 0, "state_name": "Pending", "priority": 50,
        "cli_args": None, "daemon": False, "encrypted": False, "start_time": ZERO, "finish_time": ZERO,
        "updated_at": ZERO, "next_run": ZERO, "progress": 0.0, "pending_reason": "not started",
    }  # fmt: skip


async def test_a_task_runs_and_shows_results_in_words_and_values(stage):
    stage.join("d1")
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "inputs": [10, 20], "file": FILE})
    assert (await stage.call("POST", "/tasks/t/start")).json() == {"started": True}
    task = await stage.ended("t")
    assert (task["state"], task["results"], task["outputs"], task["proplet_id"]) == (3, "30\n", [30], "d1")
    assert (await stage.call("GET", "/tasks/t/results")).json() == {"results": "30\n", "outputs": [30]}
    attempts = (await stage.call("GET", "/tasks/t/attempts")).json()
    assert (attempts["total"], attempts["attempts"][0]["outcome"]) == (1, "completed")


async def test_results_before_the_end_are_null_and_not_an_empty_body(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    assert (await stage.call("GET", "/tasks/t/results")).json()["results"] is None


async def test_an_upload_attaches_the_module_and_prints_small_ones(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    answer = await stage.http.put("/tasks/t/upload", files={"file": ("addition.wasm", ADDITION)})
    assert answer.status_code == 200
    assert answer.json()["file"] == FILE
    assert answer.json()["file_size"] == len(ADDITION)


async def test_a_large_module_is_shown_by_size_and_hash_and_whole_on_request(stage):
    custom = b"\0" + b"\xd0\x2e" + b"\x01x" + bytes(0x1750 - 2)
    large = ADDITION + custom
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": base64.b64encode(large).decode()})
    task = (await stage.call("GET", "/tasks/t")).json()
    assert "file" not in task and task["file_size"] == len(large) and len(task["module"]) == 64
    whole = (await stage.call("GET", "/tasks/t?file=full")).json()
    assert base64.b64decode(whole["file"]) == large


async def test_put_changes_only_the_fields_sent_and_takes_a_clis_zero_values_as_unchanged(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "inputs": [1], "env": {"A": "b"}})
    zero = {"name": "", "start_time": ZERO, "priority": 90, "inputs": [2, 3]}
    task = (await stage.call("PUT", "/tasks/t", zero)).json()
    assert (task["name"], task["inputs"], task["env"], task["priority"]) == ("main", [2, 3], {"A": "b"}, 90)
    assert task["updated_at"] != ZERO


async def test_state_results_and_times_sent_by_a_client_are_ignored(stage):
    task = (await stage.call("POST", "/tasks", {"name": "main", "state": 3, "results": "1", "start_time": "x"})).json()
    assert task["state"] == 0 and "results" not in task


async def test_inputs_come_back_as_they_were_sent(stage):
    inputs = [10, 1.5, "1e3", -7, 9007199254740993]
    assert (await stage.call("POST", "/tasks", {"name": "main", "inputs": inputs})).json()["inputs"] == inputs
    nested = {"a": [1, {"b": None}], "c": True}
    assert (await stage.call("POST", "/tasks", {"name": "main", "inputs": nested})).json()["inputs"] == nested


async def test_a_failed_task_has_error_in_words_and_error_info_beside_it(stage):
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    await stage.call("POST", "/tasks/t/start")
    stage.finish("d1", await stage.held.get(), ok=False)
    task = await stage.ended("t")
    assert (task["state"], task["error"]) == (4, "unreachable")
    assert task["error_info"] == {
        "code": "trap_unreachable", "message": "unreachable", "category": "permanent", "retryable": True,
        "delivery_state": "responded",
    }  # fmt: skip


async def test_stop_interrupts_a_waiting_task_with_the_reason_given(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    await stage.call("POST", "/tasks/t/start")
    answer = await stage.call("POST", "/tasks/t/stop", {"error_message": "not today"})
    assert answer.json() == {"stopped": True}
    task = (await stage.call("GET", "/tasks/t")).json()
    assert (task["state"], task["error"]) == (6, "not today")
    again = await stage.call("POST", "/tasks/t/stop")
    assert (again.status_code, again.json()["code"]) == (409, "already_ended")


async def test_start_of_what_runs_or_waits_or_has_no_module_is_a_conflict(stage):
    await stage.call("POST", "/tasks", {"id": "a", "name": "main"})
    await stage.call("POST", "/tasks", {"id": "b", "name": "main", "file": FILE, "depends_on": ["a"]})
    await stage.call("POST", "/tasks", {"id": "c", "name": "main", "file": FILE})
    await stage.call("POST", "/tasks/c/start")
    codes = [(await stage.call("POST", f"/tasks/{id}/start")).json()["code"] for id in "abc"]
    assert codes == ["no_module", "unmet_dependencies", "already_running"]


async def test_what_a_module_may_use_is_kept_printed_and_changed(stage):
    given = {"stdin": "line\n", "allow": ["adc:3", "publish:room/"], "limits": {"memory_pages": 17}}
    task = (await stage.call("POST", "/tasks", {"id": "t", "name": "main", **given})).json()
    assert {key: task[key] for key in given} == given
    copy = (await stage.call("POST", "/tasks/t/copy")).json()
    assert {key: copy[key] for key in given} == given
    changed = (await stage.call("PUT", "/tasks/t", {"allow": [], "limits": {"output_bytes": 0}})).json()
    assert "allow" not in changed
    assert (changed["stdin"], changed["limits"]) == ("line\n", {"output_bytes": 0})


async def test_stdin_that_no_start_message_carries_is_413(stage):
    answer = await stage.call("POST", "/tasks", {"name": "main", "stdin": "x" * (256 * 1024 + 1)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_delete_answers_204_and_then_404(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    assert (await stage.call("DELETE", "/tasks/t")).status_code == 204
    assert (await stage.call("GET", "/tasks/t")).status_code == 404


@pytest.mark.parametrize("path", ["/tasks", "/tasks/"])
async def test_pages_are_oldest_first_with_and_without_a_slash(stage, path):
    for name in ("c", "a", "b"):
        await stage.call("POST", "/tasks", {"id": name, "name": "main"})
    page = (await stage.call("GET", f"{path}?offset=1&limit=1")).json()
    assert (page["offset"], page["limit"], page["total"]) == (1, 1, 3)
    assert [task["id"] for task in page["tasks"]] == ["a"]
    assert (await stage.call("GET", f"{path}?offset=10")).json()["tasks"] == []


async def test_filters_narrow_a_page_and_its_total(stage):
    await stage.call("POST", "/tasks", {"id": "a", "name": "x", "user_id": "u", "metadata": {"site": "n", "n": 1}})
    await stage.call("POST", "/tasks", {"id": "b", "name": "y", "user_id": "u", "metadata": {"site": "s"}})
    await stage.call("POST", "/tasks/b/stop")

    async def ids(query: str) -> list[str]:
        page = (await stage.call("GET", f"/tasks?{query}")).json()
        assert page["total"] == len(page["tasks"])
        return [task["id"] for task in page["tasks"]]

    assert await ids("user_id=u") == ["a", "b"]
    assert await ids("name=y") == ["b"]
    assert await ids("state=6") == ["b"]
    assert await ids("state=pending&user_id=u") == ["a"]
    assert await ids('metadata={"site":"n","n":1}') == ["a"]
    assert await ids('metadata={"site":"n","n":2}') == []


async def test_a_start_message_too_large_for_a_device_fails_the_task_and_not_the_hub(stage):
    stage.join("d1")
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE, "env": {"A": "x" * 300_000}})
    await stage.call("POST", "/tasks/t/start")
    task = await stage.ended("t")
    assert (task["state"], task["error_info"]["code"]) == (4, "too_large")
