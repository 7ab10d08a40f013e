"""A user's mistake is a clear 4xx, never a 500, and the hub goes on."""

import asyncio
import tracemalloc

import pytest

from hub.api.turns import in_turns
from tests.api.stage import ADDITION, FILE

TASK = {"name": "main"}

# what: (body of POST /tasks, a word of the sentence)
BODIES = {
    "no name": ({}, "name"),
    "empty name": ({"name": ""}, "name"),
    "name is a number": ({"name": 7}, "name: expected str"),
    "priority over 100": ({**TASK, "priority": 101}, "between 0 and 100"),
    "priority below 0": ({**TASK, "priority": -1}, "between 0 and 100"),
    "priority in unknown words": ({**TASK, "priority": "asap"}, "urgent, high"),
    "priority a truth": ({**TASK, "priority": True}, "priority"),
    "run_if unknown": ({**TASK, "run_if": "maybe"}, "success, failure"),
    "env not strings": ({**TASK, "env": {"A": 1}}, "env"),
    "inputs with a truth": ({**TASK, "inputs": [True]}, "inputs"),
    "inputs with a list": ({**TASK, "inputs": [[1]]}, "inputs"),
    "inputs a number": ({**TASK, "inputs": 5}, "inputs"),
    "file not base64": ({**TASK, "file": "%%%"}, "base64"),
    "file not wasm": ({**TASK, "file": "aGVsbG8gd29ybGQ="}, "wasm"),
    "file truncated": ({**TASK, "file": FILE[:40]}, ""),
    "timeout zero": ({**TASK, "timeout": 0}, "above 0"),
    "timeout negative": ({**TASK, "timeout": -5}, "above 0"),
    "encrypted": ({**TASK, "encrypted": True}, "not supported"),
    "bad id": ({**TASK, "id": "a b"}, "1 to 64"),
    "long id": ({**TASK, "id": "a" * 65}, "1 to 64"),
    "bad proplet": ({**TASK, "proplet_id": "../x"}, "proplet_id"),
    "image_url no reference": ({**TASK, "image_url": "not a url"}, "image_url"),
    "allow of an unknown function": ({**TASK, "allow": ["camera"]}, "gpio_read"),
    "allow of a function that is free": ({**TASK, "allow": ["log"]}, "gpio_read"),
    "allow of a pin that is no number": ({**TASK, "allow": ["adc:x"]}, "number"),
    "allow of a topic with a space": ({**TASK, "allow": ["publish:a b"]}, "topic"),
    "allow of too many": ({**TASK, "allow": ["adc"] * 65}, "over 64"),
    "allow is text": ({**TASK, "allow": "adc"}, "allow: expected array"),
    "memory over 4096 pages": ({**TASK, "limits": {"memory_pages": 4097}}, "limits.memory_pages"),
    "no memory at all": ({**TASK, "limits": {"memory_pages": 0}}, "limits.memory_pages"),
    "stack over 64 KiB": ({**TASK, "limits": {"stack_bytes": 65537}}, "limits.stack_bytes"),
    "output over 48 KiB": ({**TASK, "limits": {"output_bytes": 49153}}, "limits.output_bytes"),
    "max_items over 20,000": ({**TASK, "max_items": 20001}, "max_items"),
    "stdin a number": ({**TASK, "stdin": 5}, "stdin"),
    "unknown dependency": ({**TASK, "depends_on": ["x"]}, "does not exist"),
    "unknown workflow": ({**TASK, "workflow_id": "x"}, "does not exist"),
    "a list": ([], "expected object"),
    "a string": ("x", "expected object"),
}


