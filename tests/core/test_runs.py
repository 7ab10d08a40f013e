"""Runs and copies: retry from what failed, copy, link, archive; and what is not done twice."""

import copy

import pytest

from hub.core import commands
from hub.core.entries import listed
from shared.errors import Conflict, MotetError, NotFound
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def duplicate(play: Play, mode: str, kind: str, id: str, **more):
    before = copy.deepcopy({table: docs for table, docs in play.tables.items() if table != "meta"})
    made = play.do(commands.Duplicate(mode, kind, id, f"new-{mode}", **more))
    for table, docs in before.items():
        for key, doc in docs.items():
            assert play.tables[table][key] == doc, "the source is left as it is"
    return made


def failed_workflow(play: Play) -> None:
    play.workflow(spec("a"), spec("b", ["a"]), spec("c", ["b"]), spec("alert", ["b"], run_if="failure"), spec("other"))
    play.end("other")
    play.end("a")
    play.end("b", ok=False)
    play.end("alert")


# --- retry


def test_retry_runs_what_failed_and_what_lies_behind_it_and_no_upstream_success(play):
    failed_workflow(play)
    play.take("start")
    play.do(commands.Retry("workflow", "wf"))
    assert play.states("a", "b", "c", "alert", "other") == ["Completed", "Scheduled", "Pending", "Pending", "Completed"]
    assert play.starts() == ["b"]
    play.end("b")
    play.end("c")
    assert play.states("c", "alert") == ["Completed", "Skipped"]
    assert play.engine.world.workflows["wf"].state == 3


def test_retry_from_a_task_and_from_all(play):
    failed_workflow(play)
    play.do(commands.Retry("workflow", "wf", "a"))
    assert play.states("a", "b", "other") == ["Scheduled", "Pending", "Completed"]
    play.do(commands.Stop("workflow", "wf"))
    play.end("a")
    play.do(commands.Retry("workflow", "wf", "all"))
    assert play.states("a", "b", "other") == ["Scheduled", "Pending", "Scheduled"]


def test_retry_of_a_task_reaches_the_failures_behind_it(play):
    failed_workflow(play)
    play.do(commands.Retry("task", "a"))
    assert play.states("a", "b", "c") == ["Completed", "Scheduled", "Pending"]


def test_retry_after_fail_fast_runs_what_the_failure_kept_from_starting(play):
    tasks = [spec("bad"), spec("slow"), spec("after", ["slow"])]
    play.do(commands.CreateWorkflow("wf", "wf", tasks, ["x"] * 3, options={"fail_fast": True}))
    play.do(commands.Start("workflow", "wf"))
    play.end("bad", ok=False)
    play.end("slow")
    play.do(commands.Retry("workflow", "wf"))
    assert play.states("bad", "slow", "after") == ["Scheduled", "Completed", "Scheduled"]


