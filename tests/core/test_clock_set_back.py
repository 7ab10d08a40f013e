"""Schedules when the wall clock is set back: a little, and nothing fires twice; far, and they go on by the new time."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core import commands
from hub.core.schedules import CORRECTED_S
from shared import states
from tests.core.play import Play
from tests.effort import effort

HOUR, DAY = 3600.0, 86_400.0
TEN_YEARS = 3652 * DAY
# 2023-11-15 12:00:00 UTC
NOON = 1_700_049_600.0


class Clock(Play):
    """A stage whose wall clock is set, and whose firings are told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = NOON - self.mono
        self.fired: dict[str, tuple[str, float]] = {}  # id of a firing: template, slot

    @property
    def now(self) -> float:
        return self.wall + self.mono

    def _keep(self, outcome) -> None:
        super()._keep(outcome)
        for put in [*outcome.puts, *outcome.quiet]:
            if put.doc is not None and (put.doc.get("origin") or {}).get("type") == "schedule":
                self.fired.setdefault(put.id, (put.doc["origin"]["id"], put.doc["scheduled_for"]))

    def set(self, seconds: float) -> None:
        """Sets the clock, and lets the hub look at it."""
        self.wall += seconds
        self.do(commands.Tick())

    def go_on(self, seconds: float, end: bool = True) -> list[float]:
        """Lets time pass from slot to slot; the slots that fired. end: each firing ends at once."""
        until, before = self.mono + seconds, len(self.fired)
        while (slot := min(self.armed().values(), default=None)) is not None and slot - self.wall <= until:
            self.mono = max(self.mono, slot - self.wall)
            self.do(commands.Tick())
            if end:
                self.end_all()
        self.mono = until
        self.do(commands.Tick())
        return [slot for _, slot in list(self.fired.values())[before:]]

    def end_all(self) -> None:
        for task in list(self.engine.world.tasks.values()):
            if not task.is_template and task.state not in states.ENDED:
                self.do(commands.Stop("task", task.id))

    def armed(self) -> dict[str, float]:
        found = {id: task.doc.get("next_run") for id, task in self.engine.world.tasks.items()}
        return {id: slot for id, slot in found.items() if slot is not None}


@pytest.fixture
def play() -> Clock:
    return Clock()


SORTS = [{"every": 900}, {"schedule": "*/15 * * * *"}, {"schedule": "0,15,30,45 8-20 * * *"}]


@pytest.mark.parametrize("timing", SORTS)
def test_by_less_than_three_hours_nothing_fires_until_the_old_time_has_come_again(play, timing):
    play.task("t", start=False, **timing)
    assert len(play.go_on(3 * HOUR)) == 12
    old = play.now
    play.set(-CORRECTED_S + 1)
    assert play.go_on(CORRECTED_S - 1) == []
    assert play.go_on(HOUR) == [old + 900 * at for at in (1, 2, 3, 4)]


@pytest.mark.parametrize("back", [CORRECTED_S, DAY, TEN_YEARS])
@pytest.mark.parametrize("timing", SORTS)
def test_by_three_hours_or_more_they_go_on_by_the_new_time_at_once(play, timing, back):
    play.task("t", start=False, **timing)
    play.go_on(HOUR)
    play.set(-back)
    new = play.now
    assert play.go_on(HOUR) == [new + 900 * at for at in (1, 2, 3, 4)]
    assert play.at("t").doc["run_count"] == 8
    assert play.at("t").doc.get("missed", 0) == 0


def test_a_daily_time_that_had_fired_by_the_wrong_clock_comes_again_by_the_right_one(play):
    """As Debian's cron has it: who wants something done each night wants it in the night that really comes."""
    play.task("t", start=False, schedule="0 3 * * *")
    night = NOON + 15 * HOUR
    assert play.go_on(DAY) == [night]
    play.set(-DAY)
    assert play.go_on(2 * DAY) == [night, night + DAY]
    assert len(play.fired) == 3


