"""Each feature that a device says it has is there: a module of it runs on both bindings, plain and prepared."""

import pytest
from wasmtime import wat2wasm

from edge import call, caps, engine
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from edge.port import Port
from hub.modules.prepare import prepare
from hub.modules.validate import validate

# feature: (module, what main returns)
MODULES = {
    "bulk-memory": (
        """(module (memory 1) (data (i32.const 0) "\\01\\02\\03\\04") (func (export "main") (result i32)
          (memory.copy (i32.const 2) (i32.const 0) (i32.const 4))
          (memory.fill (i32.const 0) (i32.const 9) (i32.const 1))
          (i32.add (i32.load (i32.const 0)) (i32.load8_u (i32.const 5)))))""",
        [0x02010209 + 4],
    ),
    "multi-value": (
        """(module (func $two (param i32) (result i32 i64) (local.get 0) (i64.const -5))
          (func (export "main") (result i64 i32) (local i64)
            (i32.const 7) (block (param i32) (result i32 i64) (call $two)) (local.set 0) (local.get 0)
            (block (param i32 i64) (result i64 i32) (local.set 0) (drop) (local.get 0) (i32.const 8))))""",
        [-5, 8],
    ),
    "mutable-globals": (
        """(module (global $g (export "g") (mut i32) (i32.const 4)) (func (export "main") (result i32)
          (global.set $g (i32.add (global.get $g) (i32.const 1))) (global.get $g)))""",
        [5],
    ),
    "nontrapping-fptoint": (
        """(module (func (export "main") (result i32 i32 i64 i64)
          (i32.trunc_sat_f64_s (f64.const nan)) (i32.trunc_sat_f32_u (f32.const 1e20))
          (i64.trunc_sat_f64_s (f64.const -inf)) (i64.trunc_sat_f32_u (f32.const -3.5))))""",
        [0, -1, -(2**63), 0],
    ),
    "sign-ext": (
        """(module (func (export "main") (result i32 i32 i64 i64 i64)
          (i32.extend8_s (i32.const 0x80)) (i32.extend16_s (i32.const 0x18000))
          (i64.extend8_s (i64.const 0xff)) (i64.extend16_s (i64.const 0x7fff))
          (i64.extend32_s (i64.const 0x80000000))))""",
        [-128, -32768, -1, 32767, -(2**31)],
    ),
}


def run(load, data):
    start = {"task": "t", "attempt": 1, "name": "main", "limits": {}}
    return call.run(load, start, data, Port(lambda *event: None), lambda: None)


def test_each_is_tested():
    assert set(caps.FEATURES) == set(MODULES)


@pytest.mark.parametrize("feature", caps.FEATURES)
@pytest.mark.parametrize("load", [engine.Instance, Library(wasm3_file()).load], ids=["pywasm3", "ctypes"])
def test_a_feature(load, feature):
    wat, expected = MODULES[feature]
    data = bytes(wat2wasm(wat))
    assert run(load, data)["outputs"] == expected
    assert run(load, prepare(data))["outputs"] == expected


@pytest.mark.parametrize("feature", caps.FEATURES)
def test_the_hub_calls_it_by_the_same_word(feature):
    used = validate(bytes(wat2wasm(MODULES[feature][0]))).features
    assert feature in used
    assert set(used) <= set(caps.FEATURES)
