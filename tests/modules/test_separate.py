"""Two uses of a 64-bit local that wait on the stack keep the value they had, on wasm3 too."""

import os
import time

import pytest
from wasmtime import Engine, wat2wasm

from edge import call
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from hub.modules.accept import accept
from hub.modules.walk import walk
from tests.bench.modules import Port
from tests.differential.reference import Reference
from tests.edge.wasms import I64, module
from tests.edge.wasms import function as wasms_function

# Each is (param i64) -> i64; the module has a memory. What is pushed between the uses takes the slot that wasm3 lost.
FUNCTIONS = {
    "set": """(local.get 0) (memory.size) (local.get 0) (local.set 0) (drop)
        (i64.xor (local.get 0))""",
    "tee": """(local.get 0) (memory.size) (local.get 0) (local.tee 0) (drop)
        (i32.load8_u offset=7 (i32.const 0)) (i32.xor) (i64.extend_i32_u) (i64.add)""",
    "block": """(local.get 0) (local.get 0) (block (nop)) (drop)
        (memory.size) (i32.load8_u (i32.const 0)) (i32.add) (i64.extend_i32_u) (i64.add)""",
    "if": """(local.get 0) (local.get 0) (i32.const 1) (if (then (nop))) (drop)
        (memory.size) (i32.load8_u (i32.const 0)) (i32.add) (i64.extend_i32_u) (i64.add)""",
    "loop": """(local.get 0) (local.get 0) (loop (nop)) (drop)
        (memory.size) (i32.load8_u (i32.const 0)) (i32.add) (i64.extend_i32_u) (i64.add)""",
    "memory.fill": """(local.get 0) (local.get 0) (memory.fill (i32.const 0) (i32.const 0) (i32.const 1)) (drop)
        (memory.size) (i32.load8_u (i32.const 0)) (i32.add) (i64.extend_i32_u) (i64.add)""",
    "three uses": """(local.get 0) (local.get 0) (local.get 0) (i64.const 5) (local.set 0)
        (memory.size) (i32.load8_u (i32.const 0)) (i32.add) (i64.extend_i32_u) (i64.add) (i64.mul) (i64.sub)""",
    "one after the other": """(local.get 0) (local.get 0) (local.set 0) (drop)
        (local.get 0) (local.get 0) (local.set 0)""",
}
INPUT = 0x1234_5678_9ABC


@pytest.fixture(scope="module", autouse=True)
def quiet():
    """wasm3 prints a backtrace at a trap."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    yield
    os.dup2(kept, 2)
    os.close(kept)
    os.close(null)


def function(code: str) -> bytes:
    wat = f'(module (memory 1) (func (export "f") (param i64) (result i64) {code}))'
    return bytes(wat2wasm(wat))


@pytest.mark.parametrize("what", FUNCTIONS)
def test_the_same_result(what: str, engine: Engine) -> None:
    data = function(FUNCTIONS[what])
    prepared = accept(data).prepared
    wanted = Reference(engine, data).call("f", [INPUT])
    assert Reference(engine, prepared).call("f", [INPUT]) == wanted
    start = {"task": "t", "attempt": 1, "name": "f", "function": "f", "inputs": [INPUT], "limits": {}}
    result = call.run(Library(wasm3_file()).load, start, bytearray(prepared), Port(), lambda: None)
    assert (result["outputs"][0] % 2**64,) == wanted.bits


def added(code: str) -> int:
    """How many i64 locals the prepared function has besides its parameter."""
    body = walk(accept(function(code)).prepared).bodies[0]
    groups = [(body.u32(), body.byte()) for _ in range(body.u32())]
    return sum(count for count, kind in groups if kind == I64)


def test_copies_are_few() -> None:
    assert added("(i64.mul (local.get 0) (local.get 0))") == 0
    assert added(FUNCTIONS["tee"]) == 1
    assert added(FUNCTIONS["three uses"]) == 2
    assert added(FUNCTIONS["one after the other"]) == 1


def test_a_use_that_is_alone_is_left_alone() -> None:
    code = "(i64.add (local.get 0) (local.tee 0 (i64.const 3)))"
    data = function(code)
    body = walk(data).bodies[0]
    assert data[body.at + 1 : body.end] in accept(data).prepared


def test_many_uses_that_wait_do_not_make_every_change_slow() -> None:
    """Each change of a local would look at all of them, and each block."""
    waiting, changes = 20_000, 100_000
    code = b"\x20\x00" * waiting + b"\x42\x00\x21\x01" * changes + b"\x02\x40\x0b" * changes + b"\x1a" * waiting
    data = module(wasms_function("f", code, (I64, I64)))
    begun = time.process_time()
    accept(data)
    assert time.process_time() - begun < 5  # a scan of the stack at each would take minutes
