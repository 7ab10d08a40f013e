"""A workflow's tasks start as soon as what they depend on has ended the way their run_if asks for."""

import pytest

from hub.core import commands
from shared import states
from shared.errors import BadRequest, Conflict
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1")
    stage.join("d2")
    return stage


def test_children_start_together_when_their_parent_completes(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("c", ["a"]))
    assert play.starts() == ["a"]
    play.end("a")
    assert play.starts() == ["b", "c"]


def test_a_child_waits_for_all_its_parents_and_for_no_one_else(play):
    play.workflow(spec("a"), spec("b"), spec("slow"), spec("child", ["a", "b"]))
    play.end("a")
    assert play.states("child") == ["Pending"]
    play.end("b")
    assert play.states("child", "slow") == ["Scheduled", "Scheduled"]


def test_a_failure_runs_the_failure_branch_and_skips_the_success_branch_all_the_way_down(play):
    play.workflow(
        spec("pay"), spec("confirm", ["pay"]), spec("ship", ["confirm"]), spec("alert", ["pay"], run_if="failure")
    )
    play.end("pay", ok=False)
    assert play.states("confirm", "ship", "alert") == ["Skipped", "Skipped", "Scheduled"]
    play.end("alert")
    assert play.engine.world.workflows["wf"].state == 4


def test_a_success_skips_the_failure_branch(play):
    play.workflow(spec("pay"), spec("alert", ["pay"], run_if="failure"), spec("after", ["alert"], run_if="failure"))
    play.end("pay")
    assert play.states("alert", "after") == ["Skipped", "Skipped"]
    assert play.engine.world.workflows["wf"].state == 3


def test_a_skip_travels_down_a_chain_of_ten_thousand_without_recursion(play):
    play.workflow(*(spec(f"t{at}", [f"t{at - 1}"] if at else None) for at in range(10_000)))
    play.end("t0", ok=False)
    assert play.states("t1", "t9999") == ["Skipped", "Skipped"]


def test_starting_one_root_leaves_the_other_roots_alone(play):
    play.workflow(spec("a"), spec("b"), spec("c", ["a"]), start=False)
    play.do(commands.Start("task", "a"))
    play.end("a")
    assert play.states("b", "c") == ["Pending", "Scheduled"]


def test_a_task_with_unmet_dependencies_does_not_start(play):
    play.workflow(spec("a"), spec("b", ["a"]), start=False)
    with pytest.raises(Conflict, match="unmet dependencies"):
        play.do(commands.Start("task", "b"))
    assert play.states("a", "b") == ["Pending", "Pending"]


def test_an_ended_root_that_starts_again_takes_its_descendants_along_and_leaves_the_others(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("other"))
    for name in ("a", "b", "other"):
        play.end(name)
    play.do(commands.Start("task", "a"))
    assert play.states("a", "b", "other") == ["Scheduled", "Pending", "Completed"]
    assert play.at("b").doc["outputs"] is None
    play.end("a")
    play.end("b", outputs=[7])
    assert play.at("b").doc["outputs"] == [7]
    assert play.at("b").attempt == 2


def test_a_workflow_that_runs_does_not_start_twice(play):
    play.workflow(spec("a"))
    with pytest.raises(Conflict, match="runs already"):
        play.do(commands.Start("workflow", "wf"))


def test_what_runs_behind_a_workflow_that_runs_again_is_tried_again_as_ever(play):
    play.join("d1")
    play.workflow(spec("first"))
    play.end("first")
    play.task("behind", depends_on=["first"], retries=1, backoff="none")
    play.do(commands.Start("workflow", "wf"))
    play.end("first")
    play.end("behind", ok=False)
    play.pass_time(0)
    assert play.states("first", "behind") == ["Completed", "Scheduled"]
    play.end("behind")
    assert play.states("first", "behind") == ["Completed", "Completed"]


