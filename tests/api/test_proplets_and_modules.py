"""/proplets, /modules and /health."""

import asyncio
import hashlib
import json

from tests.api.stage import ADDITION, FILE


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


async def test_a_module_is_inspected_stored_once_and_downloaded_by_its_hash(stage):
    sha = hashlib.sha256(ADDITION).hexdigest()
    for id in ("a", "b"):
        await stage.call("POST", "/tasks", {"id": id, "name": "main", "file": FILE})
    page = (await stage.call("GET", "/modules")).json()
    assert [module["sha256"] for module in page["modules"]] == [sha]
    module = (await stage.call("GET", f"/modules/{sha}")).json()
    assert module["exports"] == [{"name": "main", "kind": "func", "params": ["i32", "i32"], "results": ["i32"]}]
    raw = await stage.http.get(f"/modules/{sha}", headers={"Accept": "application/wasm"})
    assert (raw.content, raw.headers["etag"]) == (ADDITION, f'"{sha}"')
    part = await stage.http.get(f"/modules/{sha}", headers={"Accept": "application/wasm", "Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, ADDITION[4:8])


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


async def test_a_module_comes_to_a_device_in_chunks_and_an_unknown_one_is_empty(stage):
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    heard = asyncio.Queue()
    stage.join("d1")
    stage.link.devices["d1"] = lambda kind, fields: heard.put_nowait((kind, fields["total"], len(fields["data"])))
    stage.say("d1", "need", {"module": hashlib.sha256(ADDITION).hexdigest(), "offset": 40})
    stage.say("d1", "need", {"module": "0" * 64, "offset": 0})
    assert [await heard.get(), await heard.get()] == [("chunk", 42, 4), ("chunk", 0, 0)]
