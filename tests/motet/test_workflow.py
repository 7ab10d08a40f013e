"""The builder: what it makes of tasks, what it refuses and when."""

import base64
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.api.bodies import TaskIn
from hub.core import graph
from motet import CheckpointError, CycleError, ExecutionStep, Workflow
from motet.demo_modules import ADDITION
from motet.fields import FIELDS
from shared.errors import BadRequest

FILE = base64.b64encode(ADDITION).decode()


def test_the_body_of_a_request() -> None:
    wf = Workflow("sums", fail_fast=True, on_dep_failure="fail", max_parallel=2, timeout=9, user_id="u")
    a = wf.task("a", module=ADDITION, inputs=(1, 2), retries=2)
    b = wf.task("b", ADDITION, "main", [a.output, 5], on_dep_failure="skip", timeout=None)
    b.after(wf.task("c", inputs={"x": a.result, "y": "text"}), required=False)
    assert wf.to_dict() == {
        "name": "sums",
        "fail_fast": True,
        "max_parallel": 2,
        "timeout": 9,
        "user_id": "u",
        "tasks": [
            {"name": "a", "file": FILE, "inputs": [1, 2], "retries": 2, "on_dep_failure": "fail"},
            {
                "name": "b",
                "file": FILE,
                "function": "main",
                "inputs": ["${a.outputs[0]}", 5],
                "on_dep_failure": "skip",
                "timeout": None,
                "depends_on": ["a", {"id": "c", "required": False}],
            },
            {"name": "c", "inputs": {"x": "$a", "y": "text"}, "on_dep_failure": "fail", "depends_on": ["a"]},
        ],
    }
    assert Workflow().to_dict() == {"tasks": []}


def test_references() -> None:
    wf = Workflow()
    a = wf.task("a", id="task-001")
    assert [str(one) for one in (a.output, a.outputs[2], a.outputs, a.result, a.text)] == [
        "${task-001.outputs[0]}",
        "${task-001.outputs[2]}",
        "${task-001.outputs}",
        "$task-001",
        "${task-001.results}",
    ]
    with pytest.raises(BadRequest, match="counted from 0"):
        a.outputs[-1]


@pytest.mark.parametrize("text", ["$a", "${a}", "${a.outputs}", "${a.outputs[1]}", "${a.results}"])
def test_a_reference_as_text_makes_the_dependency(text: str) -> None:
    wf = Workflow()
    a = wf.task("a")
    assert wf.task("b", inputs=[text]).depends_on == [a]
    assert wf.task("c", inputs={"x": text}).depends_on == [a]
    assert wf.task("d", for_each=text).depends_on == [a]
    assert wf.task("e", inputs=["a", "$ a", "costs 5$"]).depends_on == []


def test_dependencies_by_any_name() -> None:
    wf = Workflow()
    a, b = wf.task("a"), wf.task("b", id="task-b")
    c = wf.task("c", depends_on=[a, "b", {"id": "task-b", "required": False}])
    assert c.depends_on == [a, b]
    assert wf.to_dict()["tasks"][2]["depends_on"] == ["a", {"id": "task-b", "required": False}]
    assert c.after(a, b) is c
    assert wf.to_dict()["tasks"][2]["depends_on"] == ["a", "task-b"]
    assert wf.task("child", parent_id=b).to_dict({})["parent_id"] == "task-b"
    assert (wf["a"], len(wf), [task.name for task in wf]) == (a, 4, ["a", "b", "c", "child"])


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"inputs": [object()]}, "inputs"),
        ({"inputs": [float("nan")]}, "inputs"),
        ({"inputs": {"x": {1, 2}}}, "inputs"),
        ({"inputs": [b"bytes"]}, "inputs"),
        ({"metadata": {"x": float("inf")}}, "metadata"),
        ({"env": {"X": print}}, "env"),
    ],
)
def test_what_is_not_json_raises_where_it_is_given(fields: dict[str, Any], field: str) -> None:
    wf = Workflow()
    with pytest.raises(CheckpointError, match=f"task a: {field} is not JSON") as caught:
        wf.task("a", **fields)
    assert caught.value.code == "not_json"
    assert len(wf) == 0


def test_a_list_in_itself_and_a_reference_too_deep_are_not_json() -> None:
    wf = Workflow()
    a = wf.task("a")
    endless: list[Any] = []
    endless.append(endless)
    for inputs in (endless, [[a.output]], {"x": {"y": a.output}}):
        with pytest.raises(CheckpointError):
            wf.task("b", inputs=inputs)
    with pytest.raises(CheckpointError, match="the workflow: metadata"):
        Workflow(metadata={"x": object()})