@pytest.mark.parametrize("what", BODIES)
async def test_a_bad_task_is_400_with_a_sentence(stage, what):
    body, word = BODIES[what]
    answer = await stage.call("POST", "/tasks", body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]
    assert set(answer.json()) == {"error", "code", "detail"}
    assert (await stage.call("GET", "/tasks")).json()["total"] == 0


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"name": "a",}', b'{"tasks": 1e999}'])
async def test_a_body_that_is_no_json_is_400(stage, raw):
    for path in ("/tasks", "/workflows", "/jobs"):
        answer = await stage.http.post(path, content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text


async def test_a_body_of_another_type_is_415(stage):
    answer = await stage.http.post("/tasks", content=b"name=main", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "bad_content_type")
    answer = await stage.http.put("/tasks/x/upload", content=ADDITION)
    assert answer.status_code == 404
    await stage.call("POST", "/tasks", {"id": "x", "name": "main"})
    answer = await stage.http.put("/tasks/x/upload", content=ADDITION)
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "files",
    [
        {"file": ("x.wasm", b"")},
        {"file": ("x.wasm", b"<html>")},
        {"file": ("x.wasm", ADDITION[:-3])},
        {"other": ("x", ADDITION)},
    ],
)
async def test_an_upload_that_is_no_module_is_400_and_leaves_the_task_as_it_was(stage, files):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    answer = await stage.http.put("/tasks/t/upload", files=files)
    assert answer.status_code == 400, answer.text
    assert "module" not in (await stage.call("GET", "/tasks/t")).json()


async def test_a_broken_form_is_400(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    for raw in (b"--x\r\nnonsense", b"", b"--x--"):
        assert (await stage.http.put("/tasks/t/upload", content=raw, headers=headers)).status_code == 400
    no_boundary = {"Content-Type": "multipart/form-data"}
    assert (await stage.http.put("/tasks/t/upload", content=b"--x", headers=no_boundary)).status_code == 400


async def test_a_field_over_1_mib_and_tasks_over_8_mib_are_413_and_a_file_is_not(stage):
    for field in ("inputs", "for_each", "env", "unknown"):
        answer = await stage.call("POST", "/tasks", {**TASK, field: [0] * 600_000})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), field
        assert field in answer.json()["error"]
    task = {**TASK, "inputs": ["x" * 900_000]}
    answer = await stage.call("POST", "/jobs", {"tasks": [task] * 10})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert (await stage.call("POST", "/jobs", {"tasks": [task] * 9})).status_code == 201
    # A file has a limit of its own, and here it is no module.
    answer = await stage.call("POST", "/tasks", {**TASK, "file": "AAAA" * 600_000})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_module")


KEYS = b",".join(b'"%x":1' % number for number in range(300_000))


@pytest.mark.parametrize(
    "path, raw",
    [
        ("/jobs", b'{"tasks": [' + b"{}," * 1_000_000 + b"{}]}"),
        ("/workflows", b'{"tasks": [{}], "tasks": [' + b'{"name": ""},' * 100_000 + b"{}]}"),
        ("/workflows", b'{"tasks": [{"name": "x",' + KEYS + b"}]}"),
        ("/jobs", b'{"tasks": [{"name": "x"}],' + KEYS + b"}"),
        ("/tasks", b'{"name": "x",' + KEYS + b"}"),
    ],
)
async def test_what_would_take_many_times_its_size_is_413_before_it_does(stage, path, raw):
    tracemalloc.start()
    try:
        answer = await stage.http.post(path, content=raw, headers={"Content-Type": "application/json"})
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert most < 3 * len(raw) + (12 << 20), "beside the body and copies of it, what stands for 20,000 tasks"


async def test_as_many_tasks_and_dependencies_as_allowed_are_taken_and_one_more_is_413(stage):
    def layered(count):
        return [{**TASK, "id": f"{at:x}", "depends_on": [f"{before:x}" for before in range(at)]} for at in range(count)]

    for tasks, status in (([TASK] * 20_000, 201), ([TASK] * 20_001, 413), (layered(632), 201), (layered(634), 413)):
        answer = await stage.call("POST", "/workflows", {"tasks": tasks})
        assert answer.status_code == status, answer.text[:200]
        if status == 413:
            assert answer.json()["code"] == "too_large"
            assert "20000" in answer.json()["error"]


async def test_long_work_lets_others_have_their_turn(monkeypatch):
    monkeypatch.setattr("hub.api.turns.TURN_S", 0.0)
    heard = []

    async def hear():
        for at in range(5):
            heard.append(at)
            await asyncio.sleep(0)

    hearing = asyncio.create_task(hear())
    assert [len(heard) async for _ in in_turns(range(5))] == [1, 2, 3, 4, 5]
    await hearing


