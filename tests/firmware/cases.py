"""One list of cases that a board with wasm3 and the worker of a Linux device must answer alike."""

from functools import cache
from typing import Any

from wasmtime import wat2wasm

from hub.core.abi import Module, call_of
from hub.core.model import Policy
from hub.modules.accept import accept
from shared.errors import TaskFailure
from shared.host import functions
from tests.differential.calls import generated_calls
from tests.differential.examples import example_calls
from tests.edge import wasms
from tests.edge.wasms import F32, F64, I32, I64, function, module, one

SEEDS = 60
ECHO = """(module (import "edge" "input_len" (func $len (result i32)))
  (import "edge" "input_read" (func $read (param i32 i32 i32) (result i32)))
  (import "edge" "output" (func $output (param i32 i32) (result i32))) (memory 2)
  (func (export "main") (drop (call $output (i32.const 7) (call $read (i32.const 7) (i32.const 0) (call $len))))))"""
TIMES = """(module (import "edge" "{0}" (func $f {1})) (memory 1) (data (i32.const 0) "line of log")
  (func (export "main") (param $n i32) (loop $next (call $f {2})
    (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
GROW = """(module (memory 1 {0}) (func (export "main") (param i32) (result i32 i32)
  (memory.grow (local.get 0)) (memory.size)))"""
STORE = """(module (memory 1) (func (export "main") (param i32 i64) (result i64)
  (i64.store offset=3 (local.get 0) (local.get 1)) (i64.load offset=3 (local.get 0))))"""
START = """(module (global $g (mut i32) (i32.const 1)) (start $set) (func (export "main") (result i32) (global.get $g))
  (func $set {0} (global.set $g (i32.const 5))))"""
STOPPED = """(module (import "edge" "cancelled" (func $cancelled (result i32))) (func (export "main") (result i32)
  (loop $next (br_if $next (i32.eqz (call $cancelled)))) (i32.const 8)))"""


def case(what: str, data: bytes, *inputs: Any, **fields: Any) -> dict[str, Any]:
    """A task with the module `data`. fields: of the start message; board and grace_ms as in tests.firmware.device."""
    board, grace_ms = fields.pop("board", True), fields.pop("grace_ms", None)
    start = {"task": "t", "attempt": 3, "name": "main", "inputs": list(inputs), "limits": {}, **fields}
    info, prepared = _accepted(data)
    try:
        start.update(call_of(start, Module({"id": "m", "prepared": "p", **info}), Policy())._asdict())
    except TaskFailure:  # the hub does not send such a task: the device must say so, too
        start.setdefault("abi", "edge")
    return {"what": what, "start": start, "data": prepared, "board": board, "grace_ms": grace_ms}


@cache
def _accepted(data: bytes) -> tuple[dict[str, Any], bytes]:
    accepted = accept(data)
    return accepted.info.to_doc(), accepted.prepared


def wat(what: str, text: str, *inputs: Any, **fields: Any) -> dict[str, Any]:
    return case(what, bytes(wat2wasm(text)), *inputs, **fields)


def asked(name: str, *arguments: int, **fields: Any) -> dict[str, Any]:
    """A module whose main gives what a host function answers."""
    signature = functions()[name]
    result = "" if signature[0] == "v" else "(result i32)"
    given = " ".join(f"(i32.const {argument})" for argument in arguments)
    text = f"""(module (import "edge" "{name}" (func $f (param{" i32" * len(arguments)}) {result})) (memory 1)
      (data (i32.const 0) "abcdefgh") (func (export "main") {result} (call $f {given})))"""
    fields = {"name": "näme", "function": "main", **fields}
    return wat(f"{name}{arguments}", text, **fields)


def cases() -> list[dict[str, Any]]:
    return [*generated(), *values(), *traps(), *limits(), *payloads(), *host_functions(), *ends()]


def generated() -> list[dict[str, Any]]:
    """Random modules and the examples."""
    calls = [call for seed in range(SEEDS) for call in generated_calls(seed, 1)] + example_calls(2)
    return [case(f"{c.what} {c.function.name}", c.data, *c.inputs, function=c.function.name) for c in calls]


def values() -> list[dict[str, Any]]:
    wide = {I32: (2**32 - 1, -(2**31), "0xff", "-7", True), I64: (2**63, 2**64 - 1, -(2**63), "12345678901234567890"),
            F32: (0.1, "inf", "nan", -0.0, 1e-45, 16777217, 3.4e38),
            F64: (0.1, "-inf", -0.0, 5e-324, 1.7976931348623157e308, 2**53 + 1, "1e3")}  # fmt: skip
    found = [case(f"{v!r} as {t:#x}", one(wasms.GET0, (t,), (t,)), v) for t, each in wide.items() for v in each]
    wrong = {I32: (2**32, 1.5, "x", None, [1]), I64: (2**64, "0x"), F32: (3.5e38, "1_0", True), F64: ("", {}, "ten")}
    found += [case(f"{v!r} as {t:#x}", one(wasms.GET0, (t,), (t,)), v) for t, each in wrong.items() for v in each]
    return [*found, case("no results", one(b"\x01")), case("too few", wasms.ADDER, 1),
            case("too many", wasms.ADDER, 1, 2, 3),
            case("two results", one(b"\x41\x01\x42\x02", (), (I32, I64)))]  # fmt: skip


def traps() -> list[dict[str, Any]]:
    loads = module(function("main", wasms.LOAD0, (I32,), (I32,)), pages=1)
    indirect = module(function("main", wasms.CALL_INDIRECT, (I32,)), table=2)
    return [
        case("unreachable", one(wasms.UNREACHABLE)),
        case("division by zero", one(wasms.DIV, (I32, I32), (I32,)), 1, 0),
        case("division overflows", one(wasms.DIV, (I32, I32), (I32,)), -(2**31), -1),
        case("nan as int", one(wasms.TRUNCATE, (F64,), (I32,)), "nan"),
        case("too large as int", one(wasms.TRUNCATE, (F64,), (I32,)), 1e10),
        case("endless recursion", one(wasms.CALL0)),
        *[case(f"load at {at}", loads, at) for at in (0, 65532, 65533, -1)],
        *[case(f"call of element {at}", indirect, at) for at in (0, 1, 2)],
        *[wat(f"store at {at}", STORE, at, 2**40) for at in (0, 65525, 65526, -4)],
        wat("start function", START.format("")),
        wat("start function that traps", START.format("(unreachable)")),
        case("no such import", module(function("main", wasms.CALL0), imports=(("env", "missing", "v()"),))),
        case("no such function", wasms.ADDER, 1, 2, function="nope"),
    ]


def limits() -> list[dict[str, Any]]:
    found = [wat(f"grow by {by}, most {most}", GROW.format(most), by) for most in ("", 3) for by in (0, 1, 2, 3, -1)]
    found += [wat(f"grow by {by} of 2", GROW.format(""), by, limits={"memory_pages": 2}) for by in (0, 1, 2)]
    three = module(function("main", b"\x01"), pages=3)
    found += [case(f"3 pages of {n}", three, limits={"memory_pages": n}) for n in (2, 3, 0)]
    twenty = one(b"\x42\x00" * 20, (), (I64,) * 20)
    found += [case(f"40 bytes of {n}", twenty, limits={"output_bytes": n}) for n in (39, 40)]
    byte = TIMES.format("output_byte", "(param i32)", "(i32.const 65)")
    found += [wat(f"{n} of 10 bytes", byte, n, limits={"output_bytes": 10}) for n in (9, 10, 11)]
    wrong: tuple[dict[str, Any], ...] = ({"stack_bytes": "x"}, {"output_bytes": -1})
    found += [case(f"limits {bad}", wasms.ADDER, 1, 2, limits=bad) for bad in wrong]
    deep = """(module (func $f (export "main") (param i32) (result i32) (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0)))))"""
    found += [wat(f"{n} deep, stack {size}", deep, n, limits={"stack_bytes": size}) for n, size in
              ((10, 1024), (100, 1024), (40, 4096), (1000, 4096))]  # fmt: skip
    return found


def payloads() -> list[dict[str, Any]]:
    given: list[Any] = [[], ["grüße"], [""], [7], ["a", "b"], {"a": [1, None]}, {"ü": True}, [1.5, -0.5, "x"], [[[]]]]
    found = [wat(f"payload {inputs!r}", ECHO, inputs=inputs) for inputs in given]
    found += [wat(f"stdin {len(text)}", ECHO, inputs=["a"], stdin=text) for text in ("typed\n", "", "ü" * 9000)]
    binary = """(module (import "edge" "output" (func $output (param i32 i32) (result i32))) (memory 1)
      (data (i32.const 0) "\\ff\\00a") (func (export "main") (drop (call $output (i32.const 0) (i32.const 3)))))"""
    found.append(wat("bytes that are no text", binary))
    return found


def host_functions() -> list[dict[str, Any]]:
    everything = ["sensor", "gpio_read", "gpio_write:2", "adc:1", "publish:a/"]
    found = [asked("input_byte", at, inputs=["xyz"]) for at in (-1, 0, 2, 3)]
    found += [asked("input_read", *three, inputs=["abcdef"]) for three in
              ((0, 2, 100), (0, 6, 100), (0, 0, -1), (65535, 0, 2), (-1, 0, 2))]  # fmt: skip
    found += [asked("output", *two) for two in ((0, 3), (65536, 0), (65536, 1), (-8, 16), (0, -1))]
    found += [asked("log", *three) for three in ((-5, 1, 3), (1, 0, 8), (3, 0, 0), (99, 1, 3), (1, 65530, 7))]
    found += [asked("progress", n) for n in (-1, 500, 1001)]
    found += [asked("progress_message", *three) for three in ((500, 0, 8), (1001, 1, 0), (0, 65530, 7))]
    found += [asked("task_name", *two) for two in ((0, 2), (0, 100), (65534, 5))]
    found += [asked("random", *two) for two in ((0, 16), (65535, 2))]
    found += [asked("attempt"), asked("cancelled"), asked("input_len", inputs=["grüße"])]
    for name, argument in (("sensor", 0), ("sensor", 9), ("gpio_read", 3), ("adc", 1), ("adc", 2)):
        found += [asked(name, argument, allow=allow, board=board) for allow, board in
                  ((everything, True), (everything, False), (["publish"], True))]  # fmt: skip
    found += [asked("gpio_write", pin, 1, allow=everything) for pin in (2, 3)]
    found += [asked("publish", *four, allow=allow) for four, allow in
              (((0, 8, 0, 8), ["publish"]), ((0, 8, 0, 8), ["publish:abcdefgh"]), ((0, 8, 0, 3), ["publish:b"]),
               ((0, 0, 0, 3), ["publish"]), ((0, 4, 8, 2), ["publish"]), ((0, 4, 65536, 1), ["publish"]))]  # fmt: skip
    return found


def ends() -> list[dict[str, Any]]:
    """Of time: nothing here takes longer than its deadline."""
    endless = wasms.LOOP
    found = [case(f"endless, {ms} ms", endless, limits={"timeout_ms": ms}) for ms in (1, 50)]
    found += [case(f"endless, stopped with {ms} ms", endless, grace_ms=ms) for ms in (0, 30)]
    found += [wat("ends itself when stopped", STOPPED, grace_ms=5000), wat("does not run", STOPPED, grace_ms=0)]
    return found
