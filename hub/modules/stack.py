"""What the type checker of a function body works with: the code as numbers, the stack of types, the open blocks."""

from typing import NoReturn

from hub.modules.instructions import INSTRUCTIONS, NUMBERS, lacking
from hub.modules.reader import Reader, refuse
from hub.modules.walk import VALUE_TYPES, Type

MAX_LOCALS = 50_000
MAX_HEIGHT = 50_000
# What may be spent on blocks, branches, calls and dead code: 8 MiB of what compilers write spend 1,000,000.
MAX_WORK = 1_200_000

# On the stack of types lie the types themselves, under the values of each block its floor (dead: behind a branch, any
# value may be popped), and values of unknown type that dead code made.
FLOOR, DEAD, ANY = 0, 1, 2
_DEAD_FLOOR = bytes((DEAD,))
# Behind the code, so that running over its end is noticed at the next opcode or number and nowhere else.
_PAD = b"\xff" * 16


# An open block: its opcode, its type, the types that a branch to it takes, where its floor lies. A plain tuple is made
# in a fifth of the time.
Frame = tuple[int, Type, bytes, int]


class State:
    """The state of checking one body after the other. at: behind what was read last; op: the instruction there."""

    def __init__(self) -> None:
        self.work = MAX_WORK
        self.index = self.base = self.at = self.op = self.end = 0
        self.code = b""
        self.locals = b""
        self.stack = bytearray()
        self.frames: list[Frame] = []

    def begin(self, index: int, kind: Type, body: Reader) -> None:
        """The state at the first instruction of this function."""
        self.index = index
        self.locals = self.read_locals(kind, body)
        self.base, self.end, self.at = body.at, body.left(), 0
        self.code = body.data[body.at : body.end] + _PAD
        self.stack = bytearray((FLOOR,))
        self.frames = [(0, Type(b"", kind.results), kind.results, 0)]

    def read_locals(self, kind: Type, body: Reader) -> bytes:
        found = bytearray(kind.params)
        for _ in range(body.u32()):
            count, local = body.u32(), body.byte()
            if local not in NUMBERS:
                refuse(f"function {self.index} has a local of type {VALUE_TYPES[local]}, which wasm3 lacks")
            if len(found) + count > MAX_LOCALS:
                refuse(f"function {self.index} has {len(found) + count} locals, {MAX_LOCALS} is the most")
            found += bytes((local,)) * count
        return bytes(found)

    # Numbers of the code.

    def u32(self, at: int) -> tuple[int, int]:
        """(the unsigned number at this place, the place behind it)."""
        code, value, shift = self.code, 0, 0
        while True:
            byte = code[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 28:
                self.too_long(at, 32)
        if value >> 32:
            self.too_long(at, 32)
        return value, at

    def signed(self, at: int, bits: int) -> int:
        """The place behind the signed number at this place."""
        code, room = self.code, bits
        while code[at] > 0x7F:
            at += 1
            room -= 7
            if room <= 0:
                self.too_long(at, bits)
        # In the last byte there can be, what lies above the number must repeat its sign.
        if room < 7 and (code[at] & 0x7F) >> (room - 1) not in (0, (1 << (8 - room)) - 1):
            self.too_long(at, bits)
        return at + 1

    def number(self) -> int:
        """The next unsigned number."""
        at = self.at
        value = self.code[at]
        self.at = at + 1
        if value > 0x7F:
            value, self.at = self.u32(at)
        return value

    # The stack of types.

    def take(self, wanted: bytes) -> None:
        """Pops these types; in dead code what is missing counts as there."""
        del self.stack[len(self.stack) - self.match(wanted) :]

    def match(self, wanted: bytes) -> int:
        """How many values of the stack these types are; BadRequest where they do not fit."""
        stack = self.stack
        if stack.endswith(wanted):
            return len(wanted)
        self.spend(1 + len(wanted))
        floor = self.frames[-1][3]
        have = stack[max(floor + 1, len(stack) - len(wanted)) :]
        missing = len(wanted) - len(have)
        if missing and stack[floor] != DEAD:
            self.mismatch(wanted, have)
        if any(a not in (b, ANY) for a, b in zip(have, wanted[missing:], strict=True)):
            self.mismatch(wanted, have)
        return len(have)

    def take_one(self) -> int:
        """Pops a value of any type."""
        top = self.stack[-1]
        if top >= ANY:
            del self.stack[-1]
            return top
        if top == FLOOR:
            self.bad(f"{self.name()} wants a value, and there is none on the stack")
        self.spend(1)
        return ANY

    def put(self, types: bytes) -> None:
        self.stack += types
        if len(self.stack) > MAX_HEIGHT:
            self.bad(f"over {MAX_HEIGHT} values lie on the stack")

    def kill(self) -> None:
        """What follows up to the end of the block is never reached."""
        self.stack[self.frames[-1][3] :] = _DEAD_FLOOR

    def spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            refuse("the module has more blocks, branches and calls, or dead code, than any compiler writes: split it")

    # Refusals.

    def name(self) -> str:
        instruction = INSTRUCTIONS.get(self.op)
        return instruction.name if instruction else f"0x{self.op:02x}"

    def bad(self, problem: str) -> NoReturn:
        if self.at > self.end:
            problem = "it ends inside an instruction or a block"
        offset = self.base + min(self.at, self.end)
        refuse(f"function {self.index} is invalid before byte {offset}: {problem}", offset=offset, function=self.index)

    def too_long(self, at: int, bits: int) -> NoReturn:
        self.at = at
        self.bad(f"a number is longer than {bits} bits")

    def unknown(self, at: int, what: str, index: int, there: int) -> NoReturn:
        self.at = at
        self.bad(f"it names {what} {index}, and there are {there}")

    def mismatch(self, wanted: bytes, have: bytearray) -> NoReturn:
        self.bad(f"{self.name()} wants {words(wanted)} on the stack and finds {words(have)}")

    def refuse_code(self, code: int) -> NoReturn:
        feature = lacking(code)
        if feature is None or self.at > self.end:
            self.bad(f"0x{code:02x} is no instruction")
        offset = self.base + self.at
        refuse(
            f"function {self.index} uses {feature}, which wasm3 lacks: build the module without",
            offset=offset,
            function=self.index,
            feature=feature,
        )


def words(types: bytes | bytearray | tuple[int, ...]) -> str:
    return " ".join(VALUE_TYPES.get(kind, "any") for kind in types) or "nothing"
