"""Retries and backoff, time-outs, and what happens when a device falls silent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import commands, retries
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def fail_and_wait(play: Play, name: str, code: str = "trap_div0") -> float:
    """Seconds from a failed attempt to the start of the next one; -1 when there is none."""
    play.take("start")
    play.end(name, ok=False, code=code)
    if not play.at(name).delayed:
        return -1.0 if play.at(name).state == 4 else 0.0
    begin = play.mono
    while not play.starts():
        play.pass_time(0.5)
        play.beat("d1", *[(task.id, task.attempt) for task in play.engine.world.proplets["d1"].running.values()])
    return play.mono - begin


def test_retries_are_further_attempts_and_the_last_error_stays(play):
    play.task("t", retries=2)
    assert fail_and_wait(play, "t") <= 0.5
    assert fail_and_wait(play, "t") <= 0.5
    assert fail_and_wait(play, "t") == -1.0
    doc = play.at("t").doc
    assert [attempt["outcome"] for attempt in doc["attempts"]] == ["failed"] * 3
    assert doc["error_info"]["code"] == "trap_div0"


@pytest.mark.parametrize(
    "backoff, waits", [("fixed", [2, 2, 2, 2]), ("linear", [2, 4, 6, 7]), ("exponential", [2, 4, 7, 7])]
)
def test_backoff_grows_as_it_says_up_to_its_cap(play, backoff, waits):
    play.task("t", retries=4, backoff=backoff, backoff_base=2.0, backoff_max=7.0)
    assert [fail_and_wait(play, "t") for _ in waits] == waits


@given(st.integers(1, 10_000), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_no_wait_is_beyond_the_cap_or_below_zero_and_a_replay_waits_the_same(failures, base, cap, jitter):
    doc = {"id": "t", "attempt": failures, "backoff": "exponential", "backoff_base": base, "backoff_max": cap,
           "backoff_jitter": jitter}  # fmt: skip
    assert 0 <= retries.delay(doc, failures) <= cap
    assert retries.delay(doc, failures) == retries.delay(dict(doc), failures)


def test_between_attempts_a_task_is_pending_says_why_and_a_stop_ends_it_at_once(play):
    play.task("t", retries=3, backoff="fixed", backoff_base=20)
    play.end("t", ok=False)
    doc = play.at("t").doc
    assert (play.states("t"), doc["retry_at"] - play.engine.world.now.wall) == (["Pending"], 20)
    assert "tried again" in play.engine.pending_reason(play.at("t"))
    play.do(commands.Stop("task", "t"))
    assert play.states("t") == ["Interrupted"]
    play.pass_time(25)
    assert play.states("t") == ["Interrupted"]


def test_a_wait_for_the_next_attempt_survives_a_restart_of_the_hub(play):
    play.task("t", retries=1, backoff="fixed", backoff_base=20)
    play.end("t", ok=False)
    play.mono += 5
    play.restart()
    play.join("d1", slots=8)
    play.take("start")
    play.pass_time(14)
    assert play.starts() == []
    play.beat("d1")
    play.pass_time(1)
    assert play.starts() == ["t"]


def test_a_gateway_that_comes_back_in_1970_waits_no_longer_for_an_attempt_than_it_had_to(play):
    play.task("t", retries=1, backoff="fixed", backoff_base=20)
    play.end("t", ok=False)
    play.wall = 0.0
    play.restart()
    play.join("d1", slots=8)
    play.pass_time(20)
    assert play.starts()[-1:] == ["t"]


@pytest.mark.parametrize("code, retried", [("trap_oob", True), ("timeout", False), ("bad_inputs", False),
                                           ("worker_died", True), ("never_heard_of", True)])  # fmt: skip
def test_by_default_the_table_of_codes_says_what_is_retried(play, code, retried):
    play.task("t", retries=1)
    play.end("t", ok=False, code=code)
    assert play.at("t").delayed == retried


def test_retry_on_names_what_is_retried_instead(play):
    play.task("a", retries=1, retry_on=["timeout"])
    play.task("b", retries=1, retry_on=["timeout"])
    play.end("a", ok=False, code="timeout")
    play.end("b", ok=False, code="trap_oob")
    assert play.states("a", "b") == ["Pending", "Failed"]


def test_children_wait_for_the_last_attempt(play):
    play.workflow(spec("a", retries=1), spec("b", ["a"], run_if="failure"), spec("c", ["a"]))
    play.end("a", ok=False)
    assert play.states("b", "c") == ["Pending", "Pending"]
    assert play.engine.world.workflows["wf"].state == 2
    play.pass_time(1)
    play.end("a")
    assert play.states("b", "c") == ["Skipped", "Scheduled"]
    assert "error" not in {key for key, value in play.at("a").doc.items() if value is not None}


def test_a_new_run_counts_its_failures_from_none(play):
    play.task("t", retries=1)
    for _ in range(2):
        assert fail_and_wait(play, "t") >= 0
        assert fail_and_wait(play, "t") == -1.0
        play.do(commands.Start("task", "t"))


def test_a_task_that_no_proplet_takes_in_time_fails_with_timeout():
    play = Play()
    play.workflow(spec("t", queue_timeout=5), spec("alert", ["t"], run_if="failure"))
    play.pass_time(6)
    assert (play.states("t", "alert"), play.at("t").doc["error_info"]["code"]) == (["Failed", "Pending"], "timeout")
    assert play.at("alert").ticket


def test_what_fails_at_its_dispatch_makes_room_in_its_group(play):
    bad = spec("bad", ["a"], run_if="always", inputs=["$a"])
    options = {"max_parallel": 1}
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a"), bad, spec("b")], ["x"] * 3, options=options))
    play.do(commands.Start("workflow", "wf"))
    play.end("a", ok=False)
    assert play.states("a", "bad", "b") == ["Failed", "Failed", "Scheduled"]


def test_a_task_that_no_longer_has_a_queue_timeout_waits_on():
    play = Play()
    play.task("t", queue_timeout=5)
    play.do(commands.Stop("task", "t"))
    play.do(commands.UpdateTask("t", {"queue_timeout": None}))
    play.do(commands.Start("task", "t"))
    play.pass_time(6)
    assert play.states("t") == ["Pending"] and play.at("t").ticket


def test_a_workflow_over_its_time_is_interrupted_with_code_timeout(play):
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a"), spec("b", ["a"])], ["x"] * 2, options={"timeout": 10}))
    play.do(commands.Start("workflow", "wf"))
    play.pass_time(11)
    assert [send.fields["task"] for send in play.take("stop")] == ["a"]
    play.end("a", ok=False, code="cancelled")
    assert play.states("a", "b") == ["Interrupted", "Interrupted"]
    assert {play.at(name).doc["error_info"]["code"] for name in "ab"} == {"timeout"}


@pytest.mark.parametrize("jump", [-86400, 3600])
def test_the_time_of_a_workflow_goes_on_as_before_when_the_clock_is_set(play, jump):
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a")], ["x"], options={"timeout": 25}))
    play.do(commands.Start("workflow", "wf"))
    play.wall += jump
    play.pass_time(24)
    assert play.take("stop") == []
    play.pass_time(1)
    assert [send.fields["task"] for send in play.take("stop")] == ["a"]


def test_a_gateway_that_comes_back_in_1970_gives_a_workflow_no_more_than_its_time_anew(play):
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a")], ["x"], options={"timeout": 25}))
    play.do(commands.Start("workflow", "wf"))
    play.wall = 0.0
    play.restart()
    play.join("d1", running=[("a", 1)])
    play.pass_time(25)
    assert [send.fields["task"] for send in play.take("stop")] == ["a"]


def test_a_workflow_that_ends_in_time_is_left_alone_and_its_next_run_has_its_own_time(play):
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a")], ["x"], options={"timeout": 10}))
    for _ in range(2):
        play.do(commands.Start("workflow", "wf"))
        play.pass_time(8)
        play.beat("d1", ("a", play.at("a").attempt))
        play.end("a")
        assert play.states("a") == ["Completed"]


@pytest.mark.parametrize("rule, state", [("retry", "Scheduled"), ("fail", "Failed"), ("interrupt", "Interrupted"),
                                         ("wait", "Scheduled")])  # fmt: skip
def test_on_device_lost_decides_when_a_device_falls_silent(play, rule, state):
    play.task("t", on_device_lost=rule)
    play.do(commands.Disconnected("d1"))
    play.pass_time(20)
    play.join("d2")
    play.pass_time(11)
    assert play.states("t") == [state]
    assert play.at("t").attempt == (2 if rule == "retry" else 1)
    if state in ("Failed", "Interrupted"):
        assert play.at("t").doc["error_info"]["code"] == "device_lost"


def test_lost_after_gives_a_device_longer(play):
    play.task("t", lost_after=100)
    play.do(commands.Disconnected("d1"))
    play.pass_time(99)
    assert (play.at("t").attempt, play.states("t")) == (1, ["Scheduled"])
    play.pass_time(2)
    assert play.at("t").doc["attempts"][0]["outcome"] == "lost"


def test_what_must_not_run_twice_waits_for_its_device_and_fails_when_that_has_lost_it(play):
    for name in ("a", "b"):
        play.task(name, idempotent=False)
    play.do(commands.Disconnected("d1"))
    play.join("d2")
    play.pass_time(100)
    assert play.states("a", "b") == ["Scheduled", "Scheduled"]
    play.join("d1", boot="another", running=[("a", 1)])
    assert play.states("a", "b") == ["Scheduled", "Failed"]
    play.end("a")
    assert play.states("a") == ["Completed"]
