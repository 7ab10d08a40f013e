"""The fields that need a device lost, a hub restarted or a clock: each once through REST, with real edges."""

import signal
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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


def test_what_must_not_run_twice_waits_for_a_device_that_still_has_it(quick):
    quick.start_edges("a", "b")
    task(quick, "t", inputs=(250_000_000,), timeout=120, idempotent=False, proplet_id="a")
    quick.client.start_task("t")
    quick.wait_state("t", 2)
    # Only the edge is frozen: its worker goes on, and the lease of 1 s ends.
    quick.edges["a"].child.send_signal(signal.SIGSTOP)
    quick.until(lambda: not quick.call("GET", "/proplets/a")["alive"])
    frozen = quick.client.task("t")
    assert (frozen["state_name"], frozen["proplet_id"]) == ("Running", "a")
    quick.edges["a"].child.send_signal(signal.SIGCONT)
    ended = quick.client.wait_task("t", 60)
    assert ended["results"] == "250000000\n"
    assert [(one["proplet_id"], one["outcome"]) for one in ended["attempts"]] == [("a", "completed")]


def waits(ended) -> list[float]:
    """Seconds between the attempts of a task."""
    return [seconds(b["dispatched_at"]) - seconds(a["finish_time"]) for a, b in pairwise(ended["attempts"])]


def test_backoff_max_caps_what_the_backoff_asks_for(quick):
    quick.start_edges("a")
    trap = {"name": "main", "inputs": (), "example": "trap", "retries": 2, "backoff": "exponential"}
    task(quick, "t", **trap, backoff_base=60, backoff_max=0.3)
    quick.client.start_task("t")
    assert all(0.3 <= wait < 1.3 for wait in waits(quick.client.wait_task("t", 20)))


def test_backoff_jitter_spreads_tasks_that_failed_together(quick):
    quick.start_edges("a")
    ids = [f"t{at}" for at in range(6)]
    for id in ids:
        task(quick, id, "main", (), "trap", retries=1, backoff="fixed", backoff_base=0.5, backoff_jitter=1.0)
        quick.client.start_task(id)
    spread = sorted(wait for id in ids for wait in waits(quick.client.wait_task(id, 20)))
    assert len(spread) == 6
    assert 0.5 <= spread[0] < spread[-1] < 2
    assert spread[-1] - spread[0] > 0.1


def test_a_daemon_that_ends_by_itself_runs_again_on_the_same_proplet_ever_later(quick):
    quick.start_edges("a", "b")
    task(quick, "t", "main", (1, 2), "addition", daemon=True)
    quick.client.start_task("t")
    quick.until(lambda: len(quick.client.task("t").get("attempts", ())) >= 3)
    quick.client.stop_task("t")
    ended = quick.client.wait_task("t", 10)
    assert ended["state_name"] == "Interrupted"
    assert len({one["proplet_id"] for one in ended["attempts"]}) == 1
    first, second = waits(ended)[:2]
    assert 1 <= first < 1.9 <= second


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


def test_overlap_queue_fires_the_slot_that_waits_when_the_one_before_has_ended(quick):
    quick.start_edges("a")
    task(quick, "t", every=0.3, overlap="queue", end_at=after(seconds=1.4), timeout=60)
    quick.until(lambda: not quick.client.task("t")["enabled"])
    first = quick.client.task("t")
    # One runs, one waits, and there is no place for a third.
    assert first["run_count"] == 1 and first["missed"] >= 1
    quick.client.stop_task(first["last_firing"])
    second = quick.until(lambda: quick.client.task("t")["run_count"] == 2 and quick.client.task("t"))
    queued = quick.client.task(second["last_firing"])
    assert seconds(queued["scheduled_for"]) - seconds(quick.client.task(first["last_firing"])["scheduled_for"]) < 0.4
    quick.call("POST", "/stop", {"all": True})


@pytest.mark.parametrize("grace, missed", [(0.2, True), (60, False)])
def test_misfire_grace_decides_on_slots_that_are_late_while_the_hub_runs(quick, grace, missed):
    quick.start_edges("a")
    task(quick, "t", "main", (1, 2), "addition", every=0.5, start_at=after(seconds=0.5), end_at=after(seconds=2.2),
         misfire_grace=grace, overlap="allow")  # fmt: skip
    quick.hub.child.send_signal(signal.SIGSTOP)
    time.sleep(2.3)  # the clock on the wall is what is tested
    quick.hub.child.send_signal(signal.SIGCONT)
    quick.until(lambda: not quick.client.task("t")["enabled"])
    found = quick.client.task("t")
    assert (found["missed"] > 0) is missed
    assert found["run_count"] + found["missed"] == 4


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
