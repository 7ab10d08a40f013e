"""/metrics is what Prometheus reads, and counts what happened; tasks and proplets have what was measured of them."""

import asyncio

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from hub.api.counting import OTHER
from hub.api.events import Scope
from hub.core.checks import violations
from tests.api.stage import FILE


async def scrape(stage):
    """{name: {labels as a sorted tuple: value}} of all samples."""
    found = {}
    for family in text_families((await stage.http.get("/metrics")).text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


async def run(stage, id, ok=True):
    """One task on a device that keeps what it is told, to its end."""
    await stage.call("POST", "/tasks", {"id": id, "name": "main", "inputs": [1, 2], "file": FILE})
    await stage.call("POST", f"/tasks/{id}/start")
    start = await asyncio.wait_for(stage.held.get(), 5)
    stage.say(start["device"], "started", start)
    stage.finish(start["device"], start, ok)
    await stage.ended(id)
    return start


async def test_what_happened_to_tasks_is_counted(stage):
    stage.join("a", answers=False)
    late = await run(stage, "good")
    await run(stage, "bad", ok=False)
    await stage.call("POST", "/tasks", {"id": "idle", "name": "main", "file": FILE})
    stage.finish("a", late)
    found = await scrape(stage)
    assert found["motet_tasks"] == {
        (("state", name),): float(name in ("pending", "completed", "failed"))
        for name in ("pending", "scheduled", "running", "completed", "failed", "skipped", "interrupted")
    }
    assert found["motet_task_transitions_total"][("state", "running"),] == 2
    assert found["motet_dispatches_total"][()] == 2
    assert found["motet_attempts_total"][("outcome", "completed"),] == 1
    assert found["motet_attempts_total"][("outcome", "failed"),] == 1
    assert found["motet_results_total"] == {(("kind", "recorded"),): 2, (("kind", "superseded"),): 1}
    assert found["motet_dispatch_latency_seconds_count"][()] == 2
    assert found["motet_task_duration_seconds_count"][()] == 1
    assert found["motet_modules"][()] == 1 and found["motet_module_bytes"][()] > 80
    assert violations(stage.runtime.engine) == []


async def test_a_task_that_is_deleted_counts_no_longer(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    assert (await scrape(stage))["motet_tasks"][("state", "pending"),] == 1
    await stage.call("DELETE", "/tasks/t")
    assert (await scrape(stage))["motet_tasks"][("state", "pending"),] == 0


async def test_the_queue_and_the_proplets_are_seen(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    await stage.call("POST", "/tasks/t/start")
    found = await scrape(stage)
    assert found["motet_queue_length"][()] == 1
    assert found["motet_proplets"] == {(("status", "active"),): 0, (("status", "inactive"),): 0}
    stage.join("a", answers=False, slots=3)
    await asyncio.wait_for(stage.held.get(), 5)
    found = await scrape(stage)
    assert found["motet_queue_length"][()] == 0
    assert found["motet_proplets"][("status", "active"),] == 1
    assert (found["motet_slots"][()], found["motet_slots_busy"][()]) == (3, 1)
    stage.bridge.disconnected("a")
    assert (await scrape(stage))["motet_proplets"] == {(("status", "active"),): 0, (("status", "inactive"),): 1}


async def test_the_store_is_measured(stage):
    before = await scrape(stage)
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    after = await scrape(stage)
    grown = after["motet_journal_bytes"][()] - before["motet_journal_bytes"][()]
    assert grown == after["motet_journal_written_bytes_total"][()] - before["motet_journal_written_bytes_total"][()] > 0
    assert after["motet_journal_changes_total"][()] == before["motet_journal_changes_total"][()] + 1
    count = "motet_journal_fsync_seconds_count"
    assert after[count][()] == before[count][()] + 1
    assert after["motet_read_only"][()] == 0


async def test_requests_are_counted_by_the_template_of_their_route(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    for path in ("/tasks/t", "/tasks/t/", "/tasks/nobody", "/nowhere", "/nowhere/else"):
        await stage.call("GET", path)
    await stage.call("BREW", "/tasks/t")
    await stage.call("DELETE", "/health")
    counted = {
        tuple(value for _, value in labels): count
        for labels, count in (await scrape(stage))["motet_http_requests_total"].items()
    }
    assert counted == {
        ("POST", "/tasks", "201"): 1,
        ("GET", "/tasks/{id}", "200"): 2,
        ("GET", "/tasks/{id}", "404"): 1,
        ("GET", OTHER, "404"): 2,
        (OTHER, "/tasks/{id}", "405"): 1,
        ("DELETE", "/health", "405"): 1,
    }
    found = await scrape(stage)
    assert found["motet_http_request_seconds_count"][("method", "GET"), ("route", "/tasks/{id}")] == 3


async def test_messages_that_are_none_are_counted_by_kind_and_unknown_kinds_as_one(stage):
    stage.join("a")
    for kind in ("beat", "made-up-1", "made-up-2"):
        stage.bridge.message("a", kind, b"{}")
    dropped = (await scrape(stage))["motet_mqtt_messages_dropped_total"]
    assert dropped == {(("kind", "beat"),): 1, (("kind", "unknown"),): 2}


async def test_readers_of_events_are_seen(stage):
    reader = stage.feed.join(Scope())
    assert (await scrape(stage))["motet_event_readers"][()] == 1
    stage.feed.leave(reader)
    assert (await scrape(stage))["motet_event_readers"][()] == 0


@pytest.mark.parametrize(
    ("accept", "kind", "families"),
    [
        ("", "text/plain", text_families),
        ("application/openmetrics-text", "application/openmetrics-text", open_families),
    ],
)
async def test_the_format_is_that_which_was_asked_for_and_all_of_it_is_explained(stage, accept, kind, families):
    answer = await stage.http.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
    found = {family.name: family for family in families(answer.text)}
    assert all(family.documentation for family in found.values())
    assert {"process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"} <= found.keys()


async def test_a_task_has_what_each_of_its_attempts_took(stage):
    stage.join("a", answers=False)
    start = await run(stage, "t")
    page = (await stage.call("GET", "/tasks/t/metrics")).json()
    assert (page["offset"], page["limit"], page["total"]) == (0, 100, 1)
    [entry] = page["metrics"]
    assert (entry["task_id"], entry["proplet_id"], entry["attempt"]) == ("t", "a", start["attempt"])
    assert entry["outcome"] == "completed"
    assert entry["metrics"].keys() == {"queue_seconds", "start_seconds", "uptime_seconds"}
    assert all(0 <= seconds < 5 for seconds in entry["metrics"].values())


async def test_what_the_device_reported_belongs_to_the_attempt_that_ended_the_task(stage):
    stage.join("a", answers=False)
    body = {"id": "t", "name": "main", "file": FILE, "retries": 1, "backoff": "fixed", "backoff_base": 0}
    await stage.call("POST", "/tasks", body)
    await stage.call("POST", "/tasks/t/start")
    stage.finish("a", await asyncio.wait_for(stage.held.get(), 5), ok=False)
    start = await asyncio.wait_for(stage.held.get(), 5)
    stage.say("a", "result", {**start, "ok": True, "outputs": [3], "text": "3\n", "duration_ms": 7, "fuel": 99})
    await stage.ended("t")
    first, last = (await stage.call("GET", "/tasks/t/metrics")).json()["metrics"]
    assert first["outcome"] == "failed" and "fuel" not in first["metrics"]
    assert (last["metrics"]["duration_ms"], last["metrics"]["fuel"]) == (7, 99)


async def test_a_task_that_never_ran_has_no_metrics_and_an_unknown_one_is_unknown(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
    assert (await stage.call("GET", "/tasks/t/metrics")).json()["metrics"] == []
    assert (await stage.call("GET", "/tasks/nobody/metrics")).status_code == 404


async def test_a_proplet_has_what_its_last_beat_said(stage):
    stage.join("a")
    stage.say("a", "beat", {"boot": "b", "seq": 1, "mem_free": 4321, "uptime_s": 12, "running": []})
    page = (await stage.call("GET", "/proplets/a/metrics")).json()
    [entry] = page["metrics"]
    assert entry["memory_metrics"] == {"free_bytes": 4321, "total_bytes": 1}
    assert (entry["proplet_id"], entry["uptime_seconds"], entry["slots"], entry["running"]) == ("a", 12, 4, 0)
    assert (await stage.call("GET", "/proplets/nobody/metrics")).status_code == 404


async def test_what_is_dropped_of_what_tasks_say_and_quarantined_modules_are_counted(stage):
    stage.join("d1", answers=False)
    stage.say("d1", "log", {"task": "nobody", "attempt": 1, "level": "info", "text": "x"})
    for device in ("d2", "d3"):
        stage.join(device, answers=False)
        await stage.call("POST", "/tasks", {"id": device, "name": "main", "file": FILE, "proplet_id": device})
        await stage.call("POST", f"/tasks/{device}/start")
        stage.finish(device, await stage.held.get(), ok=False, code="worker_died")
        await stage.ended(device)
    text = (await stage.call("GET", "/metrics")).text
    assert 'motet_said_dropped_total{kind="log"} 1.0' in text
    assert 'motet_said_dropped_total{kind="publish"} 0.0' in text
    assert "motet_modules_quarantined 1.0" in text