async def test_a_body_over_its_limit_is_413(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    huge = b'{"name": "' + b"x" * (17 << 20) + b'"}'
    answer = await stage.http.post("/tasks", content=huge, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = await stage.http.put("/tasks/t/upload", files={"file": ("x.wasm", bytes(9 << 20))})
    assert answer.status_code == 413
    metadata = {"metadata": {"a": "x" * (1 << 20)}}
    for path, body in (("/tasks", TASK), ("/jobs", {"tasks": [TASK]}), ("/workflows", {"tasks": [TASK]})):
        answer = await stage.call("POST", path, {**body, **metadata})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=abc", "offset=-1", "limit=1e3", "limit=" + "9" * 5000, "state=9", "state=x",
     "metadata=x", "metadata=[]", "metadata={}&metadata={}"],
)  # fmt: skip
async def test_a_query_that_cannot_be_meant_is_400(stage, query):
    assert (await stage.call("GET", f"/tasks?{query}")).status_code == 400


async def test_unknown_status_words_are_400(stage):
    for path in ("/jobs?status=bogus", "/proplets?status=bogus", "/workflows?dry_run=perhaps"):
        method = "POST" if "dry_run" in path else "GET"
        assert (await stage.call(method, path, {"tasks": [TASK]} if method == "POST" else None)).status_code == 400


async def test_unknown_ids_are_404_everywhere(stage):
    gets = ["/tasks/x", "/tasks/x/results", "/tasks/x/attempts", "/jobs/x", "/workflows/x", "/proplets/x", "/modules/x",
            "/proplets/x/alive-history", "/events?task_id=x", "/tasks/x/events", "/workflows/x/events"]  # fmt: skip
    posts = [f"/{kind}/x/{verb}" for kind in ("tasks", "jobs", "workflows") for verb in ("start", "stop")]
    for method, paths in (("GET", gets), ("POST", posts), ("DELETE", ["/tasks/x", "/workflows/x", "/proplets/x"])):
        for path in paths:
            answer = await stage.call(method, path)
            assert (answer.status_code, answer.json()["code"][:8]) == (404, "unknown_"), path


async def test_unknown_paths_are_404_and_wrong_methods_405_with_what_is_allowed(stage):
    assert (await stage.call("GET", "/nowhere")).json()["code"] == "unknown_path"
    answer = await stage.call("DELETE", "/tasks")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("kind", ["workflows", "jobs"])
async def test_groups_without_tasks_or_with_bad_ones_are_400(stage, kind):
    for body in ({}, {"tasks": []}, {"tasks": [{}]}, {"tasks": "x"}, {"tasks": [{"name": "a", "inputs": {"a": 1}}, 5]}):
        answer = await stage.call("POST", f"/{kind}", body)
        assert answer.status_code == 400, answer.text


async def test_an_id_that_exists_is_409_and_nothing_of_the_request_is_kept(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    tasks = [{"id": "new", "name": "main"}, {"id": "t", "name": "main"}]
    answer = await stage.call("POST", "/workflows", {"tasks": tasks})
    assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_id")
    assert (await stage.call("GET", "/tasks")).json()["total"] == 1


async def test_an_unknown_execution_mode_is_400_with_the_known_ones(stage):
    answer = await stage.call("POST", "/jobs", {"tasks": [TASK], "execution_mode": "random"})
    assert answer.status_code == 400 and "parallel, sequential, configurable" in answer.json()["error"]


async def test_a_message_of_a_device_that_is_not_what_it_should_be_is_dropped_and_counted(stage):
    stage.join("d1")
    for payload in (b"", b"[]", b"\xff", b'{"task": 1}', b"[" * 50_000):
        stage.bridge.message("d1", "result", payload)
    stage.bridge.message("d1", "nonsense", b"{}")
    assert stage.bridge.dropped == {"result": 5, "unknown": 1}
    assert (await stage.call("GET", "/health")).status_code == 200
