"""A job groups tasks under a mode: parallel, truly sequential, or a DAG; it never changes."""

import pytest

from hub.core import commands
from shared.errors import BadRequest, Conflict
from tests.core.play import MODULE, Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def test_a_parallel_job_starts_all_its_tasks_at_once(play):
    play.job("parallel", spec("a"), spec("b"), spec("c"))
    assert play.starts() == ["a", "b", "c"]


def test_a_sequential_job_starts_the_next_only_when_the_one_before_has_completed(play):
    play.job("sequential", spec("z"), spec("a"), spec("m"))
    for name in ("z", "a", "m"):
        assert play.starts() == [name]
        play.end(name)
    assert play.engine.world.jobs["job"].state == 3


def test_the_first_failure_of_a_sequential_job_skips_the_rest(play):
    play.job("sequential", spec("a"), spec("b"), spec("c"))
    play.end("a", ok=False)
    assert play.states("a", "b", "c") == ["Failed", "Skipped", "Skipped"]
    assert play.engine.world.jobs["job"].state == 4


def test_a_configurable_job_is_a_dag_that_obeys_run_if(play):
    play.job("configurable", spec("a"), spec("b", ["a"], run_if="failure"), spec("c", ["a"]))
    play.end("a")
    assert play.states("b", "c") == ["Skipped", "Scheduled"]


def test_a_dependency_against_the_order_of_a_sequential_job_is_a_cycle(play):
    with pytest.raises(BadRequest, match="circular"):
        play.job("sequential", spec("a", ["b"]), spec("b"))


def test_an_unknown_mode_is_refused_with_the_known_ones(play):
    with pytest.raises(BadRequest, match="parallel, sequential, configurable"):
        play.job("random", spec("a"))


def test_an_ended_job_runs_all_its_tasks_again_as_new_attempts(play):
    play.job("sequential", spec("a"), spec("b"))
    play.end("a")
    play.end("b")
    play.do(commands.Start("job", "job"))
    assert play.states("a", "b") == ["Scheduled", "Pending"]
    assert play.at("a").attempt == 2
    with pytest.raises(Conflict, match="runs already"):
        play.do(commands.Start("job", "job"))


def test_a_jobs_task_takes_its_first_module_before_the_first_start_and_nothing_else(play):
    play.job("parallel", {"id": "a", "name": "a"}, start=False)
    with pytest.raises(Conflict, match="has no module"):
        play.do(commands.Start("job", "job"))
    play.do(commands.AttachModule("a", MODULE))
    refused = [commands.AttachModule("a", MODULE), commands.UpdateTask("a", {"name": "x"}),
               commands.Delete("task", "a")]  # fmt: skip
    for command in refused:
        with pytest.raises(Conflict, match="immutable"):
            play.do(command)


def test_stopping_a_job_interrupts_it_and_a_second_stop_says_so(play):
    play.job("sequential", spec("a"), spec("b"))
    play.do(commands.Stop("job", "job"))
    play.end("a")
    assert play.states("a", "b") == ["Interrupted", "Interrupted"]
    assert play.engine.world.jobs["job"].state == 6
    with pytest.raises(Conflict, match="ended already"):
        play.do(commands.Stop("job", "job"))


def test_a_job_never_started_is_pending(play):
    play.job("parallel", spec("a"), start=False)
    assert play.engine.world.jobs["job"].state == 0


def test_a_task_of_a_sequential_job_may_also_depend_on_the_one_before(play):
    play.job("sequential", spec("a"), spec("b", ["a"], inputs=["$a"]))
    play.end("a")
    assert play.states("b") == ["Scheduled"]


def test_a_job_is_deleted_with_its_tasks_but_not_while_it_runs_or_another_task_needs_it(play):
    play.job("parallel", spec("a"), spec("b"))
    with pytest.raises(Conflict) as caught:
        play.do(commands.Delete("job", "job"))
    assert caught.value.code == "job_runs"
    play.end("a")
    play.end("b")
    play.task("behind", depends_on=["a"], start=False)
    with pytest.raises(Conflict) as caught:
        play.do(commands.Delete("job", "job"))
    assert caught.value.code == "task_needed"
    play.do(commands.Delete("task", "behind"))
    play.do(commands.Delete("job", "job"))
    assert not play.engine.world.jobs and not play.tables["jobs"] and not play.tables["tasks"]


def test_the_request_of_a_job_that_was_deleted_makes_a_new_one(play):
    command = commands.CreateJob("one", "job", "parallel", [spec("a")], ["fresh"], request=("key", "digest"))
    play.do(command)
    play.do(commands.Delete("job", "one"))
    again = commands.CreateJob("two", "job", "parallel", [spec("a")], ["fresh"], request=("key", "digest"))
    assert play.do(again)[0].id == "two"
