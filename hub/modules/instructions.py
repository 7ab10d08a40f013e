"""The instructions of WebAssembly as one table: what each carries, takes and gives, and what wasm3 lacks.

Source: the core specification, appendix "Index of Instructions"; what wasm3 0.5.0 runs was measured.
"""

from typing import NamedTuple

I32, I64, F32, F64 = 0x7F, 0x7E, 0x7D, 0x7C
NUMBERS = bytes((I32, I64, F32, F64))
EMPTY_BLOCK = 0x40
# Opcodes behind the prefix 0xFC are written 0xFC00 + number here.
PREFIX = 0xFC

# What follows an opcode, and how its types are found; behind UNARY, BINARY and some others nothing follows.
(
    UNARY,
    BINARY,
    LOCAL_GET,
    LOCAL_SET,
    LOCAL_TEE,
    LOAD,
    STORE,
    EXTENDED,
    CONST_I32,
    CONST_I64,
    CONST_F32,
    CONST_F64,
    GLOBAL_GET,
    GLOBAL_SET,
    BLOCK,
    ELSE,
    END,
    BRANCH,
    BRANCH_IF,
    BRANCH_TABLE,
    RETURN,
    CALL,
    CALL_INDIRECT,
    UNREACHABLE,
    NOP,
    DROP,
    SELECT,
    SELECT_TYPED,
    MEMORY,
    MEMORY_COPY,
) = range(30)


class Instruction(NamedTuple):
    """kind: one of the constants above; params, results: type bytes; align: log2 of the natural alignment;
    feature: the word of what it came with after the MVP, else ""."""

    name: str
    kind: int
    params: bytes = b""
    results: bytes = b""
    align: int = 0
    feature: str = ""


