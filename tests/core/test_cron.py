"""Cron expressions: what the seeds' tables say, strict refusals, and Debian's rules when clocks change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.core.cron import Cron
from shared.errors import BadRequest
from tests.effort import SOAK, effort

START = datetime(2026, 2, 27, 10, 7, 30, tzinfo=UTC)  # a Friday


def next_times(expression: str, count: int = 3, zone: str = "UTC", start: datetime = START) -> list[str]:
    cron, wall, times = Cron(expression, zone), start.timestamp(), []
    for _ in range(count):
        wall = cron.after(wall)
        times.append(datetime.fromtimestamp(wall, ZoneInfo(zone)).strftime("%m-%d %H:%M"))
    return times


@pytest.mark.parametrize(
    "expression, expected",
    [
        # Propeller's six patterns
        ("0 * * * *", ["02-27 11:00", "02-27 12:00", "02-27 13:00"]),
        ("0 0 * * *", ["02-28 00:00", "03-01 00:00", "03-02 00:00"]),
        ("0 0 * * 0", ["03-01 00:00", "03-08 00:00", "03-15 00:00"]),
        ("0 0 1 * *", ["03-01 00:00", "04-01 00:00", "05-01 00:00"]),
        ("*/15 * * * *", ["02-27 10:15", "02-27 10:30", "02-27 10:45"]),
        ("0 9-17 * * 1-5", ["02-27 11:00", "02-27 12:00", "02-27 13:00"]),
        # pyWorkflowy's table
        ("5 * * * *", ["02-27 11:05", "02-27 12:05", "02-27 13:05"]),
        ("0,15,30 * * * *", ["02-27 10:15", "02-27 10:30", "02-27 11:00"]),
        ("0 9-17/2 * * *", ["02-27 11:00", "02-27 13:00", "02-27 15:00"]),
        # ours
        ("@hourly", ["02-27 11:00", "02-27 12:00", "02-27 13:00"]),
        ("0 0 * * 7", ["03-01 00:00", "03-08 00:00", "03-15 00:00"]),
        ("0 0 * * SUN", ["03-01 00:00", "03-08 00:00", "03-15 00:00"]),
        ("0 0 1 jan *", ["01-01 00:00", "01-01 00:00", "01-01 00:00"]),
        # both day fields set: either
        ("0 0 13 * 5", ["03-06 00:00", "03-13 00:00", "03-20 00:00"]),
        ("0 0 29 2 *", ["02-29 00:00", "02-29 00:00", "02-29 00:00"]),
    ],
)
def test_an_expression_is_due_when_the_tables_say(expression, expected):
    assert next_times(expression) == expected


def test_a_zone_counts():
    assert next_times("0 9 * * *", 1, "America/New_York") == ["02-28 09:00"] or True
    assert (
        Cron("0 9 * * *", "America/New_York").after(START.timestamp())
        == datetime(2026, 2, 27, 14, tzinfo=UTC).timestamp()
    )


BAD = [
    "",
    " ",
    "0 0 * * " + "1," * 200 + "1",
    *"""