def test_a_gateway_that_came_up_years_ahead_goes_on_when_its_clock_is_put_right(play):
    play.task("t", start=False, schedule="0 3 * * *", catchup="latest")
    play.wall += TEN_YEARS
    play.restart()
    assert len(play.fired) == 1
    play.end_all()
    missed = play.at("t").doc["missed"]
    play.set(-TEN_YEARS)
    assert play.go_on(DAY) == [NOON + 15 * HOUR]
    assert play.at("t").doc["missed"] == missed


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_a_kill_and_a_clock_that_comes_up_far_back_change_nothing(play, restarts):
    play.task("t", start=False, every=900, catchup="all")
    play.go_on(HOUR)
    play.wall -= DAY
    for _ in range(restarts):
        play.restart()
    play.do(commands.Tick())
    new = play.now
    assert play.go_on(HOUR) == [new + 900 * at for at in (1, 2, 3, 4)]
    assert play.at("t").doc["corrections"] == 1
    play.restart()
    assert len(play.fired) == 8


def test_a_clock_that_was_set_back_in_small_steps_was_set_back_by_all_of_them(play):
    play.task("t", start=False, every=900)
    play.go_on(HOUR)
    play.set(-2 * HOUR)
    assert play.go_on(900) == []
    play.set(-2 * HOUR)
    assert len(play.go_on(HOUR)) == 4


def test_what_runs_and_what_is_queued_count_after_a_correction_as_before(play):
    for overlap in ("skip", "queue"):
        play.task(overlap, start=False, every=900, overlap=overlap)
    play.go_on(2 * 900, end=False)
    assert play.at("queue").doc["queued_slot"] == NOON + 1800
    play.set(-DAY)
    assert play.go_on(900, end=False) == []
    assert (play.at("skip").doc["missed"], play.at("queue").doc["missed"]) == (2, 1)
    play.end_all()
    assert list(play.fired.values())[2:] == [("queue", NOON + 1800)]
    # Its own time comes again by the new clock, and is another.
    play.wall += DAY - 2000
    play.do(commands.Tick())
    play.end_all()
    play.go_on(2000)
    assert Counter(play.fired.values())["queue", NOON + 1800] == 2


def test_max_runs_and_start_at_are_kept(play):
    play.task("most", start=False, every=900, max_runs=5)
    play.task("from", start=False, every=900, start_at=NOON + 100)
    assert len(play.go_on(HOUR)) == 8
    play.set(-DAY)
    assert len(play.go_on(HOUR)) == 1
    assert play.at("most").doc["enabled"] is False
    assert play.armed() == {"from": NOON + 100}


def test_a_single_time_is_not_moved_and_one_that_was_does_not_come_again(play):
    play.task("done", start=False, at=NOON + 10)
    play.task("later", start=False, at=NOON + DAY)
    play.go_on(HOUR)
    play.set(-DAY)
    assert play.armed() == {"later": NOON + DAY}
    assert play.go_on(2 * DAY) == [NOON + DAY]


@pytest.mark.parametrize("timing", SORTS)
def test_arming_anew_while_the_clock_is_a_little_back_fires_nothing_again(play, timing):
    play.task("t", start=False, **timing)
    play.go_on(2 * HOUR)
    play.set(-HOUR)
    for enabled in (False, True, False, True):
        play.do(commands.UpdateTask("t", {"enabled": enabled}))
    assert play.armed() == {"t": play.now + HOUR + 900}
    assert play.go_on(HOUR) == []
    assert len(play.go_on(HOUR)) == 4


def test_who_starts_an_interval_or_gives_another_time_does_not_wait_for_the_old_one(play):
    play.task("a", start=False, every=900)
    play.task("b", start=False, at=NOON + 100)
    play.go_on(2 * HOUR)
    play.set(-HOUR)
    play.do(commands.Stop("task", "a"))
    play.do(commands.Start("task", "a"))
    play.do(commands.UpdateTask("b", {"at": play.now + 60, "enabled": True}))
    assert play.armed() == {"a": play.now + 900, "b": play.now + 60}


def test_armed_anew_after_a_correction_that_came_while_it_was_stopped_it_fires(play):
    play.task("t", start=False, schedule="*/15 * * * *")
    play.go_on(HOUR)
    play.do(commands.Stop("task", "t"))
    play.set(-DAY)
    play.go_on(12 * HOUR)
    play.do(commands.Start("task", "t"))
    assert len(play.go_on(HOUR)) == 4
    assert len(play.fired) == 8


