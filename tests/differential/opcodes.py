"""The numeric and memory instructions by their types, and how numbers are written in a module."""

import struct

from tests.edge.wasms import F32, F64, I32, I64, leb

TYPES = (I32, I64, F32, F64)
FLOATS = (F32, F64)

BLOCK, LOOP, IF, ELSE, END = 0x02, 0x03, 0x04, 0x05, 0x0B
UNREACHABLE, NOP, BR, BR_IF, BR_TABLE, RETURN, CALL, CALL_INDIRECT = 0x00, 0x01, 0x0C, 0x0D, 0x0E, 0x0F, 0x10, 0x11
DROP, SELECT, LOCAL_GET, LOCAL_SET, LOCAL_TEE, GLOBAL_GET, GLOBAL_SET = 0x1A, 0x1B, 0x20, 0x21, 0x22, 0x23, 0x24
MEMORY_SIZE, MEMORY_GROW = 0x3F, 0x40
I32_ADD, I32_AND, I32_OR, I32_GE_U = 0x6A, 0x71, 0x72, 0x4F
CONST = {I32: 0x41, I64: 0x42, F32: 0x43, F64: 0x44}
EQUAL = {F32: 0x5B, F64: 0x61}
OR = {I32: 0x72, I64: 0x84}
COPYSIGN = {F32: 0x98, F64: 0xA6}


def _range(first: int, last: int) -> tuple[bytes, ...]:
    return tuple(bytes([op]) for op in range(first, last + 1))


def _saturating(*numbers: int) -> tuple[bytes, ...]:
    return tuple(bytes([0xFC, number]) for number in numbers)


# What makes a value of the type out of one or two values of the same.
UNARY = {
    I32: _range(0x67, 0x69) + _range(0xC0, 0xC1),
    I64: _range(0x79, 0x7B) + _range(0xC2, 0xC4),
    F32: _range(0x8B, 0x91),
    F64: _range(0x99, 0x9F),
}
BINARY = {I32: _range(0x6A, 0x78), I64: _range(0x7C, 0x8A), F32: _range(0x92, 0x98), F64: _range(0xA0, 0xA6)}
DIVISIONS = {I32: _range(0x6D, 0x70), I64: _range(0x7F, 0x82)}
# What makes an i32 out of one or two values of the type.
TEST = {I32: 0x45, I64: 0x50}
COMPARE = {I32: _range(0x46, 0x4F), I64: _range(0x51, 0x5A), F32: _range(0x5B, 0x60), F64: _range(0x61, 0x66)}

# (from, to): those that never trap, and those that trap where the integer cannot hold the number.
CONVERT = {
    (I64, I32): _range(0xA7, 0xA7),
    (F32, I32): _saturating(0, 1),
    (F64, I32): _saturating(2, 3),
    (I32, I64): _range(0xAC, 0xAD),
    (F32, I64): _saturating(4, 5),
    (F64, I64): _saturating(6, 7),
    (I32, F32): _range(0xB2, 0xB3),
    (I64, F32): _range(0xB4, 0xB5),
    (F64, F32): _range(0xB6, 0xB6),
    (I32, F64): _range(0xB7, 0xB8),
    (I64, F64): _range(0xB9, 0xBA),
    (F32, F64): _range(0xBB, 0xBB),
}
TRUNCATE = {
    (F32, I32): _range(0xA8, 0xA9),
    (F64, I32): _range(0xAA, 0xAB),
    (F32, I64): _range(0xAE, 0xAF),
    (F64, I64): _range(0xB0, 0xB1),
}
REINTERPRET = {
    (F32, I32): _range(0xBC, 0xBC),
    (F64, I64): _range(0xBD, 0xBD),
    (I32, F32): _range(0xBE, 0xBE),
    (I64, F64): _range(0xBF, 0xBF),
}

# type: (opcode, bytes touched)
LOAD = {
    I32: ((0x28, 4), (0x2C, 1), (0x2D, 1), (0x2E, 2), (0x2F, 2)),
    I64: ((0x29, 8), (0x30, 1), (0x31, 1), (0x32, 2), (0x33, 2), (0x34, 4), (0x35, 4)),
    F32: ((0x2A, 4),),
    F64: ((0x2B, 8),),
}
STORE = {
    I32: ((0x36, 4), (0x3A, 1), (0x3B, 2)),
    I64: ((0x37, 8), (0x3C, 1), (0x3D, 2), (0x3E, 4)),
    F32: ((0x38, 4),),
    F64: ((0x39, 8),),
}
MEMORY_COPY = b"\xfc\x0a\x00\x00"
MEMORY_FILL = b"\xfc\x0b\x00"


def sleb(number: int) -> bytes:
    """A signed LEB128."""
    out = b""
    while not -64 <= number < 64:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number & 0x7F])


def padded(number: int) -> bytes:
    """An unsigned LEB128 of five bytes, as LLVM writes what its linker fills in."""
    short = leb(number).ljust(5, b"\x80")
    return bytes(byte | 0x80 for byte in short[:4]) + bytes([short[4] & 0x7F])


def constant(type_: int, value: float) -> bytes:
    """The instruction that pushes it; an integer of the signed range, or a float."""
    if type_ in FLOATS:
        return bytes([CONST[type_]]) + struct.pack("<f" if type_ == F32 else "<d", value)
    return bytes([CONST[type_]]) + sleb(int(value))
