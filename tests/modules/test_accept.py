"""What an upload may import and export, and that its prepared form is not taken as an upload again."""

from pathlib import Path

import pytest
from wasmtime import Engine, Module, wat2wasm

from hub.modules.accept import accept
from hub.modules.prepare import prepare
from hub.modules.validate import validate
from shared.errors import BadRequest

EXAMPLES = Path(__file__).parents[2] / "examples"


def refusal(wat: str) -> str:
    with pytest.raises(BadRequest) as caught:
        accept(bytes(wat2wasm(wat)))
    assert caught.value.code == "bad_module"
    return caught.value.message


@pytest.mark.parametrize(
    ("wat", "words"),
    [
        ('(module (import "env" "memory" (memory 1)))', "imports the memory env.memory: devices offer functions only"),
        ('(module (import "env" "t" (table 1 funcref)))', "imports the table env.t: devices offer functions only"),
        ('(module (import "env" "g" (global i32)))', "imports the global env.g: devices offer functions only"),
        ('(module (import "edge" "tick" (func (result i32))))', "imports edge.tick, which is added to every module"),
        ('(module (import "edge" "fly" (func)))', "imports edge.fly, and edge has no function of that name"),
        (
            '(module (import "edge" "log" (func (param i32 i32))))',
            "imports edge.log as (i32, i32) -> (), and it is (i32, i32, i32) -> ()",
        ),
        ('(module (func (export "__fuel")))', "exports __fuel, a name that metering takes"),
        ('(module (import "a\\00b" "c" (func)))', "holds a zero character"),
        ("(module (memory 4097))", "begins with 4097 pages of memory, 4096 (256 MiB) is the most"),
        ('(module (memory 1) (data (i32.const 65536) "x"))', "data segment 0 ends at 65537, beyond the memory of"),
        ('(module (memory 1) (data (i32.const -1) "x"))', "data segment 0 ends at 4294967296, beyond the memory"),
        ("(module (table 1 funcref) (func $f) (elem (i32.const 1) $f))", "element segment 0 ends at 2, beyond"),
    ],
)
def test_refused_with_a_sentence(wat: str, words: str) -> None:
    assert words in refusal(wat)


def test_a_description_beyond_measure_is_refused() -> None:
    imports = '(import "env" "f" (func (type 0)))' * 51
    words = "the functions imported and exported take and give 51000 values, 50000 is the most"
    assert words in refusal(f"(module (type (func (param {'i32 ' * 1000}))) {imports})")


def test_foreign_imports_wait_for_a_device_that_has_them() -> None:
    wat = '(module (import "env" "foo" (func)) (import "edge" "millis" (func (result i32))))'
    assert [one.name for one in accept(bytes(wat2wasm(wat))).info.imports] == ["foo", "millis"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.wasm")), ids=lambda path: path.stem)
def test_the_prepared_form_is_valid_and_no_upload(path: Path, engine: Engine) -> None:
    data = path.read_bytes()
    accepted = accept(data)
    assert accepted.info == validate(data)
    assert accepted.prepared == prepare(data)
    validate(accepted.prepared)
    Module.validate(engine, accepted.prepared)
    with pytest.raises(BadRequest, match=r"imports edge\.tick"):
        accept(accepted.prepared)


def test_an_export_that_nobody_can_ask_for_is_shown_and_left_out() -> None:
    accepted = accept(bytes(wat2wasm('(module (func (export "a\\00b")) (func (export "c")))')))
    assert [export.name for export in accepted.info.exports] == ["a\0b", "c"]
    assert [export.name for export in validate(accepted.prepared).exports] == ["c", "__fuel"]


def test_an_empty_segment_of_elements_is_left_out() -> None:
    data = bytes(wat2wasm("(module (table 1 funcref) (elem (i32.const 0)))"))
    assert b"\x09\x06\x01\0\x41\0\x0b\0" in data
    assert b"\x09" not in accept(data).prepared[8:]
