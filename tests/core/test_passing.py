"""A task gets the results of the tasks it depends on, and only those."""

import pytest

from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def start_of(play: Play, name: str) -> dict:
    return next(send.fields for send in play.sent if send.kind == "start" and send.fields["task"] == name)


def test_parents_results_come_with_the_start_and_grandparents_do_not(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("c", ["b"]))
    play.end("a", outputs=[1])
    play.end("b", outputs=[2, 3])
    assert start_of(play, "b")["parent_results"] == {"a": [1]}
    assert start_of(play, "c")["parent_results"] == {"b": [2, 3]}
    assert "parent_results" not in start_of(play, "a")


def test_a_failed_parent_gives_its_error_and_a_skipped_one_null(play):
    play.workflow(spec("bad"), spec("skipped", ["bad"]), spec("c", ["bad", "skipped"], run_if="failure"))
    play.end("bad", ok=False)
    results = start_of(play, "c")["parent_results"]
    assert results["bad"]["error_info"]["code"] == "trap_div0"
    assert results["skipped"] is None


def test_references_in_inputs_are_replaced(play):
    play.workflow(
        spec("a"),
        spec("b", ["a"], inputs=["$a", 5, "${a.outputs[0]}", "${a.results}", "plain"]),
        spec("c", ["a"], inputs={"x": "$a"}),
    )
    play.end("a", outputs=[30])
    assert start_of(play, "b")["inputs"] == [30, 5, 30, "30\n", "plain"]
    assert start_of(play, "c")["inputs"] == {"x": 30, "a": [30]}


@pytest.mark.parametrize("reference", ["$nobody", "${a.outputs[3]}", "$grandparent"])
def test_a_reference_to_what_is_not_there_fails_the_task_and_its_children_follow(play, reference):
    play.workflow(
        spec("grandparent"), spec("a", ["grandparent"]), spec("b", ["a"], inputs=[reference]), spec("c", ["b"])
    )
    play.end("grandparent")
    play.end("a")
    assert play.states("b", "c") == ["Failed", "Skipped"]
    assert play.at("b").doc["error_info"]["code"] == "bad_reference"
    assert "attempts" not in play.at("b").doc


def test_object_inputs_become_arguments_by_the_names_of_the_parameters(play):
    exports = [{"name": "add", "kind": "func", "params": ["i32", "i32"], "results": [], "param_names": ["x", "y"]}]
    play.module("b" * 64, exports=exports)
    play.module("d" * 64, exports=[{"name": "main", "kind": "func", "params": ["i32"], "results": []}])
    play.workflow(
        spec("a"),
        spec("b", ["a"], module="b" * 64, function="add", inputs={"y": 2, "x": "$a"}),
        spec("named", ["a"], inputs={"y": 2, "x": 1}, params=["x", "y"]),
        spec("lacks", ["a"], module="b" * 64, function="add", inputs={"x": 1}),
        spec("unknown", ["a"], module="d" * 64, inputs={"x": 1}),
    )
    play.end("a", outputs=[30])
    assert start_of(play, "b")["inputs"] == [30, 2]
    assert start_of(play, "named")["inputs"] == [1, 2]
    assert play.at("lacks").doc["error_info"]["code"] == "bad_inputs"
    assert start_of(play, "unknown")["inputs"] == {"x": 1, "a": [30]}


def test_a_wasi_module_gets_the_same_in_its_environment(play):
    imports = [{"module": "wasi_snapshot_preview1", "name": "fd_write", "kind": "func"}]
    play.module("c" * 64, "_start", "add", imports=imports)
    play.join("d2", slots=8, caps={"abi": ["call", "wasi"]})
    play.workflow(
        spec("a"),
        spec("by-import", ["a"], module="c" * 64, env={"A": "b"}),
        spec("by-reactor", ["a"], module="c" * 64, function="add"),
        spec("by-word", ["a"], abi="wasi"),
        spec("call", ["a"]),
    )
    play.end("a", outputs=[7])
    assert start_of(play, "by-import")["env"] == {"A": "b", "PARENT_RESULTS": '{"a": [7]}'}
    assert start_of(play, "by-reactor")["env"] == {"PARENT_RESULTS": '{"a": [7]}'}
    assert start_of(play, "by-word")["env"] == {"PARENT_RESULTS": '{"a": [7]}'}
    assert "env" not in start_of(play, "call")
