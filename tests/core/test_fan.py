"""Tasks that become several: broadcast and for_each. And daemons, that stay."""

import pytest

from hub.core import commands
from shared.errors import Conflict
from tests.core.play import Play, spec


@pytest.fixture
def play() -> Play:
    stage = Play()
    for device in ("d1", "d2", "d3"):
        stage.join(device, slots=8)
    return stage


def parts(play: Play, name: str) -> list[str]:
    return play.at(name).doc["parts"]


def test_a_broadcast_runs_on_every_alive_proplet_and_has_a_result_of_each(play):
    play.do(commands.Disconnected("d3"))
    play.task("t", broadcast=True)
    assert [(send.device, send.fields["name"]) for send in play.take("start")] == [("d1", "t"), ("d2", "t")]
    assert play.states("t") == ["Running"]
    first, second = parts(play, "t")
    play.end(first, outputs=[1])
    assert play.states("t") == ["Running"]
    play.end(second, outputs=[2])
    assert (play.states("t"), play.at("t").doc["outputs"]) == (["Completed"], [1, 2])


def test_a_broadcast_goes_to_the_proplets_that_can_run_it_and_waits_for_the_first(play):
    play.task("t", broadcast=True, placement={"labels": {"site": "roof"}})
    assert play.starts() == []
    assert play.engine.pending_reason(play.at("t")) == "no known proplet has the label site=roof"
    play.join("d4", labels={"site": "roof"})
    assert [send.device for send in play.take("start")] == ["d4"]
    assert len(parts(play, "t")) == 1


def test_a_broadcast_without_a_proplet_waits_for_one():
    play = Play()
    play.task("t", broadcast=True)
    assert play.engine.pending_reason(play.at("t")) == "no proplet is alive"
    play.restart()
    play.join("d1")
    assert len(play.starts()) == 1


def test_a_broadcast_begins_when_a_silent_proplet_is_heard_of_again():
    play = Play()
    play.join("d1")
    play.pass_time(100)  # on the same connection, but silent
    play.task("t", broadcast=True)
    assert play.starts() == []
    play.beat("d1")
    assert len(play.starts()) == 1


def test_a_timer_of_an_earlier_run_does_not_end_what_has_become_a_fan(play):
    play.task("t")
    play.end("t")
    play.do(commands.UpdateTask("t", {"broadcast": True}))
    play.do(commands.Start("task", "t"))
    for _ in range(4):
        play.pass_time(10)
        for device in ("d1", "d2", "d3"):
            play.beat(device, *((id, 1) for id in parts(play, "t") if play.at(id).doc["proplet_id"] == device))
    assert play.states("t", *parts(play, "t")) == ["Running"] + 3 * ["Scheduled"]


def test_a_broadcast_fails_when_one_part_does_and_is_interrupted_when_it_is_stopped(play):
    play.task("a", broadcast=True)
    play.task("b", broadcast=True)
    for at, id in enumerate(parts(play, "a")):
        play.end(id, ok=at != 1)
    play.do(commands.Stop("task", "b"))
    assert len(play.take("stop")) == 3
    for id in parts(play, "b"):
        play.end(id, ok=False, code="cancelled")
    assert play.states("a", "b") == ["Failed", "Interrupted"]
    assert play.at("a").doc["error_info"]["code"] == "trap_div0"


def test_for_each_makes_a_task_of_each_item_and_the_child_behind_it_gets_a_list(play):
    play.workflow(
        spec("a"), spec("each", ["a"], for_each="${a.outputs[0]}", inputs=["$item", 1]),
        spec("sum", ["each"], inputs={"of": "${each.outputs}"}),
    )  # fmt: skip
    play.end("a", outputs=[[5, 6, 7]])
    assert [play.at(id).doc["inputs"] for id in parts(play, "each")] == [[5, 1], [6, 1], [7, 1]]
    for at, id in enumerate(reversed(parts(play, "each"))):
        play.end(id, outputs=[at])
    start = next(send for send in play.take("start") if send.fields["task"] == "sum")
    assert start.fields["parent_results"] == {"each": [2, 1, 0]}
    assert start.fields["inputs"]["of"] == [2, 1, 0]


def test_for_each_goes_over_a_list_that_a_parent_has_printed_as_json(play):
    play.workflow(spec("a"), spec("each", ["a"], for_each="$a", inputs=["$item", 1]))
    result = {"ok": True, "text": '[5, "x", {"y": 6}]\n', "fuel": 7, "stderr": "3 rows\n"}
    play.do(commands.Result(play.at("a").doc["proplet_id"], "a", 1, result))
    assert play.at("a").doc["outputs"] == [[5, "x", {"y": 6}]]
    assert (play.at("a").doc["fuel"], play.at("a").doc["stderr"]) == (7, "3 rows\n")
    assert [play.at(id).doc["inputs"] for id in parts(play, "each")] == [[5, 1], ["x", 1], [{"y": 6}, 1]]


