"""Damaged modules harm nobody: they are refused at upload, or they run and end, and hub, edge and workers stay well."""

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

from hub.modules.inspect import inspect
from shared.errors import BadRequest, TooLarge
from tests.bench.proc import family, rss_mb
from tests.differential.calls import Call, run
from tests.differential.examples import TYPES
from tests.differential.generate import Function, generate
from tests.differential.inputs import inputs
from tests.e2e.world import EXAMPLES, World
from tests.effort import effort
from tests.mutants.mutate import altered, damaged

MUTANTS = effort(10_000)
ROUNDS = 4
# A limit soon enough for the endless ones; seconds.
TIMEOUT = 0.3
LATE_S = 1.0
SLOTS = 4
ABIS = {"edge", "extism:host/env", "wasi_snapshot_preview1", "wasi_unstable"}
# What may come and go between two rounds, and what the hub keeps of a module that it will forget in an hour.
EDGE_MB = 4.0
HUB_MB = 4.0
MODULE_MB = 0.012


def _originals() -> list[bytes]:
    examples = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.wasm"))]
    return [data for data in examples if len(data) < 8192] + [generate(seed).data for seed in range(40)]


def _mutants(first: int, count: int) -> Iterator[tuple[str, bytes]]:
    originals = _originals()
    for seed in range(first, first + count):
        random = Random(f"mutant {seed}")
        change = random.choice((damaged, altered))
        yield f"mutant {seed}", change(random, random.choice(originals))


def _calls(what: str, data: bytes) -> list[Call]:
    """Of the first functions that it exports; of none when its imports are those of no device."""
    random = Random(what)
    calls = []
    info = inspect(data)
    if not ABIS.issuperset(one.module for one in info.imports):
        return []
    for export in info.exports:
        if export.signature is not None and len(calls) < 2:
            params = tuple(TYPES[type_] for type_ in export.signature.params)
            results = tuple(TYPES[type_] for type_ in export.signature.results)
            calls.append(Call(what, data, Function(export.name, params, results), inputs(random, params)))
    return calls


def _accepted(world: World, first: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Those that the hub takes; what it does not take it refuses with a sentence."""
    for what, data in _mutants(first, count):
        try:
            world.client.upload("upload", data)
        except (BadRequest, TooLarge) as refusal:
            assert refusal.message
        else:
            yield what, data


def _seconds(attempt: dict[str, Any]) -> float:
    """Since it began; since it was sent out if it never did."""
    sent, begun, ended = (
        datetime.fromisoformat(attempt[key]) for key in ("dispatched_at", "start_time", "finish_time")
    )
    return (ended - max(sent, begun)).total_seconds()


def test_mutants_harm_nobody(world: World) -> None:
    edge = world.start_edge("a", "--slots", str(SLOTS)).child.pid
    hub = world.hub.child.pid
    world.client.wait_proplets(1, 10)
    world.client.create_task("upload", id="upload")
    hubs: list[float] = []
    edges: list[float] = []
    ran = 0
    for round_ in range(ROUNDS):
        count = MUTANTS // ROUNDS
        calls = [call for what, data in _accepted(world, round_ * count, count) for call in _calls(what, data)]
        for call, task in run(world, calls, timeout=TIMEOUT):
            assert (task.get("error_info") or {}).get("code") != "worker_died", (call, task)
            for attempt in task.get("attempts", ()):
                assert _seconds(attempt) < TIMEOUT + LATE_S, (call, task)
        ran += len(calls)
        assert world.hub.child.poll() is None
        assert world.edges["a"].child.poll() is None
        kept = world.call("GET", "/modules?limit=1")["total"]
        hubs.append(rss_mb(hub) - kept * MODULE_MB)
        edges.append(rss_mb(*family(edge)) / len(family(edge)))
    assert ran > MUTANTS / 4
    assert hubs[-1] - hubs[1] < HUB_MB, hubs
    assert edges[-1] - edges[1] < EDGE_MB, edges
