"""The truth table: run_if, on_dep_failure and required against how the parents ended; then `when` and fail_fast."""

import itertools

import pytest

from hub.core import commands
from hub.core.conditions import FAIL, ON_DEP_FAILURE, RUN, RUN_IF, SKIP, decide
from shared import states
from shared.errors import BadRequest
from tests.core.play import Play, spec

C, F, S = states.COMPLETED, states.FAILED, states.SKIPPED


def table(run_if, on_dep_failure, parents):
    """The contract's words, written again."""
    if run_if == "always":
        return RUN
    if run_if == "failure":
        return RUN if F in [state for state, _ in parents] else SKIP
    bad = [state for state, required in parents if required and state != C]
    if not bad or on_dep_failure == "run-anyway":
        return RUN
    return FAIL if on_dep_failure == "fail" else SKIP


ENDS = [(state, required) for state in (C, F, S) for required in (True, False)]


@pytest.mark.parametrize("run_if", [None, *RUN_IF])
@pytest.mark.parametrize("on_dep_failure", [None, *ON_DEP_FAILURE])
def test_every_row_of_the_truth_table(run_if, on_dep_failure):
    for count in (1, 2, 3):
        for parents in itertools.product(ENDS, repeat=count):
            assert decide(run_if, on_dep_failure, parents) == table(run_if, on_dep_failure, parents)


def test_a_task_without_parents_runs_whatever_its_conditions():
    assert all(decide(run_if, rule, []) == RUN for run_if in RUN_IF for rule in ON_DEP_FAILURE)


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def test_a_failed_dependency_fails_a_task_that_asks_for_it_with_no_attempt(play):
    play.workflow(spec("a"), spec("b", ["a"], on_dep_failure="fail"), spec("c", ["b"], run_if="failure"))
    play.end("a", ok=False)
    doc = play.at("b").doc
    assert (doc["error_info"]["code"], doc.get("attempts")) == ("dependency_failed", None)
    assert play.states("b", "c") == ["Failed", "Scheduled"]


def test_an_optional_parent_is_waited_for_and_then_does_not_matter(play):
    play.workflow(spec("a"), spec("b"), spec("c", ["a", "b"], optional=["a"]))
    play.end("b")
    assert play.states("c") == ["Pending"]
    play.end("a", ok=False)
    assert play.states("c") == ["Scheduled"]


def test_an_always_task_runs_after_a_skipped_one(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("clean", ["b"], run_if="always"))
    play.end("a", ok=False)
    assert play.states("b", "clean") == ["Skipped", "Scheduled"]


@pytest.mark.parametrize(
    "when, state",
    [
        ("a.result > 10", "Scheduled"),
        ("a.result > 100", "Skipped"),
        ("a.outputs[0] == 30 and not a.result < 0", "Scheduled"),
        ('a.state == "completed" or a.nothing', None),
        ('parents["a"].results == "30\\n"', "Scheduled"),
        ("a.result in [1, 30]", "Scheduled"),
        ("10 < a.result <= 30", "Scheduled"),
        ("a.outputs[5] == 1", "Failed"),
        ("a.result > 'x'", "Failed"),
        ("a.error", "Skipped"),
        ("-a.result == -30", "Scheduled"),
    ],
)
def test_when_decides_over_the_values_of_parents(play, when, state):
    if state is None:
        with pytest.raises(BadRequest, match="when"):
            play.workflow(spec("a"), spec("b", ["a"], when=when))
        return
    play.workflow(spec("a"), spec("b", ["a"], when=when))
    play.end("a", outputs=[30])
    assert play.states("b") == [state]
    if state == "Failed":
        assert play.at("b").doc["error_info"]["code"] == "bad_expression"


@pytest.mark.parametrize(
    "when",
    ["__import__('os')", "a.__class__", "a.result()", "[x for x in a.outputs]", "lambda: 1", "a.result + 1", "b.result",
     "(", "a.result if 1 else 2", "f'{a}'", "a" * 501, "a.result ** 9", "b'x'", "1j", "...", "parents[a]", "a; b",
     "x := 1"],
)  # fmt: skip
def test_when_takes_nothing_but_comparisons_and_indexing(play, when):
    with pytest.raises(BadRequest, match="when"):
        play.workflow(spec("a"), spec("b", ["a"], when=when))


def test_fail_fast_skips_what_has_not_started_and_lets_the_running_finish(play):
    command = commands.CreateWorkflow(
        "wf", "wf", [spec("bad"), spec("slow"), spec("after", ["slow"]), spec("clean", ["bad"], run_if="failure")],
        ["x"] * 4, options={"fail_fast": True},
    )  # fmt: skip
    play.do(command)
    play.do(commands.Start("workflow", "wf"))
    play.end("bad", ok=False)
    assert play.states("slow", "after", "clean") == ["Scheduled", "Skipped", "Skipped"]
    play.end("slow")
    assert play.engine.world.workflows["wf"].state == 4


def test_fail_fast_skips_what_waits_for_a_proplet(play):
    tasks = [spec(f"t{at}") for at in range(12)]
    play.do(commands.CreateJob("job", "job", "parallel", tasks, ["x"] * 12, {"fail_fast": True}))
    play.do(commands.Start("job", "job"))
    play.end("t0", ok=False)
    assert play.states("t7", "t8", "t11") == ["Scheduled", "Skipped", "Skipped"]


def test_without_fail_fast_a_sequential_job_goes_on_after_a_failure(play):
    play.do(commands.CreateJob("job", "job", "sequential", [spec("a"), spec("b")], ["x"] * 2, {"fail_fast": False}))
    play.do(commands.Start("job", "job"))
    play.end("a", ok=False)
    assert play.states("b") == ["Scheduled"]


def test_max_parallel_bounds_a_group_and_one_is_topological_order(play):
    tasks = [spec("a"), spec("b", ["a"]), spec("c", ["a"]), spec("d", ["b", "c"]), spec("e", priority=90)]
    play.do(commands.CreateWorkflow("wf", "wf", tasks, ["x"] * 5, options={"max_parallel": 1}))
    play.do(commands.Start("workflow", "wf"))
    order = play.starts()
    while len(order) < 5:
        assert play.engine.world.workflows["wf"].running == 1
        play.end(order[-1])
        order += play.starts()
    assert sorted(order) == ["a", "b", "c", "d", "e"]
    assert order.index("a") < order.index("b") < order.index("d")
    assert play.engine.pending_reason(play.at("d")) is None


def test_what_max_parallel_holds_back_says_so_and_can_be_stopped(play):
    tasks = [spec("a"), spec("b"), spec("c")]
    play.do(commands.CreateWorkflow("wf", "wf", tasks, ["x"] * 3, options={"max_parallel": 1}))
    play.do(commands.Start("workflow", "wf"))
    assert play.engine.pending_reason(play.at("b")) == "1 tasks of its workflow run already"
    play.do(commands.Stop("task", "b"))
    play.restart()
    play.join("d1", slots=8, running=[("a", 1)])
    play.end("a")
    assert play.states("a", "b", "c") == ["Completed", "Interrupted", "Scheduled"]