_TYPES = {"i": I32, "I": I64, "f": F32, "F": F64}
# first opcode, parameters, results, names of it and those that follow
_UNARY = (
    (0x45, "i", "i", "i32.eqz"),
    (0x50, "I", "i", "i64.eqz"),
    (0x67, "i", "i", "i32.clz i32.ctz i32.popcnt"),
    (0x79, "I", "I", "i64.clz i64.ctz i64.popcnt"),
    (0x8B, "f", "f", "f32.abs f32.neg f32.ceil f32.floor f32.trunc f32.nearest f32.sqrt"),
    (0x99, "F", "F", "f64.abs f64.neg f64.ceil f64.floor f64.trunc f64.nearest f64.sqrt"),
    (0xA7, "I", "i", "i32.wrap_i64"),
    (0xA8, "f", "i", "i32.trunc_f32_s i32.trunc_f32_u"),
    (0xAA, "F", "i", "i32.trunc_f64_s i32.trunc_f64_u"),
    (0xAC, "i", "I", "i64.extend_i32_s i64.extend_i32_u"),
    (0xAE, "f", "I", "i64.trunc_f32_s i64.trunc_f32_u"),
    (0xB0, "F", "I", "i64.trunc_f64_s i64.trunc_f64_u"),
    (0xB2, "i", "f", "f32.convert_i32_s f32.convert_i32_u"),
    (0xB4, "I", "f", "f32.convert_i64_s f32.convert_i64_u"),
    (0xB6, "F", "f", "f32.demote_f64"),
    (0xB7, "i", "F", "f64.convert_i32_s f64.convert_i32_u"),
    (0xB9, "I", "F", "f64.convert_i64_s f64.convert_i64_u"),
    (0xBB, "f", "F", "f64.promote_f32"),
    (0xBC, "f", "i", "i32.reinterpret_f32"),
    (0xBD, "F", "I", "i64.reinterpret_f64"),
    (0xBE, "i", "f", "f32.reinterpret_i32"),
    (0xBF, "I", "F", "f64.reinterpret_i64"),
)
_BINARY = (
    (0x46, "ii", "i", "i32.eq i32.ne i32.lt_s i32.lt_u i32.gt_s i32.gt_u i32.le_s i32.le_u i32.ge_s i32.ge_u"),
    (0x51, "II", "i", "i64.eq i64.ne i64.lt_s i64.lt_u i64.gt_s i64.gt_u i64.le_s i64.le_u i64.ge_s i64.ge_u"),
    (0x5B, "ff", "i", "f32.eq f32.ne f32.lt f32.gt f32.le f32.ge"),
    (0x61, "FF", "i", "f64.eq f64.ne f64.lt f64.gt f64.le f64.ge"),
    (0x6A, "ii", "i", "i32.add i32.sub i32.mul i32.div_s i32.div_u i32.rem_s i32.rem_u i32.and i32.or i32.xor"),
    (0x74, "ii", "i", "i32.shl i32.shr_s i32.shr_u i32.rotl i32.rotr"),
    (0x7C, "II", "I", "i64.add i64.sub i64.mul i64.div_s i64.div_u i64.rem_s i64.rem_u i64.and i64.or i64.xor"),
    (0x86, "II", "I", "i64.shl i64.shr_s i64.shr_u i64.rotl i64.rotr"),
    (0x92, "ff", "f", "f32.add f32.sub f32.mul f32.div f32.min f32.max f32.copysign"),
    (0xA0, "FF", "F", "f64.add f64.sub f64.mul f64.div f64.min f64.max f64.copysign"),
)
_SIGN_EXTENSION = (
    (0xC0, "i", "i", "i32.extend8_s i32.extend16_s"),
    (0xC2, "I", "I", "i64.extend8_s i64.extend16_s i64.extend32_s"),
)
_SATURATING = (
    (0xFC00, "f", "i", "i32.trunc_sat_f32_s i32.trunc_sat_f32_u"),
    (0xFC02, "F", "i", "i32.trunc_sat_f64_s i32.trunc_sat_f64_u"),
    (0xFC04, "f", "I", "i64.trunc_sat_f32_s i64.trunc_sat_f32_u"),
    (0xFC06, "F", "I", "i64.trunc_sat_f64_s i64.trunc_sat_f64_u"),
)
# first opcode, type, (name, log2 of the alignment) of it and those that follow
_LOADS = (
    (0x28, "i", "i32.load 2"),
    (0x29, "I", "i64.load 3"),
    (0x2A, "f", "f32.load 2"),
    (0x2B, "F", "f64.load 3"),
    (0x2C, "i", "i32.load8_s 0 i32.load8_u 0 i32.load16_s 1 i32.load16_u 1"),
    (0x30, "I", "i64.load8_s 0 i64.load8_u 0 i64.load16_s 1 i64.load16_u 1 i64.load32_s 2 i64.load32_u 2"),
)
_STORES = (
    (0x36, "i", "i32.store 2"),
    (0x37, "I", "i64.store 3"),
    (0x38, "f", "f32.store 2"),
    (0x39, "F", "f64.store 3"),
    (0x3A, "i", "i32.store8 0 i32.store16 1"),
    (0x3C, "I", "i64.store8 0 i64.store16 1 i64.store32 2"),
)


def _types(letters: str) -> bytes:
    return bytes(_TYPES[letter] for letter in letters)


