"""What callbacks are told: each thing once and in order, whatever documents come and how often."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from motet.tracker import Tracker
from tests.motet.conftest import Calls

STARTED = "2026-03-01T10:00:00Z"
ENDED = "2026-03-01T10:00:01.5Z"
NEVER = "0001-01-01T00:00:00Z"

# Of a then b: what the hub's documents of each say, one after the other.
LIVES = {
    "a": [(0, NEVER), (1, NEVER), (2, STARTED), (0, NEVER), (2, STARTED), (3, STARTED)],
    "b": [(0, NEVER), (1, NEVER), (2, STARTED), (4, STARTED)],
    "c": [(0, NEVER), (5, NEVER)],
}
PARENTS = {"a": [], "b": ["a"], "c": ["b"]}


def document(id_: str, at: int) -> dict[str, Any]:
    state, start = LIVES[id_][at]
    more = {"outputs": [7]} if state == 3 else {"error": "no"} if state == 4 else {}
    finish = ENDED if state > 2 else NEVER
    return {"id": id_, "name": id_, "state": state, "start_time": start, "finish_time": finish,
            "depends_on": PARENTS[id_], **more}  # fmt: skip


def tracker(calls: Calls) -> Tracker:
    # The request's order is not that of the graph.
    return Tracker({"workflow_id": "w", "tasks": [document(id_, 0) for id_ in "cab"]}, calls)


TOLD = [("start", "a"), ("complete", "a", 7), ("start", "b"), ("error", "b", "TaskError"), ("skip", "c")]


EVENTS = [(id_, at) for id_ in "abc" for at in range(1, len(LIVES[id_]))]


def standing(number: int) -> dict[str, int]:
    """How each task stands after so many events."""
    return dict.fromkeys("abc", 0) | dict(EVENTS[:number])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans())))
def test_any_connections_tell_the_same(connections: list[tuple[int, int, bool]]) -> None:
    """Each: so many events happen while nobody listens, all is read, what was missed comes again (or has been
    forgotten by the hub), and so many more are heard."""
    calls = Calls()
    one = tracker(calls)
    heard = happened = 0
    for missed, more, kept in [*connections, (len(EVENTS), 0, True)]:
        happened = min(happened + missed, len(EVENTS))
        one.see_all(document(id_, at) for id_, at in standing(happened).items())
        until = min(happened + more, len(EVENTS))
        for event in EVENTS[heard if kept else happened : until]:
            one.see(document(*event))
        heard = happened = until
    assert calls.told == TOLD
    result = one.result()
    assert (result.succeeded, result.failed, result.skipped) == (1, 1, 1)
    assert list(result.node_results) == ["c", "a", "b"]
    assert result.node_results["a"].duration_seconds == 1.5


def test_what_is_given_up_has_timed_out() -> None:
    calls = Calls()
    one = tracker(calls)
    one.see(document("a", 2))
    one.expire(9)
    assert calls.told == [
        ("start", "a"),
        ("error", "a", "TaskTimeoutError"),
        ("error", "b", "TaskTimeoutError"),
        ("error", "c", "TaskTimeoutError"),
    ]
    result = one.result()
    assert result.timed_out == 3
    assert (result.total_duration_seconds, result.node_results["a"].duration_seconds) == (9, 9)
    assert str(result.node_results["b"].error) == "task b: the run took longer than 9 s"


def test_tasks_of_others_are_not_of_the_run() -> None:
    calls = Calls()
    tracker(calls).see(document("a", 5) | {"id": "x"})
    assert calls.told == []
