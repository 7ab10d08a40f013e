"""Pipelines: edges and inputs out of the names of parameters."""

from pathlib import Path

import pytest

from motet import CycleError, pipeline, task
from motet.demo_modules import ADDITION
from motet.testing import MODULE
from shared.errors import BadRequest

EXAMPLES = Path(__file__).parents[2] / "examples"
# main(i32, i32) with the names a and b in its name section
NAMED = (
    bytes.fromhex(
        "0061736d010000000107016002 7f7f017f 03020100 0708 01046d61696e0000 0a09010700200020016a0b".replace(" ", "")
    )
    + bytes([0, 16, 4])
    + b"name"
    + bytes([2, 9, 1, 0, 2, 0, 1])
    + b"a"
    + bytes([1, 1])
    + b"b"
)


def test_parameters_named_as_tasks() -> None:
    wf = pipeline([task("c", NAMED), task("a", MODULE, params=[]), task("b", MODULE, params=[])], "sum", fail_fast=True)
    body = wf.to_dict()
    assert (body["name"], body["fail_fast"]) == ("sum", True)
    tasks = {one["name"]: one for one in body["tasks"]}
    assert tasks["c"]["depends_on"] == ["a", "b"]
    assert tasks["c"]["inputs"] == ["$a", "$b"]
    assert "inputs" not in tasks["a"]


def test_other_parameters_have_values_and_fields_go_to_the_task() -> None:
    wf = pipeline([task("a", MODULE, params=[]), task("b", NAMED, inputs={"b": 5}, retries=2)])
    assert wf.to_dict()["tasks"][1] | {"file": ""} == {
        "name": "b",
        "file": "",
        "inputs": ["$a", 5],
        "retries": 2,
        "depends_on": ["a"],
    }


def test_a_value_goes_before_a_task_of_that_name() -> None:
    wf = pipeline([task("a", MODULE, params=[]), task("b", MODULE, params=["a", "b"], inputs={"a": 1, "b": 2})])
    assert wf["b"].depends_on == []


def test_names_of_an_example() -> None:
    wf = pipeline(
        [
            task("seed", MODULE, params=[]),
            task("sum", EXAMPLES / "checksum.wasm", "checksum", inputs={"length": 1000}),
        ]
    )
    assert wf.to_dict()["tasks"][1]["inputs"] == ["$seed", 1000]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: task("a", ADDITION), "no_params"),
        (lambda: task("a", NAMED, "sub"), "missing_export"),
        (lambda: task("a", b"\0asm\1\0\0\0"), "missing_export"),
        (lambda: task("a", b"no module"), "bad_module"),
        (lambda: task("a", "/nowhere.wasm"), "bad_module"),
        (lambda: pipeline([task("a", NAMED)]), "bad_inputs"),
        (lambda: pipeline([task("a", MODULE, params=[]), task("a", MODULE, params=[])]), "duplicate_name"),
    ],
)
def test_refusals(make: object, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        make()  # type: ignore[operator]
    assert caught.value.code == code


def test_tasks_that_need_each_other() -> None:
    ring = [task("a", MODULE, params=["c"]), task("b", MODULE, params=["a"]), task("c", MODULE, params=["b"])]
    with pytest.raises(CycleError, match="involving tasks a and b") as caught:
        pipeline(ring)
    assert caught.value.detail == {"cycle": ["a", "c", "b"]}
