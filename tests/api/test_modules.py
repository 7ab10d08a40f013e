"""/modules: what is known of a module, its bytes, and how it goes."""

import asyncio
import base64
import hashlib
import os
import threading
from pathlib import Path

import pytest

from hub.core.commands import Delete
from hub.core.model import MODULES, Put
from hub.modules.accept import Accepted, accept
from hub.store.blobs import Blobs
from hub.store.journal import Journal
from tests.api.stage import ADDITION, FILE, Stage

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SHA = hashlib.sha256(ADDITION).hexdigest()
PREPARED = accept(ADDITION).prepared
FORM = hashlib.sha256(PREPARED).hexdigest()
WASM = {"Accept": "application/wasm"}
# It splats a vector.
SIMD = bytes.fromhex("0061736d01000000010401600000030201000a090107004100fd0f1a0b")


async def task(stage: Stage, id: str = "t", file: str = FILE, **more) -> None:
    answer = await stage.call("POST", "/tasks", {"id": id, "name": "main", "file": file, **more})
    assert answer.status_code == 201, answer.text


async def test_a_module_is_checked_prepared_and_stored_once(stage):
    for id in ("a", "b"):
        await task(stage, id)
    page = (await stage.call("GET", "/modules")).json()
    assert [module["sha256"] for module in page["modules"]] == [SHA]
    module = (await stage.call("GET", f"/modules/{SHA}")).json()
    assert module["exports"] == [{"name": "main", "kind": "func", "params": ["i32", "i32"], "results": ["i32"]}]
    assert (module["features"], module["memory"], module["imports"]) == ([], None, [])
    assert (module["size_bytes"], module["prepared_size"]) == (len(ADDITION), len(PREPARED))
    assert (module["prepared"], module["tasks"]) == (FORM, 2)
    assert list(stage.runtime.blobs) == sorted([SHA, FORM])


async def test_a_module_is_shown_with_the_proplets_that_have_it_and_that_could_run_it(stage):
    await task(stage)
    await task(stage, "large", _base64("checksum.wasm"))
    stage.join("d1")
    stage.join("d2")
    plain = (await stage.call("GET", f"/modules/{SHA}")).json()
    assert (plain["proplets"], plain["could_run"]) == ([], ["d1", "d2"])
    await stage.call("POST", "/tasks/t/start")
    ran = (await stage.ended("t"))["proplet_id"]
    assert (await stage.call("GET", f"/modules/{SHA}")).json()["proplets"] == [ran]
    sha = hashlib.sha256((EXAMPLES / "checksum.wasm").read_bytes()).hexdigest()
    assert (await stage.call("GET", f"/modules/{sha}")).json()["could_run"] == []


def _base64(name: str) -> str:
    return base64.b64encode((EXAMPLES / name).read_bytes()).decode()


async def test_modules_are_listed_by_the_name_of_an_export(stage):
    await task(stage)
    await task(stage, "large", _base64("checksum.wasm"))
    page = (await stage.call("GET", "/modules?export=main")).json()
    assert ([one["sha256"] for one in page["modules"]], page["total"]) == ([SHA], 1)
    assert (await stage.call("GET", "/modules?export=memory")).json()["total"] == 0


