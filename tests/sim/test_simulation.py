"""The promises hold under every fault that the simulator knows; and faults put into the product do not pass it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import SOAK
from tests.sim.mutants import MUTANTS
from tests.sim.plan import make
from tests.sim.shrink import shrink
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
    """By a promise that it breaks: a mutant that merely raises no longer fits the code that it changes."""
    mutant = MUTANTS[name]
    with mutant.applied():
        outcomes = (simulate(make(seed)) for seed in range(PATIENCE))
        found = any(outcome.violation is not None and not outcome.broke for outcome in outcomes)
    assert found, f"{PATIENCE} seeds did not find that {mutant.says}"


STORY = """
import os
os.getpid = lambda: int(os.environ["PYTHONHASHSEED"])
from tests.sim.plan import make
from tests.sim.simulation import simulate
for seed in range(10):
    simulate(make(seed), print)
"""


def test_a_seed_tells_the_same_story_in_every_process():
    stories = [
        subprocess.run([sys.executable, "-c", STORY], capture_output=True, check=True, cwd=Path(__file__).parents[2],
                       env={**os.environ, "PYTHONHASHSEED": number}).stdout
        for number in ("1", "20000")
    ]  # fmt: skip
    assert len(stories[0].splitlines()) > 1000
    assert stories[0] == stories[1]


def test_a_failing_plan_is_made_small_and_fails_still():
    with MUTANTS["late-results-unanswered"].applied():
        plans = (make(seed) for seed in range(PATIENCE))
        plan, outcome = next((plan, found) for plan in plans if (found := simulate(plan)).violation is not None)
        small = shrink(plan, outcome, most=100)
        assert simulate(small).title == outcome.title
    assert len(small.steps) <= len(plan.steps) / 4
    assert simulate(small).violation is None
