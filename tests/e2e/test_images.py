"""Tasks that name their module by image_url, through REST with a real hub and a real edge."""

import json
import signal
import threading
import time

import pytest
from starlette.responses import RedirectResponse, Response

from tests.e2e.world import module
from tests.images.servers import INDEX, Registry

ADDITION = module("addition")


@pytest.fixture
def registry():
    with Registry(auth="token") as registry:
        registry.push("myorg/addition:v1", ADDITION)
        yield registry


@pytest.fixture
def world(make_world, registry, tmp_path):
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "addition.wasm").write_bytes(ADDITION)
    world = make_world("--image-host", registry.at, "--image-host", "ghcr.io", "--image-dir", str(folder))
    world.start_edges("a")
    return world


def task(world, id, image_url, inputs=(10, 20), **fields):
    world.client.create_task("main", id=id, image_url=image_url, inputs=list(inputs), **fields)
    world.client.start_task(id)


def outcome(world, id):
    ended = world.client.wait_task(id, 20)
    return ended["state_name"], ended.get("results") or ended["error"]


def test_a_module_of_a_registry_of_a_web_server_and_of_a_folder_runs(world, registry, tmp_path):
    registry.pages["/addition.wasm"] = Response(ADDITION)
    digest = registry.push("myorg/addition:v2", ADDITION)
    registry.tag("myorg/addition", "any", {"manifests": [{"digest": digest, "size": 1}]}, INDEX)
    urls = [
        f"{registry.at}/myorg/addition:v1",
        f"oci://{registry.at}/myorg/addition@{digest}",
        f"{registry.at}/myorg/addition:any",
        f"http://{registry.at}/addition.wasm",
        f"file://{tmp_path}/modules/addition.wasm",
    ]
    for at, url in enumerate(urls):
        task(world, f"t{at}", url)
    assert [outcome(world, f"t{at}") for at in range(len(urls))] == [("Completed", "30\n")] * len(urls)
    shown = world.client.task("t0")
    assert shown["image_url"] == urls[0]
    assert shown["module"] == world.call("GET", "/modules")["modules"][0]["sha256"]
    assert world.call("GET", "/modules")["total"] == 1


def test_a_pull_that_fails_fails_the_task_and_says_why(world, registry):
    registry.pages["/page"] = Response("<html>")
    sentences = {
        f"{registry.at}/myorg/gone:v1": f"{registry.at} has no myorg/gone with v1",
        f"http://{registry.at}/none.wasm": "127.0.0.1 answers 404",
        f"http://{registry.at}/page": "this is no WebAssembly module but HTML",
        "http://169.254.169.254/latest/meta-data": "the hub may not fetch from 169.254.169.254",
        "docker.io/myorg/extract:v1": "the hub may not fetch from docker.io",
        "file:///etc/passwd": "does not lie in the folder",
    }
    for at, url in enumerate(sentences):
        task(world, f"t{at}", url, retries=3)
    for at, says in enumerate(sentences.values()):
        ended = world.client.wait_task(f"t{at}", 20)
        assert (ended["state_name"], ended["error_info"]["code"]) == ("Failed", "bad_module")
        assert says in ended["error"]
        assert world.call("GET", f"/tasks/t{at}/attempts")["total"] == 0


def test_no_key_of_a_url_and_no_password_gets_into_the_log_or_an_error(make_world, registry, tmp_path):
    registry.auth, registry.login = "basic", ("ann", "hunter2")
    registry.pages["/addition.wasm"] = Response(ADDITION)
    registry.pages["/moved"] = RedirectResponse("/addition.wasm?key=hunter2")
    login = {"username": "ann", "password": "hunter2"}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {registry.at: login}}))
    world = make_world("--image-host", registry.at, "--registry-auth", str(tmp_path / "auth.json"))
    world.start_edges("a")
    urls = ("{}/myorg/addition:v1", "http://{}/addition.wasm?key=hunter2", "http://{}/moved", "http://{}/no?k=hunter2")
    for at, url in enumerate(urls):
        task(world, f"t{at}", url.format(registry.at))
    ended = [outcome(world, f"t{at}") for at in range(4)]
    assert ended[:3] == [("Completed", "30\n")] * 3
    assert world.hub.stop() == 0
    assert world.hub.text.count("fetch") >= 4
    assert "hunter2" not in ended[3][1] + world.hub.text


def test_creating_and_starting_wait_for_no_network_and_many_tasks_fetch_once(world, registry):
    gate = threading.Event()
    manifest = registry.pages["/v2/myorg/addition/manifests/v1"]

    def held(request):
        gate.wait(20)
        return manifest

    registry.pages["/v2/myorg/addition/manifests/v1"] = held
    url = f"{registry.at}/myorg/addition:v1"
    began = time.monotonic()
    try:
        for at in range(5):
            task(world, f"t{at}", url)
        waiting = world.client.task("t4")
        assert time.monotonic() - began < 5
        assert (waiting["state_name"], waiting["pending_reason"]) == (
            "Pending",
            f"its module is being fetched from {url}",
        )
    finally:
        gate.set()
    assert [outcome(world, f"t{at}") for at in range(5)] == [("Completed", "30\n")] * 5
    assert sum(path.endswith("/manifests/v1") for path in registry.paths()) <= 2


def test_a_workflow_fetches_when_it_comes_to_a_task_and_goes_on_to_what_waits_for_failure(world, registry):
    url = registry.at + "/myorg/{}:v1"
    body = {"workflow_id": "etl", "tasks": [
        {"id": "extract", "name": "main", "inputs": [1, 2], "image_url": url.format("addition")},
        {"id": "transform", "name": "main", "inputs": ["$extract", 4], "image_url": url.format("addition"),
         "depends_on": ["extract"]},
        {"id": "load", "name": "main", "image_url": url.format("missing"), "depends_on": ["transform"]},
        {"id": "alert", "name": "main", "inputs": [0, 1], "image_url": url.format("addition"), "depends_on": ["load"],
         "run_if": "failure"},
    ]}  # fmt: skip
    world.call("POST", "/workflows", body, 201)
    assert registry.seen == []
    world.call("POST", "/workflows/etl/start")
    world.client.wait_workflow("etl", 20)
    names = ("extract", "transform", "load", "alert")
    states = [world.client.task(id) for id in names]
    assert [one["state_name"] for one in states] == ["Completed", "Completed", "Failed", "Completed"]
    assert states[1]["outputs"] == [7]


def test_a_hub_that_dies_while_it_fetches_fetches_after_its_restart(world, registry):
    gate, asked = threading.Event(), threading.Event()
    manifest = registry.pages["/v2/myorg/addition/manifests/v1"]

    def held(request):
        asked.set()
        gate.wait(20)
        return manifest

    registry.pages["/v2/myorg/addition/manifests/v1"] = held
    try:
        task(world, "t", f"{registry.at}/myorg/addition:v1")
        assert asked.wait(10)
        world.hub.stop(signal.SIGKILL)
    finally:
        gate.set()
    world.start_hub()
    assert outcome(world, "t") == ("Completed", "30\n")


def test_a_hub_that_is_stopped_does_not_wait_for_what_it_fetches(world, registry):
    asked = threading.Event()
    gate = threading.Event()

    def held(request):
        asked.set()
        gate.wait(20)
        return Response(status_code=404)

    registry.pages["/v2/myorg/addition/manifests/v1"] = held
    try:
        task(world, "t", f"{registry.at}/myorg/addition:v1")
        assert asked.wait(10)
        began = time.monotonic()
        assert world.hub.stop() == 0
        assert time.monotonic() - began < 6
    finally:
        gate.set()
