"""Ended runs leave the store for the history, whole and oldest first, and come back as if they had never been away."""

import copy
from typing import Any

import pytest

from hub.core import commands
from hub.core.model import Policy
from shared.errors import Conflict
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def run(play: Play, *names: str, **more: Any) -> None:
    for name in names:
        play.task(name, **more)
        play.begin(name)
        play.end(name)


def ids(units: dict[int, Any]) -> list[list[str]]:
    return [sorted(unit["tasks"]) for unit in units.values()]


def test_the_longest_ended_go_first_and_so_many_stay(play):
    run(play, "a", "b", "c", "d")
    assert ids(play.archive(keep_tasks=2)) == [["a"], ["b"]]
    assert list(play.engine.world.tasks) == ["c", "d"]
    assert set(play.tables["tasks"]) == {"c", "d"}
    assert play.archive(keep_tasks=2) == {}


def test_what_ends_later_stays_longer_whenever_it_was_made(play):
    play.task("first")
    run(play, "second")
    play.begin("first")
    play.end("first")
    assert ids(play.archive(keep_tasks=1)) == [["second"]]


def test_age_alone_is_a_reason_to_go(play):
    run(play, "a")
    assert play.archive(keep_tasks=10) == {}
    play.pass_time(Policy().keep_s)
    assert ids(play.archive(keep_tasks=10)) == [["a"]]


def test_what_is_large_goes_sooner(play):
    policy = Policy(keep_bytes=10_000)
    play.policy = policy
    run(play, "a", "b")
    assert play.archive(keep_tasks=10) == {}
    run(play, "large", inputs=["x" * 20_000])
    run(play, "c")
    assert ids(play.archive(keep_tasks=10)) == [["a"], ["b"], ["large"]]
    assert list(play.engine.world.tasks) == ["c"]
    play.restart()
    assert play.engine.world.ended.bytes < 1000
    play.do(commands.Delete("task", "c"))
    assert play.engine.world.ended.bytes == 0


def test_what_waits_runs_or_was_never_started_stays(play):
    play.task("runs")
    play.begin("runs")
    play.task("new", start=False)
    play.task("waits", pinned_to="elsewhere")
    play.task("daemon", daemon=True)
    assert play.archive() == {}


