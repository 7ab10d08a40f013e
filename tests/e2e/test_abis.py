"""WASI programs, Extism plug-ins and modules that ask the hardware, from REST to a device's worker and back."""

import itertools
import json

import pytest
import wasmtime

from tests.e2e.world import World, module

# Prints its environment, a zero byte behind each variable.
ENVIRONMENT = bytes(
    wasmtime.wat2wasm("""
(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $get (i32.const 100) (i32.const 1000)))
    (i32.store (i32.const 16) (i32.const 1000))
    (i32.store (i32.const 20) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))))
""")
)
# Sleeps for 500 years.
SLEEPER = bytes(
    wasmtime.wat2wasm("""
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i64.store (i32.const 24) (i64.const -1))
    (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))
""")
)
# Says a few words, then waits until it is stopped.
TELLER = bytes(
    wasmtime.wat2wasm("""
(module
  (import "edge" "progress_message" (func $tell (param i32 i32 i32)))
  (import "edge" "cancelled" (func $cancelled (result i32)))
  (memory 1) (data (i32.const 8) "half of it")
  (func (export "main")
    (call $tell (i32.const 500) (i32.const 8) (i32.const 10))
    (loop $wait (br_if $wait (i32.eqz (call $cancelled))))))
""")
)
_numbers = itertools.count()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"))
    world.start_edges("plain")
    yield world
    world.close()


@pytest.fixture
def run(world):
    """A task of an example from its creation to its end."""
    return lambda name, example, **fields: world.run(f"t{next(_numbers)}", name, example, **fields)


def test_a_wasi_program_reads_its_task_and_prints_its_result(run):
    task = run("greeter", "hello", cli_args=["Ada"], env={"GREETING": "Salut"}, stdin="one\ntwo\n")
    assert task["results"] == task["stdout"] == "Salut, Ada!\n1: one\n2: two\n"
    assert task["outputs"] == ["Salut, Ada!\n1: one\n2: two"]
    assert (task["stderr"], task["exit_code"]) == ("lines: 2\n", 0)
    assert task["fuel"] > 0


def test_a_wasi_program_that_fails_says_why(run):
    task = run("greeter", "hello")
    assert (task["state_name"], task["error"], task["error_info"]["code"]) == ("Failed", "exit code 2", "exit_code")
    assert (task["stderr"], task["exit_code"], len(task["attempts"])) == ("usage: greeter NAME...\n", 2, 1)


def test_a_wasi_program_over_its_output_is_ended(run):
    task = run("greeter", "hello", cli_args=["Ada"], stdin="x" * 100, limits={"output_bytes": 100})
    assert (task["state_name"], task["error_info"]["code"]) == ("Failed", "output_limit")


def test_a_sleeping_wasi_program_stops_when_told(world):
    world.client.create_task("sleeper", id="sleeper", file=SLEEPER)
    world.client.start_task("sleeper")
    world.wait_state("sleeper", 2)
    world.client.stop_task("sleeper")
    task = world.client.wait_task("sleeper", 10)
    assert task["state_name"] == "Interrupted"


def test_a_wasi_child_reads_the_results_of_its_parents(world):
    tasks = [
        {"id": "sum", "name": "main", "inputs": [10, 20], "file": module("addition")},
        {"id": "vowels", "name": "count_vowels", "inputs": ["aeiou"], "file": module("vowels")},
        {"id": "trap", "name": "main", "file": module("trap")},
        {"id": "child", "name": "child", "file": ENVIRONMENT, "env": {"A": "1"}, "inputs": ["${sum}"],
         "depends_on": ["sum", "vowels", "trap"], "run_if": "always"},
    ]  # fmt: skip
    made = world.client.create_workflow(tasks)
    world.client.start_workflow(made["workflow_id"])
    world.client.wait_workflow(made["workflow_id"], 30)
    task = world.client.task("child")
    assert task["state_name"] == "Completed", task
    variables = dict(one.split("=", 1) for one in task["stdout"].split("\0") if one)
    results = json.loads(variables["PARENT_RESULTS"])
    assert (results["sum"], results["vowels"]) == ([30], [{"vowels": 5, "length": 5}])
    assert results["trap"]["error_info"]["code"] == "trap_unreachable"
    assert json.loads(variables["INPUTS"]) == [30]
    assert (variables["A"], variables["MOTET_TASK_ID"], variables["MOTET_ATTEMPT"]) == ("1", "child", "1")


