"""What scheduling costs beside other engines, in one run: no-op tasks, nobody waits for a disk or a device.

A virtual machine may run at half its speed for ten seconds and at all of it for the next ten. So the rounds of a shape
are spread over the whole run, and ours is measured before, between and behind the others.

Ours is engine plus journal, from the creation of the tasks to the last result. pyWorkflowy and dask run a function that
returns at once, in this process, in their own way; both keep nothing.
"""

import time
from collections.abc import Callable, Iterator

from hub.core import commands
from hub.core.model import Doc
from hub.store.journal import Journal
from tests.bench.core import MODULE, Play, frozen
from tests.bench.report import Figure, median
from tests.bench.stage import Stage

ROUNDS = 3
# In each round.
ORDER = ("motet", "pyworkflowy", "motet", "dask", "motet")
# For each task, the positions of those that it depends on.
Parents = list[list[int]]
SHAPES: dict[str, Parents] = {
    "chain of 1,000": [[at - 1] if at else [] for at in range(1000)],
    "10,000 independent": [[] for _ in range(10_000)],
    "1 to 1,000 to 1": [[], *([0] for _ in range(1000)), list(range(1, 1001))],
}


def overhead(stage: Stage) -> Iterator[Figure]:
    """us a task by shape and engine, and how many times ours pyWorkflowy's is."""
    engines: dict[str, Callable[[Parents], float]] = {
        "motet": lambda parents: _motet(stage, parents),
        "pyworkflowy": _pyworkflowy,
        "dask": _dask,
    }
    costs: dict[str, dict[str, list[float]]] = {shape: {name: [] for name in engines} for shape in SHAPES}
    for _ in range(ROUNDS):
        for shape, parents in SHAPES.items():
            for name in ORDER:
                with frozen():
                    costs[shape][name].append(engines[name](parents) / len(parents) * 1e6)
    for shape, parents in SHAPES.items():
        ours, theirs = costs[shape]["motet"], costs[shape]["pyworkflowy"]
        key = f"rivals.{len(parents)}"
        note = f"{min(ours):.0f} to {max(ours):.0f}"
        yield Figure(f"{key}.motet_us", f"{shape}, core and journal, a task", median(ours), "us", most=50, note=note)
        for name in ("pyworkflowy", "dask"):
            yield Figure(f"{key}.{name}_us", f"{shape}, {name}, a task", median(costs[shape][name]), "us")
        # Each of theirs to the two of ours around it.
        ratios = [2 * one / (ours[3 * at] + ours[3 * at + 1]) for at, one in enumerate(theirs)]
        yield Figure(f"{key}.ratio", f"{shape}, pyworkflowy's to ours", median(ratios), "x", least=10)


def _motet(stage: Stage, parents: Parents) -> float:
    journal = Journal(stage.folder())
    play = Play(journal)
    specs: list[Doc] = [
        {"id": f"t{at}", "name": "main", "module": MODULE, "inputs": [2, 3], "depends_on": [f"t{one}" for one in deps]}
        for at, deps in enumerate(parents)
    ]
    begin = time.perf_counter()
    play.do(commands.CreateWorkflow("wf", "wf", specs, [f"t{at}" for at in range(len(specs))]))
    play.run(play.do(commands.Start("workflow", "wf")))
    taken = time.perf_counter() - begin
    if any(task.doc.get("results") != "5\n" for task in play.engine.world.tasks.values()):
        raise RuntimeError("a workflow did not run to its end")
    journal.close()
    return taken


def _pyworkflowy(parents: Parents) -> float:
    from pyworkflowy import TaskRunner, task

    @task
    def add() -> int:
        return 5

    begin = time.perf_counter()
    with TaskRunner() as runner:
        handles: list[object] = []
        for deps in parents:
            handles.append(add.submit(depends_on=[handles[one] for one in deps]))
        runner.run()
    return time.perf_counter() - begin


def _dask(parents: Parents) -> float:
    import dask

    add = dask.delayed(lambda *_: 5)
    begin = time.perf_counter()
    nodes: list[object] = []
    for deps in parents:
        nodes.append(add(*[nodes[one] for one in deps]))
    last = nodes[-1] if parents[-1] else dask.delayed(lambda *_: 5)(*nodes)
    last.compute(scheduler="synchronous")
    return time.perf_counter() - begin
