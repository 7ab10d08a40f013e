"""Replays a seed, with everything that happens line by line, or looks through many.

python -m tests.sim 4711                        the trace of a seed, its violation, and the least plan that shows it
python -m tests.sim 4711 --mutant no-fencing    the same with a fault put into the product
python -m tests.sim 0 10000                     the seeds from 0 up to 10000: which of them break a promise
"""

import argparse
import time
from contextlib import nullcontext

from tests.sim.mutants import MUTANTS
from tests.sim.plan import make
from tests.sim.shrink import shrink
from tests.sim.simulation import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.splitlines()[0])
    parser.add_argument("seed", type=int)
    parser.add_argument("end", type=int, nargs="?", help="look through the seeds up to this one")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="play with this fault put into the product")
    parser.add_argument("--whole", action="store_true", help="do not make a failing plan smaller")
    options = parser.parse_args()
    with MUTANTS[options.mutant].applied() if options.mutant else nullcontext():
        return replay(options.seed, options.whole) if options.end is None else look(options.seed, options.end)


def replay(seed: int, whole: bool) -> int:
    plan = make(seed)
    outcome = simulate(plan, None if not whole else print)
    if outcome.violation is not None and not whole:
        plan = shrink(plan, outcome)
    if not whole:
        outcome = simulate(plan, print)
    print(f"\n{plan}\n")
    print(f"{outcome.seconds:.0f} s, {outcome.turns} turns of the engine, {outcome.executions} executions")
    print(f"VIOLATION: {outcome.violation}" if outcome.violation else "every promise was kept")
    return 1 if outcome.violation else 0


def look(begin: int, end: int) -> int:
    bad, turns, virtual = 0, 0, 0.0
    began = time.perf_counter()
    for seed in range(begin, end):
        outcome = simulate(make(seed))
        turns, virtual = turns + outcome.turns, virtual + outcome.seconds
        if outcome.violation is not None:
            bad += 1
            print(f"seed {seed}: {outcome.violation.splitlines()[0]}", flush=True)
    took = time.perf_counter() - began
    print(f"{end - begin} seeds in {took:.1f} s, {(end - begin) / took:.1f} a second: {turns} turns, "
          f"{virtual / 3600:.1f} hours, {bad} with a broken promise")  # fmt: skip
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
