"""Edges behind a network that cuts, delays and halves connections: no result is lost, and no storm follows."""

import asyncio
import signal
import time

from motet.client import AsyncClient
from tests.effort import effort
from tests.faults.fleet import FILE, Fleet
from tests.faults.proxy import Proxy

CUTS = effort(500)
EDGES = 50
BACK_S = 30.0
# The backoff's unit of an edge that is not hurried.
UNIT_S = 1.0
DOWN_S = 4.0
# With it a wait is up to 4 s; without that bound, up to 16 s when the hub has been away for so long.
LEASE_S, AWAY_S = 5.0, 12.0


async def submit(url: str, over: asyncio.Event) -> set[str]:
    """Starts task after task; all that were."""
    started: set[str] = set()
    async with AsyncClient(url) as client:
        while not over.is_set():
            id = f"t{len(started)}"
            await client.create_task("main", id=id, inputs=[len(started)], file=FILE)
            await client.start_task(id)
            started.add(id)
            await asyncio.sleep(0.01)
    return started


async def test_cuts_delays_and_halves_lose_no_result(make_world, tmp_path):
    world = make_world("--beat-s", "1", "--log-level", "error")
    over = asyncio.Event()
    async with Proxy(int(world.mqtt_port), 8) as proxy, Fleet(tmp_path, proxy.port, EDGES, 8, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        submitting = asyncio.create_task(submit(world.url, over))
        while proxy.cuts < CUTS:
            what = proxy.chance.random()
            if what < 0.2:
                await proxy.hold(proxy.chance.uniform(0.1, 1.0))
            else:
                proxy.cut(proxy.chance.randint(1, 5), halves=what < 0.6)
                await asyncio.sleep(proxy.chance.uniform(0, 0.3))
        over.set()
        cuts, started = proxy.cuts, await submitting
        await fleet.until(lambda: fleet.welcomed == EDGES, BACK_S)
        await fleet.until(lambda: started <= {task for task, _ in fleet.released})
        tasks = await asyncio.to_thread(lambda: [world.client.task(id) for id in started])
    assert {(task["state"], task["results"] == f"{task['inputs'][0]}\n") for task in tasks} == {(3, True)}
    assert set(fleet.runs.values()) == {1}, "an attempt ran twice"
    print(f"{cuts} cuts, {EDGES} edges, {len(started)} tasks, 0 lost, {len(fleet.runs)} runs")


async def test_edges_that_are_all_cut_off_at_once_come_back_in_time_and_without_a_storm(make_world, tmp_path):
    world = make_world("--log-level", "error")
    async with Proxy(int(world.mqtt_port), 9) as proxy, Fleet(tmp_path, proxy.port, EDGES, 9, UNIT_S) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        await asyncio.to_thread(world.hub.stop)
        down = time.monotonic()
        await asyncio.sleep(DOWN_S)
        knocks = [at - down for at in proxy.opened[EDGES:]]
        began = time.monotonic()
        await asyncio.to_thread(world.start_hub)
        await fleet.until(lambda: fleet.welcomed == EDGES, BACK_S)
        took_s = time.monotonic() - began
    at = proxy.opened[EDGES:]
    most = max(sum(begin <= one < begin + 1 for one in at) for begin in at)
    print(f"{EDGES} edges back {took_s:.1f} s after the hub's start; {len(knocks)} tries in {DOWN_S:g} s without it, "
          f"at most {most} in a second")  # fmt: skip
    # The first try of each is spread over one unit, the second over two, and so on.
    assert most <= 2 * EDGES
    assert sum(one > DOWN_S - UNIT_S for one in knocks) < sum(one < UNIT_S for one in knocks)


async def test_edges_whose_hub_was_away_for_long_are_back_before_it_gives_up_what_they_run(make_world, tmp_path):
    """Their waits double, but stay below the lease: nothing that ran meanwhile runs again."""
    world = make_world("--beat-s", "1", "--lease-s", str(LEASE_S), "--log-level", "error")
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 14, UNIT_S) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        fleet.task_s = 2 * LEASE_S
        tasks = [{"name": "main", "inputs": [at], "file": FILE} for at in range(2 * EDGES)]
        world.client.create_job("long", tasks, job_id="j", execution_mode="parallel")
        world.client.start_job("j")
        await fleet.until(lambda: len(fleet.runs) == len(tasks))
        await asyncio.to_thread(world.hub.stop, signal.SIGKILL)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(world.start_hub)
        ended = (await asyncio.to_thread(world.client.wait_job, "j", 60))["tasks"]
    assert {(task["state_name"], len(task["attempts"])) for task in ended} == {("Completed", 1)}
