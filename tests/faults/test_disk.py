"""A hub whose disk takes no more: it says so, goes on reading, and nothing that it acknowledged is lost."""

import asyncio
import resource
import signal

import pytest

from shared.errors import Unavailable
from tests.faults.fleet import FILE, Fleet

EDGES = 4


async def test_a_hub_that_can_not_write_is_read_only_and_edges_keep_their_results_for_it(make_world, tmp_path):
    """No file of the hub may grow beyond a size, as on a full disk, without the rights that a full disk takes."""
    world = make_world("--beat-s", "1", "--log-level", "error")
    acknowledged = []
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 10, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        await asyncio.to_thread(fill, world, acknowledged)
        released = set(fleet.released)
        world.call("GET", "/health", status=503)
        assert world.client.tasks(limit=1)["total"] >= len(acknowledged) > 0
        for id in acknowledged:
            assert world.client.task(id)["id"] == id
        world.call("POST", "/tasks", {"name": "main"}, status=503)
        # A restart with room again: all that was acknowledged is there, and what edges kept is taken now.
        await asyncio.to_thread(world.hub.stop, signal.SIGTERM)
        await asyncio.to_thread(world.start_hub)
        await fleet.until(lambda: set(acknowledged) <= {task for task, _ in fleet.released})
        states = {id: (await asyncio.to_thread(world.client.task, id))["state"] for id in acknowledged}
    assert set(states.values()) == {3}
    assert released <= fleet.released and max(fleet.runs.values()) == 1


def fill(world, acknowledged):
    """Starts tasks until the hub refuses; those whose start it took."""
    pid = world.hub.child.pid
    journals = (world.folder / "hub").rglob("journal*")
    used = max(path.stat().st_size for path in journals)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (used, resource.RLIM_INFINITY))
    with pytest.raises(Unavailable) as refused:
        for at in range(100_000):
            world.client.create_task("main", id=f"t{at}", inputs=[at], file=FILE, env={"x": "x" * 1000})
            world.client.start_task(f"t{at}")
            acknowledged.append(f"t{at}")
    assert refused.value.code in ("disk_full", "store_failed")
