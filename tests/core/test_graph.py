"""A graph that is no DAG is refused in the seeds' words, naming the cycle the same way whatever the order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core import graph
from shared.errors import BadRequest


def refusal(depends_on: dict[str, list[str]]) -> BadRequest:
    names = list(depends_on)
    with pytest.raises(BadRequest) as caught:
        graph.check_acyclic([[names.index(dep) for dep in deps] for deps in depends_on.values()], names.__getitem__)
    return caught.value


@pytest.mark.parametrize("order", list(itertools.permutations(["task-a", "task-b", "task-c"])))
def test_the_seeds_cycle_names_the_task_listed_first_and_the_one_that_depends_on_it(order):
    edges = {"task-a": ["task-c"], "task-b": ["task-a"], "task-c": ["task-b"]}
    dependant = {"task-c": "task-a", "task-a": "task-b", "task-b": "task-c"}
    error = refusal({name: edges[name] for name in order})
    assert error.message == (
        "DAG validation failed: circular dependency detected: cycle detected involving tasks "
        f"{order[0]} and {dependant[order[0]]}"
    )
    assert sorted(error.detail["cycle"]) == ["task-a", "task-b", "task-c"]


def test_a_cycle_of_two_and_of_four():
    assert refusal({"a": ["b"], "b": ["a"]}).message.endswith("involving tasks a and b")
    ring = {"a": ["d"], "b": ["a"], "c": ["b"], "d": ["c"]}
    assert refusal(ring).detail["cycle"] == ["a", "d", "c", "b"]


def test_a_task_that_depends_on_itself_is_named_twice():
    assert refusal({"a": [], "b": ["b"]}).message.endswith("involving tasks b and b")


def test_a_cycle_far_behind_a_long_chain_does_not_recurse():
    chain = {f"t{at}": [f"t{at - 1}"] if at else [] for at in range(20_000)}
    chain["t10000"].append("t19999")
    assert refusal(chain).detail["cycle"][0] == "t10000"


@given(st.lists(st.lists(st.integers(0, 11), unique=True, max_size=3), min_size=1, max_size=12))
def test_levels_exist_exactly_when_there_is_no_cycle(edges):
    parents = [[dep for dep in deps if dep < len(edges)] for deps in edges]
    levels = graph.levels(parents)
    cycle = graph.find_cycle(parents)
    assert (levels is None) == bool(cycle)
    for at, node in enumerate(cycle):
        assert cycle[(at + 1) % len(cycle)] in parents[node]
    if levels is not None:
        assert all(levels[node] > levels[dep] for node, deps in enumerate(parents) for dep in deps)
