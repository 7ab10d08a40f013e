"""Whatever a task does to its device, it ends with the code that says so, and the tasks beside it do not notice."""

from datetime import datetime

from wasmtime import wat2wasm

from tests.e2e.world import World, module

TIMEOUT = 0.4
GROWS = """(module (memory 1) (func (export "main") (result i32)
    (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (memory.size)))"""
BEGINS_LARGE = '(module (memory 300) (func (export "main")))'
RECURSES = '(module (func $f (export "main") (param i32) (result i32) (call $f (i32.add (local.get 0) (i32.const 1)))))'
WRITES = """(module (import "edge" "output" (func $output (param i32 i32) (result i32))) (memory 1)
    (func (export "main") (loop (drop (call $output (i32.const 0) (i32.const 60000))) (br 0))))"""


def wat(text: str) -> bytes:
    return bytes(wat2wasm(text))


# name: (module, fields, code)
WRONG = {
    "endless-loop": (module("endless"), {"timeout": TIMEOUT}, "timeout"),
    "endless-growth": (wat(GROWS.replace("(i32.const -1)", "(i32.const 5000)")), {"timeout": TIMEOUT}, "timeout"),
    "large-memory": (wat(BEGINS_LARGE), {}, "memory_limit"),
    "recursion": (wat(RECURSES), {"inputs": [0]}, "trap_stack"),
    "output": (wat(WRITES), {}, "output_limit"),
    "trap": (module("trap"), {}, "trap_unreachable"),
    "access": (module("trap"), {"function": "peek", "inputs": [65536]}, "trap_oob"),
    "division": (module("trap"), {"function": "divide", "inputs": [1, 0]}, "trap_div0"),
    "few-inputs": (module("addition"), {"inputs": [1]}, "bad_inputs"),
    "many-inputs": (module("addition"), {"inputs": [1, 2, 3]}, "bad_inputs"),
    "large-input": (module("addition"), {"inputs": [1, 1 << 32]}, "bad_inputs"),
    "no-such-function": (module("addition"), {"function": "subtract", "inputs": [1, 2]}, "missing_export"),
}
BESIDE = 100


def test_every_wrong_task_ends_with_its_code_and_those_beside_it_complete(world: World) -> None:
    world.start_edge("a", "--slots", "4")
    world.client.wait_proplets(1, 10)
    tasks = [{"id": name, "name": "main", "file": data, **fields} for name, (data, fields, _) in WRONG.items()]
    tasks += [{"id": f"{at}", "name": "main", "file": module("addition"), "inputs": [at, 1]} for at in range(BESIDE)]
    world.client.create_workflow(tasks, workflow_id="w", fail_fast=False)
    world.client.start_workflow("w")
    ended = {task["id"]: task for task in world.client.wait_workflow("w", 60)["tasks"]}
    assert {name: ended[name]["error_info"]["code"] for name in WRONG} == {name: one[2] for name, one in WRONG.items()}
    assert [ended[str(at)]["outputs"] for at in range(BESIDE)] == [[at + 1] for at in range(BESIDE)]
    attempt = ended["endless-loop"]["attempts"][0]
    keys = ("dispatched_at", "start_time", "finish_time")
    sent, begun, over = (datetime.fromisoformat(attempt[key]).timestamp() for key in keys)
    assert over - sent >= TIMEOUT
    assert over - begun < TIMEOUT + 1


def test_memory_grows_up_to_the_limit_of_the_task(world: World) -> None:
    world.start_edges("a")
    for limits, pages in (({}, 256), ({"memory_pages": 10}, 10)):
        id = f"grows-{pages}"
        world.client.create_task("main", id=id, file=wat(GROWS), limits=limits)
        world.client.start_task(id)
        assert world.client.wait_task(id, 20)["outputs"] == [pages]
