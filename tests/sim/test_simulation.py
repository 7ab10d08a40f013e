"""The promises hold under every fault that the simulator knows; and faults put into the product do not pass it."""

import pytest

from tests.effort import SOAK
from tests.sim.mutants import MUTANTS
from tests.sim.plan import make
from tests.sim.simulation import simulate

SEEDS = 10_000 if SOAK else 300
BLOCK = 25
# Within so many seeds a mutant has to be found.
PATIENCE = 50


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_every_promise_is_kept(first):
    for seed in range(first, first + BLOCK):
        outcome = simulate(make(seed))
        assert outcome.violation is None, f"python -m tests.sim {seed}: {outcome.violation}"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_product_with_a_fault_put_into_it_is_found_out(name):
    mutant = MUTANTS[name]
    with mutant.applied():
        found = next((seed for seed in range(PATIENCE) if simulate(make(seed)).violation is not None), None)
    assert found is not None, f"{PATIENCE} seeds did not find that {mutant.says}"