async def test_the_bytes_of_either_form_come_by_header_by_query_and_by_their_own_hash(stage):
    await task(stage)
    for path, headers, content in (
        (f"/modules/{SHA}", WASM, ADDITION),
        (f"/modules/{SHA}?form=original", {}, ADDITION),
        (f"/modules/{SHA}?form=prepared", {}, PREPARED),
        (f"/modules/{FORM}", WASM, PREPARED),
    ):
        raw = await stage.http.get(path, headers=headers)
        assert (raw.status_code, raw.content) == (200, content), path
        assert raw.headers["content-type"] == "application/wasm"
        assert raw.headers["etag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert (await stage.call("GET", f"/modules/{FORM}")).json()["sha256"] == SHA
    assert (await stage.call("GET", f"/modules/{SHA}?form=text")).json()["code"] == "bad_form"
    assert (await stage.call("GET", f"/modules/{'0' * 64}", headers=WASM)).status_code == 404


async def test_a_part_of_the_bytes_comes_by_range(stage):
    await task(stage)
    part = await stage.http.get(f"/modules/{FORM}", headers={**WASM, "Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, PREPARED[4:8])
    beyond = await stage.http.get(f"/modules/{SHA}", headers={**WASM, "Range": "bytes=9999-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    ("tags", "status"),
    [(f'"{SHA}"', 304), (f'W/"{SHA}"', 304), (f'"x", "{SHA}"', 304), ("*", 304), ('"x"', 200), (SHA, 200)],
)
async def test_who_has_the_bytes_does_not_get_them_again(stage, tags, status):
    await task(stage)
    answer = await stage.http.get(f"/modules/{SHA}", headers={**WASM, "If-None-Match": tags})
    assert (answer.status_code, answer.headers["etag"]) == (status, f'"{SHA}"')
    assert (len(answer.content) == 0) == (status == 304)


async def test_devices_get_the_prepared_form_in_chunks_and_of_an_unknown_module_nothing(stage):
    heard: asyncio.Queue[tuple] = asyncio.Queue()
    await task(stage, inputs=[1, 2])
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks/t/start")
    start = await asyncio.wait_for(stage.held.get(), 5)
    assert (start["module"], start["size"]) == (FORM, len(PREPARED))
    stage.link.devices["d1"] = lambda kind, fields: heard.put_nowait((kind, fields["total"], len(fields["data"])))
    stage.say("d1", "need", {"module": FORM, "offset": len(PREPARED) - 2})
    stage.say("d1", "need", {"module": "0" * 64, "offset": 0})
    assert [await heard.get(), await heard.get()] == [("chunk", len(PREPARED), 4), ("chunk", 0, 0)]


async def test_what_is_no_module_or_more_than_wasm3_can_is_refused_and_nothing_is_kept(stage):
    for data, word in ((b"hello", "WebAssembly"), (ADDITION[:-1], "cut short"), (SIMD, "SIMD")):
        await stage.call("POST", "/tasks", {"id": "t", "name": "main"})
        answer = await stage.http.put("/tasks/t/upload", files={"file": data})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_module"), answer.text
        assert word in answer.json()["error"]
    assert (await stage.call("GET", "/modules")).json()["total"] == 0
    assert list(stage.runtime.blobs) == []


async def test_a_put_with_a_file_changes_all_or_nothing(stage):
    stage.join("d1", answers=False)
    await task(stage)
    await stage.call("POST", "/tasks/t/start")
    answer = await stage.call("PUT", "/tasks/t", {"name": "other", "file": _base64("checksum.wasm")})
    assert answer.status_code == 409
    assert (await stage.call("GET", "/tasks/t")).json()["module"] == SHA
    await stage.call("POST", "/tasks", {"id": "idle", "name": "main"})
    changed = (await stage.call("PUT", "/tasks/idle", {"name": "other", "file": FILE})).json()
    assert (changed["name"], changed["module"]) == ("other", SHA)


# --- going


async def gone(stage: Stage, *blobs: str) -> None:
    await asyncio.gather(*stage.parts.library._going.values())
    assert not set(blobs) & set(stage.runtime.blobs)


async def test_a_module_is_deleted_with_its_bytes_unless_a_task_refers_to_it(stage):
    await task(stage)
    refused = await stage.call("DELETE", f"/modules/{SHA}")
    assert (refused.status_code, refused.json()["code"], refused.json()["detail"]) == (
        409,
        "module_needed",
        {"tasks": 1},
    )
    await stage.call("DELETE", "/tasks/t")
    assert (await stage.call("DELETE", f"/modules/{SHA}")).status_code == 204
    assert (await stage.call("GET", f"/modules/{SHA}")).status_code == 404
    assert (await stage.call("DELETE", f"/modules/{SHA}")).status_code == 404
    await gone(stage, SHA, FORM)
    await task(stage)
    assert (await stage.http.get(f"/modules/{SHA}", headers=WASM)).content == ADDITION


async def test_what_nobody_refers_to_goes_at_the_start_when_its_hour_is_over(tmp_path, monkeypatch):
    async with Stage(tmp_path) as stage:
        await task(stage)
        await stage.call("POST", "/tasks", {"id": "used", "name": "main", "file": _base64("checksum.wasm")})
        await stage.call("DELETE", "/tasks/t")
        orphan = stage.runtime.blobs.put(b"left by a crash between two steps")
    async with Stage(tmp_path) as stage:
        assert (await stage.call("GET", "/modules")).json()["total"] == 2
        assert stage.runtime.blobs.has(orphan)
    monkeypatch.setattr("hub.assembly.GRACE_S", 0.0)
    async with Stage(tmp_path) as stage:
        page = (await stage.call("GET", "/modules")).json()
        assert [one["tasks"] for one in page["modules"]] == [1]
        await gone(stage, SHA, FORM, orphan)
        assert len(list(stage.runtime.blobs)) == 2


async def test_bytes_stay_until_it_is_on_the_disk_that_their_module_has_gone(stage, monkeypatch):
    await task(stage)
    await stage.call("DELETE", "/tasks/t")
    journal, blobs, library = stage.runtime.journal, stage.runtime.blobs, stage.parts.library
    for blob in (SHA, FORM):
        os.utime(blobs.path(blob), (0, 0))
    flush, older_than, delete, settled = journal.flush, blobs.older_than, blobs.delete, stage.runtime.settled
    loop, may_write, goes_on, known = asyncio.get_running_loop(), threading.Event(), asyncio.Event(), []

    def listed(seconds: float) -> list[str]:
        found = older_than(seconds)
        loop.call_soon_threadsafe(stage.runtime.submit, Delete("module", SHA))
        return found

    def deleted(blob: str) -> None:
        known.append(journal.durable == journal.lsn)
        loop.call_soon_threadsafe(goes_on.set)
        delete(blob)

    async def waits() -> None:
        goes_on.set()
        await settled()

    monkeypatch.setattr(journal, "flush", lambda: may_write.wait(10) and flush())
    monkeypatch.setattr(blobs, "older_than", listed)
    monkeypatch.setattr(blobs, "delete", deleted)
    monkeypatch.setattr(stage.runtime, "settled", waits)
    sweeping = asyncio.create_task(library._sweep())
    await asyncio.wait_for(goes_on.wait(), 5)
    may_write.set()
    await sweeping
    await asyncio.gather(*library._going.values())
    assert known and all(known) and not list(blobs)


async def test_the_same_upload_again_and_again_while_it_is_deleted_is_never_left_without_its_bytes(stage):
    """Deleting waits for the disk in a thread, and so does storing."""
    made = 0

    async def upload(name: str) -> None:
        nonlocal made
        for at in range(20):
            answer = await stage.call("POST", "/tasks", {"id": f"{name}{at}", "name": "main", "file": FILE})
            if answer.status_code == 201:
                made += 1
                assert (await stage.http.get(f"/modules/{SHA}", headers=WASM)).content == ADDITION
                await stage.call("DELETE", f"/tasks/{name}{at}")
            else:  # deleted between its upload and its task
                assert (answer.status_code, answer.json()["code"]) == (409, "module_gone")

    async def delete() -> None:
        while True:
            await stage.call("DELETE", f"/modules/{SHA}")

    deleting = asyncio.create_task(delete())
    try:
        await asyncio.wait_for(asyncio.gather(upload("a"), upload("b")), 30)
    finally:
        deleting.cancel()
    assert made


async def test_modules_of_an_older_hub_are_prepared_at_the_start(tmp_path):
    journal, blobs = Journal(tmp_path / "store"), Blobs(tmp_path / "blobs")
    about = {"exports": [], "imports": [], "created_at": 1.7e9}
    docs = [{"id": blobs.put(data), "size_bytes": len(data), **about} for data in (ADDITION, SIMD)]
    docs.append({**docs[0], "id": "0" * 64})
    tasks = [{"id": f"t{at}", "name": "main", "module": doc["id"], "seq": at, "state": 0, "created_at": 1.7e9}
             for at, doc in enumerate(docs)]  # fmt: skip
    journal.append([Put(MODULES, doc["id"], doc) for doc in docs] + [Put("tasks", one["id"], one) for one in tasks])
    journal.close()
    async with Stage(tmp_path) as stage:
        stage.join("d1")
        for at in range(3):
            await stage.call("POST", f"/tasks/t{at}/start")
        assert (await stage.ended("t0"))["state_name"] == "Completed"
        assert "SIMD" in (await stage.ended("t1"))["error"]
        assert (await stage.ended("t2"))["error_info"]["code"] == "bad_module"
        module = (await stage.call("GET", f"/modules/{SHA}")).json()
        assert (module["prepared"], module["exports"][0]["name"]) == (FORM, "main")
        assert "SIMD" in (await stage.call("GET", f"/modules/{docs[1]['id']}")).json()["refused"]


async def test_modules_are_prepared_anew_when_the_way_of_it_has_changed(tmp_path, monkeypatch):
    async with Stage(tmp_path) as stage:
        await task(stage, inputs=[1, 2])
    monkeypatch.setattr("hub.library.FORM", 10**6)
    newer = PREPARED + bytes.fromhex("0002016e")  # a custom section named n
    monkeypatch.setattr("hub.library.accept", lambda data: Accepted(accept(data).info, newer))
    async with Stage(tmp_path) as stage:
        stage.join("d1", answers=False)
        await stage.call("POST", "/tasks/t/start")
        start = await asyncio.wait_for(stage.held.get(), 5)
        assert (start["module"], start["size"]) == (hashlib.sha256(newer).hexdigest(), len(newer))
    monkeypatch.undo()
    async with Stage(tmp_path) as stage:
        assert (await stage.call("GET", f"/modules/{SHA}")).json()["prepared"] == FORM


async def test_a_quarantined_module_says_why_and_is_released_by_a_call(stage, caplog):
    for device in ("d1", "d2"):
        stage.join(device, answers=False)
        await task(stage, device, inputs=[1, 2], proplet_id=device)
        await stage.call("POST", f"/tasks/{device}/start")
        start = await asyncio.wait_for(stage.held.get(), 5)
        error = {"code": "worker_died", "message": "killed by signal 11"}
        stage.say(device, "result", {"task": start["task"], "attempt": start["attempt"], "ok": False, "error": error})
        await stage.ended(device)
    module = (await stage.call("GET", f"/modules/{SHA}")).json()
    assert module["quarantined"]["reason"] == "it killed workers on d1 and d2"
    assert module["quarantined"]["since"].startswith("20")
    assert "deaths" not in module
    assert "is quarantined" in caplog.text
    await task(stage, "next")
    await stage.call("POST", "/tasks/next/start")
    assert (await stage.ended("next"))["error_info"]["code"] == "quarantined"
    released = await stage.call("POST", f"/modules/{SHA}/release")
    assert released.status_code == 200
    assert "quarantined" not in released.json()
    assert (await stage.call("POST", f"/modules/{SHA}/release")).json()["code"] == "not_quarantined"
    assert (await stage.call("POST", f"/modules/{'0' * 64}/release")).status_code == 404
