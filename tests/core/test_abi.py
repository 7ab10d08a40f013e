"""How a module is called, and what keeps a task from being sent at all."""

from typing import Any

import pytest

from hub.core import commands
from hub.core.abi import Call, Module, call_of
from hub.core.model import Doc, Policy
from shared.errors import TaskFailure
from tests.core.play import Play, spec

PROBE = "b" * 64


def module(*functions: str, imports: tuple[str, ...] = (), pages: int = 0, **more: Any) -> Module:
    """imports as "module.name"; every function takes and returns nothing."""
    exports = [{"name": name, "kind": "func", "params": [], "results": []} for name in functions]
    exports.append({"name": "memory", "kind": "memory"})
    wanted = [{"module": one.rpartition(".")[0], "name": one.rpartition(".")[2], "kind": "func"} for one in imports]
    memory = {"min_pages": pages, "max_pages": None} if pages else None
    return Module({"id": PROBE, "prepared": "c" * 64, "exports": exports, "imports": wanted, "memory": memory, **more})


def call(one: Module, **task: Any) -> Call:
    return call_of({"name": "t", **task}, one, Policy())


def failure(one: Module, **task: Any) -> tuple[str, str]:
    with pytest.raises(TaskFailure) as caught:
        call(one, **task)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("functions", "task", "chosen"),
    [
        (("add", "main", "run", "_start"), {"function": "add"}, "add"),
        (("t", "main"), {}, "t"),
        (("_start", "run", "main"), {}, "main"),
        (("_start", "run"), {}, "run"),
        (("other", "_start"), {}, "_start"),
    ],
)
def test_the_function_is_the_one_named_else_the_name_of_the_task_main_run_start(functions, task, chosen):
    assert call(module(*functions), **task).function == chosen


@pytest.mark.parametrize(
    ("task", "chosen"),
    [
        ({}, Call("wasi", "_start")),
        ({"name": "main"}, Call("wasi", "_start")),
        ({"name": "add"}, Call("call", "add")),
        ({"function": "main"}, Call("call", "main")),
    ],
)
def test_a_program_begins_at_start_though_it_exports_main_too(task, chosen):
    program = module("main", "run", "add", "_start", imports=("wasi_snapshot_preview1.fd_write",))
    assert call(program, **task) == chosen


@pytest.mark.parametrize("task", [{"function": "sub"}, {}, {"function": "memory"}])
def test_without_such_a_function_it_is_missing_and_what_there_is_is_said(task):
    code, message = failure(module("add"), **task)
    assert code == "missing_export"
    assert message.endswith("Its functions: add")


@pytest.mark.parametrize(
    ("functions", "imports", "task", "abi"),
    [
        (("main",), (), {}, "call"),
        (("main",), ("env.print",), {}, "call"),
        (("_start",), ("wasi_snapshot_preview1.fd_write",), {}, "wasi"),
        (("_start",), ("wasi_unstable.fd_write", "edge.log"), {}, "wasi"),
        (("_start", "add"), ("wasi_snapshot_preview1.fd_write",), {"function": "add"}, "call"),
        (("_start",), (), {}, "call"),
        (("main",), ("edge.log",), {}, "edge"),
        (("count",), ("extism:host/env.input_length", "wasi_snapshot_preview1.fd_write"), {"name": "count"}, "extism"),
        (("main",), ("edge.log",), {"abi": "call"}, "call"),
        (("main",), (), {"abi": "wasi"}, "wasi"),
        (("main",), ("edge.log",), {"abi": "auto"}, "edge"),
    ],
)
def test_the_abi_is_told_by_the_imports_unless_the_task_says_it(functions, imports, task, abi):
    assert call(module(*functions, imports=imports), **task).abi == abi


def test_privileged_functions_have_to_be_allowed_by_name():
    one = module("main", imports=("edge.gpio_write", "edge.publish", "edge.log"))
    assert failure(one)[0] == "denied"
    assert "edge.publish" in failure(one, allow=["gpio_write:17"])[1]
    assert call(one, allow=["gpio_write:17", "publish"]).abi == "edge"


