"""What a graph of tasks will take, before or whatever has run: its levels, its critical path and its makespan."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from hub.core import graph
from hub.core.model import Task


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: ids that may run together, level by level, each level in request order. critical_path: ids from a root to
    an end. makespan_s: seconds from the first start to the last end."""

    steps: list[list[str]]
    critical_path: list[str]
    makespan_s: float


@dataclass(frozen=True, slots=True)
class _Graph:
    """Tasks by their position in the request. path: seconds from a task's start to the end of all behind it."""

    costs: list[float]
    priorities: list[int]
    gates: list[list[int]]
    children: list[list[int]]
    levels: list[int]
    path: list[float]


def plan(tasks: Sequence[Task], workers: int | None = None) -> Plan:
    """The plan of tasks in request order, each as long as its `cost` (1 s without one), a daemon too.

    It goes by the definitions alone: every task is taken to run once and to succeed. A dependency that is not among the
    tasks is taken to have ended. workers: how many tasks run at a time, on proplets that may all take every task; None
    is without a bound. ValueError when the tasks are no DAG.
    """
    given = _graph(tasks)
    steps: list[list[str]] = [[] for _ in range(max(given.levels, default=-1) + 1)]
    for task, level in zip(tasks, given.levels, strict=True):
        steps[level].append(task.id)
    bounded = workers is not None and workers < len(tasks)
    makespan_s = _list_schedule(given, workers or 1) if bounded else max(given.path, default=0.0)
    return Plan(steps, [tasks[node].id for node in _critical_path(given)], makespan_s)


def _graph(tasks: Sequence[Task]) -> _Graph:
    at = {task.id: position for position, task in enumerate(tasks)}
    gates = [[at[id] for id in _gates(task) if id in at] for task in tasks]
    levels = graph.levels(gates)
    if levels is None:
        raise ValueError("the tasks are no DAG")
    children: list[list[int]] = [[] for _ in tasks]
    for node, before in enumerate(gates):
        for gate in before:
            children[gate].append(node)
    path = [task.cost for task in tasks]
    # A child's level is higher than its parents': from the last level up, what lies behind a task is known.
    for node in sorted(range(len(tasks)), key=levels.__getitem__, reverse=True):
        path[node] += max((path[child] for child in children[node]), default=0.0)
    priorities = [task.doc.get("priority", 50) for task in tasks]
    return _Graph([task.cost for task in tasks], priorities, gates, children, levels, path)


def _gates(task: Task) -> list[str]:
    """What a task waits for, by its document: a task of a dry run has no links yet."""
    previous = task.doc.get("after")
    return [*(task.doc.get("depends_on") or ()), *([previous] if previous else ())]


def _critical_path(given: _Graph) -> list[int]:
    """The longest way through the graph; of ways as long as each other the one whose tasks were listed first."""
    found: list[int] = []
    choice = [node for node, before in enumerate(given.gates) if not before]
    while choice:
        node = max(choice, key=lambda node: (given.path[node], -node))
        found.append(node)
        choice = given.children[node]
    return found


def _list_schedule(given: _Graph, workers: int) -> float:
    """Seconds that so many workers take when each takes the next ready task in the engine's order (model.Queue)."""
    waiting = [len(before) for before in given.gates]
    ready = [_rank(given, node) for node, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            node = heapq.heappop(ready)[-1]
            heapq.heappush(running, (now + given.costs[node], node))
        now = running[0][0]
        while running and running[0][0] <= now:
            for child in given.children[heapq.heappop(running)[1]]:
                waiting[child] -= 1
                if not waiting[child]:
                    heapq.heappush(ready, _rank(given, child))
    return now


def _rank(given: _Graph, node: int) -> tuple[int, float, int]:
    """Priority, then the longest remaining path, then creation; least first."""
    return -given.priorities[node], -given.path[node], node
