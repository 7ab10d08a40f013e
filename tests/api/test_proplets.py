"""/proplets and /health."""

import json

from tests.api.stage import FILE


async def test_a_proplet_shows_what_it_said_and_what_it_does(stage):
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    await stage.call("POST", "/tasks/t/start")
    proplet = (await stage.call("GET", "/proplets/d1")).json()
    assert (proplet["alive"], proplet["task_count"], proplet["slots"], proplet["running"]) == (True, 1, 4, ["t"])
    assert (await stage.call("DELETE", "/proplets/d1")).status_code == 409
    stage.bridge.disconnected("d1")
    inactive = (await stage.call("GET", "/proplets?status=inactive")).json()
    assert [one["id"] for one in inactive["proplets"]] == ["d1"]
    assert (await stage.call("GET", "/proplets?status=active")).json()["total"] == 0
    assert (await stage.call("GET", "/proplets/d1/alive-history")).json()["total"] == 1


async def test_health_has_propellers_fields(stage):
    answer = await stage.call("GET", "/health")
    assert answer.status_code == 200
    assert list(answer.json()) == ["status", "version", "commit", "description", "build_time", "instance_id"]
    assert answer.json()["status"] == "pass"


async def test_a_device_of_another_protocol_is_sent_away(stage):
    stage.join("d1")
    hello = {"proto": 99, "boot": "b", "agent": "0", "runtime": "x", "caps": {}, "mem_free": 1, "mem_total": 1}
    hello |= {"slots": 1, "running": [], "outbox": []}
    stage.bridge.message("d1", "hello", json.dumps(hello).encode())
    assert stage.link.kicked == ["d1"]


async def test_last_words_are_kept_as_far_as_they_are_such(stage):
    stage.join("d1")
    assert "last_words" not in (await stage.call("GET", "/proplets/d1")).json()
    hello = {"proto": 1, "boot": "b", "agent": "0", "runtime": "x", "caps": {}, "mem_free": 1, "mem_total": 1}
    hello |= {"slots": 1, "running": [], "outbox": []}
    last = {"cause": "WDT", "task": "t", "attempt": True, "text": "x" * 999, "more": {}}
    stage.bridge.message("d1", "hello", json.dumps({**hello, "last": last}).encode())
    stage.bridge.message("d1", "hello", json.dumps(hello).encode())  # it says them once
    said = (await stage.call("GET", "/proplets/d1")).json()["last_words"]
    assert said.pop("at").endswith("Z")
    assert said == {"cause": "watchdog", "task": "t", "text": "x" * 256}
