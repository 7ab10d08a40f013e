"""How long one task waits: from the request to the news of its end, behind its parent, and beside its siblings."""

import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.bench.report import Figure, median, quantile
from tests.bench.stage import Stage
from tests.bench.wire import ADDITION, Events, Http
from tests.e2e.world import World, module

WARM_UP = 20
RUNS = 400
CHILDREN = 100
SPREADS = 20
COLD_STARTS = 5


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def dispatch(stage: Stage) -> Iterator[Figure]:
    """One task at a time on one edge, from before the start request to its Completed on /events."""
    with stage.world() as world:
        world.start_edges("a")
        names = [f"t{at}" for at in range(WARM_UP + RUNS)]
        for name in names:
            world.client.create_task("main", id=name, file=module("addition"), inputs=ADDITION)
        http, events = Http(world.url), Events(world.url)
        steps = [_one(http, events, name) for name in names][WARM_UP:]
        http.close()
        events.close()
    whole, hub, *parts = zip(*steps, strict=True)
    shares = ", ".join(f"{name} {median(part):.1f}" for name, part in zip(_PARTS, parts, strict=True))
    yield Figure("dispatch.p50_ms", "start to Completed on /events, p50", median(whole), "ms", most=8, note=shares)
    yield Figure("dispatch.p99_ms", "start to Completed on /events, p99", quantile(whole, 0.99), "ms", most=40,
                 note=f"longest {max(whole):.1f} of {RUNS}")  # fmt: skip
    yield Figure("dispatch.hub_p50_ms", "start to finish_time, p50", median(hub), "ms")
    yield Figure("dispatch.hub_p99_ms", "start to finish_time, p99", quantile(hub, 0.99), "ms")


_PARTS = ("to dispatch", "to started", "to finish", "to the client")


def _one(http: Http, events: Events, name: str) -> tuple[float, ...]:
    """ms: the whole, up to finish_time, and the parts of the way."""
    begin = time.time()
    http.post(f"/tasks/{name}/start")
    task = events.until_task(name)
    end = time.time()
    sent, started, finished = (seconds(task["attempts"][-1][key]) for key in ("dispatched_at", "start_time",
                                                                              "finish_time"))  # fmt: skip
    marks = (begin, sent, started, finished, end)
    parts = (later - earlier for earlier, later in pairwise(marks))
    return tuple(step * 1000 for step in (end - begin, finished - begin, *parts))


def graph(stage: Stage) -> Iterator[Figure]:
    """What a workflow and a parallel job add to it."""
    with stage.world() as world:
        world.start_edges("a", "b", "c")
        http, events = Http(world.url), Events(world.url)
        waits = [_child(world, http, events, at) for at in range(CHILDREN)]
        events.close()
        spreads = [_spread(world, http, f"three-{at}") for at in range(SPREADS)]
        http.close()
    yield Figure("child.p50_ms", "child starts after its parent, p50", median(waits), "ms")
    yield Figure("child.p95_ms", "child starts after its parent, p95", quantile(waits, 0.95), "ms", most=25,
                 note=f"longest {max(waits):.1f} of {CHILDREN}")  # fmt: skip
    yield Figure("spread.three_edges_ms", "three tasks on three edges, spread", median(spreads), "ms", most=10,
                 note=f"longest {max(spreads):.1f} of {SPREADS}")  # fmt: skip
    yield from _one_edge(stage)


def _one_edge(stage: Stage) -> Iterator[Figure]:
    """Three tasks on one edge of four slots: with one warm worker, then with three."""
    cold, warm = [], []
    with stage.world() as world:
        http = Http(world.url)
        for start in range(COLD_STARTS):
            edge = world.start_edge(f"edge-{start}")
            world.client.wait_proplets(1, 10)
            cold.append(_spread(world, http, f"cold-{start}"))
            warm += [_spread(world, http, f"warm-{start}-{at}") for at in range(4)]
            edge.stop()
        http.close()
    yield Figure("spread.one_edge_cold_ms", "three tasks on one edge, spread, cold", median(cold), "ms", most=33,
                 note=f"longest {max(cold):.1f} of {len(cold)}")  # fmt: skip
    yield Figure("spread.one_edge_warm_ms", "three tasks on one edge, spread, warm", median(warm), "ms", most=33,
                 note=f"longest {max(warm):.1f} of {len(warm)}")  # fmt: skip


def _tasks(prefix: str, count: int) -> list[dict[str, Any]]:
    return [{"id": f"{prefix}-{at}", "name": "main", "file": module("addition"), "inputs": ADDITION}
            for at in range(count)]  # fmt: skip


def _child(world: World, http: Http, events: Events, number: int) -> float:
    """ms from the parent's finish_time to the child's start_time."""
    parent, child = _tasks(f"w{number}", 2)
    world.client.create_workflow([parent, {**child, "depends_on": [parent["id"]]}], workflow_id=f"w{number}")
    http.post(f"/workflows/w{number}/start")
    ended = events.until_task(parent["id"])
    return (seconds(events.until_task(child["id"])["start_time"]) - seconds(ended["finish_time"])) * 1000


def _spread(world: World, http: Http, id: str) -> float:
    """ms between the first and the last start_time of a parallel job of three."""
    world.client.create_job("three", _tasks(id, 3), job_id=id, execution_mode="parallel")
    http.post(f"/jobs/{id}/start")
    begun = [seconds(task["start_time"]) for task in world.client.wait_job(id, 20)["tasks"]]
    return (max(begun) - min(begun)) * 1000
