"""Hubs and edges that stand still for longer than their leases, and edges that are killed, while tasks run."""

import asyncio
import signal
from collections import Counter

import pytest

from shared import states
from tests.e2e.world import module
from tests.effort import SOAK
from tests.faults.fleet import FILE, Fleet

QUICK = ("--beat-s", "0.5", "--lease-s", "1.5")
# What is dispatched when the hub goes on has a lease like any other: edges must have their turn within it, whatever
# else the machine does.
HUB_LEASE_S = 5
PATIENT = ("--beat-s", "1", "--lease-s", str(HUB_LEASE_S))
# Edges give up a hub that is silent for 10 s, a hub an edge after 45 s.
FROZEN_S = 60 if SOAK else 12
EDGES, TASKS = 20, 200
# Takes half a second here.
LONG = 60_000_000


@pytest.mark.parametrize("frozen_s", [HUB_LEASE_S + 2, FROZEN_S])
async def test_a_hub_frozen_for_longer_than_lease_and_keep_alive_loses_no_result(make_world, tmp_path, frozen_s):
    world = make_world(*PATIENT, "--log-level", "error")
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 60, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        await asyncio.to_thread(submit, world)
        await fleet.until(lambda: len(fleet.runs) > TASKS // 10)
        world.hub.child.send_signal(signal.SIGSTOP)
        await asyncio.sleep(frozen_s)
        world.hub.child.send_signal(signal.SIGCONT)
        await fleet.until(lambda: len({task for task, _ in fleet.released}) == TASKS)
        await asyncio.to_thread(world.client.wait_job, "j", 60)
        tasks = (await asyncio.to_thread(world.client.job, "j"))["tasks"]
    check(tasks)
    assert max(fleet.runs.values()) == 1, "an attempt ran twice"
    # It was the hub that was silent, not its devices: none of them is given up.
    given_up = [task["attempts"] for task in tasks if len(task["attempts"]) > 1]
    assert not given_up, f"{len(given_up)}: {given_up[0][0]}"
    assert len(fleet.runs) == TASKS
    print(f"frozen for {frozen_s:g} s: {TASKS} tasks, 0 lost, {len(fleet.runs)} attempts, "
          f"{fleet.connections - EDGES} reconnections")  # fmt: skip


def submit(world):
    tasks = [{"id": f"t{at}", "name": "main", "inputs": [at], "file": FILE} for at in range(TASKS)]
    world.client.create_job("many", tasks, job_id="j", execution_mode="parallel")
    world.client.start_job("j")


def check(tasks):
    wrong = [task for task in tasks if task["state"] != states.COMPLETED]
    assert not wrong, wrong[:2]
    assert {(task["state"], task["results"] == f"{task['inputs'][0]}\n") for task in tasks} == {(3, True)}


def test_edges_killed_and_frozen_at_random_moments_lose_no_task(make_world):
    """Real workers, real wasm; a frozen edge comes back with results of attempts that were given up."""
    world = make_world(*QUICK)
    world.start_edges("a", "b", "c")
    tasks = [{"id": f"t{at}", "name": "spin", "inputs": [LONG + at], "file": module("spin"), "timeout": 120}
             for at in range(18)]  # fmt: skip
    world.client.create_job("many", tasks, job_id="j", execution_mode="parallel")
    world.client.start_job("j")
    world.until(lambda: running_on(world, "a") and running_on(world, "b"))
    world.edges["a"].stop(signal.SIGKILL)
    world.edges["b"].child.send_signal(signal.SIGSTOP)
    try:
        world.until(lambda: all(lost_on(world, edge) for edge in "ab"))
    finally:
        world.edges["b"].child.send_signal(signal.SIGCONT)
    world.start_edge("a")
    world.client.wait_job("j", 120)
    tasks = world.client.job("j")["tasks"]
    check(tasks)
    outcomes = Counter(attempt["outcome"] for task in tasks for attempt in task["attempts"])
    assert outcomes["completed"] == len(tasks) and outcomes["lost"] >= 2 and len(outcomes) == 2
    for task in tasks:
        assert [attempt["number"] for attempt in task["attempts"]] == list(range(1, len(task["attempts"]) + 1))


def running_on(world, edge):
    return any(
        task["state"] == states.RUNNING and task["proplet_id"] == edge for task in world.client.job("j")["tasks"]
    )


def lost_on(world, edge):
    return any(attempt.get("outcome") == "lost" and attempt["proplet_id"] == edge
               for task in world.client.job("j")["tasks"] for attempt in task.get("attempts", ()))  # fmt: skip
