"""Whether an edge is as quick after tasks that loop, recurse, trap, grow and write without end as it was before."""

from collections.abc import Iterator

from tests.bench.latency import seconds
from tests.bench.report import Figure, median
from tests.bench.stage import Stage
from tests.bench.wire import ADDITION
from tests.e2e.test_limits import WRONG
from tests.e2e.world import World, module

TASKS = 1000
JOBS = 5
STORMS = 5


def storm(stage: Stage) -> Iterator[Figure]:
    """Jobs of additions before and after, on one edge."""
    with stage.world() as world:
        world.start_edges("a")
        _job(world, "warm-up")
        before = [_job(world, f"before-{at}") for at in range(JOBS)]
        for at in range(STORMS):
            _storm(world, f"storm-{at}")
        after = [_job(world, f"after-{at}") for at in range(JOBS)]
    yield Figure("storm.ratio", "throughput after wrong tasks to before", median(after) / median(before), "x",
                 least=0.95, note=f"{median(before):.0f} and {median(after):.0f} tasks/s on one edge, "
                 f"{STORMS * len(WRONG)} wrong tasks between")  # fmt: skip


def _job(world: World, id: str) -> float:
    """Tasks a second of a parallel job."""
    tasks = [{"name": "main", "file": module("addition"), "inputs": ADDITION} for _ in range(TASKS)]
    world.client.create_job("many", tasks, job_id=id, execution_mode="parallel")
    world.client.start_job(id)
    ended = world.client.wait_job(id, 60)
    if ended["state_name"] != "Completed":
        raise RuntimeError(f"the job ended as {ended['state_name']}")
    return TASKS / (seconds(ended["finish_time"]) - seconds(ended["start_time"]))


def _storm(world: World, id: str) -> None:
    tasks = [{"name": "main", "file": data, **fields} for data, fields, _ in WRONG.values()]
    world.client.create_workflow(tasks, workflow_id=id, fail_fast=False)
    world.client.start_workflow(id)
    world.client.wait_workflow(id, 60)
