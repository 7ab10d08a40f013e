"""How much at once: the tasks of a parallel job on four edges, and durable POSTs of 32 clients."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.latency import seconds
from tests.bench.proc import cpu_s, family
from tests.bench.report import Figure, median
from tests.bench.stage import Stage
from tests.bench.wire import ADDITION, Http
from tests.e2e.world import ROOT, World, module

EDGES = ("a", "b", "c", "d")
TASKS = 2000
JOBS = 3
CLIENTS = 32
LOAD_S = 5.0
LOADS = 3


def job(stage: Stage) -> Iterator[Figure]:
    """Nobody follows: what is looked at meanwhile is one task, the last in the queue."""
    rates, hub, edges, created = [], [], [], []
    with stage.world() as world:
        world.start_edges(*EDGES)
        hub_pid = world.hub.child.pid
        for round_ in range(JOBS):
            begin = time.perf_counter()
            last = _create(world, f"job-{round_}")
            created.append(time.perf_counter() - begin)
            before = cpu_s(hub_pid), _edges_cpu_s(world)
            took = _run(world, f"job-{round_}", last)
            rates.append(TASKS / took)
            hub.append((cpu_s(hub_pid) - before[0]) / took * 100)
            edges.append((_edges_cpu_s(world) - before[1]) / took * 100)
    yield Figure("job.tasks_s", f"job of {TASKS:,} on four edges", median(rates), "tasks/s", least=300,
                 note=f"hub {median(hub):.0f} %, edges {median(edges):.0f} % of a core")  # fmt: skip
    yield Figure("job.create_s", f"POST /jobs of {TASKS:,} with a module in each", median(created), "s")


def _edges_cpu_s(world: World) -> float:
    """Of the edges and the workers that live: those that a job has started live longer than it."""
    return sum(cpu_s(pid) for edge in world.edges.values() for pid in family(edge.child.pid))


def _create(world: World, id: str) -> str:
    """The last task of a new job."""
    tasks: list[dict[str, Any]] = [{"id": f"{id}-{at}", "name": "main", "file": module("addition"), "inputs": ADDITION}
                                   for at in range(TASKS)]  # fmt: skip
    world.client.create_job("many", tasks, job_id=id, execution_mode="parallel")
    return f"{id}-{TASKS - 1}"


def _run(world: World, id: str, last: str) -> float:
    """Seconds from the start request to the job's finish_time."""
    http = Http(world.url)
    begin = time.time()
    http.post(f"/jobs/{id}/start")
    http.close()
    while world.client.task(last)["state_name"] != "Completed":
        time.sleep(0.05)
    ended = world.client.wait_job(id, 30)
    if ended["state_name"] != "Completed":
        raise RuntimeError(f"the job ended as {ended['state_name']}")
    return seconds(ended["finish_time"]) - begin


def posts(stage: Stage) -> Iterator[Figure]:
    """POST /tasks, each answered when it is on the disk. The clients share the machine's cores with the hub."""
    plain = [_load(stage, "plain") for _ in range(LOADS)]
    rates = [load["rate"] for load in plain]
    middle = plain[rates.index(median(rates))]
    yield Figure("posts.rate", f"durable POST /tasks, {CLIENTS} clients", middle["rate"], "/s", least=2000,
                 note=f"hub {middle['hub']:.0f} %, clients {middle['client']:.0f} % of a core, "
                      f"p50 {middle['p50']:.1f} ms, p99 {middle['p99']:.1f} ms")  # fmt: skip
    yield Figure("posts.cpu_us", "hub's CPU for one POST", middle["hub"] / middle["rate"] * 1e4, "us")
    with_file = _load(stage, "file")
    yield Figure("posts.file_rate", "the same with a module in each", with_file["rate"], "/s",
                 note=f"hub {with_file['hub']:.0f} %, p99 {with_file['p99']:.1f} ms")  # fmt: skip


def _load(stage: Stage, kind: str) -> dict[str, float]:
    """What the load generator says, with the CPU % of the hub meanwhile."""
    with stage.world() as world:
        pid = world.hub.child.pid
        arguments = [world.url, kind, str(CLIENTS), str(LOAD_S)]
        before, begin = cpu_s(pid), time.monotonic()
        done = subprocess.run([sys.executable, "-m", "tests.bench.load", *arguments], cwd=ROOT, capture_output=True,
                              text=True, check=True)  # fmt: skip
        load: dict[str, float] = json.loads(done.stdout)
        used = cpu_s(pid) - before
        kept = world.client.tasks(limit=1)["total"]
        if kept != load["answered"]:
            raise RuntimeError(f"{load['answered']} POSTs were answered and {kept} tasks kept in "
                               f"{time.monotonic() - begin:.0f} s")  # fmt: skip
        return {**load, "hub": used / load["took_s"] * 100}
