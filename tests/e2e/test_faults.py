"""Real processes, killed: nothing acknowledged is lost, and what ran goes on."""

import signal
import threading
import time
from datetime import datetime

import pytest

from motet.client import Client
from shared.errors import MotetError, Unavailable
from tests.e2e.world import module

LEASE_S = 2.0
QUICK = ("--beat-s", "0.5", "--lease-s", str(LEASE_S))
# Takes some seconds here.
LONG = 700_000_000


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_edge_killed_in_a_task_loses_it_to_another_within_the_lease_and_it_completes_once(make_world):
    world = make_world(*QUICK)
    world.start_edges("a")
    world.client.create_task("spin", id="t", file=module("spin"), inputs=[LONG], timeout=120)
    world.client.start_task("t")
    world.wait_state("t", 2)
    world.start_edges("b")
    killed = time.time()
    world.edges["a"].stop(signal.SIGKILL)
    task = world.client.wait_task("t", 60)
    first, second = task["attempts"]
    assert (first["outcome"], second["outcome"], second["proplet_id"]) == ("lost", "completed", "b")
    assert seconds(second["dispatched_at"]) - killed <= LEASE_S + 2
    assert task["results"] == f"{LONG}\n"


def test_a_hub_killed_under_load_keeps_every_acknowledged_task_and_the_workflow_ends(make_world):
    world = make_world(*QUICK)
    world.start_edges("a", "b")
    tasks = [{"id": f"w{at}", "name": "main", "inputs": [at, 1], "file": module("addition"),
              **({"depends_on": [f"w{at - 1}"]} if at else {})} for at in range(300)]  # fmt: skip
    world.client.create_workflow(tasks, workflow_id="w")
    world.client.start_workflow("w")
    acknowledged: list[str] = []

    def submit(number: int) -> None:
        with Client(world.url) as client:
            try:
                for at in range(10_000):
                    made = client.create_task("main", id=f"s{number}-{at}", inputs=[1, 2])
                    acknowledged.append(made["id"])
            except (Unavailable, MotetError):
                return

    writers = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    world.wait_state("w40", 3)
    world.hub.stop(signal.SIGKILL)
    for writer in writers:
        writer.join()
    assert len(acknowledged) > 20
    world.start_hub()
    kept = {task for page in range(0, len(acknowledged) + 400, 1000) for task in ids(world, page)}
    assert set(acknowledged) <= kept
    workflow = world.client.wait_workflow("w", 60)
    assert workflow["state"] == 3
    assert [task["results"] for task in workflow["tasks"]] == [f"{at + 1}\n" for at in range(300)]


def ids(world, offset):
    return [task["id"] for task in world.client.tasks(offset=offset, limit=1000)["tasks"]]


def test_a_hub_restarted_while_a_task_runs_takes_its_result(make_world):
    world = make_world(*QUICK)
    world.start_edges("a")
    world.client.create_task("spin", id="t", file=module("spin"), inputs=[LONG], timeout=120)
    world.client.start_task("t")
    world.wait_state("t", 2)
    world.hub.stop(signal.SIGKILL)
    world.start_hub()
    task = world.client.wait_task("t", 60)
    assert (task["state"], [attempt["outcome"] for attempt in task["attempts"]]) == (3, ["completed"])


def test_an_endless_loop_fails_at_its_limit_and_the_edge_takes_the_next_task(world):
    world.start_edges("a")
    world.client.create_task("main", id="loop", file=module("endless"), timeout=1.0)
    world.client.start_task("loop")
    task = world.client.wait_task("loop", 20)
    assert (task["state"], task["error_info"]["code"]) == (4, "timeout")
    assert 1.0 <= seconds(task["finish_time"]) - seconds(task["attempts"][0]["dispatched_at"]) <= 1.5
    assert world.run("next", "main", "addition", [1, 2])["results"] == "3\n"


def test_a_trap_fails_the_task_with_its_code(world):
    world.start_edges("a")
    exports = world.client
    exports.create_task("main", id="t", file=module("trap"))
    function = world.call("GET", f"/modules/{world.call('GET', '/tasks/t')['module']}")["exports"][0]
    inputs = [0] * len(function["params"])
    task = world.run("t2", function["name"], "trap", inputs)
    assert task["state"] == 4 and task["error_info"]["code"].startswith("trap_")


def test_a_running_task_stops_when_it_is_told_to(world):
    world.start_edges("a")
    world.client.create_task("main", id="loop", file=module("endless"))
    world.client.start_task("loop")
    world.wait_state("loop", 2)
    asked = time.monotonic()
    world.client.stop_task("loop", error_message="enough")
    task = world.client.wait_task("loop", 20)
    assert time.monotonic() - asked < 0.5
    assert (task["state"], task["error"]) == (6, "enough")


def test_wrong_inputs_fail_with_a_sentence(world):
    world.start_edges("a")
    for inputs in ([1], [1, 2, 3], [1, "x"], [1, 2**40], {"a": 1}):
        id = f"t{abs(hash(str(inputs)))}"
        world.client.create_task("main", id=id, file=module("addition"), inputs=inputs)
        world.client.start_task(id)
        task = world.client.wait_task(id, 20)
        assert (task["state"], task["error_info"]["code"]) == (4, "bad_inputs"), task


def test_a_body_of_a_hundred_megabytes_is_413_and_the_hub_goes_on(world):
    world.client.create_task("main", id="t")
    chunk = b"x" * 65536

    def body():
        yield from (chunk for _ in range(1600))

    for method, path in (("POST", "/tasks"), ("PUT", "/tasks/t/upload")):
        headers = {"Content-Type": "application/json" if method == "POST" else "multipart/form-data; boundary=x"}
        answer = world.http.request(method, path, content=body(), headers=headers)
        assert answer.status_code in (400, 413), answer.text
        answer = world.http.request(method, path, content=chunk * 1600, headers=headers)
        assert answer.status_code == 413, answer.text
    assert world.call("GET", "/health")["status"] == "pass"


def test_a_task_waits_for_an_edge_that_comes_later_and_its_module_is_fetched_once(world):
    world.client.create_task("main", id="t", file=module("addition"), inputs=[2, 3])
    world.client.start_task("t")
    assert world.client.task("t")["pending_reason"] == "no proplet is alive"
    world.start_edge("late")
    assert world.client.wait_task("t", 20)["results"] == "5\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_hub_and_edges_end_cleanly_on_a_signal_even_with_an_open_stream_and_a_running_task(world, number):
    world.start_edges("a")
    world.client.create_task("main", id="loop", file=module("endless"))
    world.client.start_task("loop")
    world.wait_state("loop", 2)
    with world.http.stream("GET", "/events") as stream:
        assert stream.status_code == 200
        assert world.edges["a"].stop(number, 5) == 0
        assert world.hub.stop(number, 5) == 0
    assert "Traceback" not in world.hub.text + world.edges["a"].text
