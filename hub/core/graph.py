"""Graphs of tasks: a cycle named as the seeds name it, levels, links and the longest way, without recursion."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from hub.core.model import Task
from shared import states
from shared.errors import BadRequest


def levels(parents: Sequence[Sequence[int]]) -> list[int] | None:
    """The level of each node (0 for a root, else one more than its deepest parent); None when there is a cycle.

    parents[i] are the positions of the nodes that node i depends on.
    """
    level: list[int] = []
    for node, deps in enumerate(parents):
        if not deps:
            level.append(0)
        elif max(deps) < node:
            level.append(1 + max([level[dep] for dep in deps]))
        else:
            return _levels_in_any_order(parents)
    return level


def _levels_in_any_order(parents: Sequence[Sequence[int]]) -> list[int] | None:
    """The same where a node may be listed before one that it depends on: most requests need not be sorted."""
    children: list[list[int]] = [[] for _ in parents]
    indegree = [0] * len(parents)
    for node, deps in enumerate(parents):
        indegree[node] = len(deps)
        for dep in deps:
            children[dep].append(node)
    level = [0] * len(parents)
    ready = deque(node for node, count in enumerate(indegree) if not count)
    seen = 0
    while ready:
        node = ready.popleft()
        seen += 1
        for child in children[node]:
            level[child] = max(level[child], level[node] + 1)
            indegree[child] -= 1
            if not indegree[child]:
                ready.append(child)
    return level if seen == len(parents) else None


def find_cycle(parents: Sequence[Sequence[int]]) -> list[int]:
    """The first cycle met by a walk in order of the nodes and of their dependencies: each depends on the next."""
    new, open_, closed = 0, 1, 2
    colour = [new] * len(parents)
    for root in range(len(parents)):
        if colour[root] != new:
            continue
        path = [root]
        walks = [iter(parents[root])]
        colour[root] = open_
        while path:
            for dep in walks[-1]:
                if colour[dep] == open_:
                    return path[path.index(dep) :]
                if colour[dep] == new:
                    colour[dep] = open_
                    path.append(dep)
                    walks.append(iter(parents[dep]))
                    break
            else:
                colour[path.pop()] = closed
                walks.pop()
    return []


def check_acyclic(parents: Sequence[Sequence[int]], label: Callable[[int], str]) -> list[int]:
    """The levels, or BadRequest that names the cycle in the seeds' words, each task by its label.

    The two tasks named are the cycle's task listed first in the request and, of the cycle, the one that depends on
    it; the whole cycle is in detail["cycle"], each depending on the one behind it.
    """
    found = levels(parents)
    if found is not None:
        return found
    cycle = find_cycle(parents)
    first = min(range(len(cycle)), key=lambda at: cycle[at])
    cycle = cycle[first:] + cycle[:first]
    raise BadRequest(
        "DAG validation failed: circular dependency detected: cycle detected involving tasks "
        f"{label(cycle[0])} and {label(cycle[-1])}",
        "cycle",
        {"cycle": [label(node) for node in cycle]},
    )


def link(task: Task, parents: list[Task], previous: Task | None = None) -> None:
    """Makes the task wait for others."""
    task.wait_for(parents, previous)
    waiting = 0
    for gate in task.gates:
        gate.children[task.id] = task
        if gate.state not in states.SETTLED:
            waiting += 1
    task.waiting = waiting
    task.late = not waiting


def rank(tasks: Iterable[Task]) -> None:
    """Finds the longest way behind each task of a set that holds all tasks behind its members."""
    waiting = {task.id: len(task.children) for task in tasks}
    ends = [task for task in tasks if not task.children]
    while ends:
        task = ends.pop()
        task.path = _path(task)
        for gate in task.gates:
            left = waiting.get(gate.id)
            if left is not None:
                waiting[gate.id] = left - 1
                if left == 1:
                    ends.append(gate)


def _path(task: Task) -> float:
    """The longest way from here, those of its children being known."""
    children = task.children
    return task.cost + max([child.path for child in children.values()]) if children else task.cost


def rank_up(task: Task) -> None:
    """Finds it again for a task that was added behind others, and for all those before it."""
    todo = [task]
    while todo:
        one = todo.pop()
        path = _path(one)
        if path > one.path:
            one.path = path
            todo.extend(one.gates)


def unsettled(task: Task) -> int:
    """How many of the tasks it waits for have not settled."""
    return sum(1 for parent in task.gates if parent.state not in states.SETTLED)
