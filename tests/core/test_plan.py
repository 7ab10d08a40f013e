"""What a graph will take: levels, critical path and makespan, by the costs that its tasks name."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import commands
from hub.core.model import Task
from hub.core.plan import plan
from tests.core.play import Play, spec


def task(name: str, depends_on: str = "", **more) -> Task:
    return Task({**spec(name, depends_on.split(), **more), "state": 0})


DIAMOND = [task("a"), task("b", "a"), task("c", "a", cost=3.0), task("d", "b c")]


def test_the_seeds_diamond_has_three_levels_each_in_request_order():
    assert plan(DIAMOND).steps == [["a"], ["b", "c"], ["d"]]
    assert plan([DIAMOND[at] for at in (3, 2, 1, 0)]).steps == [["a"], ["c", "b"], ["d"]]


def test_the_critical_path_goes_by_cost_and_a_task_without_one_counts_1():
    found = plan(DIAMOND)
    assert (found.critical_path, found.makespan_s) == (["a", "c", "d"], 5.0)
    assert plan([task("a", cost=2.0), task("b", cost=9.0), task("c", "a")]).critical_path == ["b"]


def test_ways_as_long_as_each_other_give_the_one_listed_first_from_a_root_to_an_end():
    assert plan([task("c", "a"), task("b"), task("a"), task("d", "b")]).critical_path == ["b", "d"]
    assert plan([task("b", "a"), task("a", cost=0.0), task("c", "b", cost=0.0)]).critical_path == ["a", "b", "c"]


@pytest.mark.parametrize("workers, seconds", [(None, 5.0), (2, 5.0), (1, 6.0), (9, 5.0)])
def test_workers_bound_how_many_run_at_a_time(workers, seconds):
    assert plan(DIAMOND, workers).makespan_s == seconds


def test_workers_take_tasks_by_priority_then_by_longest_path_then_as_listed():
    shorts = [task("s1"), task("s2")]
    assert plan([*shorts, task("long", cost=2.0)], 2).makespan_s == 2.0
    assert plan([task("s1", priority=90), task("s2", priority=90), task("long", cost=2.0)], 2).makespan_s == 3.0
    assert plan([*shorts, task("p"), task("q", "p")], 2).makespan_s == 2.0


def test_nothing_has_an_empty_plan_and_what_lies_outside_has_ended():
    assert plan([]) == plan([], 3)
    assert (plan([]).steps, plan([]).critical_path, plan([]).makespan_s) == ([], [], 0.0)
    assert plan([task("a", "elsewhere")]).steps == [["a"]]


def test_a_sequential_job_is_a_chain_and_what_has_run_changes_no_plan():
    play = Play()
    play.job("sequential", spec("a"), spec("b", cost=4.0), spec("c", ["a"]))
    tasks = list(play.engine.world.jobs["job"].tasks.values())
    before = plan(tasks, 3)
    assert (before.steps, before.makespan_s) == ([["a"], ["b"], ["c"]], 6.0)
    play.join("d")
    play.pass_time(5)
    play.end("a")
    assert plan(tasks, 3) == before


def test_a_dry_run_is_planned_like_what_it_would_make():
    play = Play()
    command = commands.CreateWorkflow("w", "w", [spec("a"), spec("b", ["a"])], ["x", "y"], dry_run=True)
    _, tasks = play.do(command)
    assert plan(tasks).critical_path == ["a", "b"]


@pytest.mark.parametrize("workers", [None, 1, 64])
@pytest.mark.parametrize("shape", ["chain", "flat", "layers"])
def test_20000_tasks_are_planned_within_a_second_and_without_recursion(shape, workers):
    depends_on = {
        "chain": lambda at: f"t{at - 1}" if at else "",
        "flat": lambda at: "",
        "layers": lambda at: " ".join(f"t{at - back}" for back in (100, 117, 150)) if at > 150 else "",
    }[shape]
    tasks = [task(f"t{at}", depends_on(at)) for at in range(20_000)]
    began = time.process_time()
    found = plan(tasks, workers)
    assert time.process_time() - began < 1.0
    if shape != "layers":
        assert found.makespan_s == (20_000 if shape == "chain" else -(-20_000 // (workers or 20_000)))


@st.composite
def graphs(draw):
    """Tasks in any order of the request, with costs whose sums are exact."""
    count = draw(st.integers(1, 14))
    tasks = [
        task(
            f"t{at}",
            " ".join(f"t{dep}" for dep in draw(st.sets(st.integers(0, at - 1), max_size=3))) if at else "",
            cost=draw(st.integers(0, 8)) / 4,
            priority=draw(st.sampled_from((0, 50, 90))),
        )
        for at in range(count)
    ]
    return draw(st.permutations(tasks))


def longest_path(tasks: list[Task]) -> float:
    """By trying every way, as the definition says."""
    by_id = {one.id: one for one in tasks}

    def ending_at(id: str) -> float:
        return by_id[id].cost + max(map(ending_at, by_id[id].doc.get("depends_on", ())), default=0.0)

    return max(map(ending_at, by_id))


@given(graphs())
def test_steps_hold_each_task_once_and_behind_all_it_depends_on(tasks):
    steps = plan(tasks).steps
    level = {id: at for at, step in enumerate(steps) for id in step}
    assert sorted(id for step in steps for id in step) == sorted(one.id for one in tasks)
    for one in tasks:
        assert level[one.id] == max((level[dep] + 1 for dep in one.doc.get("depends_on", ())), default=0)


@given(graphs())
def test_the_critical_path_is_a_way_from_a_root_to_an_end_and_the_longest_there_is(tasks):
    found = plan(tasks)
    by_id = {one.id: one for one in tasks}
    first, last = found.critical_path[0], found.critical_path[-1]
    assert not by_id[first].doc.get("depends_on")
    assert not any(last in one.doc.get("depends_on", ()) for one in tasks)
    for before, behind in pairwise(found.critical_path):
        assert before in by_id[behind].doc["depends_on"]
    assert sum(by_id[id].cost for id in found.critical_path) == longest_path(tasks) == found.makespan_s


@given(graphs(), st.integers(1, 16))
def test_more_workers_than_one_lie_between_the_longest_path_and_all_one_after_the_other(tasks, workers):
    total, longest = sum(one.cost for one in tasks), longest_path(tasks)
    found = plan(tasks, workers).makespan_s
    assert max(longest, total / workers) <= found <= total
    # Graham's bound: no worker idles while a task is ready.
    assert found <= total / workers + longest * (1 - 1 / workers) + 1e-9
    assert plan(tasks, 1).makespan_s == total
    assert plan(tasks, len(tasks)).makespan_s == longest
