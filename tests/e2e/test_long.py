"""Many: schedules at one moment, a long chain, and kills between a firing and its result."""

import signal
import time
from datetime import UTC, datetime

from tests.e2e.test_faults import QUICK, seconds
from tests.e2e.world import module
from tests.effort import effort

# Tasks that tell how long a thousand take to make.
TRIED = 100


def fired(world) -> int:
    """How many tasks there are beside the thousand templates, and those tried before."""
    return world.client.tasks(limit=1)["total"] - 1000 - TRIED


def test_a_thousand_schedules_due_at_one_moment_fire_within_a_second(world):
    world.start_edges("a", "b")
    begin = time.monotonic()
    for number in range(TRIED):
        world.client.create_task("main", id=f"tried{number}", file=module("addition"), inputs=[number, 1])
    # On a machine that is busy with other things, a thousand take their time.
    due = time.time() + 1 + 25 * (time.monotonic() - begin)
    at = datetime.fromtimestamp(due, UTC).isoformat()
    for number in range(1000):
        world.client.create_task("main", id=f"s{number}", file=module("addition"), inputs=[number, 1], at=at)
    assert time.time() < due, "the machine is too slow to make a thousand schedules in time"
    world.until(lambda: time.time() > due and fired(world) == 1000, timeout=60)
    firings = {
        (task["id"], seconds(task["created_at"]) - due)
        for offset in (0, 1000, 2000)
        for task in world.client.tasks(offset=offset, limit=1000)["tasks"]
        if "scheduled_for" in task
    }
    assert len({id for id, _ in firings}) == 1000
    assert all(0 <= late <= 1 for _, late in firings), max(late for _, late in firings)


def test_a_long_chain_is_accepted_at_once_and_completes(world):
    length = effort(10_000)
    world.start_edges("a")
    file = module("addition")
    tasks = [{"id": f"c{at}", "name": "main", "inputs": [at, 1], "file": file,
              **({"depends_on": [f"c{at - 1}"]} if at else {})} for at in range(length)]  # fmt: skip
    begin = time.monotonic()
    made = world.client.create_workflow(tasks, workflow_id="chain")
    assert time.monotonic() - begin <= 2
    world.client.start_workflow(made["workflow_id"])
    for event in world.client.events(task_id=f"c{length - 1}"):
        if event["event"] == "done":
            assert event["data"]["results"] == f"{length}\n"
    assert world.call("GET", "/workflows/chain")["state_name"] == "Completed"


def test_a_kill_between_a_firing_and_its_result_fires_nothing_twice(make_world):
    world = make_world(*QUICK)
    world.start_edges("a")
    fields = {"file": module("spin"), "inputs": [150_000_000], "catchup": "all", "overlap": "allow"}
    world.client.create_task("spin", id="t", every=1.0, max_runs=3, **fields)
    for _ in range(2):
        world.until(lambda: any("scheduled_for" in one for one in world.client.tasks(state=2)["tasks"]))
        world.hub.stop(signal.SIGKILL)
        world.start_hub()
    world.until(lambda: not world.client.task("t")["enabled"])
    template = world.client.task("t")
    firings = [task for task in world.client.tasks(limit=1000)["tasks"] if task.get("scheduled_for")]
    for firing in firings:
        assert world.client.wait_task(firing["id"], 30)["state_name"] == "Completed"
    slots = [firing["scheduled_for"] for firing in firings]
    assert (len(slots), len(set(slots)), template["run_count"]) == (3, 3, 3)
