"""What scheduling costs beside other engines, in one run: no-op tasks, nobody waits for a disk or a device.

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
# shape: the tasks each one depends on
SHAPES: dict[str, list[list[int]]] = {
    "chain of 1,000": [[at - 1] if at else [] for at in range(1000)],
    "10,000 independent": [[] for _ in range(10_000)],
    "1 to 1,000 to 1": [[], *([0] for _ in range(1000)), list(range(1, 1001))],
}


def overhead(stage: Stage) -> Iterator[Figure]:
    """us a task by shape and engine, and how many times ours pyWorkflowy's is."""
    for shape, parents in SHAPES.items():
        engines: dict[str, Callable[[], float]] = {
            "motet": lambda parents=parents: _motet(stage, parents),
            "pyworkflowy": lambda parents=parents: _pyworkflowy(parents),
            "dask": lambda parents=parents: _dask(parents),
        }  # fmt: skip
        costs: dict[str, list[float]] = {name: [] for name in engines}
        for _ in range(ROUNDS):
            for name, run in engines.items():
                with frozen():
                    costs[name].append(run() / len(parents) * 1e6)
        key = f"rivals.{len(parents)}"
        yield Figure(f"{key}.motet_us", f"{shape}, core and journal, a task", median(costs["motet"]), "us", most=50)
        for name in ("pyworkflowy", "dask"):
            yield Figure(f"{key}.{name}_us", f"{shape}, {name}, a task", median(costs[name]), "us")
        ratios = [theirs / ours for theirs, ours in zip(costs["pyworkflowy"], costs["motet"], strict=True)]
        yield Figure(f"{key}.ratio", f"{shape}, pyworkflowy's to ours", median(ratios), "x", least=10)


def _motet(stage: Stage, parents: list[list[int]]) -> float:
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


def _pyworkflowy(parents: list[list[int]]) -> float:
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


def _dask(parents: list[list[int]]) -> float:
    import dask

    add = dask.delayed(lambda *_: 5)
    begin = time.perf_counter()
    nodes: list[object] = []
    for deps in parents:
        nodes.append(add(*[nodes[one] for one in deps]))
    last = nodes[-1] if parents[-1] else dask.delayed(lambda *_: 5)(*nodes)
    last.compute(scheduler="synchronous")
    return time.perf_counter() - begin
