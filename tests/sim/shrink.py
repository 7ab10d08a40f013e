"""A failing plan made small: whatever can be left out without the same promise being kept is left out."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.sim.network import CALM
from tests.sim.plan import Plan
from tests.sim.simulation import Outcome, simulate

MOST = 400  # plays


def shrink(plan: Plan, outcome: Outcome, most: int = MOST, play: Callable[[Plan], Outcome] = simulate) -> Plan:
    """Greedy: takes the first smaller plan that breaks the same promise, until there is none, or after `most` plays."""
    left = most
    progress = True
    while progress and left > 0:
        progress = False
        for smaller in _smaller(plan):
            left -= 1
            if play(smaller).title == outcome.title:
                plan, progress = smaller, True
                break
            if left <= 0:
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Plans with less in them, the boldest first."""
    count = len(plan.steps)
    size = count // 2
    while size:
        for at in range(count - size, -1, -size):
            yield plan.without(at, size)
        size //= 2
    calmer = [
        replace(plan.weather, loss=0.0),
        replace(plan.weather, double=0.0),
        replace(plan.weather, reorder=False),
        replace(plan.weather, delay_s=CALM.delay_s),
    ]
    for weather in calmer:
        if weather != plan.weather:
            yield replace(plan, weather=weather)
    if plan.failing:
        yield replace(plan, failing=0.0)
    used = {step.what.get("device") for step in plan.steps} | {
        step.what.get("spec", {}).get("pinned_to") for step in plan.steps
    }
    for at, model in enumerate(plan.devices):
        if len(plan.devices) > 1 and model.name not in used:
            yield replace(plan, devices=plan.devices[:at] + plan.devices[at + 1 :])