def test_a_module_needs_no_more_memory_than_its_task_may_have():
    assert failure(module("main", pages=257))[0] == "memory_limit"
    assert failure(module("main", pages=3), limits={"memory_pages": 2})[0] == "memory_limit"
    assert call(module("main", pages=257), limits={"memory_pages": 257}) == Call("call", "main")


# --- in the engine


def starts(play: Play) -> dict[str, Doc]:
    return {send.fields["task"]: send.fields for send in play.take("start")}


def test_a_start_says_how_to_call_and_with_what_limits():
    play = Play()
    play.join("d1")
    play.module(PROBE, "add")
    limits = {"memory_pages": 2, "output_bytes": 100}
    play.task("t", module=PROBE, function="add", stdin="text", allow=["adc:1"], limits=limits, timeout=2)
    fields = starts(play)["t"]
    assert (fields["abi"], fields["function"], fields["stdin"], fields["allow"]) == ("call", "add", "text", ["adc:1"])
    assert fields["limits"] == {"timeout_ms": 2000, "memory_pages": 2, "stack_bytes": 16384, "output_bytes": 100}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"env": {"A": "b"}}, {"env": {"A": "b"}}),
        ({"cli_args": ["-v"]}, {"cli_args": ["-v"]}),
        ({"stdin": "text"}, {"stdin": "text"}),
        ({"allow": ["adc:1"]}, {"allow": ["adc:1"]}),
        ({"timeout": 2}, {"limits": {"timeout_ms": 2000}}),
        ({"limits": {"output_bytes": 100}}, {"limits": {"output_bytes": 100}}),
        ({"daemon": True}, {"daemon": True, "limits": {"timeout_ms": None}}),
    ],
)
def test_whatever_a_task_sets_the_device_is_told_also_when_it_sets_nothing_else(given, said):
    play = Play()
    play.join("d1")
    play.task("usual")
    play.task("own", **given)
    usual, own = starts(play).values()
    assert own == {**usual, **said, "task": "own", "name": "own", "limits": usual["limits"] | said.get("limits", {})}


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"exports": []}, "missing_export"),
        ({"memory": {"min_pages": 300, "max_pages": None}}, "memory_limit"),
        ({"imports": [{"module": "edge", "name": "adc", "kind": "func"}]}, "denied"),
    ],
)
def test_what_cannot_run_fails_at_its_start_without_a_proplet_and_without_an_attempt(more, code):
    play = Play()
    play.module(PROBE, **more)
    play.workflow(spec("bad", module=PROBE), spec("next", ["bad"]), spec("handler", ["bad"], run_if="failure"))
    assert play.states("bad", "next") == ["Failed", "Skipped"]
    assert play.at("bad").doc["error_info"]["code"] == code
    assert play.at("bad").doc["error_info"]["delivery_state"] == "not_sent"
    assert "attempts" not in play.at("bad").doc
    play.join("d1")
    assert list(starts(play)) == ["handler"]


def test_a_broadcast_of_what_cannot_run_fails_as_one():
    play = Play()
    play.join("d1")
    play.task("t", function="nothing", broadcast=True)
    assert play.states("t") == ["Failed"]
    assert play.at("t").doc.get("parts") is None


def test_a_module_that_is_replaced_while_its_task_waits_decides_anew():
    play = Play()
    play.module(PROBE, "main", imports=[{"module": "edge", "name": "log", "kind": "func"}])
    play.task("better", module=PROBE)
    play.task("worse")
    play.do(commands.AttachModule("better", "a" * 64))
    play.do(commands.AttachModule("worse", PROBE))
    play.join("plain")
    assert list(starts(play)) == ["better"]
    assert play.engine.pending_reason(play.at("worse")) == "no known proplet offers edge"
