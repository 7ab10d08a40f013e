"""The prepared form: the same module, metered, and without what wasm3 0.5.0 stumbles over."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Config, Engine, Func, FuncType, Instance, Module, Store, ValType, wat2wasm

from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from hub.modules.accept import accept
from hub.modules.header import HEADER
from hub.modules.info import Limits
from hub.modules.prepare import prepare
from hub.modules.validate import validate
from shared.errors import BadRequest, TooLarge
from shared.host import FUEL
from tests.differential.generate import generate
from tests.edge.wasms import function, leb, module, name, one, section
from tests.effort import effort

EXAMPLES = Path(__file__).parents[2] / "examples"

FIBONACCI = """(module (func $f (export "main") (param i32) (result i32)
  (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
    (then (local.get 0))
    (else (i32.add (call $f (i32.sub (local.get 0) (i32.const 1)))
                   (call $f (i32.sub (local.get 0) (i32.const 2))))))))"""
# Counts down from its parameter, in an inner loop three times for each of an outer one.
NESTED = """(module (func (export "main") (param i32) (result i32) (local i32 i32)
  (loop $outer
    (local.set 1 (i32.const 3))
    (loop $inner
      (local.set 2 (i32.add (local.get 2) (i32.const 1)))
      (br_if $inner (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (br_if $outer (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
  (local.get 2)))"""


def wat(text: str) -> bytes:
    return bytes(wat2wasm(text))


def sections(data: bytes) -> dict[int, bytes]:
    """The content of each section; sizes of up to two bytes."""
    found, at = {}, len(HEADER)
    while at < len(data):
        number, size, at = data[at], data[at + 1], at + 2
        if size > 0x7F:
            size, at = size & 0x7F | data[at] << 7, at + 1
        found[number] = data[at : at + size]
        at += size
    return found


# The form.


def test_tick_is_the_last_import_and_the_fuel_an_export() -> None:
    text = '(module (import "edge" "millis" (func (result i32))) (import "e" "g" (global i32)) (func (export "main")))'
    info = validate(prepare(wat(text)))
    assert [(one.module, one.name) for one in info.imports] == [("edge", "millis"), ("e", "g"), ("edge", "tick")]
    assert [(one.name, one.kind) for one in info.exports] == [("main", "func"), (FUEL, "global")]


def test_custom_sections_and_the_data_count_are_gone() -> None:
    plain = module(function("main", b""), pages=1)
    counted = section(12, b"\x01") + section(10, sections(plain)[10]) + section(11, b"\x01\x00\x41\x00\x0b\x01x")
    data = plain[: plain.index(section(10, sections(plain)[10]))] + counted + section(0, name("producers") + b"me")
    assert validate(data).custom_sections == ("producers",)
    assert set(sections(data)) == {1, 3, 5, 7, 12, 10, 11, 0}
    assert set(sections(prepare(data))) == {1, 2, 3, 5, 6, 7, 10, 11}


def test_numbers_have_their_shortest_form() -> None:
    short = (
        *(b"\x41\x00", b"\x11\x00", b"\x00"),  # i32.const, call_indirect
        *(b"\x41\x7f", b"\x28\x02", b"\x10", b"\x1a"),  # i32.const, i32.load, drop
        *(b"\x42\x80\x7f", b"\x1a", b"\xfc\x00", b"\x1a"),  # i64.const, drop, i32.trunc_sat_f32_s behind a constant
        *(b"\x02\x00", b"\x0c\x00", b"\x0b"),  # block of type 0, br
        *(b"\x41\x00", b"\x0e\x01\x00", b"\x00"),  # br_table
    )
    long = (
        *(b"\x41\x80\x00", b"\x11\x80\x80\x00", b"\x80\x80\x80\x80\x00"),
        *(b"\x41\xff\xff\x7f", b"\x28\x82\x00", b"\x90\x00", b"\x1a"),
        *(b"\x42\x80\xff\x7f", b"\x1a", b"\xfc\x80\x00", b"\x1a"),
        *(b"\x02\x80\x00", b"\x0c\x80\x80\x80\x80\x00", b"\x0b"),
        *(b"\x41\x00", b"\x0e\x81\x00\x80\x00", b"\x80\x80\x00"),
    )

    def written(parts: tuple[bytes, ...]) -> bytes:
        code = b"".join(parts).replace(b"\xfc", b"\x43\0\0\0\0\xfc")
        return prepare(module(function("main", code), pages=1, table=1))

    assert written(long) == written(short)


@pytest.mark.parametrize(
    ("limits", "most"), [("1", 4096), ("1 10", 10), ("0 65536", 4096), ("4096 4096", 4096), ("0 0", 0)]
)
def test_the_memory_has_a_maximum_in_five_bytes(limits: str, most: int) -> None:
    data = prepare(wat(f"(module (memory {limits}))"))
    least = int(limits.split()[0])
    assert validate(data).memory == Limits(least, most)
    assert len(sections(data)[5]) == 2 + len(leb(least)) + 5


def test_a_memory_that_begins_too_large_is_refused() -> None:
    with pytest.raises(BadRequest, match="begins with 4097 pages of memory"):
        prepare(wat("(module (memory 4097))"))


NAMES = " ".join(f'(export "{number}")' for number in range(900))
VALUES = "(local.get 0) " * 300
BLOCKS = "(block (type $t)) " * 900


@pytest.mark.parametrize(
    "text",
    [
        # Each name but three needs a function of its own in wasm3.
        f"(func {NAMES} (param {'i32 ' * 1000}))",
        # What a block takes and gives goes through locals.
        f"(type $t (func (param {'i32 ' * 300}) (result {'i32 ' * 300}))) (func (type $t) {VALUES} {BLOCKS})",
    ],
    ids=["names", "values"],
)
def test_a_small_module_that_grows_without_measure_is_refused(text: str) -> None:
    with pytest.raises(TooLarge, match="grows too much when it is prepared"):
        prepare(wat(f"(module {text})"))


@settings(max_examples=effort(1_000), deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_valid_stays_valid(engine: Engine, seed: int) -> None:
    data = generate(seed).data
    accepted = accept(data)
    assert accepted.info.size_bytes == len(data)
    for form in (data, accepted.prepared):
        Module.validate(engine, form)
        validate(form)
    with pytest.raises(BadRequest, match=r"imports edge\.tick"):
        accept(accepted.prepared)


# What it does: the same as the original, and the fuel it takes.


def run(data: bytes, *inputs: int, grant: int = 1000, export: str = "main") -> tuple[Any, int]:
    """(the result, the fuel used) in wasmtime."""
    store = Store()
    granted = []

    def tick() -> int:
        granted.append(grant)
        return grant

    imports = [Func(store, FuncType([], [ValType.i32()]), tick)]
    instance = Instance(store, Module(store.engine, data), imports)
    exports = instance.exports(store)
    result = exports[export](store, *inputs)  # type: ignore[operator]
    return result, sum(granted) - exports[FUEL].value(store)  # type: ignore[union-attr]


def run_counted(data: bytes, *inputs: int, export: str = "main") -> tuple[Any, int]:
    """(the result, the instructions that ran by wasmtime's count, which leaves some out) of the original."""
    config = Config()
    config.consume_fuel = True
    store = Store(Engine(config))
    store.set_fuel(10**9)
    instance = Instance(store, Module(store.engine, data), [])
    result = instance.exports(store)[export](store, *inputs)  # type: ignore[operator]
    return result, 10**9 - store.get_fuel()


@pytest.mark.parametrize(
    ("data", "export", "inputs"),
    [
        (wat(FIBONACCI), "main", (12,)),
        (wat(NESTED), "main", (100,)),
        ((EXAMPLES / "sha256.wasm").read_bytes(), "sha256", (50,)),
        ((EXAMPLES / "fibonacci.wasm").read_bytes(), "fib", (80,)),
        ((EXAMPLES / "addition.wasm").read_bytes(), "main", (1, 2)),
    ],
    ids=["recursion", "nested loops", "sha256", "loop", "straight"],
)
def test_the_result_is_the_same_and_no_instruction_free(data: bytes, export: str, inputs: tuple[int, ...]) -> None:
    result, used = run(prepare(data), *inputs, export=export)
    wanted, instructions = run_counted(data, *inputs, export=export)
    assert result == wanted
    assert instructions <= used <= 3 * instructions + 100


@pytest.mark.parametrize("grant", [1, 7, 1000, 2**30])
def test_fuel_is_counted_exactly_whatever_tick_gives(grant: int) -> None:
    """In NESTED lie 3 instructions and an end outside, 9 and an end in the outer loop, 9 and an end in the inner."""
    _, used = run(prepare(wat(NESTED)), 10, grant=grant)
    assert used == 3 + 10 * 9 + 10 * 3 * 10


def test_filling_and_copying_memory_cost_by_their_length() -> None:
    fill = "(memory.fill (i32.const 0) (i32.const 0) (local.get 0))"
    copy = "(memory.copy (i32.const 0) (i32.const 0) (local.get 0))"
    for what in (fill, copy):
        data = prepare(wat(f'(module (memory 1) (func (export "main") (param i32) {what}))'))
        assert run(data, 65536)[1] - run(data, 0)[1] == 65536 // 16


# On wasm3.


@pytest.fixture
def load() -> Iterator[Callable[[bytes], Any]]:
    instances = []

    def load(data: bytes) -> Any:
        instance = Library(wasm3_file()).load(data, 16384)
        instances.append(instance)
        instance.link("edge", "tick", "i()", lambda: 1000)
        instance.start()
        return instance

    yield load
    for instance in instances:
        instance.close()


def test_memory_grows_as_far_as_it_may_and_never_shrinks(load: Callable[[bytes], Any]) -> None:
    grow = '(func (export "main") (param i32) (result i32) (memory.grow (local.get 0)))'
    main = load(prepare(wat(f"(module (memory 1 4) {grow})"))).find("main")
    assert [main(pages) for pages in (-1, 0, 4, 3, -4, 1)] == [(-1,), (1,), (-1,), (1,), (-1,), (-1,)]


def test_a_function_has_as_many_names_as_it_likes(load: Callable[[bytes], Any]) -> None:
    names = [f"name{number}" for number in range(9)]
    exports = " ".join(f'(export "{one}")' for one in names)
    text = f"(module (func $twice {exports} (param i32 i64) (result i32) (i32.mul (local.get 0) (i32.const 2))))"
    instance = load(prepare(wat(text)))
    assert [instance.find(one)(21, 0) for one in names] == [(42,)] * 9


def test_the_start_function_runs_though_it_has_index_0(load: Callable[[bytes], Any]) -> None:
    text = """(module (global $g (mut i32) (i32.const 1)) (func $start (global.set $g (i32.const 7)))
      (func (export "main") (result i32) (global.get $g)) (start $start))"""
    assert load(prepare(wat(text))).find("main")() == (7,)


def test_select_with_a_type_runs(load: Callable[[bytes], Any]) -> None:
    select = "(select (result i64) (i64.const 1) (i64.const 2) (local.get 0))"
    main = load(prepare(wat(f'(module (func (export "main") (param i32) (result i64) {select}))'))).find("main")
    assert (main(1), main(0)) == ((1,), (2,))


def test_references_to_functions_keep_what_they_mean(load: Callable[[bytes], Any]) -> None:
    text = """(module (table 2 2 funcref) (elem (i32.const 0) $one $two) (type $t (func (result i32)))
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (i32.add (call $one) (i32.const 1)))
      (func (export "main") (param i32) (result i32) (call_indirect (type $t) (local.get 0))))"""
    main = load(prepare(wat(text))).find("main")
    assert (main(0), main(1)) == ((1,), (2,))


@pytest.mark.parametrize("loops", [0, 1, 8, 64, 900])
def test_a_recursion_in_nested_loops_ends_with_an_error_and_not_the_process(loops: int, tmp_path: Path) -> None:
    """In a thread with eight times wasm3's stack and 100 KiB: without the locals that are added, it is overrun."""
    path = tmp_path / "module.wasm"
    path.write_bytes(prepare(one(b"\x03\x40" * loops + b"\x10\x00" + b"\x0b" * loops)))
    done = subprocess.run([sys.executable, "-c", CHILD, str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "stack overflow" in done.stdout


CHILD = """
import sys, threading
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file

def run():
    with open(sys.argv[1], "rb") as file:
        instance = Library(wasm3_file()).load(file.read(), 65536)
    instance.link("edge", "tick", "i()", lambda: 1000000)
    try:
        instance.find("main")()
    except RuntimeError as error:
        print(error)

threading.stack_size(8 * 65536 + 100 * 1024)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
