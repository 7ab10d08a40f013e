"""Modules and what tasks say, over real processes."""

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.world import World, module


def test_a_module_waits_for_a_device_that_offers_what_it_imports_and_its_lines_outlive_the_hub(make_world):
    world = make_world()
    world.start_edges("plain")
    data = module("alarm")
    sha = hashlib.sha256(data).hexdigest()
    allow = ["sensor:0", "gpio_write:2", "publish:alarm"]
    world.client.create_task("alarm", id="t", file=data, inputs=[-50_000], allow=allow)
    world.client.start_task("t")
    assert world.client.task("t")["pending_reason"] == "no known proplet offers gpio_write"
    assert world.client.module(sha)["could_run"] == []
    world.start_edge("roof", "--board", "simulated")
    task = world.client.wait_task("t", 20)
    assert (task["state_name"], task["proplet_id"], task["outputs"][0]["alarm"]) == ("Completed", "roof", True)
    shown = world.client.module(sha)
    assert (shown["proplets"], shown["could_run"], shown["tasks"]) == (["roof"], ["roof"], 1)
    world.hub.stop(signal.SIGTERM)
    world.start_hub()
    (line,) = world.client.logs("t", level="warning")["logs"]
    assert (line["text"], line["proplet"], line["attempt"]) == ("above the limit", "roof", 1)
    world.call("DELETE", f"/modules/{sha}", status=409)
    world.client.delete_task("t")
    world.call("DELETE", f"/modules/{sha}", status=204)


def workers(pid: int) -> Iterator[int]:
    """The processes below this one that have none below them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    if not children:
        yield pid
    for child in children:
        yield from workers(int(child))


def lose_worker(world: World, edge: str) -> dict:
    """A task that runs when its worker is killed; the task when it has ended."""
    id = f"on-{edge}"
    world.client.create_task("endless", id=id, file=module("endless"), proplet_id=edge)
    world.client.start_task(id)
    world.wait_state(id, 2)
    for pid in workers(world.edges[edge].child.pid):
        os.kill(pid, signal.SIGKILL)
    return world.client.wait_task(id, 20)


def test_a_module_whose_workers_die_on_two_devices_is_kept_from_a_third_until_it_is_released(make_world):
    world = make_world()
    world.start_edges("a", "b", "c")
    assert [lose_worker(world, edge)["error_info"]["code"] for edge in ("a", "b")] == ["worker_died", "worker_died"]
    sha = hashlib.sha256(module("endless")).hexdigest()
    assert world.client.module(sha)["quarantined"]["proplets"] == ["a", "b"]
    world.client.create_task("endless", id="next", file=module("endless"), timeout=0.2)
    world.client.start_task("next")
    assert world.client.wait_task("next", 20)["error_info"]["code"] == "quarantined"
    world.client.release_module(sha)
    world.client.start_task("next")
    assert world.client.wait_task("next", 20)["error_info"]["code"] == "timeout"
