"""Updates of boards: who can have one, and what stands at a proplet while it goes on."""

import pytest

from hub.core import commands
from shared.errors import Conflict, NotFound
from tests.core.play import Play

FILES = "edge/main.mpy aa\nshared/__init__.mpy bb"
SLOT = {"state": "", "package": "", "slot": 0, "mpy": 6}


@pytest.fixture
def play():
    return Play()


def ask(play, device="d1", package="new", mpy=6):
    play.do(commands.AskUpdate(device, package, FILES, mpy))
    return play.engine.world.proplets[device].doc["update"]


def said(play, **fields):
    play.do(commands.UpdateSaid("d1", {"package": "new", "left": 0, **fields}))
    return play.engine.world.proplets["d1"].doc["update"]


def test_a_device_is_told_what_to_fetch(play):
    play.join("d1", update=SLOT)
    assert ask(play).items() >= {"package": "new", "state": "asked", "left": 2, "total": 2}.items()
    (send,) = play.take("update")
    assert (send.device, send.fields) == ("d1", {"package": "new", "files": FILES})


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"update": {**SLOT, "mpy": 5}}, "not_updatable", "runs bytecode 5, this hub has 6"),
        ({"update": {**SLOT, "state": "on_trial"}}, "on_trial", "not confirmed yet"),
        ({"runtime": "micropython 1.28 rp2"}, "not_updatable", "frozen in the firmware"),
        ({"runtime": "cpython 3.13 linux"}, "not_updatable", "is no board"),
    ],
)
def test_a_device_that_cannot_be_updated(play, more, code, words):
    play.join("d1", **more)
    with pytest.raises(Conflict, match=words) as refused:
        ask(play)
    assert refused.value.code == code
    assert play.take("update") == []


def test_a_device_that_is_not_there(play):
    with pytest.raises(NotFound):
        ask(play)
    play.join("d1", update=SLOT)
    play.do(commands.Disconnected("d1"))
    with pytest.raises(Conflict) as refused:
        ask(play)
    assert refused.value.code == "not_connected"


def test_one_that_runs_it_already_is_not_asked(play):
    play.join("d1", update={**SLOT, "package": "new"})
    assert ask(play)["state"] == "done"
    assert play.take("update") == []


def test_what_the_device_says_stands_there(play):
    play.join("d1", update=SLOT)
    ask(play)
    assert said(play, state="fetching", left=1).items() >= {"state": "fetching", "left": 1, "total": 2}.items()
    assert said(play, package="another", state="failed")["state"] == "fetching"
    assert said(play, state="failed", error="no room")["error"] == "no room"
    assert ask(play).get("error") is None


def test_a_hello_says_how_it_ended(play):
    play.join("d1", update=SLOT)
    ask(play)
    said(play, state="ready")
    play.join("d1", boot="two", update={**SLOT, "state": "on_trial", "package": "new", "slot": 1})
    doc = play.engine.world.proplets["d1"].doc
    assert (doc["update"]["state"], doc["slot"]["state"]) == ("on_trial", "on_trial")
    said(play, state="done")
    assert play.engine.world.proplets["d1"].doc["slot"]["state"] == ""


def test_one_that_went_back_has_failed(play):
    play.join("d1", update=SLOT)
    ask(play)
    said(play, state="ready")
    play.join("d1", boot="two", update={**SLOT, "state": "failed", "package": "new"})
    update = play.engine.world.proplets["d1"].doc["update"]
    assert update["state"] == "failed"
    assert "runs again" in update["error"]


def test_an_edge_on_trial_hears_at_each_beat_that_it_may_stay(play):
    play.join("d1", update={**SLOT, "state": "on_trial"})
    beat = {"boot": "boot", "seq": 1, "mem_free": 1, "uptime_s": 1, "running": []}
    play.do(commands.Beat("d1", beat))
    assert play.take("keep") == []
    play.do(commands.Beat("d1", {**beat, "on_trial": True}))
    assert [send.device for send in play.take("keep")] == ["d1"]


def test_what_a_hello_says_of_slots_is_kept_as_far_as_it_is_such(play):
    play.join("d1", update={"slot": "first", "mpy": 6, "state": "x" * 999, "more": 1})
    assert play.engine.world.proplets["d1"].doc["slot"] == {"mpy": 6, "state": "x" * 256}
