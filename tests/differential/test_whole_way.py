"""Any module, through upload, hub and edge, gives what wasmtime gives: the same bits, the same kind of trap."""

from collections.abc import Iterator

import wasmtime

from tests.differential.calls import Call, generated_calls, outcome, run
from tests.differential.examples import example_calls
from tests.differential.reference import Reference
from tests.e2e.world import World
from tests.effort import effort

CALLS = effort(6000)
EACH = 4


def _calls() -> list[Call]:
    """Those of the examples and then of as many generated modules as it takes."""
    calls = example_calls(effort(50))
    seed = 0
    while len(calls) < CALLS:
        calls += generated_calls(seed, EACH)
        seed += 1
    return calls


def _differences(world: World, calls: list[Call]) -> Iterator[str]:
    engine = wasmtime.Engine()
    references: dict[bytes, Reference] = {}
    for call, task in run(world, calls):
        if call.data not in references:
            references = {call.data: Reference(engine, call.data)}
        wanted, got = references[call.data].call(call.function.name, call.inputs), outcome(call, task)
        if wanted != got:
            yield f"{call}: {got}, wanted {wanted}; {task.get('error')}"


def test_the_same_bits_and_the_same_traps_as_wasmtime(world: World) -> None:
    world.start_edge("a", "--slots", "4")
    world.client.wait_proplets(1, 10)
    calls = _calls()
    assert len(calls) >= CALLS
    assert not list(_differences(world, calls))
