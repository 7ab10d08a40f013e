"""The structural gate: what is read from a module, and what is refused with which sentence."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.modules.header import HEADER, MAX_MODULE
from hub.modules.info import ModuleInfo
from hub.modules.inspect import inspect
from shared.errors import BadRequest, MotetError, TooLarge

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULES = {path.stem: path.read_bytes() for path in sorted(EXAMPLES.glob("*.wasm"))}
# A module of 100 KB has 100,000 prefixes, a minute's work.
SMALL = [name for name, data in MODULES.items() if len(data) < 16 * 1024]
ADDITION = MODULES["addition"]


def leb(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def section(number: int, body: bytes) -> bytes:
    return bytes([number]) + leb(len(body)) + body


def text(name: str) -> bytes:
    return leb(len(name.encode())) + name.encode()


TYPES = section(1, b"\x02" + b"\x60\x02\x7f\x7e\x01\x7d" + b"\x60\x00\x00")
IMPORTS = section(
    2,
    b"\x04"
    + (text("edge") + text("log") + b"\x00\x00")
    + (text("env") + text("memory") + b"\x02\x01\x02\x10")
    + (text("env") + text("table") + b"\x01\x70\x00\x03")
    + (text("env") + text("base") + b"\x03\x7f\x01"),
)
CODE = section(10, b"\x01" + b"\x02\x00\x0b")
# Every section there is: a global of each constant kind, element and data segments of several forms.
FULL = (
    HEADER
    + section(0, text("producers") + b"whatever")
    + TYPES
    + IMPORTS
    + section(3, b"\x01\x01")
    + section(6, b"\x02" + b"\x7f\x00\x23\x00\x0b" + b"\x7c\x01\x44" + bytes(8) + b"\x0b")
    + section(7, b"\x03" + text("go") + b"\x00\x01" + text("memory") + b"\x02\x00" + text("send") + b"\x00\x00")
    + section(8, b"\x01")
    + section(9, b"\x02" + b"\x00\x41\x00\x0b\x01\x01" + b"\x05\x70\x01\xd2\x01\x0b")
    + section(12, b"\x02")
    + CODE
    + section(11, b"\x02" + b"\x00\x41\x80\x01\x0b\x03abc" + b"\x01\x02de")
    + section(0, text("name") + b"\x02\x0a\x01\x00\x02" + b"\x00\x02at" + b"\x01\x01x")
)


def refusal(data: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        inspect(data)
    assert caught.value.code == "bad_module"
    json.dumps(caught.value.detail)
    return caught.value.message


def test_addition() -> None:
    assert inspect(ADDITION).to_doc() == {
        "exports": [{"name": "main", "kind": "func", "params": ["i32", "i32"], "results": ["i32"]}],
        "imports": [],
        "memory": None,
        "table": None,
        "start": None,
        "features": [],
        "custom_sections": [],
        "size_bytes": 42,
    }


def test_every_section() -> None:
    assert inspect(FULL).to_doc() == {
        "exports": [
            {"name": "go", "kind": "func", "params": [], "results": []},
            {"name": "memory", "kind": "memory"},
            {"name": "send", "kind": "func", "params": ["i32", "i64"], "results": ["f32"], "param_names": ["at", "x"]},
        ],
        "imports": [
            {"module": "edge", "name": "log", "kind": "func", "params": ["i32", "i64"], "results": ["f32"]},
            {"module": "env", "name": "memory", "kind": "memory"},
            {"module": "env", "name": "table", "kind": "table"},
            {"module": "env", "name": "base", "kind": "global"},
        ],
        "memory": {"min_pages": 2, "max_pages": 16},
        "table": {"min": 3, "max": None},
        "start": 1,
        "features": [],
        "custom_sections": ["producers", "name"],
        "size_bytes": len(FULL),
    }


def test_function_finds_functions_only() -> None:
    info = inspect(FULL)
    assert info.function("memory") is None
    assert info.function("nothing") is None
    send = info.function("send")
    assert send is not None
    assert send.param_names == ("at", "x")


def test_names_that_miss_a_parameter_or_repeat_are_no_names() -> None:
    for locals_ in (b"\x01" + b"\x00\x01a", b"\x02" + b"\x00\x01a" + b"\x01\x01a"):
        names = section(0, text("name") + section(2, b"\x01\x00" + locals_))
        module = HEADER + TYPES + IMPORTS + section(7, b"\x01" + text("send") + b"\x00\x00") + names
        assert inspect(module).exports[0].param_names == ()


def test_a_broken_name_section_is_ignored() -> None:
    info = inspect(MODULES["fibonacci"] + section(0, text("name") + b"\x02\x7f\xff"))
    assert info.exports[0].param_names == ()
    assert info.custom_sections == ("name", "name")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the module is empty"),
        (b"\0as", "cut short"),
        (b"<!DOCTYPE html>\n<html>", "HTML"),
        (b"\xef\xbb\xbf  <html>", "HTML"),
        (b"\x7fELF\x02\x01", "ELF"),
        (b"MZ\x90\x00", "Windows"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"(module)", "compile it first with wat2wasm"),
        (b"\n  ;; adds\n(module)", "compile it first with wat2wasm"),
        (b"(component)", "text of a component"),
        (b"AGFzbQEAAAA", "base64"),
        (b'{"error": "not found"}', "JSON"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"hello", "68 65 6c 6c 6f"),
        (b"\0asm\x0d\0\x01\0rest", "a component, not a core module: build a core module"),
        (b"\0asm\x02\0\0\0", "version 2"),
        (ADDITION[:-1], "cut short: it ends inside the code section, 1 or more bytes are missing"),
        (ADDITION + b"\n", "code section at byte 42 is there twice or out of order"),
        (ADDITION + b"junk", "junk follows it"),
        (ADDITION + bytes(6), "custom section is malformed"),
        (HEADER + section(3, b"\0") + section(1, b"\0"), "type section at byte 11 is there twice or out of order"),
        (HEADER + section(1, b"\0") + section(1, b"\0"), "type section at byte 11 is there twice or out of order"),
        (HEADER + section(10, b"\0") + section(12, b"\0"), "data count section at byte 11"),
        (HEADER + section(13, b"\0"), "exceptions"),
        (HEADER + section(1, b"\0\0"), "type section is malformed at byte 11: 1 bytes are left over"),
        (HEADER + section(1, b"\x01\x5f\x00\x00"), "garbage collection"),
        (HEADER + section(1, b"\x01\x60\x01\x33\x00"), "unknown value type"),
        (HEADER + section(3, b"\x01\x00"), "a function of type 0, and there are 0 types"),
        (HEADER + section(2, b"\x01\x01\xff\x00\x00"), "a name is not UTF-8"),
        (HEADER + section(2, b"\x01\x00\x00\x04\x00"), "an import of the unknown kind 4"),
        (HEADER + section(4, b"\x01\x7f\x00\x00"), "a table of an unknown type"),
        (HEADER + section(5, b"\x01\x03\x01\x02"), "shared memory"),
        (HEADER + section(5, b"\x01\x04\x01"), "64-bit memory"),
        (HEADER + section(5, b"\x01\x01\x03\x02"), "limits of 3 to 2"),
        (HEADER + section(5, b"\x01\x00" + leb(65537)), "65536 is the most"),
        (HEADER + section(5, b"\x02\x00\x01\x00\x01"), "multi-memory"),
        (HEADER + section(6, b"\x01\x7f\x02\x41\x00\x0b"), "neither constant nor variable"),
        (HEADER + section(6, b"\x01\x33\x00\x41\x00\x0b"), "a global of an unknown type"),
        (HEADER + section(6, b"\x01\x7f\x00\x45\x00\x0b"), "instruction 0x45"),
        (HEADER + section(6, b"\x01\x7f\x00\x41\x00\x41"), "beyond its end"),
        (HEADER + section(6, b"\x01\x7f\x00\x41\xff\xff\xff\xff\xff\x01\x0b"), "longer than 32 bits"),
        (HEADER + section(7, b"\x01\x01a\x00\x00"), "the export 'a' is func 0, and there are 0"),
        (HEADER + section(7, b"\x01\x01a\x04\x00"), "an export of the unknown kind 4"),
        (HEADER + section(5, b"\x01\0\x01") + section(7, b"\x02\x01a\x02\x00\x01a\x02\x00"), "two exports named 'a'"),
        (HEADER + section(8, b"\x00"), "the start function is 0, and there are 0"),
        (HEADER + section(9, b"\x01\x08\x00"), "element segment of the unknown form 8"),
        (HEADER + section(11, b"\x01\x03\x00"), "data segment of the unknown form 3"),
        (HEADER + section(12, b"\x01"), "announces 1 data segments, holds 0"),
        (HEADER + TYPES + section(3, b"\x01\x01"), "declares 1 functions and holds 0"),
        (HEADER + TYPES + section(3, b"\x01\x01") + section(10, b"\x01\x02\x00\x00"), "does not end with `end`"),
        (HEADER + TYPES + section(3, b"\x01\x01") + section(10, b"\x01\x04\x01\x01\x33\x0b"), "a local of an unknown"),
        (HEADER + b"\x01\x80\x80\x80\x80\x80\x00", "a number is longer than 32 bits"),
        (HEADER + b"\x01\xff\xff\xff\xff\x1f", "a number is longer than 32 bits"),
    ],
)
def test_refused_with_a_sentence(data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_over_the_limit() -> None:
    inspect(HEADER + section(0, text("padding") + bytes(MAX_MODULE - 21)))
    with pytest.raises(TooLarge, match="8 MiB"):
        inspect(HEADER + bytes(MAX_MODULE - 7))


@pytest.mark.parametrize("name", [*SMALL, "full"])
def test_every_truncation_is_refused(name: str) -> None:
    """A prefix passes only where it is a module itself: it ends behind a section, and every function has its body."""
    data = MODULES.get(name, FULL)
    passed = [size for size in range(len(data)) if _passes(data[:size])]
    assert passed == _valid_prefixes(data)


def _passes(data: bytes) -> bool:
    try:
        inspect(data)
    except MotetError:
        return False
    return True


def _valid_prefixes(data: bytes) -> list[int]:
    """Ends of sections, without those between what announces (function, data count) and what holds (code, data)."""
    valid, at, seen = [], len(HEADER), set()
    while at < len(data):
        if (3 in seen) == (10 in seen) and (12 in seen) == (11 in seen):
            valid.append(at)
        seen.add(data[at])
        size = data[at + 1] & 0x7F
        if data[at + 1] > 0x7F:  # no section of these modules is over 16 KiB
            size |= data[at + 2] << 7
            at += 1
        at += 2 + size
    return valid


@pytest.mark.parametrize("number", range(1, 13))
def test_a_huge_count_costs_nothing(number: int) -> None:
    for count in (2**32 - 1, 2**31, 10**6):
        started = time.perf_counter()
        refusal(HEADER + section(number, leb(count) + bytes(6)))
        assert time.perf_counter() - started < 0.1


def test_a_module_made_to_hurt_is_refused_in_time() -> None:
    elements = HEADER + section(9, b"\x01\x01\x00" + leb(8_000_000) + bytes(8_000_000))
    customs = HEADER + b"\x00\x01\x00" * 2_700_000
    for data in (elements, customs):
        started = time.perf_counter()
        assert "lists over" in refusal(data)
        assert time.perf_counter() - started < 3


def whole_or_refused(data: bytes) -> None:
    try:
        info = inspect(data)
    except MotetError as error:
        assert error.message
        assert "\n" not in error.message
        return
    assert isinstance(info, ModuleInfo)
    assert json.loads(json.dumps(info.to_doc())) == info.to_doc()


@given(st.binary(max_size=200), st.booleans())
@example(b"\x01" * 200, True)
def test_random_bytes(data: bytes, as_module: bool) -> None:
    whole_or_refused(HEADER + data if as_module else data)


@given(
    st.sampled_from([*MODULES.values(), FULL]),
    st.lists(st.tuples(st.integers(8, 400), st.sampled_from(["set", "drop", "add"]), st.integers(0, 255)), max_size=4),
)
def test_mutations(data: bytes, changes: list[tuple[int, str, int]]) -> None:
    mutant = bytearray(data)
    for at, how, byte in changes:
        at %= len(mutant)
        mutant[at : at + (how != "add")] = b"" if how == "drop" else bytes([byte])
    whole_or_refused(bytes(mutant))


@given(st.lists(st.tuples(st.integers(0, 13), st.binary(max_size=20)), max_size=6))
def test_random_sections(sections: list[tuple[int, bytes]]) -> None:
    whole_or_refused(HEADER + b"".join(section(number, body) for number, body in sections))
