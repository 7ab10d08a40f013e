"""The start of a hub with what it had: it works in proportion to its tasks, and writes nothing of them."""

import sys
from collections import Counter

import pytest

from hub.core.engine import Engine
from hub.core.model import Now, Policy
from hub.store.journal import Journal
from shared import states
from tests.bench.filled import fill

# Calls of functions, Python's and C's; 73 are needed from a journal that holds every change, 60 with a snapshot.
CALLS_A_TASK = 90
NOW = Now(1.0, 1.8e9)


@pytest.mark.parametrize("folded", [False, True], ids=["journal", "snapshot"])
def test_a_start_with_ten_times_the_tasks_is_ten_times_the_work_and_no_more(tmp_path, folded):
    calls = {}
    for tasks in (1000, 10_000):
        fill(tmp_path / str(tasks), tasks, folded=folded)
        assert any((tmp_path / str(tasks) / "store").glob("snapshot-*")) == folded
        calls[tasks], engine = counted(tmp_path / str(tasks))
        found = Counter(task.state for task in engine.world.tasks.values())
        assert found == {states.COMPLETED: tasks * 3 // 5, states.FAILED: tasks // 20, states.PENDING: tasks * 7 // 20}
    print({tasks: count / tasks for tasks, count in calls.items()}, "calls a task")
    assert calls[10_000] <= 10.5 * calls[1000]
    assert calls[10_000] <= CALLS_A_TASK * 10_000


def counted(folder):
    """How many functions were called until the engine knew what the folder's store holds, and the engine."""
    count = 0

    def profile(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    engine = Engine(Policy())
    sys.setprofile(profile)
    try:
        journal = Journal(folder / "store")
        outcome = engine.load(NOW, journal.tables)
    finally:
        sys.setprofile(None)
    journal.close()
    assert outcome.puts == [], "a start changed documents"
    return count, engine