def test_a_workflow_goes_whole_with_its_last_task(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.end("a")
    assert play.archive() == {}
    play.end("b")
    assert ids(play.archive()) == [["a", "b"]]
    assert not play.engine.world.workflows and not play.tables["workflows"]


def test_a_workflow_that_was_stopped_goes_with_what_still_waits_in_it(play):
    play.workflow(spec("a"), spec("b", ["a"]))
    play.do(commands.Stop("task", "a"))
    play.end("a")
    assert play.states("a", "b") == ["Interrupted", "Pending"]
    (number,) = play.archive()
    play.recall(number)
    play.do(commands.Start("workflow", "wf"))
    play.end("a")
    play.end("b")
    assert play.states("a", "b") == ["Completed", "Completed"]


def test_tasks_that_depend_on_each_other_stay_together_across_groups(play):
    play.workflow(spec("a"))
    play.end("a")
    play.task("behind", depends_on=["a"], start=False)
    assert play.archive() == {}
    play.do(commands.Start("task", "behind"))
    play.end("behind")
    assert ids(play.archive()) == [["a", "behind"]]


def test_what_a_task_kept_in_the_store_goes_when_that_task_is_deleted(play):
    run(play, "a")
    play.task("behind", depends_on=["a"], start=False)
    play.do(commands.Delete("task", "behind"))
    assert ids(play.archive()) == [["a"]]


def test_a_tree_by_parent_id_stays_together(play):
    run(play, "a")
    play.task("below", parent_id="a", start=False)
    assert play.archive() == {}
    play.do(commands.Start("task", "below"))
    play.end("below")
    (number,) = play.archive()
    play.recall(number)
    made = play.do(commands.Duplicate("copy", "task", "a", "copied"))
    assert len(play.engine.world.tasks) == 4 and made.id == "copied"


def test_a_link_stays_with_what_it_links_to_and_reads_the_same_when_both_are_back(play):
    run(play, "a")
    link = play.do(commands.Duplicate("link", "task", "a", "linked"))
    assert ids(play.archive()) == [["a", "linked"]]
    play.recall(min(play.history))
    assert play.at(link.id).source is play.at("a")


def test_a_frozen_copy_goes_too_although_nothing_ever_happens_to_it(play):
    play.task("new", start=False)
    play.do(commands.Duplicate("archive", "task", "new", "frozen"))
    play.pass_time(Policy().keep_s)
    assert ids(play.archive()) == [["frozen"]]


def test_the_parts_of_a_broadcast_go_with_their_task(play):
    play.task("all", broadcast=True)
    (part,) = play.at("all").doc["parts"]
    play.end(part)
    assert ids(play.archive()) == [sorted(["all", part])]
    play.recall(min(play.history))
    play.do(commands.Start("task", "all"))
    assert play.states("all") == ["Running"]


def test_the_firings_of_a_schedule_stay_until_it_has_had_its_day_and_go_with_it(play):
    play.do(commands.CreateTask(spec("t", every=10.0, max_runs=2), "fresh"))
    play.pass_time(10.0)
    first = play.at("t").doc["last_firing"]
    play.end(first)
    assert play.archive() == {}
    play.pass_time(10.0)
    second = play.at("t").doc["last_firing"]
    play.end(second)
    assert ids(play.archive()) == [sorted(["t", first, second])]
    play.recall(min(play.history))
    play.do(commands.Start("task", "t"))
    play.pass_time(10.0)
    assert list(play.engine.world.firings["t"])[:2] == [first, second]
    assert play.at("t").doc["run_count"] == 1


def test_firings_go_when_their_schedule_was_deleted(play):
    play.do(commands.CreateTask(spec("t", every=10.0), "fresh"))
    play.pass_time(10.0)
    firing = play.at("t").doc["last_firing"]
    play.end(firing)
    play.do(commands.Delete("task", "t"))
    assert ids(play.archive()) == [[firing]]


def test_what_changes_while_its_copy_is_written_stays_and_the_copy_does_not_count(play):
    run(play, "a", "b", "c")
    play.engine.world.policy = Policy(keep_tasks=0)
    units, _ = play.do(commands.Retire(100))
    play.do(commands.Start("task", "b"))
    play.do(commands.Delete("task", "c"))
    stale = play.do(commands.Retired())
    assert stale == [units[1].number, units[2].number]
    assert all(play.engine.world.ended.hides(number) for number in stale)
    assert list(play.engine.world.tasks) == ["b"]
    play.do(commands.Settled(stale))
    assert not play.tables["moves"]
    play.end("b")
    assert ids(play.archive()) == [["b"]]


def test_a_new_task_behind_one_that_is_on_its_way_keeps_it_in_the_store(play):
    run(play, "a")
    play.engine.world.policy = Policy(keep_tasks=0)
    units, _ = play.do(commands.Retire(100))
    play.task("behind", depends_on=["a"], start=False)
    assert play.do(commands.Retired()) == [units[0].number]
    assert list(play.engine.world.tasks) == ["a", "behind"]


def test_after_a_crash_while_copies_are_written_they_do_not_count(play):
    run(play, "a")
    play.engine.world.policy = Policy(keep_tasks=0)
    units, _ = play.do(commands.Retire(100))
    play.restart()
    assert play.engine.world.ended.hides(units[0].number)
    assert list(play.engine.world.tasks) == ["a"]
    assert ids(play.archive()) == [["a"]]


def test_a_unit_that_came_back_is_the_same_to_the_byte_and_in_its_place(play):
    run(play, "a")
    play.workflow(spec("b"), spec("c", ["b"], cost=3.0))
    play.end("b")
    play.end("c")
    run(play, "d")
    before = copy.deepcopy(play.tables)
    play.archive(keep_tasks=1)
    assert list(play.engine.world.tasks) == ["d"]
    for number in sorted(play.history, reverse=True):
        play.recall(number)
    assert list(play.engine.world.tasks) == ["a", "b", "c", "d"]
    assert play.tables["tasks"] == before["tasks"] and play.tables["workflows"] == before["workflows"]
    assert play.at("b").path == 4.0


def test_a_unit_comes_back_once_and_its_copy_does_not_count_from_then_on(play):
    run(play, "a")
    ((number, tables),) = play.archive().items()
    assert play.do(commands.Recall(number, tables)) is True
    assert play.do(commands.Recall(number, tables)) is False
    play.do(commands.Delete("task", "a"))
    play.restart()
    assert play.engine.world.ended.hides(number), "else what was deleted would be back"


def test_attempts_beyond_the_tenth_go_and_come_with_their_task(play):
    play.task("a", retries=12, retry_on=["trap_div0"])
    for _ in range(13):
        play.end("a", ok=False)
        play.pass_time(0.0)
    attempts = dict(play.tables["attempts"])
    assert len(attempts) == 3
    (number,) = play.archive()
    assert not play.tables.get("attempts")
    play.recall(number)
    assert play.tables["attempts"] == attempts


def test_a_module_is_needed_by_tasks_in_the_history(play):
    play.module("b" * 64)
    run(play, "a", module="b" * 64)
    play.archive()
    with pytest.raises(Conflict):
        play.do(commands.Delete("module", "b" * 64))
    play.restart()
    assert play.engine.world.modules["b" * 64].tasks == 1
    number = min(play.history)
    play.history.clear()
    bygone = commands.Bygone(number, ["b" * 64], [("a", 1)])
    assert play.do(commands.Discard([bygone])) == [number]
    play.do(commands.Settled([number]))
    play.do(commands.Delete("module", "b" * 64))


def test_a_task_with_the_id_of_one_that_is_gone_for_good_goes_on_counting(play):
    run(play, "a")
    number = min(play.archive())
    play.do(commands.Discard([commands.Bygone(number, [], [("a", 1)])]))
    play.task("a")
    assert play.at("a").attempt == 2


def test_numbers_are_never_given_again_although_nothing_in_the_store_bears_the_last(play):
    run(play, "a")
    seq = play.at("a").doc["seq"]
    (number,) = play.archive()
    play.restart()
    play.task("b", start=False)
    assert play.at("b").doc["seq"] > number > seq


def test_the_later_of_two_tasks_with_a_dedup_key_is_asked_when_the_first_is_back(play):
    run(play, "a", dedup_key="key")
    (number,) = play.archive()
    play.task("b", dedup_key="key")
    play.recall(number)
    assert play.do(commands.CreateTask(spec("c", dedup_key="key"), "c")) == (play.at("b"), False)


def test_after_a_restart_what_had_ended_goes_in_the_same_order(play):
    run(play, "a")
    play.pass_time(5.0)
    run(play, "b", "c")
    play.restart()
    assert ids(play.archive(keep_tasks=1)) == [["a"], ["b"]]


def test_a_turn_looks_at_what_it_moves_and_not_at_all_tasks(play, monkeypatch):
    run(play, *(f"t{at}" for at in range(50)))
    play.engine.world.policy = Policy(keep_tasks=0)
    units, again = play.do(commands.Retire(5))
    assert len(units) == 5 and again
    assert len(play.engine.world.ended.order) == 45
