"""Graphs of tasks: a cycle named as the seeds name it, the levels, without recursion."""

from collections import deque
from collections.abc import Sequence

from shared.errors import BadRequest


def levels(parents: Sequence[Sequence[int]]) -> list[int] | None:
    """The level of each node (0 for a root, else one more than its deepest parent); None when there is a cycle.

    parents[i] are the positions of the nodes that node i depends on.
    """
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


def check_acyclic(parents: Sequence[Sequence[int]], labels: Sequence[str]) -> list[int]:
    """The levels, or BadRequest that names the cycle in the seeds' words.

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
        f"{labels[cycle[0]]} and {labels[cycle[-1]]}",
        "cycle",
        {"cycle": [labels[node] for node in cycle]},
    )
