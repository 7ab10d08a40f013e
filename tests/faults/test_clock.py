"""A hub whose clock is set while it runs and while it is down: nothing is lost, nothing runs twice, slots come once."""

import asyncio
import signal
import time
from datetime import datetime

import pytest

from shared import states
from tests.faults.fleet import FILE, Fleet
from tests.faults.template import ForkedWorld

HOUR, DAY = 3600, 86_400
EDGES = 8
# Longer than a frozen machine of tests stands still, much shorter than what the clock jumps.
LEASE_S = 10
# Tasks that end between two settings of the clock.
BETWEEN = 30
NOWHERE = {"labels": {"site": "nowhere"}}


@pytest.fixture
def world(tmp_path):
    world = ForkedWorld(tmp_path, "--beat-s", "0.5", "--lease-s", str(LEASE_S), "--log-level", "error")
    yield world
    world.close()


class Load:
    """Tasks that are started one after the other."""

    def __init__(self, world, fleet):
        self.world, self.fleet = world, fleet
        self.started: list[str] = []
        self.over = False

    async def run(self):
        while not self.over:
            id = f"t{len(self.started)}"
            await asyncio.to_thread(self._start, id)
            self.started.append(id)

    def _start(self, id):
        self.world.client.create_task("main", id=id, inputs=[1], file=FILE)
        self.world.client.start_task(id)

    async def goes_on(self):
        """Returns when so many more tasks have ended."""
        least = len(self.fleet.released) + BETWEEN
        await self.fleet.until(lambda: len(self.fleet.released) >= least)


async def test_a_clock_that_is_set_by_an_hour_and_by_a_day_while_tasks_run_costs_nothing(world, tmp_path):
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 11, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        # It waits for a proplet that is not there, at most two hours of a clock that nobody sets.
        waiting = world.client.create_task("main", file=FILE, inputs=[1], queue_timeout=2 * HOUR, placement=NOWHERE)
        world.client.start_task(waiting["id"])
        # The hub looks at what is due often, and tasks run when the clock is set.
        world.client.create_task("main", id="often", file=FILE, inputs=[1], every=0.2)
        world.client.start_task("often")
        fleet.task_s = 1.0
        load = Load(world, fleet)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for offset in (0, HOUR, 0, -HOUR, 0, DAY, 0, -DAY, 0):
                world.set_clock(offset)
                await load.goes_on()
            load.over = True
        await fleet.until(lambda: set(load.started) <= {task for task, _ in fleet.released})
        assert world.client.task(waiting["id"])["state"] == states.PENDING
        tasks = [world.client.task(id) for id in load.started]
        proplets = world.client.proplets(limit=EDGES)["proplets"]
    assert {task["state"] for task in tasks} == {states.COMPLETED}
    assert {len(task["attempts"]) for task in tasks} == {1}, "a clock that was set cost an attempt"
    assert set(fleet.runs.values()) == {1} and fleet.connections == EDGES
    assert all(moment(task["start_time"]) <= moment(task["finish_time"]) for task in tasks)
    assert all(proplet["alive"] for proplet in proplets)


async def test_a_clock_that_is_set_while_the_hub_is_down_costs_nothing(world, tmp_path):
    """As on a gateway that has no clock of its own: it comes up in the past, and is set when it has a network."""
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 12, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        for at, (down, up) in enumerate([(DAY, 0), (-DAY, 0), (-HOUR, HOUR)]):
            ids = [f"t{at}-{number}" for number in range(BETWEEN)]
            tasks = [{"id": id, "name": "main", "inputs": [1], "file": FILE} for id in ids]
            world.client.create_job("many", tasks, job_id=f"j{at}", execution_mode="parallel")
            world.client.start_job(f"j{at}")
            await asyncio.to_thread(world.hub.stop, signal.SIGKILL)
            world.set_clock(down)
            fleet.hurry()
            await asyncio.to_thread(world.start_hub)
            world.set_clock(up)
            await fleet.until(lambda ids=ids: set(ids) <= {task for task, _ in fleet.released})
            job = await asyncio.to_thread(world.client.wait_job, f"j{at}", 30)
            assert {(task["state"], len(task["attempts"])) for task in job["tasks"]} == {(states.COMPLETED, 1)}
    assert set(fleet.runs.values()) == {1}


async def test_a_clock_that_is_set_fires_what_it_reaches_once_and_nothing_twice(world, tmp_path):
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 13, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        begin = time.time()
        world.client.create_task("main", id="s", inputs=[1], file=FILE, at=stamp(begin + HOUR - 5))
        world.client.start_task("s")
        world.set_clock(HOUR)
        await fleet.until(lambda: len(fleet.released) == 1, 30)
        for offset in (0, HOUR, DAY):
            world.set_clock(offset)
            await asyncio.to_thread(world.client.create_task, "main", id=f"after-{offset}", inputs=[1], file=FILE)
            await asyncio.to_thread(world.client.start_task, f"after-{offset}")
            await fleet.until(lambda offset=offset: (f"after-{offset}", 1) in fleet.released)
        assert world.client.task("s")["run_count"] == 1
    assert len(fleet.runs) == 4


def moment(text):
    return datetime.fromisoformat(text)


def stamp(seconds):
    return datetime.fromtimestamp(seconds).astimezone().isoformat()
