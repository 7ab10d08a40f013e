"""Damaged modules from seeds: bytes changed anywhere, or single instructions changed so that the types still fit."""

from collections.abc import Iterator
from random import Random

from hub.modules import instructions as kinds
from hub.modules.instructions import BYTES_BEHIND, INSTRUCTIONS, NUMBERS_BEHIND, PREFIX
from hub.modules.walk import walk

# Bytes that mean something in most places: opcodes, types, sections, the ends of a number's range.
_VALUES = bytes.fromhex("00 01 02 03 04 05 0b 0c 0d 0e 0f 10 11 1a 1b 20 21 22 28 36 40 41 60 70 7c 7f 80 fc ff")
_CONSTANTS = (kinds.CONST_I32, kinds.CONST_I64)
_ALIKE: dict[tuple[int, bytes, bytes], list[int]] = {}
for _code, _one in INSTRUCTIONS.items():
    if _code < 256 and _one.kind in (kinds.UNARY, kinds.BINARY, kinds.EXTENDED, kinds.LOAD, kinds.STORE):
        _ALIKE.setdefault((_one.kind, _one.params, _one.results), []).append(_code)
_FIXED = (kinds.END, kinds.ELSE, kinds.BRANCH_TABLE)
_CHANGEABLE = {code for code, one in INSTRUCTIONS.items() if one.kind not in _FIXED}


def damaged(random: Random, data: bytes) -> bytes:
    """One to four bytes changed, put in, taken out, or moved."""
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(8, len(out)) if len(out) > 8 else len(out)
        what = random.random()
        if what < 0.3:
            out[at : at + 1] = bytes([random.randrange(256)])
        elif what < 0.6:
            out[at : at + 1] = bytes([random.choice(_VALUES)])
        elif what < 0.75:
            out[at : at + 1] = bytes([out[at] ^ 1 << random.randrange(8)]) if at < len(out) else b""
        elif what < 0.85:
            out.insert(at, random.choice(_VALUES))
        elif what < 0.95:
            del out[at : at + random.randint(1, 3)]
        else:
            size = random.randint(1, 16)
            out[at:at] = out[at : at + size]
    return bytes(out)


def altered(random: Random, data: bytes) -> bytes:
    """One to three instructions that are others of the same types, or have other numbers."""
    out = bytearray(data)
    places = [place for place in instructions(data) if data[place[0]] in _CHANGEABLE]
    for at, end in random.sample(places, min(len(places), random.randint(1, 3))):
        _alter(random, out, at, end)
    return bytes(out)


def _alter(random: Random, out: bytearray, at: int, end: int) -> None:
    instruction = INSTRUCTIONS[out[at]]
    alike = _ALIKE.get((instruction.kind, instruction.params, instruction.results))
    if alike:
        out[at] = random.choice(alike)
        if instruction.kind in (kinds.LOAD, kinds.STORE):
            out[at + 1] = 0  # an alignment that fits all of them
            _renumber(random, out, at + 2, end)
    elif instruction.kind in BYTES_BEHIND:
        out[random.randrange(at + 1, end)] = random.randrange(256)
    elif instruction.kind in _CONSTANTS or random.random() < 0.3:
        _renumber(random, out, at + 1, end)


def _renumber(random: Random, out: bytearray, at: int, end: int) -> None:
    """Another number of the same length."""
    for place in range(at, end):
        out[place] = out[place] & 0x80 | random.choice((0, 1, 2, 3, 0x3F, 0x40, 0x7F, random.randrange(128)))


def instructions(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the instructions of a valid module begin and end."""
    for body in walk(data).bodies:
        reader = body.again()
        for _ in range(reader.u32()):
            reader.u32()
            reader.byte()
        at = reader.at
        while at < reader.end:
            end = _behind(data, at)
            yield at, end
            at = end


def _behind(data: bytes, at: int) -> int:
    op = data[at]
    at += 1
    if op == PREFIX:
        op, at = PREFIX << 8 | data[at], at + 1
    kind = INSTRUCTIONS[op].kind
    numbers = NUMBERS_BEHIND.get(kind, 0)
    if kind == kinds.BRANCH_TABLE:
        numbers = 2 + data[at]
    for _ in range(numbers):
        while data[at] > 0x7F:
            at += 1
        at += 1
    return at + BYTES_BEHIND.get(kind, 0)
