"""An attempt is fenced: only the current one changes its task, whatever is lost, repeated or late on the way."""

import pytest

from hub.core import attempts, commands, world
from hub.core.entries import listed
from hub.core.model import LOSSES_ALLOWED
from shared.errors import Conflict
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.join("d1")
    stage.task("a")
    return stage


def test_scheduled_becomes_running_when_the_proplet_says_so_and_completed_with_its_result(play):
    assert play.states("a") == ["Scheduled"]
    play.mono += 1
    play.begin("a")
    assert play.states("a") == ["Running"]
    play.mono += 1
    play.end("a")
    doc = play.at("a").doc
    assert (doc["results"], doc["outputs"], doc["finish_time"] - doc["start_time"]) == ("30\n", [30], 1.0)
    assert [send.kind for send in play.sent] == ["start", "ack"]


def test_a_result_without_started_counts_from_the_dispatch(play):
    play.mono += 2
    play.end("a")
    assert play.at("a").doc["finish_time"] - play.at("a").doc["start_time"] == 2.0


@pytest.mark.parametrize(
    ("fields", "results", "outputs"),
    [
        ({"text": '{"a": 1}\n'}, '{"a": 1}\n', [{"a": 1}]),
        ({"stdout": "hello\n", "exit_code": 0}, "hello\n", ["hello"]),
        ({"stdout": "beside\n", "text": "30\n", "outputs": [30]}, "30\n", [30]),
        ({"output": "/w==", "exit_code": 0}, "", ["/w=="]),
    ],
)
def test_what_a_task_wrote_or_printed_is_its_result(play, fields, results, outputs):
    play.do(commands.Result("d1", "a", 1, {"ok": True, **fields}))
    doc = play.at("a").doc
    assert (doc["results"], doc.get("outputs")) == (results, outputs)
    assert doc.get("stdout") == fields.get("stdout")


def test_a_result_that_comes_twice_is_acknowledged_twice_and_recorded_once(play):
    play.end("a", outputs=[1])
    updated = play.at("a").doc
    play.do(commands.Result("d1", "a", 1, {"ok": True, "outputs": [2]}))
    assert play.at("a").doc is updated
    assert len(play.take("ack")) == 2


@pytest.mark.parametrize("device, attempt", [("d2", 1), ("d1", 2), ("d1", 0)])
def test_a_result_of_another_device_or_attempt_changes_nothing_and_is_acknowledged(play, device, attempt):
    play.do(commands.Result(device, "a", attempt, {"ok": True, "outputs": [9]}))
    assert play.states("a") == ["Scheduled"]
    assert [send.device for send in play.take("ack")] == [device]


def test_a_task_with_the_id_of_a_deleted_one_goes_on_counting_so_that_late_results_are_not_its_own(play):
    play.task("t")
    play.end("t")
    play.do(commands.Delete("task", "t"))
    play.restart()
    play.join("d1")
    play.task("t")
    assert [send.fields["attempt"] for send in play.take("start")][-1:] == [2]
    play.do(commands.Result("d1", "t", 1, {"ok": True, "outputs": [666], "text": "666\n"}))
    assert play.states("t") == ["Scheduled"]
    play.end("t")
    assert [entry["number"] for entry in listed(play.at("t").doc)] == [2]
    assert not play.engine.world.numbers


def test_a_result_for_an_unknown_task_is_acknowledged_so_that_the_device_drops_it(play):
    play.do(commands.Result("d1", "nobody", 1, {"ok": True}))
    assert len(play.take("ack")) == 1


def test_a_proplet_silent_past_its_lease_loses_the_task_to_another(play):
    play.do(commands.Disconnected("d1"))
    play.join("d2")
    for _ in range(3):
        play.pass_time(9)
        play.beat("d2")
    assert play.starts() == ["a"]
    play.pass_time(4)
    assert [(send.device, send.fields["attempt"]) for send in play.take("start")] == [("d2", 2)]


def test_a_late_result_is_kept_as_superseded_and_is_never_the_tasks_result(play):
    play.join("d2")
    play.pass_time(29)
    play.beat("d2")
    play.pass_time(2)
    assert play.at("a").doc["proplet_id"] == "d2"
    play.do(commands.Result("d1", "a", 1, {"ok": True, "outputs": [1]}))
    play.end("a", outputs=[2])
    doc = play.at("a").doc
    assert doc["outputs"] == [2]
    assert doc["attempts"][0]["outcome"] == "lost"
    assert doc["attempts"][0]["superseded"] == {"ok": True, "outputs": [1]}


def test_beats_that_name_the_attempt_keep_its_lease(play):
    for _ in range(10):
        play.pass_time(9)
        play.beat("d1", ("a", 1))
    assert play.states("a") == ["Scheduled"]
    assert play.starts() == ["a"]


def test_beats_that_do_not_name_it_get_the_start_again_three_times_and_then_a_new_attempt(play):
    sent = [(send.fields["task"], send.fields["attempt"]) for send in play.take("start")]
    for _ in range(4):
        play.pass_time(10.5)
        play.beat("d1")
        sent += [(send.fields["task"], send.fields["attempt"]) for send in play.take("start")]
    assert sent == [("a", 1)] * 4 + [("a", 2)]


def test_a_reboot_without_the_task_ends_the_attempt_at_once(play):
    play.join("d1", boot="another")
    assert play.at("a").attempt == 2
    assert play.at("a").doc["attempts"][0]["error_info"]["code"] == "device_lost"


def test_a_reboot_with_the_result_in_the_outbox_waits_for_it(play):
    play.join("d1", boot="another", outbox=[("a", 1)])
    assert play.at("a").attempt == 1
    play.end("a")
    assert play.states("a") == ["Completed"]


