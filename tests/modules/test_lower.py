"""Blocks that take and give values are lowered to blocks that do not, and mean the same."""

from collections.abc import Iterator

import pytest
import wasmtime
from wasmtime import Engine, wat2wasm

from hub.modules.accept import accept
from hub.modules.instructions import EMPTY_BLOCK, INSTRUCTIONS
from hub.modules.walk import walk
from shared.errors import TooLarge
from tests.differential.calls import generated_calls
from tests.differential.reference import Outcome, Reference
from tests.edge.wasms import function, leb, module
from tests.effort import effort
from tests.mutants.mutate import instructions

BLOCKS = (0x02, 0x03, 0x04)
LEAVING = ("br", "br_table", "return", "unreachable")

FUNCTIONS = {
    "a float taken out over another block": """(result f32) (local f32)
        (if (result f32) (i32.const 1)
            (then (block (result i32) (local.get 0) (br 1)) (drop) (local.get 0))
            (else (f32.const 3)))""",
    "br to a loop with parameters": """(result i32 i32) (local i32 i32)
        (i32.const 5) (i32.const 0)
        (loop (param i32 i32) (result i32 i32)
            (local.set 1) (local.set 0)
            (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (local.get 0))
            (if (i32.gt_s (local.get 0) (i32.const 0))
                (then (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (local.get 0)) (br 1))))""",
    "br_if with several values": """(result i32)
        (block (result i32 i64 f64) (i32.const 1) (i64.const 2) (f64.const 3) (br_if 0 (i32.const 0))
            (i32.trunc_f64_s) (drop) (drop) (drop) (i32.const 4) (i64.const 5) (f64.const 6))
        (i32.trunc_f64_s) (drop) (drop)""",
    "br_table to blocks, a loop and the function": """(result i32) (local i32)
        (block (result i32) (block (result i32) (i32.const 0)
            (loop (param i32) (result i32)
                (local.set 0) (i32.add (local.get 0) (i32.const 1)) (local.get 0) (br_table 0 0 0 1 2 3)))
            (i32.add (i32.const 100)))
        (i32.add (i32.const 1000))""",
    "an if with parameters and no else": """(result i32 i32)
        (i32.const 1) (i32.const 2) (i32.const 0)
        (if (param i32 i32) (result i32 i32) (then (drop) (drop) (i32.const 3) (i32.const 4)))""",
    "an if with parameters and an else": """(result i32)
        (i32.const 8) (if (param i32) (result i32) (i32.const 0) (then) (else (i32.const 1) (i32.shl)))""",
    "code behind a branch": """(result i32)
        (i32.const 5)
        (block (result i32) (i32.const 7) (br 0)
            (i32.add) (if (result i64) (then (unreachable)) (else (i64.const 1))) (drop))
        (i32.add)""",
    "values left on the stack by a branch": """(result i32)
        (block (result i32) (i64.const 1) (f32.const 2) (i32.const 3) (br 0))""",
}


@pytest.fixture
def call(engine: Engine) -> Iterator[object]:
    yield lambda data: Reference(engine, data).call("f", [])


@pytest.mark.parametrize("what", FUNCTIONS)
def test_the_same_result(what: str, call) -> None:
    data = bytes(wat2wasm(f'(module (func (export "f") {FUNCTIONS[what]}))'))
    prepared = accept(data).prepared
    assert call(prepared) == call(data)
    assert not troublesome(prepared)


def test_generated_functions_give_the_same(engine: Engine) -> None:
    for seed in range(effort(300)):
        calls = generated_calls(seed, 2)
        prepared = accept(calls[0].data).prepared
        assert not troublesome(prepared)
        before, after = Reference(engine, calls[0].data), Reference(engine, prepared)
        for one in calls:
            if (wanted := before.call(one.function.name, one.inputs)) != Outcome(trap="trap_stack"):
                assert after.call(one.function.name, one.inputs) == wanted, one


def troublesome(data: bytes) -> list[str]:
    """What wasm3 0.5.0 must not see."""
    found = []
    before = ""
    for at, _ in instructions(data):
        op = data[at]
        name = INSTRUCTIONS[op].name if op in INSTRUCTIONS else "prefixed"
        if op in BLOCKS and data[at + 1] != EMPTY_BLOCK:
            found.append(f"{name} of a type at {at}")
        if before in LEAVING and name not in ("end", "else"):
            found.append(f"{name} behind {before} at {at}")
        before = name
    return found


def test_a_module_without_such_blocks_stays_as_it_is() -> None:
    data = bytes(wat2wasm('(module (func (export "f") (block (br_if 0 (i32.const 1)) (unreachable))))'))
    body = walk(data).bodies[0]
    assert data[body.at + 1 : body.end] in accept(data).prepared


def test_what_grows_too_much_is_refused_early() -> None:
    """Two bytes of a branch become thousands: a block takes a thousand values out."""
    results = bytes([0x7F]) * 900
    code = b"\x02\x00" + b"\x41\x00" * 901 + b"\x0d\x00\x41\x00" * 3000 + b"\x1a\x0b" + b"\x1a" * 900
    kind = b"\x60\x00" + leb(900) + results
    data = module(function("f", code), ("g", kind, b"\x00"))
    data = data.replace(b"\x02\x00\x41\x00", b"\x02\x01\x41\x00", 1)
    wasmtime.Module.validate(Engine(), data)
    with pytest.raises(TooLarge):
        accept(data)