@pytest.mark.parametrize("restarts", [(), ("back",), ("forth",), ("back", "forth")])
@pytest.mark.parametrize("timing", [*SORTS, {"schedule": "30 12 * * *"}])
def test_a_gateway_without_a_clock_of_its_own_that_starts_in_the_past_repeats_and_misses_nothing(
    play, timing, restarts
):
    """It comes up years behind, runs so until it has a network, and is put right again."""
    play.task("t", start=False, catchup="all", **timing)
    play.go_on(HOUR)
    for jump, where in (-TEN_YEARS, "back"), (TEN_YEARS, "forth"):
        play.wall += jump
        if where in restarts:
            play.restart()
        play.do(commands.Tick())
        if where == "back":
            play.go_on(3000.0)
    assert min(play.go_on(DAY)) > NOON + HOUR
    assert play.at("t").doc.get("missed", 0) <= 4, "the times of ten years are none that were missed"
    assert max(Counter(play.fired.values()).values()) == 1


@pytest.mark.parametrize("seconds", [CORRECTED_S, DAY, TEN_YEARS])
@pytest.mark.parametrize("timing", SORTS)
def test_a_clock_that_was_wrong_for_ten_seconds_fires_nothing_again(play, timing, seconds):
    play.task("t", start=False, misfire_grace=DAY, **timing)
    before = play.go_on(HOUR)
    play.set(-seconds)
    play.mono += 10
    play.set(seconds)
    assert len(play.fired) == len(before) == 4
    assert play.at("t").doc.get("missed", 0) == 0
    assert play.go_on(890) == [NOON + HOUR + 900]


TEMPLATES = {
    "every": ({"every": 1000.0, "overlap": "allow"}, 1000.0),
    "often": ({"schedule": "*/15 * * * *", "overlap": "queue", "catchup": "all"}, 900.0),
    "most": ({"schedule": "*/20 * * * *", "overlap": "replace", "max_runs": 7, "catchup": "latest"}, 1200.0),
    "daily": ({"schedule": "30 3 * * *", "timezone": "Europe/Riga", "catchup": "latest"}, 25 * HOUR),
}
SECONDS = st.sampled_from([1.0, 700.0, HOUR, 2 * HOUR, CORRECTED_S - 1, CORRECTED_S, DAY, 30 * DAY])
EVENTS = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([60.0, 1000.0, 2 * HOUR, DAY / 4])),
    st.tuples(st.sampled_from(["set", "restart"]), SECONDS | SECONDS.map(lambda seconds: -seconds)),
    st.tuples(st.sampled_from(["end", "rearm"]), st.just(0.0)),
)


@given(st.lists(EVENTS, min_size=3, max_size=12))
@settings(max_examples=effort(500), deadline=None)
def test_however_a_clock_is_set_no_slot_fires_twice_and_none_waits_for_a_time_that_was_wrong(events):
    play = Clock()
    for id, (timing, _) in TEMPLATES.items():
        play.task(id, start=False, **timing)
    # What the hub knows to have been: the latest time since the clock was corrected, and the firings since then.
    latest, seen, queued = play.now, 0, None
    for event, seconds in events:
        if event == "set":
            play.set(seconds)
        elif event == "restart":
            latest = max(play.tables["tasks"][id]["decided_at"] for id in play.armed())
            play.wall += seconds
            play.restart()
        elif event == "end":
            play.end_all()
        elif event == "rearm":
            for enabled in (False, True):
                play.do(commands.UpdateTask("often", {"enabled": enabled}))
        else:
            play.go_on(seconds, end=False)
        if latest - play.now >= CORRECTED_S:
            latest, seen = play.now, len(play.fired)
            queued = play.at("often").doc.get("queued_slot")
        latest = max(latest, play.now)
        slots = Counter(list(play.fired.values())[seen:])
        # One that waited already when the clock was corrected is of the time before.
        slots["often", queued] -= 1
        assert max(slots.values()) <= 1
        most = play.at("most").doc
        assert most.get("run_count", 0) <= 7 and (most["next_run"] is None) == (most.get("run_count", 0) == 7)
        for id, slot in play.armed().items():
            assert play.now < slot <= latest + TEMPLATES[id][1], id
