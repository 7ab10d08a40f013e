"""Modules come, are counted, and go when no task refers to them."""

import pytest

from hub.core import commands
from hub.core.model import MODULES
from shared.errors import Conflict, NotFound
from tests.core.play import MODULE, Play, spec

OTHER = "b" * 64
HOUR_S = 3600.0


@pytest.fixture
def play() -> Play:
    stage = Play()
    stage.module(OTHER)
    return stage


def count(play: Play, id: str = MODULE) -> int:
    return play.engine.world.modules[id].tasks


def test_a_module_counts_the_tasks_that_refer_to_it(play):
    play.workflow(spec("a"), spec("b", ["a"]), start=False)
    play.task("c", start=False, module=None)
    assert count(play) == 2
    play.do(commands.AttachModule("c", MODULE))
    play.do(commands.AttachModule("a", OTHER))
    assert (count(play), count(play, OTHER)) == (2, 1)
    play.do(commands.UpdateTask("b", {"module": OTHER, "name": "renamed"}))
    assert (count(play), count(play, OTHER), play.at("b").doc["name"]) == (1, 2, "renamed")
    play.do(commands.Duplicate("copy", "task", "c", "copy"))
    play.restart()
    assert (count(play), count(play, OTHER)) == (2, 2)
    play.do(commands.Delete("workflow", "wf"))
    play.do(commands.Delete("task", "copy"))
    assert (count(play), count(play, OTHER)) == (1, 0)


def test_parts_and_firings_refer_to_their_module_as_well(play):
    play.join("d1")
    play.task("each", for_each=[1, 2])
    assert count(play) == 3
    for id in play.at("each").doc["parts"]:
        play.end(id)
    play.do(commands.Delete("task", "each"))
    assert count(play) == 0
    play.task("timed", start=False, every=10, overlap="allow")
    play.pass_time(25)
    assert count(play) == 3


def test_a_module_that_a_task_refers_to_is_not_deleted(play):
    play.task("t", start=False)
    with pytest.raises(Conflict, match="a task refers to it") as caught:
        play.do(commands.Delete("module", MODULE))
    assert caught.value.code == "module_needed"
    play.do(commands.Delete("task", "t"))
    form = play.form(MODULE)
    play.do(commands.Delete("module", MODULE))
    assert MODULE not in play.tables[MODULES]
    assert play.discarded == [MODULE, form]
    with pytest.raises(NotFound):
        play.do(commands.Delete("module", MODULE))


def test_a_sweep_lets_go_what_no_task_has_referred_to_for_an_hour(play):
    play.task("t", start=False)
    forms = {play.form(MODULE), play.form(OTHER)}
    assert play.do(commands.Sweep(HOUR_S)) == 0
    play.pass_time(HOUR_S)
    assert play.do(commands.Sweep(HOUR_S)) == 1
    assert set(play.tables[MODULES]) == {MODULE}
    play.do(commands.Delete("task", "t"))
    assert play.do(commands.Sweep(HOUR_S)) == 0
    play.pass_time(HOUR_S)
    assert play.do(commands.Sweep(HOUR_S)) == 1
    assert set(play.discarded) == {MODULE, OTHER, *forms}


def test_an_upload_of_what_is_known_begins_its_hour_anew(play):
    play.pass_time(HOUR_S)
    play.module(OTHER)
    play.do(commands.Sweep(HOUR_S))
    assert set(play.tables[MODULES]) == {OTHER}


def test_what_was_left_by_an_earlier_start_goes_at_once_when_it_is_old_enough(play):
    play.pass_time(HOUR_S - 1)
    play.restart()
    assert play.do(commands.Sweep(HOUR_S)) == 0
    play.pass_time(1)
    assert play.do(commands.Sweep(HOUR_S)) == 2


def test_a_prepared_form_that_two_modules_share_goes_with_the_last_of_them(play):
    before, shared = play.form(OTHER), play.form(MODULE)
    play.module(OTHER, prepared=shared)
    assert play.discarded == [before]
    play.do(commands.Delete("module", MODULE))
    assert play.discarded == [before, MODULE]
    play.do(commands.Delete("module", OTHER))
    assert play.discarded == [before, MODULE, OTHER, shared]


def test_a_device_has_what_it_said_and_what_has_begun_there(play):
    proplets = play.engine.world.proplets
    play.join("d1", modules=["1" * 64, "2" * 64])
    assert list(proplets["d1"].modules) == ["2" * 64, "1" * 64]
    play.task("t")
    assert play.form(MODULE) not in proplets["d1"].modules
    play.begin("t")
    assert list(proplets["d1"].modules)[-1] == play.form(MODULE)
    for at in range(100):
        proplets["d1"].has_loaded(f"{at:064}")
    assert len(proplets["d1"].modules) == 64
    play.join("d1", boot="again", modules=[])
    assert not proplets["d1"].modules


def test_devices_are_sent_the_prepared_form(play):
    play.join("d1")
    play.task("t")
    (start,) = play.take("start")
    assert (start.fields["module"], start.fields["size"]) == (play.form(MODULE), 60)


def test_a_module_that_was_not_prepared_is_never_sent(play):
    play.join("d1")
    play.module("c" * 64, prepared=None, refused="it uses SIMD, which wasm3 lacks")
    play.task("t", module="c" * 64)
    assert play.states("t") == ["Failed"]
    assert play.at("t").doc["error_info"]["code"] == "bad_module"
    assert play.at("t").doc["error"] == "devices do not get this module: it uses SIMD, which wasm3 lacks"
    play.module("c" * 64)
    play.do(commands.Start("task", "t"))
    assert play.starts() == ["t"]