@pytest.mark.parametrize(
    "value, more, state, code",
    [
        ([], {}, "Completed", None),
        (5, {}, "Failed", "bad_reference"),
        (list(range(257)), {}, "Failed", "too_large"),
        ([1, 2], {"max_items": 1}, "Failed", "too_large"),
    ],
)
def test_for_each_over_nothing_is_done_and_over_what_is_no_list_or_too_long_fails(play, value, more, state, code):
    play.workflow(
        spec("a"), spec("each", ["a"], for_each="${a.outputs[0]}", **more), spec("c", ["each"], run_if="always")
    )
    play.end("a", outputs=[value])
    assert play.states("each", "c") == [state, "Scheduled"]
    assert (play.at("each").doc.get("error_info") or {}).get("code") == code


def test_the_first_of_several_that_fails_ends_the_others_of_a_group_with_fail_fast(play):
    play.do(commands.CreateWorkflow("wf", "wf", [spec("a", for_each="$x"), spec("b", for_each="$x")], ["", ""],
                                    options={"fail_fast": True}))  # fmt: skip
    play.do(commands.Start("workflow", "wf"))
    assert play.states("a", "b") == ["Failed", "Skipped"]


def test_parts_go_on_after_a_restart_of_the_hub(play):
    play.workflow(spec("a"), spec("each", ["a"], for_each="${a.outputs[0]}"), spec("c", ["each"]))
    play.end("a", outputs=[[1, 2]])
    running = [(id, 1, play.at(id).doc["proplet_id"]) for id in parts(play, "each")]
    play.restart()
    for device in ("d1", "d2", "d3"):
        play.join(device, slots=8, running=[(id, attempt) for id, attempt, at in running if at == device])
    for id in parts(play, "each"):
        play.end(id)
    assert play.states("each", "c") == ["Completed", "Scheduled"]


def test_a_run_again_has_parts_of_its_own(play):
    play.task("t", broadcast=True)
    for id in parts(play, "t"):
        play.end(id)
    before = parts(play, "t")
    play.do(commands.Start("task", "t"))
    assert not set(before) & set(parts(play, "t"))


def test_a_daemon_that_ends_runs_again_on_the_same_proplet_with_growing_waits(play):
    play.task("t", daemon=True)
    (first,) = play.take("start")
    assert first.fields["limits"]["timeout_ms"] is None
    waits = []
    for ok in (True, False, True):
        play.begin("t")
        play.end("t", ok=ok)
        begin = play.mono
        while not (starts := play.take("start")):
            play.pass_time(0.5)
            for device in ("d1", "d2", "d3"):
                play.beat(device)
        assert starts[0].device == first.device
        waits.append(play.mono - begin)
    assert waits == [1, 2, 4]


def test_a_daemon_stays_until_it_is_stopped_and_does_not_count_for_its_workflow(play):
    play.workflow(spec("server", daemon=True), spec("a"))
    play.begin("server")
    play.end("a")
    assert play.engine.world.workflows["wf"].state == 3
    assert play.states("server") == ["Running"]
    play.do(commands.Stop("task", "server"))
    play.end("server", ok=False, code="cancelled")
    assert play.states("server") == ["Interrupted"]


def test_a_daemon_that_can_never_run_fails(play):
    play.task("t", daemon=True)
    play.end("t", ok=False, code="missing_export")
    assert play.states("t") == ["Failed"]


def test_a_daemon_whose_proplet_is_lost_waits_for_it(play):
    play.task("t", daemon=True)
    play.do(commands.Disconnected("d1"))
    for _ in range(4):
        play.pass_time(9)
        play.beat("d2")
    assert play.states("t") == ["Pending"]
    assert play.engine.pending_reason(play.at("t")) == "proplet d1 is away"
    play.join("d1", boot="again")
    assert play.states("t") == ["Scheduled"]


def test_the_parts_of_a_run_go_with_the_next_run_and_with_their_task(play):
    play.workflow(spec("a"), spec("each", ["a"], for_each="${a.outputs[0]}"))
    play.end("a", outputs=[[1, 2]])
    first = parts(play, "each")
    for id in first:
        play.end(id)
    made = play.do(commands.Duplicate("copy", "task", first[0], "copy"))
    assert made.doc["depends_on"] == []
    play.do(commands.Start("task", "each"))
    for id in parts(play, "each"):
        play.end(id)
    assert not set(first) & set(play.engine.world.tasks)
    play.do(commands.Delete("workflow", "wf"))
    assert set(play.engine.world.tasks) == {"copy"}
    play.restart()


def test_a_workflow_whose_daemon_runs_starts_again_without_it_and_its_stop_ends_it(play):
    play.workflow(spec("server", daemon=True), spec("a"))
    play.begin("server")
    play.end("a")
    play.take("start")
    play.do(commands.Start("workflow", "wf"))
    assert play.starts() == ["a"]
    play.end("a")
    play.do(commands.Stop("workflow", "wf"))
    play.end("server", ok=False, code="cancelled")
    assert play.states("server", "a") == ["Interrupted", "Completed"]
    with pytest.raises(Conflict, match="ended already"):
        play.do(commands.Stop("workflow", "wf"))
