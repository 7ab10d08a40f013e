"""What tasks say while they run: the rates, the newest progress, the count of what was dropped."""

import pytest

from edge.events import Events, Rate

A, B = ("a", 1), ("b", 1)
LINE = {"level": "info", "text": "x"}
MESSAGE = {"topic": "t", "text": "x"}


def test_a_rate():
    rate = Rate(10, 20)
    assert [rate.take(0) for _ in range(21)] == [True] * 20 + [False]
    assert not rate.take(99)
    assert rate.take(100)
    assert not rate.take(100)
    assert [rate.take(10_000) for _ in range(21)] == [True] * 20 + [False]


@pytest.mark.parametrize(("kind", "fields", "burst", "per_s"), [("log", LINE, 20, 10), ("publish", MESSAGE, 50, 20)])
def test_rates_are_of_the_device(kind, fields, burst, per_s):
    events = Events()
    said = sum(events.take(key, kind, fields, 5) for _ in range(60) for key in (A, B))
    assert said == burst
    assert sum(events.take(A, kind, fields, 1005) for _ in range(60)) == per_s


def test_what_was_dropped_is_said_in_one_line():
    events = Events()
    for _ in range(23):
        events.take(A, "log", LINE, 0)
    for _ in range(52):
        events.take(B, "publish", MESSAGE, 0)
    assert events.due(50) == []  # that line keeps to the rate as well
    ((key, kind, fields),) = events.due(100)
    assert (key, kind, fields["level"]) == (B, "log", "warning")
    assert fields["text"].startswith("3 log lines and 2 messages of tasks were dropped")
    assert events.due(10_000) == []


def test_progress_once_a_second_and_the_newest_of_a_task():
    events = Events()
    assert events.take(A, "progress", {"permille": 1}, 0)
    assert events.take(B, "progress", {"permille": 1}, 0)
    for permille in (2, 3, 4):
        assert not events.take(A, "progress", {"permille": permille}, permille)
    assert events.due(999) == []
    assert events.due(1000) == [(A, "progress", {"permille": 4})]
    assert events.due(1001) == []
    assert not events.take(A, "progress", {"permille": 5}, 1500)
    assert events.take(A, "progress", {"permille": 6}, 2000)
    assert events.due(9000) == []  # 5 is old news


def test_kept_while_nobody_hears():
    events = Events()
    events.keep(A, "progress", {"permille": 1})
    events.keep(A, "log", LINE)
    said = events.due(0)
    assert [kind for _, kind, _ in said] == ["progress", "log"]
    assert "1 log lines" in said[1][2]["text"]


def test_the_end_of_a_task():
    events = Events()
    for permille in (1, 2):
        events.take(A, "progress", {"permille": permille}, 0)
    assert events.end(A) == []
    assert events.due(9000) == []
    events.keep(A, "log", LINE)
    assert events.end(B) == []
    assert [kind for _, kind, _ in events.end(A)] == ["log"]
    assert events.end(A) == []
