"""A module that kills workers on two proplets runs nowhere until it is released."""

import pytest

from hub.core import commands
from shared.errors import Conflict
from tests.core.play import MODULE, Play

DAY_S = 86_400.0


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1", slots=8)
    stage.join("d2", slots=8)
    return stage


def die(play: Play, name: str, device: str, **more) -> None:
    play.task(name, pinned_to=device, **more)
    play.end(name, ok=False, code="worker_died")


def quarantine(play: Play):
    return play.engine.world.modules[MODULE].doc.get("quarantined")


def test_two_proplets_whose_workers_died_are_enough(play):
    die(play, "a", "d1")
    die(play, "b", "d1")
    assert quarantine(play) is None
    die(play, "c", "d2")
    assert quarantine(play) == {
        "reason": "it killed workers on d1 and d2", "since": 1.7e9 + play.mono, "proplets": ["d1", "d2"]
    }  # fmt: skip


def test_a_task_with_it_fails_without_an_attempt(play):
    play.task("waits", pinned_to="d3")
    die(play, "a", "d1")
    die(play, "b", "d2")
    play.take("start")
    play.task("new")
    play.join("d3")
    assert play.starts() == []
    for name in ("new", "waits"):
        assert play.states(name) == ["Failed"]
        assert play.at(name).doc["error_info"]["code"] == "quarantined"
        assert "attempts" not in play.at(name).doc
    assert f"POST /modules/{MODULE}/release" in play.at("new").doc["error"]


def test_the_task_that_did_it_is_not_tried_again_either(play):
    play.task("a", retries=5, placement={"forbid": ["d2"]})
    play.end("a", ok=False, code="worker_died")
    die(play, "b", "d2")
    play.pass_time(1)
    assert play.at("a").doc["error_info"]["code"] == "quarantined"
    assert [one["error_info"]["code"] for one in play.at("a").doc["attempts"]] == ["worker_died"]


def test_what_runs_goes_on_and_a_restart_of_the_hub_forgets_nothing(play):
    play.task("runs", pinned_to="d1")
    die(play, "a", "d1")
    play.restart()
    play.join("d1", running=[("runs", 1)])
    play.join("d2")
    die(play, "b", "d2")
    play.end("runs")
    assert play.states("runs") == ["Completed"]
    play.restart()
    assert quarantine(play)["proplets"] == ["d1", "d2"]


def test_other_failures_and_deaths_a_day_apart_do_not_count(play):
    for name, device in (("a", "d1"), ("b", "d2")):
        play.task(name, pinned_to=device)
        play.end(name, ok=False, code="trap_unreachable")
    die(play, "c", "d1")
    play.mono += DAY_S + 1
    play.join("d2", boot="again")
    die(play, "d", "d2")
    assert quarantine(play) is None


def test_a_late_result_and_a_stopped_attempt_do_not_count(play):
    die(play, "a", "d1")
    play.task("b", pinned_to="d2")
    play.do(commands.Stop("task", "b"))
    play.end("b", ok=False, code="worker_died")
    play.do(commands.Result("d2", "a", 1, {"ok": False, "error": {"code": "worker_died", "message": "no"}}))
    assert quarantine(play) is None


def test_daemons_count_as_well(play):
    for name, device in (("a", "d1"), ("b", "d2")):
        play.task(name, pinned_to=device, daemon=True)
        play.end(name, ok=False, code="worker_died")
    assert quarantine(play) is not None
    play.pass_time(2)
    assert play.states("a", "b") == ["Failed", "Failed"]


def test_a_release_lets_it_run_again_and_counts_from_nothing(play):
    die(play, "a", "d1")
    die(play, "b", "d2")
    play.do(commands.Release(MODULE))
    assert quarantine(play) is None
    die(play, "c", "d1")
    assert quarantine(play) is None
    with pytest.raises(Conflict) as caught:
        play.do(commands.Release(MODULE))
    assert caught.value.code == "not_quarantined"


def test_a_quarantined_module_is_not_swept_away_and_comes_back_with_a_new_upload(play):
    die(play, "a", "d1")
    die(play, "b", "d2")
    for name in "ab":
        play.do(commands.Delete("task", name))
    play.pass_time(7200)
    assert play.do(commands.Sweep(3600)) == 0
    play.module(MODULE)
    assert quarantine(play) is not None
    play.do(commands.Delete("module", MODULE))
