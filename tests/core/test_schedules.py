"""Schedules: a template fires a task of its own at each slot, exactly once."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest

from hub.core import commands
from hub.core.schedules import FIRINGS_KEPT, _slot_after
from shared.errors import BadRequest, Conflict
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    return stage


def walk(play: Play, seconds: float, end: bool = True) -> list[str]:
    """Lets time pass with beats; the firings that started, each ended at once unless told otherwise."""
    fired, until = [], play.mono + seconds
    while play.mono < until:
        play.pass_time(min(5, until - play.mono))
        running = [(task.id, task.attempt) for task in play.engine.world.proplets["d1"].running.values()]
        play.beat("d1", *running)
        new = play.starts()
        fired += new
        for id in new if end else ():
            play.end(id)
    return fired


def wall(play: Play) -> float:
    return play.engine.world.now.wall


def test_every_fires_without_drift(play):
    play.task("t", start=False, every=10)
    begin = wall(play)
    fired = walk(play, 61)
    assert [play.at(id).doc["scheduled_for"] - begin for id in fired] == [10, 20, 30, 40, 50, 60]
    assert play.at("t").doc["run_count"] == 6


def test_a_cron_schedule_fires_at_its_minutes_and_shows_the_next_one(play):
    play.task("t", start=False, schedule="*/5 * * * *")
    fired = walk(play, 3600)
    assert len(fired) == 12
    assert all(play.at(id).doc["scheduled_for"] % 300 == 0 for id in fired)
    assert play.at("t").doc["next_run"] % 300 == 0


def test_at_fires_once_and_is_over(play):
    play.task("t", start=False, at=wall(play) + 30)
    assert len(walk(play, 100)) == 1
    doc = play.at("t").doc
    assert (doc["enabled"], doc["next_run"]) == (False, None)


def test_a_firing_is_a_task_of_its_own_and_the_template_shows_what_came_of_it(play):
    play.task("t", start=False, every=10, inputs=[1, 2], priority=80)
    (id,) = walk(play, 11)
    doc = play.at(id).doc
    assert doc["origin"] == {"type": "schedule", "id": "t"}
    assert (doc["inputs"], doc["priority"]) == ([1, 2], 80)
    template = play.at("t").doc
    assert (template["last_firing"], template["results"], template["outputs"]) == (id, "30\n", [30])


@pytest.mark.parametrize(
    "overlap, fired, missed", [("skip", 1, 2), ("allow", 3, 0), ("queue", 1, 1), ("replace", 3, 0)]
)
def test_overlap_decides_on_a_slot_that_comes_while_the_one_before_runs(play, overlap, fired, missed):
    play.task("t", start=False, every=10, overlap=overlap)
    started = walk(play, 31, end=False)
    assert (len(started), play.at("t").doc.get("missed", 0)) == (fired, missed)
    if overlap == "queue":
        play.end(started[0])
        assert len(play.starts()) == 1
    if overlap == "replace":
        assert play.at(started[0]).doc.get("stopping") is True


def test_max_runs_and_end_at_end_it(play):
    play.task("a", start=False, every=10, max_runs=2)
    play.task("b", start=False, every=10, end_at=wall(play) + 25)
    walk(play, 60)
    for name in "ab":
        doc = play.at(name).doc
        assert (doc["run_count"], doc["enabled"], doc["next_run"]) == (2, False, None)
    play.do(commands.Start("task", "a"))
    assert play.at("a").doc["run_count"] == 0
    assert len(walk(play, 60)) == 2


def test_start_at_is_the_first_slot_of_an_interval(play):
    begin = wall(play) + 100
    play.task("t", start=False, every=10, start_at=begin)
    fired = walk(play, 115)
    assert [play.at(id).doc["scheduled_for"] - begin for id in fired] == [0, 10]


def test_without_recurrence_or_disabled_it_never_fires_and_the_schedule_is_kept(play):
    play.task("a", start=False, every=10, is_recurring=False)
    play.task("b", start=False, every=10)
    play.do(commands.UpdateTask("b", {"enabled": False}))
    assert walk(play, 60) == []
    assert play.at("a").doc["every"] == 10
    play.do(commands.UpdateTask("b", {"enabled": True}))
    assert len(walk(play, 11)) == 1


def test_a_change_of_other_fields_keeps_the_schedule(play):
    play.task("t", start=False, schedule="0 * * * *")
    before = play.at("t").doc["next_run"]
    play.do(commands.UpdateTask("t", {"priority": 90}))
    play.do(commands.AttachModule("t", "a" * 64))
    assert play.at("t").doc["next_run"] == before


def test_stop_interrupts_the_template_and_its_running_firing_and_start_arms_it_again(play):
    play.task("t", start=False, every=10)
    (id,) = walk(play, 11, end=False)
    play.do(commands.Stop("task", "t"))
    assert (play.states("t"), play.at("t").doc["next_run"], play.at(id).doc["stopping"]) == (
        ["Interrupted"],
        None,
        True,
    )
    play.end(id)
    assert walk(play, 30) == []
    play.do(commands.Start("task", "t"))
    assert play.states("t") == ["Pending"]
    assert len(walk(play, 11)) == 1


def test_start_on_an_armed_template_changes_nothing_and_now_fires_once(play):
    play.task("t", start=False, every=1000)
    before = play.at("t").doc
    play.do(commands.Start("task", "t"))
    assert play.at("t").doc is before
    play.do(commands.Start("task", "t", now=True))
    assert len(play.starts()) == 1
    assert play.at("t").doc["next_run"] == before["next_run"]


def test_a_slot_without_a_module_is_missed_and_not_counted(play):
    play.do(commands.CreateTask({"id": "t", "name": "t", "every": 10}, "x"))
    assert walk(play, 25) == []
    doc = play.at("t").doc
    assert (doc["missed"], doc.get("run_count", 0)) == (2, 0)


@pytest.mark.parametrize("catchup, fired", [("none", 0), ("latest", 1), ("all", 3)])
def test_catchup_decides_on_slots_that_passed_while_the_hub_was_down(play, catchup, fired):
    play.task("t", start=False, every=100, catchup=catchup)
    play.mono += 350
    play.restart()
    play.join("d1", slots=8)
    assert len(play.starts()) == fired
    doc = play.at("t").doc
    assert (doc.get("missed", 0), doc["next_run"] - wall(play)) == (3 - fired, 50)


def test_catchup_of_all_is_the_latest_hundred_even_after_a_year(play):
    play.task("t", start=False, schedule="* * * * *", catchup="all")
    play.mono += 366 * 86_400
    play.restart()
    assert play.at("t").doc["run_count"] == 100
    assert play.at("t").doc["last_run"] > wall(play) - 60


def test_a_restart_between_fire_and_result_fires_nothing_twice(play):
    play.task("t", start=False, every=10)
    (id,) = walk(play, 11, end=False)
    play.restart()
    play.join("d1", running=[(id, 1)])
    play.end(id)
    assert play.at("t").doc["run_count"] == 1
    assert play.at("t").doc["outputs"] == [30]


def test_slots_late_beyond_the_grace_while_it_ran_are_missed(play):
    play.task("t", start=False, every=10, misfire_grace=15, overlap="allow")
    play.mono += 65
    play.do(commands.Tick())
    doc = play.at("t").doc
    assert (doc["run_count"], doc["missed"], doc["last_run"]) == (2, 4, doc["next_run"] - 10)


def test_a_clock_set_back_never_fires_a_slot_again(play):
    play.task("t", start=False, every=10)
    walk(play, 31)
    count = play.at("t").doc["run_count"]
    play.mono -= 20
    play.do(commands.Tick())
    assert play.at("t").doc["run_count"] == count


def test_old_firings_go_so_that_a_schedule_does_not_grow(play):
    play.task("t", start=False, every=10)
    walk(play, 10 * (FIRINGS_KEPT + 20))
    assert len(play.engine.world.tasks) == FIRINGS_KEPT + 1
    assert len(play.tables["tasks"]) == FIRINGS_KEPT + 1


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"schedule": "bogus"}, "invalid cron"),
        ({"schedule": "* * * * *", "timezone": "Nowhere"}, "timezone"),
        ({"schedule": "* * * * *", "every": 5}, "one of"),
        ({"at": 1.0}, "has passed"),
    ],
)
def test_a_schedule_that_cannot_be_meant_is_refused_and_nothing_is_kept(play, fields, sentence):
    with pytest.raises(BadRequest, match=sentence):
        play.task("t", start=False, **fields)
    assert "t" not in play.engine.world.tasks


def test_the_next_deadline_is_never_far_so_that_a_clock_that_was_set_is_noticed(play):
    play.task("t", start=False, at=datetime(2060, 1, 1, tzinfo=UTC).timestamp())
    assert play.engine.next_deadline() - play.mono <= 5


@pytest.mark.parametrize("every", [0.1, 0.3, 1.1, 10.1, 7.7])
def test_a_fraction_of_a_second_never_makes_a_slot_come_twice(every):
    doc = {"every": every, "anchor": 1.7e9 + 0.123}
    wall, slots = doc["anchor"], []
    for _ in range(3000):
        wall = _slot_after(doc, wall)
        slots.append(wall)
    gaps = {round(after - before, 4) for before, after in pairwise(slots)}
    assert gaps == {every}


def test_a_template_is_not_run_itself_and_is_no_member_of_a_workflow(play):
    play.task("t", start=False, every=1000)
    with pytest.raises(Conflict, match="runs by the clock"):
        play.do(commands.Retry("task", "t", "all"))
    play.workflow(spec("a"), start=False)
    for command in (commands.UpdateTask("a", {"every": 5.0}),
                    commands.CreateTask({**spec("b"), "every": 5.0, "workflow_id": "wf"}, "x")):  # fmt: skip
        with pytest.raises(BadRequest, match="a task of its own"):
            play.do(command)


def test_catchup_counts_no_slot_behind_the_end_and_fires_no_more_than_max_runs(play):
    play.task("ends", start=False, every=100, catchup="latest", end_at=wall(play) + 250)
    play.task("most", start=False, every=100, catchup="all", max_runs=2)
    play.mono += 1000
    play.restart()
    ends, most = play.at("ends").doc, play.at("most").doc
    assert (ends["run_count"], ends["missed"], ends["enabled"]) == (1, 1, False)
    assert (most["run_count"], most["missed"], most["enabled"]) == (2, 8, False)
