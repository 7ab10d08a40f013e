"""Edges that are killed with -9 again and again while they fetch, run and report: every task ends with its result."""

import random
import signal
import time
from collections import Counter

from shared import states
from tests.e2e.world import module
from tests.effort import effort

KILLS = effort(100)
EDGES = ("a", "b", "c")
TASKS = 60
# Takes a tenth of a second here.
SPINS = 12_000_000
# An edge that starts again says so: no task waits for its lease.
PATIENT = ("--beat-s", "1", "--lease-s", "60", "--log-level", "error")


def test_edges_killed_at_any_moment_lose_no_task(make_world):
    world = make_world(*PATIENT)
    world.start_edges(*EDGES)
    chance = random.Random(15)
    outcomes: Counter[str] = Counter()
    kills = jobs = 0
    while kills < KILLS:
        jobs += 1
        job = world.client.create_job("many", tasks_of(jobs), execution_mode="parallel")["job_id"]
        world.client.start_job(job)
        while kills < KILLS and any(task["state"] not in states.ENDED for task in world.client.job(job)["tasks"]):
            time.sleep(chance.uniform(0, 0.5))
            kill(world, chance.choice(EDGES))
            kills += 1
        outcomes += check(world.client.wait_job(job, 120)["tasks"])
    print(f"{kills} kills of edges, {outcomes['completed']} tasks, {outcomes['lost']} attempts lost, 0 tasks")
    assert outcomes.keys() == {"completed", "lost"}, "a kill was taken for a failure, or none met a task"


def tasks_of(job):
    add = {"name": "main", "file": module("addition")}
    spin = {"name": "spin", "file": module("spin")}
    return [{**add, "inputs": [at, job]} if at % 2 else {**spin, "inputs": [SPINS + at]} for at in range(TASKS)]


def kill(world, name):
    world.edges[name].stop(signal.SIGKILL)
    world.start_edge(name)


def check(tasks):
    """The outcomes of the attempts of tasks each of which has ended as it must."""
    outcomes: Counter[str] = Counter()
    for task in tasks:
        assert task["state_name"] == "Completed", task
        if task["name"] == "main":
            assert task["results"] == f"{sum(task['inputs'])}\n"
        attempts = task["attempts"]
        assert [attempt["number"] for attempt in attempts] == list(range(1, len(attempts) + 1))
        assert [attempt["outcome"] for attempt in attempts] == ["lost"] * (len(attempts) - 1) + ["completed"]
        outcomes.update(attempt["outcome"] for attempt in attempts)
    return outcomes
