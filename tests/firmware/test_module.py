"""The firmware's wasm3 itself: closing, limits, time, and Python functions that a module calls."""

import json
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from tests.edge import wasms
from tests.firmware.conftest import Run

MODULES = {
    "calls": """(module (import "env" "ask" (func $ask (param i32) (result i32)))
      (func (export "main") (param i32) (result i32) (call $ask (local.get 0))))""",
    "ticks": """(module (import "env" "ask" (func $ask (param i32) (result i32)))
      (func (export "main") (loop $next (br_if $next (call $ask (i32.const 1))))))""",
    "memory": """(module (memory 1) (func (export "main") (param i32) (result i32) (i32.load8_u (local.get 0))))""",
    "globals": """(module (global $g (export "g") (mut i32) (i32.const 1))
      (func (export "main") (result i32) (global.get $g)))""",
    "recursion": """(module (func $f (export "main") (result i32) (i32.add (i32.const 1) (call $f))))""",
}


@pytest.fixture
def found(tmp_path: Path, micropython: Run) -> dict[str, Any]:
    (tmp_path / "adder").write_bytes(wasms.ADDER)
    for name, text in MODULES.items():
        (tmp_path / name).write_bytes(bytes(wat2wasm(text)))
    answer: dict[str, Any] = json.loads(micropython("module.py", tmp_path, heap="256k"))
    return answer


def test_what_pywasm3_has_not(found: dict[str, Any]) -> None:
    closed = ["RuntimeError", "closed"]
    assert found["closing"] == ["close the runtimes first", closed, closed, closed]
    running = ["the runtime is running", "the runtime is running"]
    assert found["linked"] == [7, ["KeyError", "from Python"], 2, [7, 1, 2, running]]
    assert found["nested"]
    assert found["deadline"] == ["[trap] deadline", True]
    assert found["deep"] == ["RuntimeError", "[trap] stack overflow"]
    assert found["memory"] == [8192, 7, "[trap] out of bounds memory access"]
    assert found["globals"] == [-3, ["RuntimeError", "global lookup failed"], -3]
    assert found["repeated"] < 1024