def test_retry_where_nothing_failed_or_something_runs_or_is_unknown_is_refused(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    with pytest.raises(Conflict, match="runs"):
        play.do(commands.Retry("workflow", "wf"))
    play.end("a")
    play.end("b")
    with pytest.raises(Conflict, match="has failed"):
        play.do(commands.Retry("workflow", "wf"))
    with pytest.raises(NotFound, match="no task x"):
        play.do(commands.Retry("workflow", "wf", "x"))


# --- copy, link, archive


def test_a_copy_of_a_workflow_is_new_and_remapped_and_runs_by_itself(play):
    failed_workflow(play)
    group = duplicate(play, "copy", "workflow", "wf", overrides={"tasks": {}})
    tasks = {task.doc["name"]: task for task in group.tasks.values()}
    assert set(tasks) == {"a", "b", "c", "alert", "other"}
    assert [tasks["c"].parents, tasks["alert"].doc["run_if"]] == [[tasks["b"]], "failure"]
    for task in tasks.values():
        assert (task.state, task.attempt, task.doc.get("results"), task.doc.get("attempts")) == (0, 0, None, None)
        assert task.doc["origin"]["type"] == "copy"
    play.do(commands.Start("workflow", group.id))
    play.end(tasks["a"].id)
    assert tasks["b"].state == 1 and play.states("b") == ["Failed"]
    play.restart()


def test_a_copy_of_a_task_takes_its_tree_and_each_dependency_once(play):
    play.task("dep", start=False)
    play.task("root", start=False, user_id="u", priority=80, inputs=[1])
    play.task("left", start=False, parent_id="root", depends_on=["dep"])
    play.task("right", start=False, parent_id="root", depends_on=["dep", "left"])
    root = duplicate(play, "copy", "task", "root", overrides={"inputs": [2]})
    copies = {task.doc["name"]: task for task in play.engine.world.tasks.values() if task.doc.get("origin")}
    assert set(copies) == {"dep", "root", "left", "right"}
    assert copies["right"].parents == [copies["dep"], copies["left"]]
    assert {copies[name].doc["parent_id"] for name in ("left", "right")} == {root.id}
    assert (root.doc["inputs"], root.doc["user_id"], root.doc["priority"]) == ([2], "u", 80)


def test_a_copy_without_children_or_dependencies_is_one_task(play):
    play.task("dep")
    play.task("root", start=False, depends_on=["dep"])
    play.task("child", start=False, parent_id="root")
    made = duplicate(play, "copy", "task", "root", children=False, dependencies=False)
    assert made.parents == [play.at("dep")]
    assert len(play.engine.world.tasks) == 4


def test_a_link_shares_results_and_copies_none(play):
    play.task("a", user_id="u")
    play.end("a", outputs=[42])
    made = duplicate(play, "link", "task", "a", user_id="u")
    assert made.state == 3 and "outputs" not in made.doc
    play.task("reader", depends_on=[made.id], inputs=[f"${{{made.id}.outputs[0]}}"])
    start = next(send for send in play.take("start") if send.fields["task"] == "reader")
    assert start.fields["inputs"] == [42]
    assert start.fields["parent_results"] == {made.id: [42]}
    with pytest.raises(Conflict, match="shares its results"):
        play.do(commands.Delete("task", "a"))
    with pytest.raises(Conflict, match="links to a"):
        play.do(commands.Start("task", made.id))
    play.restart()
    assert play.at(made.id).source is play.at("a")


def test_only_a_completed_task_of_the_same_user_is_linked(play):
    play.task("a", user_id="u")
    with pytest.raises(Conflict, match="only a Completed task"):
        play.do(commands.Duplicate("link", "task", "a", "new"))
    play.end("a")
    with pytest.raises(Conflict) as caught:
        play.do(commands.Duplicate("link", "task", "a", "new", user_id="other"))
    assert caught.value.code == "user_mismatch"


def test_a_mixed_copy_links_some_and_copies_the_rest(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.end("a", outputs=[7])
    play.end("b", ok=False)
    group = duplicate(play, "copy", "workflow", "wf", link=["a"])
    tasks = {task.doc["name"]: task for task in group.tasks.values()}
    assert (tasks["a"].state, tasks["b"].state) == (3, 0)
    play.take("start")
    play.do(commands.Start("task", tasks["b"].id))
    (start,) = play.take("start")
    assert start.fields["parent_results"] == {tasks["a"].id: [7]}


def test_an_archive_shows_state_and_results_as_they_stood_and_never_changes(play):
    failed_workflow(play)
    group = duplicate(play, "archive", "workflow", "wf")
    tasks = {task.doc["name"]: task for task in group.tasks.values()}
    assert [task.state for task in tasks.values()] == [3, 4, 5, 3, 3]
    assert tasks["a"].doc["outputs"] == [30] and group.state == 4
    id = tasks["a"].id
    for command in (commands.UpdateTask(id, {"name": "x"}), commands.AttachModule(id, "a" * 64),
                    commands.Start("task", id), commands.Delete("task", id), commands.Delete("workflow", group.id),
                    commands.Start("workflow", group.id), commands.Retry("workflow", group.id)):  # fmt: skip
        with pytest.raises(Conflict, match="archived"):
            play.do(command)
    play.do(commands.Start("workflow", "wf"))
    play.end("a", outputs=[1])
    assert tasks["a"].doc["outputs"] == [30]


def test_what_runs_is_not_archived(play):
    play.task("a")
    with pytest.raises(Conflict, match="runs"):
        play.do(commands.Duplicate("archive", "task", "a", "new"))


# --- not twice


def test_the_cache_answers_for_the_same_module_function_inputs_and_parents(play):
    for id, inputs in (("a", [1]), ("b", [1]), ("c", [2])):
        play.do(commands.CreateTask({**spec(id), "name": "main", "inputs": inputs, "cache": {"ttl": 60}}, "x"))
    play.do(commands.Start("task", "a"))
    play.end("a", outputs=[5])
    play.take("start")
    play.do(commands.Start("task", "b"))
    play.do(commands.Start("task", "c"))
    assert play.starts() == ["c"]
    doc = play.at("b").doc
    assert (doc["cached"], doc["outputs"], doc.get("attempts")) == (True, [5], None)
    play.mono += 61
    play.do(commands.Start("task", "b"))
    assert play.starts() == ["b"]
    assert play.at("b").doc["cached"] is None


def test_a_failure_is_not_remembered_and_what_is_remembered_survives_a_restart(play):
    definition = {"name": "main", "inputs": [1], "cache": {"ttl": 60}}
    for id in "abc":
        play.do(commands.CreateTask({**spec(id), **definition}, "x"))
    play.do(commands.Start("task", "a"))
    play.end("a", ok=False)
    play.do(commands.Start("task", "b"))
    assert play.states("b") == ["Scheduled"]
    play.end("b")
    play.restart()
    play.do(commands.Start("task", "c"))
    assert play.at("c").doc["cached"] is True


def test_the_same_request_again_is_the_first_answer_and_another_body_is_a_conflict(play):
    for at in range(2):
        task, _ = play.do(commands.CreateTask({"name": "t"}, f"fresh-{at}", ("key", "digest")))
        assert task.id == "fresh-0"
        play.restart()
    with pytest.raises(MotetError) as caught:
        play.do(commands.CreateTask({"name": "u"}, "fresh-2", ("key", "other")))
    assert caught.value.code == "idempotency_conflict"
    for _ in range(2):
        group, tasks = play.do(commands.CreateWorkflow("wf", "", [spec("w")], ["x"], request=("k2", "d")))
        assert (group.id, len(tasks)) == ("wf", 1)
        job, _ = play.do(commands.CreateJob("job", "", "parallel", [spec("j")], ["x"], request=("k3", "d")))
        assert job.id == "job"


def test_while_a_task_with_a_dedup_key_is_active_it_is_the_answer(play):
    first, new = play.do(commands.CreateTask({**spec("a"), "dedup_key": "k"}, "x"))
    second, again = play.do(commands.CreateTask({**spec("b"), "dedup_key": "k"}, "x"))
    assert (new, again, second) == (True, False, first)
    play.do(commands.Start("task", "a"))
    play.end("a")
    play.restart()
    third, _ = play.do(commands.CreateTask({**spec("b"), "dedup_key": "k"}, "x"))
    assert third.id == "b"


def test_more_than_ten_attempts_are_kept_beside_the_task(play):
    play.task("t", retries=14)
    for _ in range(14):
        play.end("t", ok=False)
        play.pass_time(0)
        play.do(commands.Tick())
    assert [attempt["number"] for attempt in listed(play.at("t").doc)] == list(range(6, 16))
    assert [doc["number"] for doc in play.tables["attempts"].values()] == [1, 2, 3, 4, 5]
    play.end("t")
    play.do(commands.Delete("task", "t"))
    assert play.tables["attempts"] == {}


def test_progress_is_shown_of_the_current_attempt_only(play):
    play.task("t")
    play.do(commands.Progress("d1", "t", 1, 0.5, "half"))
    play.do(commands.Progress("d1", "t", 7, 0.9))
    assert (play.at("t").doc["progress"], play.at("t").doc["progress_message"]) == (0.5, "half")
