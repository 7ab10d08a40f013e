"""Full validation: what is valid and wasm3 runs passes with its features, the rest is refused with a sentence."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, Module, WasmtimeError, wat2wasm

from hub.modules.header import MAX_MODULE
from hub.modules.prepare import prepare
from hub.modules.validate import validate
from shared.errors import BadRequest, MotetError
from tests.edge.wasms import I32, function, module, one
from tests.effort import effort

EXAMPLES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parents[2] / "examples").glob("*.wasm"))}


def refusal(data: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        validate(data)
    assert caught.value.code == "bad_module"
    assert "\n" not in caught.value.message
    json.dumps(caught.value.detail)
    return caught.value.message


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    assert set(validate(EXAMPLES[example]).features) <= {"bulk-memory", "mutable-globals", "sign-ext"}


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("(func (drop (i32.extend8_s (i32.const 1))))", ("sign-ext",)),
        ("(func (drop (i64.extend32_s (i64.const 1))))", ("sign-ext",)),
        ("(func (drop (i32.trunc_sat_f64_u (f64.const 1))))", ("nontrapping-fptoint",)),
        ("(memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 9)))", ("bulk-memory",)),
        ("(memory 1) (func (memory.copy (i32.const 0) (i32.const 0) (i32.const 9)))", ("bulk-memory",)),
        ("(func (result i32 i64) (i32.const 1) (i64.const 2))", ("multi-value",)),
        ("(func (i32.const 1) (block (param i32) (drop)))", ("multi-value",)),
        ('(global (export "g") (mut i32) (i32.const 1))', ("mutable-globals",)),
        ('(import "env" "g" (global (mut i32)))', ("mutable-globals",)),
        ("(global (mut i32) (i32.const 1))", ()),
        ("(func (drop (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3))))", ()),
        ("(func (unreachable) (i32.add) (drop) (select) (drop) (br_table 0 0))", ()),
        ("(func (result f32) (block (unreachable)) (f32.const 1))", ()),
        ("(func (loop (br 0)))", ()),
        ("(func (result i32) (loop (result i32) (br_if 1 (i32.const 7) (i32.const 1))))", ()),
    ],
)
def test_valid_with_its_features(text: str, features: tuple[str, ...]) -> None:
    assert validate(bytes(wat2wasm(f"(module {text})"))).features == features


@pytest.mark.parametrize(
    "code",
    [
        b"\x41\x00\x11\x00\x80\x80\x80\x80\x00",  # call_indirect with the table as LLVM 20 writes it
        b"\x41\x00\x28\x82\x00\x80\x80\x80\x80\x00\x1a",  # i32.load, every number longer than it need be
        b"\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x1a",  # i64.const -1
        b"\x41\x00\xfc\x80\x80\x00\x1a",  # 0xfc 0 in three bytes; the operand follows below
    ],
)
def test_long_numbers_are_valid(code: bytes) -> None:
    code = code.replace(b"\x41\x00\xfc", b"\x43\0\0\0\0\xfc")
    validate(module(function("main", code), pages=1, table=1))


# What stands in a function with the parameters i32 f64 and the result i32; label 0 is that of the function.
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(local.get 0) (i32.add)", "i32.add wants i32 i32 on the stack and finds i32"),
        ("(i32.eqz (local.get 1))", "i32.eqz wants i32 on the stack and finds f64"),
        ("(i32.load (local.get 1))", "i32.load wants i32 on the stack and finds f64"),
        ("(i32.store (i32.const 1) (local.get 1))", "i32.store wants i32 i32 on the stack and finds i32 f64"),
        ("(local.set 0 (local.get 1))", "local.set wants i32 on the stack and finds f64"),
        ("(global.set $variable (f32.const 1))", "global.set wants i32 on the stack and finds f32"),
        ("", "end wants i32 on the stack and finds nothing"),
        ("(i32.const 1) (i32.const 2)", "end of a block that leaves 1 more values than its type says"),
        ("(i32.const 1) (block (i32.const 2))", "end of a block that leaves 1 more values than its type says"),
        ("(i32.const 1) (block (drop))", "drop wants a value, and there is none on the stack"),
        ("(unreachable) (f32.const 1)", "end wants i32 on the stack and finds f32"),
        ("(unreachable) (i32.const 1) (i32.const 2)", "leaves 1 more values"),
        ("(if (i32.const 1) (then) (else (i32.const 1))) (i32.const 1)", "end of a block that leaves 1 more"),
        ("(if (result i32) (i32.const 1) (then (i32.const 1)))", "an if without else whose type says that it changes"),
        ("(local.get 2)", "it names local 2, and there are 2"),
        ("(global.get 2)", "it names global 2, and there are 2"),
        ("(call 2)", "it names function 2, and there are 2"),
        ("(call_indirect (type 3) (i32.const 1))", "it names type 3, and there are 2"),
        ("(br 1)", "it names label 1, and there are 1"),
        ("(br_table 0 1 (i32.const 1) (i32.const 0))", "it names label 1, and there are 1"),
        ("(block (br_table 0 1 (i32.const 1) (i32.const 0))) (i32.const 1)", "br_table to labels that take 1 and 0"),
        ("(br 0 (f32.const 1))", "br wants i32 on the stack and finds f32"),
        ("(br_if 0 (i32.const 1) (i64.const 1))", "br_if wants i32 on the stack and finds i64"),
        ("(return (i64.const 1))", "return wants i32 on the stack and finds i64"),
        ("(call 0 (i32.const 1) (i32.const 2))", "call wants i32 f64 on the stack and finds i32 i32"),
        ("(global.set $constant (i32.const 1))", "global.set of a constant global"),
        ("(select (i32.const 1) (i64.const 1) (i32.const 1))", "select between i32 i64"),
        ("(select (result externref) (unreachable))", "select of externref, which wasm3 lacks"),
        ("(i32.load align=8 (i32.const 1))", "i32.load is aligned to 2^3 bytes, more than its size"),
        ("(block (result v128) (unreachable)) (drop) (i32.const 1)", "a block of type v128, which wasm3 lacks"),
        ("(return_call 0 (local.get 0) (local.get 1))", "uses tail calls, which wasm3 lacks: build the module without"),
        ("(ref.null func) (drop)", "uses reference types, which wasm3 lacks"),
        ("(table.get 0 (i32.const 0)) (drop)", "uses reference types, which wasm3 lacks"),
        ("(v128.const i32x4 0 0 0 0) (drop)", "uses SIMD, which wasm3 lacks"),
        ("(i32.atomic.load (i32.const 0))", "uses threads, which wasm3 lacks"),
        ("(table.copy (i32.const 0) (i32.const 0) (i32.const 0))", "uses table.init, elem.drop and table.copy"),
        ("(ref.i31 (i32.const 0)) (drop)", "uses garbage collection, which wasm3 lacks"),
    ],
)
def test_a_body_is_refused_with_a_sentence(text: str, words: str) -> None:
    context = """(memory 1) (table 1 funcref) (global $variable (mut i32) (i32.const 0))
        (global $constant i32 (i32.const 0)) (func $nothing)"""
    data = bytes(wat2wasm(f"(module (func (param i32 f64) (result i32) {text}) {context})"))
    assert words in refusal(data)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(func (drop (i32.load (i32.const 0))))", "i32.load needs a memory, and the module has none"),
        ("(func (drop (memory.size)))", "memory.size needs a memory, and the module has none"),
        ("(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))", "memory.fill needs a memory"),
        ("(type (func)) (func (call_indirect (type 0) (i32.const 0)))", "it names table 0, and there are 0"),
        ("(func (local v128))", "function 0 has a local of type v128, which wasm3 lacks"),
        ("(func (param externref))", "type 0 has values of externref, which wasm3 lacks"),
        ("(table 1 externref)", "a table of externref, which wasm3 lacks"),
        ("(table 1 funcref) (table 1 funcref)", "the module has 2 tables (reference types, which wasm3 lacks)"),
        ("(global v128 (v128.const i32x4 0 0 0 0))", "that is no constant"),
        ("(global funcref (ref.null func))", "global 0 is a funcref, which wasm3 lacks"),
        ("(global i32 (f32.const 1))", "the value of global 0 is malformed"),
        ("(global i32 (i32.const 1) (i32.const 2))", "more than one instruction (extended constants, which wasm3"),
        ("(global i32) (global i64 (i64.const 0))", "it is empty"),
        ("(global i32 (i32.const 0)) (global i32 (global.get 0))", "global.get 0 names no imported global"),
        ('(import "e" "g" (global (mut i32))) (global i32 (global.get 0))', "names a global that can change"),
        ("(func $f (param i32)) (start $f)", "the start function 0 has parameters or results"),
        ('(data (i32.const 0) "x")', "data segment 0 is for memory 0, and there are 0"),
        ('(memory 1) (data (i64.const 0) "x")', "the offset of data segment 0 is malformed"),
        ('(memory 1) (data "x")', "data segment 0 is passive (memory.init, which wasm3 lacks)"),
        ("(func) (elem (i32.const 0) 0)", "element segment 0 is for table 0, and there are 0"),
        ("(table 1 funcref) (func) (elem (i32.const 0) 0 1)", "element segment 0 names func 1, and there are 1"),
        ("(table 1 funcref) (elem (i32.const 0) funcref (ref.null func))", "element segment 0 has expressions"),
        ("(func) (elem declare func 0)", "element segment 0 is passive or declared"),
        (f"(func (param {'i32 ' * 1001}))", "type 0 has over 1000 parameters and results, wasm3's limit"),
        (f"(func (local {'i32 ' * 50001}))", "function 0 has 50001 locals, 50000 is the most"),
        (f"(func {'(block ' * 1001}{')' * 1001})", "blocks lie over 1000 deep in each other"),
    ],
)
def test_a_module_is_refused_with_a_sentence(text: str, words: str) -> None:
    assert words in refusal(bytes(wat2wasm(f"(module {text})")))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"\x05", "else without if"),
        (b"\x0b\x01", "2 bytes follow the end of the function"),
        (b"\x02\x40", "it ends inside an instruction or a block"),
        (b"\x41", "it ends inside an instruction or a block"),
        (b"\x44\x00", "it ends inside an instruction or a block"),
        (b"\x41\x80\x80\x80\x80\x80\x00", "a number is longer than 32 bits"),
        (b"\x41\xff\xff\xff\xff\x4f\x1a", "a number is longer than 32 bits"),
        (b"\x42\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\x1a", "a number is longer than 64 bits"),
        (b"\x10\x80\x80\x80\x80\x10", "a number is longer than 32 bits"),
        (b"\x0e\x90\x4e\x00", "br_table with 10000 labels, and fewer bytes follow"),
        (b"\x08\x00", "uses exceptions, which wasm3 lacks"),
        (b"\xfc\x08\x00\x00", "uses memory.init and data.drop, which wasm3 lacks"),
        (b"\x27", "0x27 is no instruction"),
        (b"\xfc\x20", "0xfc20 is no instruction"),
        (b"\x02\x41\x0b", "a block of type 0x41, unknown"),
        (b"\x02\xff\x7f\x0b", "a block of a negative type"),
        (b"\x02\x05\x0b", "it names type 5, and there are 1"),
        (b"\x3f\x01\x1a", "memory.size names another memory than 0 (multi-memory, which wasm3 lacks)"),
        (b"\x41\x00\x28\x42\x00\x00\x1a", "i32.load names a memory (multi-memory, which wasm3 lacks)"),
        (b"\x41\x00\x11\x00\x01", "it names table 1, and there are 1"),
        (b"\x1c\x00", "select with 0 types"),
    ],
)
def test_bytes_are_refused_with_a_sentence(code: bytes, words: str) -> None:
    assert words in refusal(module(function("main", code), pages=1, table=1))


def test_the_place_is_named() -> None:
    with pytest.raises(BadRequest) as caught:
        validate(module(function("a", b"\x01"), function("b", b"\x01\x1a")))
    detail = caught.value.detail
    assert detail["function"] == 1
    assert caught.value.message.startswith(f"function 1 is invalid before byte {detail['offset']}: drop wants a value")


def long(code: bytes, before: bytes = b"", after: bytes = b"", params: int = 0, results: int = 0) -> bytes:
    """A module of 8 MiB: code, again and again."""
    room = MAX_MODULE - 4200 - len(before) - len(after)
    return one(before + code * (room // len(code)) + after, (I32,) * params, (I32,) * results)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (long(b"\x45", b"\x41\0", b"\x1a"), "over 4000000 instructions"),
        (long(b"\x6a\x1a", b"\0"), "more blocks, branches and calls, or dead code"),
        (long(b"\x03\x40\x0b"), "more blocks, branches and calls, or dead code"),
        (long(b"\x02\0\x0b", b"\x20\0" * 500, b"\x0f", 500, 500), "more blocks, branches and calls, or dead code"),
        (long(b"\x41\0\x0e\x80\x01" + bytes(range(128)) + b"\0", b"\x02\x40" * 128), "more blocks, branches"),
        (long(b"\x1b\x10\0", b"\0", b"", 500, 500), "more blocks, branches and calls, or dead code"),
        (long(b"\x10\0", b"", b"", 0, 1000), "over 50000 values lie on the stack"),
    ],
    ids=["operators", "dead", "loops", "parameters", "tables", "calls", "results"],
)
def test_a_module_made_to_hurt_is_refused_in_time(data: bytes, words: str) -> None:
    """About 1 s on a quiet machine; a step whose cost grows with the square of something would take minutes."""
    started = time.process_time()
    assert words in refusal(data)
    assert time.process_time() - started < 15


@pytest.fixture(scope="module")
def narrow() -> Engine:
    """wasmtime with what Motet refuses turned off, as far as it lets itself be turned off."""
    config = Config()
    for feature in (
        *("simd", "relaxed_simd", "threads", "memory64", "multi_memory", "tail_call", "exceptions", "gc"),
        *("function_references", "wide_arithmetic", "stack_switching", "custom_page_sizes", "component_model"),
    ):
        setattr(config, f"wasm_{feature}", False)
    return Engine(config)


# What only Motet refuses.
OURS = ("which wasm3 lacks", "is the most", "wasm3's limit")


def valid(engine: Engine, data: bytes) -> bool:
    try:
        Module.validate(engine, data)
    except WasmtimeError:
        return False
    return True


@settings(max_examples=effort(5_000), deadline=None)
@given(
    st.sampled_from([data for data in EXAMPLES.values() if len(data) < 1500]),
    st.lists(
        st.tuples(
            st.integers(8, 1500),
            st.sampled_from(["set", "set", "set", "drop", "add"]),
            st.one_of(
                st.integers(0, 255), st.integers(0x45, 0xC4), st.sampled_from(b"\0\1\2\3\4\5\x0b\x0c\x0d\x0e\x20\x41")
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_mutants_are_refused_as_by_wasmtime(narrow: Engine, data: bytes, changes: list[tuple[int, str, int]]) -> None:
    mutant = bytearray(data)
    for at, how, byte in changes:
        at = 8 + at % (len(mutant) - 8)
        mutant[at : at + (how != "add")] = b"" if how == "drop" else bytes([byte])
    mutated = bytes(mutant)
    try:
        validate(mutated)
    except MotetError as error:
        assert "\n" not in error.message
        assert not valid(narrow, mutated) or any(words in error.message for words in OURS), error.message
        return
    assert valid(narrow, mutated)
    try:
        prepared = prepare(mutated)
    except MotetError as error:
        assert "pages of memory" in error.message
        return
    validate(prepared)
    assert valid(narrow, prepared)