def _table() -> dict[int, Instruction]:
    table = {
        0x00: Instruction("unreachable", UNREACHABLE),
        0x01: Instruction("nop", NOP),
        0x02: Instruction("block", BLOCK),
        0x03: Instruction("loop", BLOCK),
        0x04: Instruction("if", BLOCK, _types("i")),
        0x05: Instruction("else", ELSE),
        0x0B: Instruction("end", END),
        0x0C: Instruction("br", BRANCH),
        0x0D: Instruction("br_if", BRANCH_IF, _types("i")),
        0x0E: Instruction("br_table", BRANCH_TABLE, _types("i")),
        0x0F: Instruction("return", RETURN),
        0x10: Instruction("call", CALL),
        0x11: Instruction("call_indirect", CALL_INDIRECT, _types("i")),
        0x1A: Instruction("drop", DROP),
        0x1B: Instruction("select", SELECT, _types("i")),
        0x1C: Instruction("select", SELECT_TYPED, _types("i")),
        0x20: Instruction("local.get", LOCAL_GET),
        0x21: Instruction("local.set", LOCAL_SET),
        0x22: Instruction("local.tee", LOCAL_TEE),
        0x23: Instruction("global.get", GLOBAL_GET),
        0x24: Instruction("global.set", GLOBAL_SET),
        0x3F: Instruction("memory.size", MEMORY, b"", _types("i")),
        0x40: Instruction("memory.grow", MEMORY, _types("i"), _types("i")),
        0x41: Instruction("i32.const", CONST_I32, b"", _types("i")),
        0x42: Instruction("i64.const", CONST_I64, b"", _types("I")),
        0x43: Instruction("f32.const", CONST_F32, b"", _types("f")),
        0x44: Instruction("f64.const", CONST_F64, b"", _types("F")),
        0xFC0A: Instruction("memory.copy", MEMORY_COPY, _types("iii"), b"", 0, "bulk-memory"),
        0xFC0B: Instruction("memory.fill", MEMORY, _types("iii"), b"", 0, "bulk-memory"),
    }
    for kind, feature, rows in (
        (UNARY, "", _UNARY),
        (BINARY, "", _BINARY),
        (EXTENDED, "sign-ext", _SIGN_EXTENSION),
        (EXTENDED, "nontrapping-fptoint", _SATURATING),
    ):
        for first, params, results, names in rows:
            for code, name in enumerate(names.split(), first):
                table[code] = Instruction(name, kind, _types(params), _types(results), 0, feature)
    for kind, accesses in ((LOAD, _LOADS), (STORE, _STORES)):
        for first, letter, text in accesses:
            words = text.split()
            for code, (name, align) in enumerate(zip(words[::2], words[1::2], strict=True), first):
                params, results = ("i", letter) if kind == LOAD else ("i" + letter, "")
                table[code] = Instruction(name, kind, _types(params), _types(results), int(align))
    return table


INSTRUCTIONS = _table()

# By the kind, what follows an opcode in the code: so many numbers of whatever sign (but for br_table), so many bytes.
NUMBERS_BEHIND = {
    LOAD: 2,
    STORE: 2,
    CALL_INDIRECT: 2,
    MEMORY: 1,
    MEMORY_COPY: 2,
    SELECT_TYPED: 2,
    **dict.fromkeys((LOCAL_GET, LOCAL_SET, LOCAL_TEE, GLOBAL_GET, GLOBAL_SET), 1),
    **dict.fromkeys((CONST_I32, CONST_I64, CALL, BRANCH, BRANCH_IF, BLOCK), 1),
}
BYTES_BEHIND = {CONST_F32: 4, CONST_F64: 8}

# (first opcode, last, what it belongs to)
_LACKING = (
    (0x06, 0x0A, "exceptions"),
    (0x18, 0x19, "exceptions"),
    (0x1F, 0x1F, "exceptions"),
    (0x12, 0x13, "tail calls"),
    (0x14, 0x15, "typed function references"),
    (0x25, 0x26, "reference types"),
    (0xD0, 0xD2, "reference types"),
    (0xD3, 0xD6, "garbage collection"),
    (0xFB, 0xFB, "garbage collection"),
    (0xFD, 0xFD, "SIMD"),
    (0xFE, 0xFE, "threads"),
    (0xFC08, 0xFC09, "memory.init and data.drop"),
    (0xFC0C, 0xFC0E, "table.init, elem.drop and table.copy"),
    (0xFC0F, 0xFC11, "reference types"),
    (0xFC13, 0xFC16, "wide arithmetic"),
)


def lacking(code: int) -> str | None:
    """What an opcode that the table lacks belongs to; None for one that no proposal has."""
    return next((what for first, last, what in _LACKING if first <= code <= last), None)
