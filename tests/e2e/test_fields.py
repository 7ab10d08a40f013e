"""The fields that need a device lost, a hub restarted or a clock: each once through REST, with real edges."""

import signal
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.test_faults import LONG, QUICK, seconds
from tests.e2e.world import module


@pytest.fixture
def quick(make_world):
    return make_world(*QUICK)


def task(world, id, name="spin", inputs=(LONG,), example="spin", **fields):
    world.client.create_task(name, id=id, file=module(example), inputs=list(inputs), **fields)


def after(**delta) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


def test_on_device_lost_lost_after_and_idempotent(quick):
    world = quick
    world.start_edges("a")
    rules = {"fails": {"on_device_lost": "fail"}, "stops": {"on_device_lost": "interrupt"},
             "waits": {"idempotent": False}, "longer": {"lost_after": 5}}  # fmt: skip
    for id, fields in rules.items():
        task(world, id, timeout=60, **fields)
        world.client.start_task(id)
    for id in rules:
        world.wait_state(id, 2)
    killed = time.time()
    world.edges["a"].stop(signal.SIGKILL)
    failed, stopped = world.client.wait_task("fails", 10), world.client.wait_task("stops", 10)
    assert [(one["state_name"], one["error_info"]["code"]) for one in (failed, stopped)] == [
        ("Failed", "device_lost"), ("Interrupted", "device_lost"),
    ]  # fmt: skip
    world.wait_state("longer", 0)
    assert time.time() - killed >= 4.5
    assert world.client.task("waits")["state_name"] == "Running"
    # It comes back without the task: what must not run twice has failed for good.
    world.start_edge("a")
    assert world.client.wait_task("waits", 10)["error_info"]["code"] == "device_lost"
    world.client.stop_task("longer")


def test_stop_grace_lets_a_task_have_its_time(quick):
    quick.start_edges("a")
    task(quick, "t", "main", (), "endless", stop_grace_s=0.5)
    quick.client.start_task("t")
    quick.wait_state("t", 2)
    asked = time.monotonic()
    quick.client.stop_task("t")
    assert quick.client.wait_task("t", 10)["state_name"] == "Interrupted"
    assert 0.5 <= time.monotonic() - asked < 1.5


@pytest.mark.parametrize("overlap, fired, missed", [("skip", 1, True), ("allow", 3, False), ("replace", 3, False)])
def test_overlap(quick, overlap, fired, missed):
    quick.start_edges("a")
    task(quick, "t", every=0.4, overlap=overlap, end_at=after(seconds=1.5), timeout=60)
    quick.until(lambda: not quick.client.task("t")["enabled"])
    found = quick.client.task("t")
    assert found["run_count"] == fired
    assert (found["missed"] > 0) is missed
    firings = [one for one in quick.client.tasks(limit=100)["tasks"] if "scheduled_for" in one]
    if overlap == "replace":
        first = quick.client.wait_task(firings[0]["id"], 10)
        assert (first["state_name"], "replaced" in first["error"]) == ("Interrupted", True)
    quick.call("POST", "/stop", {"all": True})


@pytest.mark.parametrize("catchup, fired", [("none", 0), ("latest", 1), ("all", 3)])
def test_catchup_after_a_hub_that_was_down_over_three_slots(quick, catchup, fired):
    at = after(seconds=1)
    task(quick, "t", "main", (1, 2), "addition", every=0.5, start_at=at, end_at=after(seconds=2.2), catchup=catchup)
    quick.hub.stop(signal.SIGKILL)
    time.sleep(max(0.0, seconds(at) + 1.3 - time.time()))  # the clock on the wall is what is tested
    quick.start_hub()
    quick.start_edges("a")
    found = quick.client.task("t")
    assert (found["run_count"], found["run_count"] + found["missed"], found["enabled"]) == (fired, 3, False)
    if fired:
        assert quick.client.wait_task(found["last_firing"], 10)["results"] == "3\n"


def test_timezone_misfire_grace_and_is_recurring_are_kept_and_shown(quick):
    task(quick, "t", "main", (1, 2), "addition", schedule="30 9 * * 1-5", timezone="Europe/Riga", misfire_grace=5,
         is_recurring=True)  # fmt: skip
    found = quick.client.task("t")
    next_run = datetime.fromisoformat(found["next_run"]).astimezone(ZoneInfo("Europe/Riga"))
    assert (next_run.hour, next_run.minute, next_run.weekday() < 5) == (9, 30, True)
    assert (found["timezone"], found["misfire_grace"], found["is_recurring"]) == ("Europe/Riga", 5, True)
    preview = quick.call("GET", "/cron/preview?schedule=30 9 * * 1-5&timezone=Europe/Riga&count=1")
    assert preview == {"times": [found["next_run"]]}


def test_links_across_users_are_refused(quick):
    quick.start_edges("a")
    task(quick, "t", "main", (1, 2), "addition", user_id="ann")
    quick.client.start_task("t")
    quick.client.wait_task("t", 10)
    refused = quick.http.post("/tasks/t/link", json={"user_id": "bob"})
    assert (refused.status_code, refused.json()["code"]) == (409, "user_mismatch")
    assert quick.call("POST", "/tasks/t/link", {"user_id": "ann"}, 201)["results"] == "3\n"
    assert [one["user_id"] for one in quick.client.tasks(user_id="ann")["tasks"]] == ["ann", "ann"]