def test_inputs_are_those_of_the_moment() -> None:
    wf = Workflow()
    inputs = {"rows": [1]}
    wf.task("a", inputs=inputs)
    inputs["rows"].append(2)
    assert wf.to_dict()["tasks"][0]["inputs"] == {"rows": [1]}


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda wf, _: wf.task("a"), "duplicate_name", "task a exists already in this workflow"),
        (lambda wf, _: wf.task("x", id="a"), "duplicate_name", "choose another id"),
        (lambda wf, _: wf.task("two words"), "bad_name", "'two words'"),
        (lambda wf, _: wf.task("x" * 65), "bad_name", "1 to 64"),
        (lambda wf, _: wf.task(""), "bad_name", "1 to 64"),
        (lambda wf, _: wf.task("x", retires=3), "unknown_field", "no field retires: did you mean retries?"),
        (lambda wf, _: wf.task("x", zzz=3), "unknown_field", "no field zzz"),
        (lambda wf, _: wf.task("x", module="/nowhere.wasm"), "bad_module", "/nowhere.wasm cannot be read: No such"),
        (lambda wf, _: wf.task("x", depends_on=["nobody"]), "unknown_dependency", "task x depends on nobody which"),
        (lambda wf, _: wf.task("x", inputs=["$5"]), "unknown_dependency", "task x depends on 5 which does not exist"),
        (lambda wf, other: wf.task("x", inputs=[other.output]), "unknown_dependency", "<Task o> is no task of this"),
        (lambda wf, other: wf.task("x", depends_on=[other]), "unknown_dependency", "is no task of this workflow"),
        (lambda wf, other: wf.task("x", parent_id=other), "unknown_dependency", "is no task of this workflow"),
        (lambda wf, other: wf["a"].after(other), "unknown_dependency", "is no task of this workflow"),
        (lambda wf, _: wf["a"].after("a"), "unknown_dependency", "'a' is no task of this workflow"),
    ],
)
def test_refusals_change_nothing(make: Any, code: str, words: str) -> None:
    wf = Workflow()
    wf.task("a")
    before = wf.to_dict()
    with pytest.raises(BadRequest) as caught:
        make(wf, Workflow().task("o"))
    assert caught.value.code == code
    assert words in caught.value.message
    assert wf.to_dict() == before


def test_a_module_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "add.wasm").write_bytes(ADDITION)
    wf = Workflow()
    wf.task("a", module=tmp_path / "add.wasm")
    wf.task("b", module=str(tmp_path / "add.wasm"))
    wf.task("c", module=bytearray(ADDITION))
    assert [task["file"] for task in wf.to_dict()["tasks"]] == [FILE] * 3


def test_every_field_that_the_hub_reads_can_be_given() -> None:
    told_otherwise = {"name", "function", "inputs", "depends_on", "dependencies", "workflow_id", "kind", "encrypted"}
    alone = {"schedule", "every", "at", "timezone", "is_recurring", "enabled", "start_at", "end_at", "max_runs",
             "overlap", "catchup", "misfire_grace"}  # fmt: skip
    assert set(TaskIn.__struct_fields__) <= FIELDS | told_otherwise | alone


# -- cycles


def test_a_cycle_is_named_in_the_hubs_words() -> None:
    wf = Workflow()
    a, b, c = (wf.task(name) for name in "abc")
    b.after(a)
    c.after(b)
    with pytest.raises(CycleError) as caught:
        a.after(c)
    assert caught.value.message == (
        "DAG validation failed: circular dependency detected: cycle detected involving tasks a and b"
    )
    assert caught.value.detail == {"cycle": ["a", "c", "b"]}
    assert a.depends_on == []
    with pytest.raises(CycleError, match="involving tasks b and b"):
        b.after(b)


def test_of_several_one_that_closes_a_cycle_adds_none() -> None:
    wf = Workflow()
    a, b, c = (wf.task(name) for name in "abc")
    b.after(a)
    with pytest.raises(CycleError):
        a.after(c, b)
    assert a.depends_on == []


@given(st.integers(1, 7), st.data())
def test_random_edges(count: int, data: st.DataObject) -> None:
    """CycleError exactly when there is a cycle, named as by the hub; then nothing has changed."""
    wf = Workflow()
    tasks = [wf.task(f"t{at}") for at in range(count)]
    place = st.integers(0, count - 1)
    parents: list[list[int]] = [[] for _ in tasks]
    for child, parent in data.draw(st.lists(st.tuples(place, place), max_size=20)):
        with_it = [[*deps, parent] if at == child else deps for at, deps in enumerate(parents)]
        before = wf.to_dict()
        if graph.levels(with_it) is None:
            with pytest.raises(CycleError) as caught:
                tasks[child].after(tasks[parent])
            with pytest.raises(BadRequest) as hubs:
                graph.check_acyclic(with_it, lambda at: tasks[at].name)
            assert wf.to_dict() == before
            assert len(caught.value.detail["cycle"]) >= len(set(caught.value.detail["cycle"])) > 0
            if len(hubs.value.detail["cycle"]) == len(caught.value.detail["cycle"]) <= 2:
                assert caught.value.message == hubs.value.message
        else:
            tasks[child].after(tasks[parent])
            parents = [list(dict.fromkeys(deps)) for deps in with_it]
    assert [[int(one.name[1:]) for one in task.depends_on] for task in tasks] == parents
    levels = graph.levels(parents)
    assert levels is not None
    steps: dict[int, list[str]] = {}
    for at, level in enumerate(levels):
        steps.setdefault(level, []).append(f"t{at}")
    assert wf.execution_plan() == [ExecutionStep(level, steps[level]) for level in range(len(steps))]


def test_a_long_chain_does_not_recurse() -> None:
    wf = Workflow()
    tasks = [wf.task(f"t{at}") for at in range(3000)]
    for before, after in pairwise(tasks):
        after.after(before)
    with pytest.raises(CycleError):
        tasks[0].after(tasks[-1])
    assert len(wf.execution_plan()) == 3000