def test_a_workflow_that_has_ended_runs_again_as_a_whole(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.end("a")
    play.end("b", ok=False)
    play.do(commands.Start("workflow", "wf"))
    assert play.states("a", "b") == ["Scheduled", "Pending"]
    assert play.at("b").doc["error"] is None


def test_an_interrupted_workflow_goes_on_where_it_was(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("c", ["b"]))
    play.end("a")
    play.do(commands.Stop("task", "b"))
    play.end("b")
    assert play.states("a", "b", "c") == ["Completed", "Interrupted", "Pending"]
    assert play.engine.world.workflows["wf"].state == 6
    play.do(commands.Start("workflow", "wf"))
    assert play.states("a", "b", "c") == ["Completed", "Scheduled", "Pending"]
    play.end("b")
    play.end("c")
    assert play.engine.world.workflows["wf"].state == 3


def test_stopping_a_workflow_interrupts_what_waits_and_stops_what_runs(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.do(commands.Stop("workflow", "wf", "enough"))
    assert play.states("a", "b") == ["Scheduled", "Interrupted"]
    assert [send.fields["task"] for send in play.take("stop")] == ["a"]
    play.end("a", ok=False, code="cancelled")
    assert play.states("a") == ["Interrupted"]
    assert play.at("a").doc["error"] == "enough"


def test_stopping_with_finish_lets_the_running_end_normally(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.do(commands.Stop("workflow", "wf", finish_running=True))
    play.end("a")
    assert play.states("a", "b") == ["Completed", "Interrupted"]


def test_a_cycle_an_unknown_dependency_and_a_name_borne_twice_are_refused_and_nothing_is_kept(play):
    before = dict(play.tables.get("tasks", {}))
    bad = {
        "circular dependency": [spec("a", ["b"]), spec("b", ["a"])],
        "task process depends on nowhere which does not exist": [{"name": "process", "depends_on": ["nowhere"]}],
        "a name that 2 tasks bear": [{"name": "x"}, {"name": "x"}, {"name": "y", "depends_on": ["x"]}],
    }  # fmt: skip
    for message, specs in bad.items():
        with pytest.raises(BadRequest, match=message):
            play.workflow(*specs)
    assert play.tables.get("tasks", {}) == before
    assert play.tables.get("workflows", {}) == {}


def test_a_dependency_may_name_a_task_by_the_name_it_was_given_without_an_id(play):
    play.workflow({"name": "first"}, {"name": "second", "depends_on": ["first"]}, start=False)
    assert play.at("fresh-1").doc["depends_on"] == ["fresh-0"]


def test_a_dry_run_keeps_nothing(play):
    command = commands.CreateWorkflow("wf", "wf", [spec("a")], ["x"], dry_run=True)
    group, tasks = play.do(command)
    assert (group.id, [task.id for task in tasks]) == ("wf", ["a"])
    assert "a" not in play.engine.world.tasks


def test_an_id_that_exists_is_refused_with_the_whole_request(play):
    play.task("a", start=False)
    with pytest.raises(Conflict, match="task a exists already"):
        play.workflow(spec("b"), spec("a"))
    assert "b" not in play.engine.world.tasks


def test_a_task_without_a_module_fails_when_its_turn_comes_and_its_children_follow(play):
    play.workflow(spec("a"), {"id": "b", "name": "b", "depends_on": ["a"]}, spec("c", ["b"], run_if="failure"))
    play.end("a")
    assert play.states("b", "c") == ["Failed", "Scheduled"]
    assert play.at("b").doc["error_info"]["code"] == "bad_module"


def test_a_root_without_a_module_is_not_started(play):
    with pytest.raises(Conflict, match="has no module"):
        play.workflow({"id": "a", "name": "a"})


def test_dependencies_change_only_where_no_cycle_arises(play):
    play.workflow(spec("a"), spec("b", ["a"]), spec("c", ["b"]), start=False)
    with pytest.raises(BadRequest, match="circular dependency"):
        play.do(commands.UpdateTask("a", {"depends_on": ["c"]}))
    play.do(commands.UpdateTask("c", {"depends_on": ["a"]}))
    play.do(commands.Start("workflow", "wf"))
    play.end("a")
    assert play.states("b", "c") == ["Scheduled", "Scheduled"]


def test_a_task_that_others_wait_for_or_that_runs_is_not_deleted(play):
    play.workflow(spec("a"), spec("b", ["a"]), start=False)
    with pytest.raises(Conflict, match="task b depends on it"):
        play.do(commands.Delete("task", "a"))
    play.do(commands.Start("task", "a"))
    with pytest.raises(Conflict, match="runs"):
        play.do(commands.Delete("workflow", "wf"))
    play.end("a")
    play.end("b")
    play.do(commands.Delete("workflow", "wf"))
    assert play.tables["tasks"] == {} and play.tables["workflows"] == {}


def test_a_workflow_and_a_job_of_one_id_each_show_their_own_state():
    play = Play()
    play.do(commands.CreateWorkflow("both", "w", [spec("a")], ["fresh-a"]))
    play.do(commands.CreateJob("both", "j", "parallel", [spec("b")], ["fresh-b"]))
    play.do(commands.Start("workflow", "both"))
    play.do(commands.Start("job", "both"))
    play.do(commands.StopAll())
    assert [play.tables[table]["both"]["state"] for table in ("workflows", "jobs")] == [states.INTERRUPTED] * 2