def test_text_results_pass_from_abi_to_abi(world):
    tasks = [
        {"id": "greet", "name": "hello", "file": module("hello"), "cli_args": ["Ada"]},
        {"id": "loud", "name": "upper", "file": module("upper"), "inputs": ["${greet}"], "depends_on": ["greet"]},
        {"id": "turned", "name": "rot13", "file": module("rot13"), "inputs": ["${loud}"], "depends_on": ["loud"]},
    ]
    made = world.client.create_workflow(tasks)
    world.client.start_workflow(made["workflow_id"])
    world.client.wait_workflow(made["workflow_id"], 30)
    assert world.client.task("loud")["outputs"] == ["HELLO, ADA!"]
    assert world.client.task("turned")["outputs"] == ["URYYB, NQN!"]


def test_an_extism_plugin_answers_and_fails_in_its_words(run):
    task = run("count_vowels", "vowels", inputs=["Hello, Extism!"])
    assert task["outputs"] == [{"vowels": 4, "length": 14}]
    task = run("count_vowels", "vowels")
    assert (task["error"], task["error_info"]["code"]) == ("there is nothing to count", "exit_code")


def test_hardware_is_asked_where_it_is_and_as_the_task_allows(world, run):
    allow = ["sensor:0", "gpio_write:2", "publish:alarm"]
    world.client.create_task("alarm", id="waits", file=module("alarm"), inputs=[0], allow=allow)
    world.client.start_task("waits")
    world.until(lambda: world.client.task("waits").get("pending_reason"))
    assert "gpio_write" in world.client.task("waits")["pending_reason"]
    world.start_edge("greenhouse", "--board", "simulated")
    task = world.client.wait_task("waits", 20)
    assert (task["state_name"], task["proplet_id"]) == ("Completed", "greenhouse")
    assert {"sensor", "gpio_write"} <= set(world.call("GET", "/proplets/greenhouse")["caps"]["host"])
    [answer] = task["outputs"]
    assert (answer["alarm"], answer["limit"]) == (True, 0)
    assert 17.5 <= answer["reading"] <= 25.5
    task = run("alarm", "alarm", inputs=[0], allow=["sensor", "publish:alarm", "gpio_write:3"])
    assert task["error_info"]["code"] == "denied"
    assert "gpio_write:2" in task["error"]
    task = run("alarm", "alarm", inputs=[0], allow=["sensor", "publish"])
    assert (task["error_info"]["code"], len(task.get("attempts") or ())) == ("denied", 0)


def test_progress_is_told_while_a_task_runs_and_begins_anew_with_each_run(world):
    id = f"t{next(_numbers)}"
    world.client.create_task("primes", id=id, file=module("progress"), inputs=[50_000_000], stop_grace_s=20)
    world.client.start_task(id)
    told = world.until(lambda: 0 < world.client.task(id)["progress"] < 1 and world.client.task(id), task_id=id)
    assert told["state_name"] == "Running"
    world.client.stop_task(id)
    stopped = world.client.wait_task(id, 20)
    # It asked whether it is cancelled, and returned what it had found.
    late = stopped["attempts"][0]["superseded"]
    assert (stopped["state_name"], late["ok"], late["outputs"][0] > 0) == ("Interrupted", True, True)
    world.client.start_task(id)
    assert world.client.task(id)["progress"] == 0.0
    world.client.stop_task(id)
    world.client.wait_task(id, 20)


def test_what_a_task_says_of_its_progress_is_shown_until_a_new_run(world):
    id = f"t{next(_numbers)}"
    world.client.create_task("main", id=id, file=TELLER, stop_grace_s=20)
    world.client.start_task(id)
    told = world.until(lambda: "progress_message" in world.client.task(id) and world.client.task(id), task_id=id)
    assert (told["state_name"], told["progress"], told["progress_message"]) == ("Running", 0.5, "half of it")
    world.client.stop_task(id)
    assert world.client.wait_task(id, 20)["progress_message"] == "half of it"
    world.call("PUT", f"/tasks/{id}", {"proplet_id": "nowhere"})
    world.client.start_task(id)
    assert "progress_message" not in world.client.task(id)


def test_progress_is_whole_when_a_task_has_completed(run):
    task = run("primes", "progress", inputs=[1000])
    assert (task["results"], task["progress"]) == ("168\n", 1.0)