def test_a_reconnect_that_lacks_the_attempt_gets_its_start_again(play):
    play.take("start")
    play.join("d1")
    assert [(send.fields["task"], send.fields["attempt"]) for send in play.take("start")] == [("a", 1)]


def test_an_attempt_that_the_hub_does_not_know_is_stopped(play):
    play.beat("d1", ("a", 1), ("ghost", 3))
    assert [send.fields["task"] for send in play.take("stop")] == ["ghost"]


def test_a_module_that_takes_down_one_device_after_another_fails_in_the_end(play):
    for at in range(LOSSES_ALLOWED + 1):
        play.join("d1", boot=f"boot-{at}")
    assert play.states("a") == ["Failed"]
    assert play.at("a").doc["error_info"]["code"] == "device_lost"


def test_a_stopped_task_is_interrupted_when_the_device_confirms_and_a_late_success_changes_nothing(play):
    play.do(commands.Stop("task", "a", "enough"))
    assert play.states("a") == ["Scheduled"]
    play.end("a", outputs=[5])
    doc = play.at("a").doc
    assert (play.states("a"), doc["error"], doc.get("outputs")) == (["Interrupted"], "enough", None)
    assert doc["attempts"][0]["superseded"]["outputs"] == [5]
    with pytest.raises(Conflict, match="ended already"):
        play.do(commands.Stop("task", "a"))


def test_a_stop_whose_device_is_gone_ends_with_the_lease(play):
    play.do(commands.Stop("task", "a"))
    play.do(commands.Disconnected("d1"))
    play.pass_time(31)
    assert play.states("a") == ["Interrupted"]


def test_a_stop_is_sent_again_while_the_device_still_names_the_task(play):
    play.do(commands.Stop("task", "a"))
    play.take("stop")
    play.beat("d1", ("a", 1))
    assert len(play.take("stop")) == 1


def test_after_a_restart_of_the_hub_running_work_is_taken_up(play):
    play.task("queued", pinned_to="d9")
    play.restart()
    assert play.states("a", "queued") == ["Scheduled", "Pending"]
    play.join("d1", running=[("a", 1)])
    play.end("a")
    assert play.states("a") == ["Completed"]
    play.join("d9")
    assert play.starts()[-1] == "queued"


def test_a_start_of_the_hub_changes_nothing_of_tasks_that_run_or_wait(play):
    play.task("queued", pinned_to="d9")
    play.job("sequential", spec("first"), spec("second"), start=False)
    before = {table: dict(docs) for table, docs in play.tables.items()}
    play.pass_time(5)
    play.restart()
    assert play.tables == before


def test_after_a_restart_of_the_hub_an_attempt_whose_device_stays_away_moves_after_one_lease(play):
    play.restart()
    play.pass_time(29)
    play.join("d2")
    assert play.at("a").attempt == 1
    play.pass_time(2)
    assert (play.at("a").attempt, play.at("a").doc["proplet_id"]) == (2, "d2")


def test_a_childs_start_is_never_before_its_parents_finish_though_the_clock_is_set_back(play):
    play.workflow(spec("p"), spec("c", ["p"]))
    play.end("p")
    play.mono -= 0.5
    play.begin("c")
    assert play.at("c").doc["start_time"] >= play.at("p").doc["finish_time"]


def test_no_run_ends_before_it_began_though_the_clock_is_set_back(play):
    play.task("fan", broadcast=True)
    part = play.at("fan").doc["parts"][0]
    play.begin("a")
    play.wall -= 86400
    play.end(part)
    play.do(commands.Stop("task", "a"))
    play.end("a", ok=False, code="cancelled")
    assert play.states("a", "fan", part) == ["Interrupted", "Completed", "Completed"]
    for name in ("a", "fan", part):
        assert play.at(name).doc["finish_time"] >= play.at(name).doc["start_time"]


def test_a_proplet_with_work_or_a_connection_is_not_deleted(play):
    for state in ("active tasks", "is connected"):
        with pytest.raises(Conflict, match=state):
            play.do(commands.Delete("proplet", "d1"))
        play.end("a") if state == "active tasks" else None
    play.do(commands.Disconnected("d1"))
    play.do(commands.Delete("proplet", "d1"))
    assert play.tables["proplets"] == {}


@pytest.mark.parametrize(("seconds", "left"), [(5, 10), (20, 20), (600, 60)])
def test_time_in_which_the_hub_stood_still_is_nobodys_silence(play, seconds, left):
    """What was left of a lease is left still; after longer, what a device may need to try again."""
    play.join("d2")
    play.pass_time(20)
    play.beat("d2")
    play.mono += seconds
    play.do(commands.Stalled(seconds))
    play.do(commands.Tick())
    assert play.at("a").attempt == 1 and all(one.alive for one in play.engine.world.proplets.values())
    for _ in range(left // 5 - 1):
        play.pass_time(5)
        play.beat("d2")
    play.pass_time(4)
    assert play.at("a").attempt == 1
    play.pass_time(2)
    assert play.at("a").doc["attempts"][0]["outcome"] == "lost" and play.at("a").doc["proplet_id"] == "d2"


def test_a_task_that_runs_again_and_again_keeps_its_latest_attempts_only(play, monkeypatch):
    """A daemon may have one every minute, for years."""
    for module in (attempts, world):
        monkeypatch.setattr(module, "OLDER_KEPT", 3)
    play.end("a")
    for _ in range(19):
        play.do(commands.Start("task", "a"))
        play.end("a")
    doc = play.at("a").doc
    assert [one["number"] for one in listed(doc)] == list(range(11, 21))
    assert list(play.tables["attempts"]) == world.old_attempts(play.at("a")) == ["a/8", "a/9", "a/10"]
    play.do(commands.Delete("task", "a"))
    assert not play.tables["attempts"]