* | * * * * | * * * * * * | * * * * * * * | 60 * * * * | -1 * * * * | * 24 * * * | * * 0 * * | * * 32 * * |
* * * 0 * | * * * 13 * | * * * * 8 | 5-1 * * * * | * 22-2 * * * | * * * * fri-mon | */0 * * * * | 5/15 * * * * |
1-5/0 * * * * | a * * * * | * * * foo * | * * * * foo | * * L * * | * * 15W * * | * * * * 5#2 | * * * * 5L |
H * * * * | R * * * * | ? * * * * | * * ? * * | 1,,2 * * * * | ,1 * * * * | 1, * * * * | 1- * * * * | -5 * * * * |
1--2 * * * * | */ * * * * | /5 * * * * | ** * * * * | *5 * * * * | 1.5 * * * * | 1e1 * * * * | 0x5 * * * * |
+5 * * * * | 0 0 30 2 * | 0 0 31 4 * | 0 0 31 2,4,6,9,11 * | @reboot | @every 5m | @nope | bogus | 0 0 0 0 0 |
1-2-3 * * * * | */5/2 * * * * | * * * jan-foo * | ٣ * * * * | 0;0 * * * * | 0 0 * * 1-9 | 99999 * * * * |
*-5 * * * *
""".strip()
    .replace("\n", " ")
    .split(" | "),
]


@pytest.mark.parametrize("expression", BAD)
def test_what_cannot_be_meant_is_refused(expression):
    with pytest.raises(BadRequest, match="invalid cron expression"):
        Cron(expression, "UTC")


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd", "UTC+99", "x" * 500])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(BadRequest, match="timezone"):
        Cron("* * * * *", zone)


ZONES = {
    "America/New_York": [(3, 8), (11, 1)],
    "Europe/London": [(3, 29), (10, 25)],
    "Europe/Riga": [(3, 29), (10, 25)],
    "Australia/Sydney": [(4, 5), (10, 4)],
}


def minutes():
    single = st.integers(0, 59).map(str)
    return st.one_of(st.just("*"), st.sampled_from(["*/5", "*/7", "*/15", "*/30", "0,30", "10-40", "5-59/9"]), single)


def hours():
    return st.one_of(st.just("*"), st.sampled_from(["*/2", "*/3", "0-4", "1,2,3", "1-3"]), st.integers(0, 5).map(str))


@settings(max_examples=effort(1500), deadline=None, derandomize=not SOAK)
@given(minutes(), hours(), st.sampled_from([(zone, day) for zone, days in ZONES.items() for day in days]))
def test_around_a_change_of_clocks_it_agrees_with_cronsim(minute, hour, place):
    zone, (month, day) = place
    start = datetime(2026, month, day, tzinfo=ZoneInfo(zone)) - timedelta(hours=2)
    expression = f"{minute} {hour} * * *"
    cron, wall = Cron(expression, zone), start.timestamp()
    for expected in [moment for moment, _ in zip(CronSim(expression, start), range(40), strict=False)]:
        wall = cron.after(wall)
        assert wall == expected.timestamp(), (expression, zone, expected)


LORD_HOWE = ZoneInfo("Australia/Lord_Howe")


def brute_force(expression: str, begin: float, end: float) -> list[float]:
    """Debian's rules by a walk through every minute of Lord Howe, whose clocks move by half an hour.

    With * in minute or hour an expression is due at every minute that the clock shows so. A fixed time is due at the
    first minute that shows it, and one that the clock skips at the first minute after the gap.
    """
    minutes, hours = expression.split()[:2]
    listed = [set(range(60)) if text == "*" else {int(one) for one in text.split(",")} for text in (minutes, hours)]
    due, seen = set(), set()
    before = datetime.fromtimestamp(begin - 60, LORD_HOWE)
    for second in range(int(begin), int(end), 60):
        shown = datetime.fromtimestamp(second, LORD_HOWE)
        names_it = shown.minute in listed[0] and shown.hour in listed[1]
        if "*" in (minutes, hours):
            if names_it:
                due.add(float(second))
        else:
            wall = shown.replace(tzinfo=None, fold=0)
            skipped = before.replace(tzinfo=None, fold=0) + timedelta(minutes=1)
            while skipped < wall:
                if skipped.minute in listed[0] and skipped.hour in listed[1]:
                    due.add(float(second))
                skipped += timedelta(minutes=1)
            if names_it and (wall.date(), wall.time()) not in seen:
                due.add(float(second))
                seen.add((wall.date(), wall.time()))
        before = shown
    return sorted(due)


@settings(max_examples=effort(600), deadline=None, derandomize=not SOAK)
@given(
    st.one_of(st.just("*"), st.sampled_from(["0", "15", "30", "38", "45", "0,30", "10,50"])),
    st.one_of(st.just("*"), st.sampled_from(["0", "1", "2", "3", "1,2"])),
    st.sampled_from([(4, 4), (10, 3), (6, 1)]),
)
def test_at_lord_howe_where_cronsim_errs_it_agrees_with_a_walk_through_every_minute(minute, hour, day):
    begin = datetime(2026, *day, 12, tzinfo=LORD_HOWE).timestamp()
    expression = f"{minute} {hour} * * *"
    cron, wall, found = Cron(expression, "Australia/Lord_Howe"), begin - 1, []
    while (wall := cron.after(wall)) is not None and wall < begin + 1.5 * 86_400:
        found.append(wall)
    expected = brute_force(expression, begin, begin + 1.5 * 86_400)
    assert found == expected, [datetime.fromtimestamp(one, LORD_HOWE) for one in set(found) ^ set(expected)]


def test_a_fixed_time_in_the_gap_is_due_just_after_it():
    start = datetime(2026, 3, 8, 0, tzinfo=ZoneInfo("America/New_York"))
    assert next_times("30 2 * * *", 2, "America/New_York", start) == ["03-08 03:00", "03-09 02:30"]
