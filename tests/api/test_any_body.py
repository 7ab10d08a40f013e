"""Any JSON in any field of any body, and bytes that are no JSON: refused or taken, never a fault."""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from hub.api.bodies import DuplicateIn, JobIn, RetryIn, StopIn, TaskIn, WorkflowIn
from hub.core.checks import violations
from tests.api.stage import FILE, Stage
from tests.api.test_fuzz import FIELDS, GOOD
from tests.effort import effort
from tests.fuzz import ODD, values

# What each takes; the task, job and workflow are there.
ROUTES = [
    ("POST", "/tasks", TaskIn), ("PUT", "/tasks/t", TaskIn), ("POST", "/jobs", JobIn),
    ("POST", "/workflows", WorkflowIn),
    ("POST", "/workflows?dry_run=true", WorkflowIn), ("POST", "/stop", StopIn), ("POST", "/tasks/t/stop", StopIn),
    ("POST", "/jobs/j/stop", StopIn), ("POST", "/tasks/t/retry", RetryIn), ("POST", "/workflows/w/retry", RetryIn),
    ("POST", "/tasks/t/copy", DuplicateIn), ("POST", "/workflows/w/copy", DuplicateIn),
    ("POST", "/tasks/t/link", DuplicateIn), ("POST", "/tasks/t/archive", DuplicateIn),
    ("POST", "/tasks/t/start", None), ("POST", "/workflows/w/start", None), ("POST", "/jobs/j/start", None),
]  # fmt: skip
HEADERS = {"Content-Type": "application/json"}


def body(kind):
    """Mostly fields that pass, one of them with anything in it, or anything as a whole."""
    fields = {name: st.sampled_from(GOOD[name][1]) for name in FIELDS[kind] if name in GOOD}
    needed = {"name": fields.pop("name")} if kind is TaskIn else {}
    fields |= {name: values for name in FIELDS[kind] if name not in fields and name not in needed}
    if kind in (JobIn, WorkflowIn):
        fields["tasks"] = st.lists(st.one_of(body(TaskIn), values), max_size=3)
    few = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return few.flatmap(lambda names: st.fixed_dictionaries({**needed, **{name: fields[name] for name in names}}))


@st.composite
def requests(draw):
    method, path, kind = draw(st.sampled_from(ROUTES))
    if kind is None:
        return method, path, b""
    said = draw(body(kind))
    how = draw(st.sampled_from(("good", "good", "value", "odd", "whole", "cut", "bytes")))
    name = draw(st.sampled_from(FIELDS[kind]))
    if how == "value":
        said[name] = draw(values)
    elif how == "odd":
        text = json.dumps({**said, name: "@"}).replace('"@"', draw(st.sampled_from(ODD)), 1)
        return method, path, text.encode("utf-8", "surrogatepass")
    elif how == "whole":
        return method, path, draw(st.sampled_from(ODD)).encode("utf-8", "surrogatepass")
    raw = json.dumps(said).encode()
    if how == "cut":
        raw = raw[: draw(st.integers(0, len(raw)))]
    elif how == "bytes":
        at = draw(st.integers(0, len(raw)))
        raw = raw[:at] + draw(st.binary(max_size=4)) + raw[at + 1 :]
    return method, path, raw


async def enter(directory):
    stage = Stage(directory)
    await stage.__aenter__()
    stage.join("d1")
    stage.join("d2", answers=False)
    for path, said in (("/tasks", {"id": "t", "name": "main", "file": FILE}),
                       ("/jobs", {"job_id": "j", "tasks": [{"name": "main", "file": FILE}]}),
                       ("/workflows", {"workflow_id": "w", "tasks": [{"name": "main", "file": FILE}]})):  # fmt: skip
        assert (await stage.call("POST", path, said)).status_code in (201, 409)
    return stage


def check(put):
    json.dumps(put.doc, allow_nan=False, ensure_ascii=False).encode()


async def play(stage, method, path, raw):
    answer = await stage.http.request(method, path, content=raw, headers=HEADERS)
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "code", "detail"}, answer.text
    await stage.runtime.settled()
    assert violations(stage.runtime.engine) == []
    return answer.status_code


@pytest.mark.parametrize("number", range(2))
def test_no_body_is_answered_with_5xx_and_what_is_kept_can_be_read_again(tmp_path, number, caplog):
    caplog.set_level("ERROR")
    counts = Counter()
    with asyncio.Runner() as runner:
        stage = runner.run(enter(tmp_path))
        stage.runtime.on_changed = check

        @seed(number)
        @settings(max_examples=effort(10_000), deadline=None, database=None)
        @given(requests())
        def ask(request):
            counts[runner.run(play(stage, *request))] += 1
            assert not caplog.records, caplog.text

        ask()
        runner.run(stage.__aexit__())
        assert {200, 201, 400, 409} <= counts.keys(), counts
        # Memory and disk say the same.
        kept = stage.runtime.journal.tables
        stage = runner.run(enter(tmp_path))
        assert {id: kept["tasks"][id]["name"] for id in kept["tasks"]} == {
            id: task.doc["name"] for id, task in stage.runtime.engine.world.tasks.items()
        }
        assert violations(stage.runtime.engine) == []
        runner.run(stage.__aexit__())
