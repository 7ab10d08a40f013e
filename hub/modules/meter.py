"""Writes a function body again: numbers in their shortest form, and fuel charged where time can be spent.

Each function charges at its entry, each loop at its head, the number of instructions that lie in it and in no inner
loop: never less than what runs until the next charge. Copying and filling memory charge by the length as well.
"""

from hub.modules import instructions as kinds
from hub.modules.encode import shorter, shorter_signed, signed, unsigned, value_of, vector
from hub.modules.instructions import INSTRUCTIONS, PREFIX
from hub.modules.reader import Reader
from shared.errors import TooLarge

# i32.const 4; i32.shr_u: copying and filling memory cost a unit of fuel for 16 bytes, about the time of an instruction.
_SHIFT = b"\x41\x04\x76"
# More pages than any memory may have.
_TOO_MANY_PAGES = 65_536

_I32 = b"\x7f"
_LOOP, _END, _SELECT, _GROW = 0x03, 0x0B, 0x1B, 0x40
# How to get over what an opcode carries: so many unsigned numbers, or one of the others.
_NONE, _ONE, _TWO, _SIGNED, _BLOCK, _RARE = range(6)
_STEPS_BY_KIND = {
    _NONE: (kinds.UNARY, kinds.BINARY, kinds.EXTENDED, kinds.UNREACHABLE, kinds.NOP, kinds.RETURN, kinds.DROP),
    _ONE: (kinds.LOCAL_GET, kinds.LOCAL_SET, kinds.LOCAL_TEE, kinds.GLOBAL_GET, kinds.GLOBAL_SET),
    _TWO: (kinds.LOAD, kinds.STORE),
    _SIGNED: (kinds.CONST_I32, kinds.CONST_I64),
    _BLOCK: (kinds.BLOCK,),
}
_STEP_OF = {kind: step for step, all_kinds in _STEPS_BY_KIND.items() for kind in all_kinds}
_STEP_OF |= {kinds.SELECT: _NONE, kinds.ELSE: _NONE, kinds.BRANCH: _ONE, kinds.BRANCH_IF: _ONE}


def _step(code: int) -> int:
    instruction = INSTRUCTIONS.get(code)
    return _RARE if instruction is None or code == _LOOP else _STEP_OF.get(instruction.kind, _RARE)


_STEPS = bytes(map(_step, range(256)))
_KINDS = [INSTRUCTIONS[code].kind if code in INSTRUCTIONS else kinds.EXTENDED for code in range(256)]


class Meter:
    """Rewrites the bodies of one module. tick: index of the imported function; fuel: index of the global; room: how
    many bytes may be added, TooLarge beyond."""

    def __init__(self, tick: int, fuel: int, room: int) -> None:
        self.tick = tick
        get, put = b"\x23" + unsigned(fuel), b"\x24" + unsigned(fuel)
        self.get = get
        # i32.sub; global.set; global.get; i32.const 0; i32.lt_s; if; call tick; global.get; i32.add; global.set; end
        self.pay = b"\x6b" + put + get + b"\x41\0\x48\x04\x40\x10" + unsigned(tick) + get + b"\x6a" + put + b"\x0b"
        self.code = b""
        self.at = self.kept = 0
        self.pieces: list[bytes | bytearray] = []
        self.out = bytearray()
        self.room = room
        # What a charge adds.
        self.least = len(self.charge(0))
        self.scratch = b""
        self.needs_scratch = self.calls = False

    def function(self, index: int) -> bytes:
        """The index of a function, written behind the import of tick."""
        return unsigned(index + 1 if index >= self.tick else index)

    def charge(self, cost: int) -> bytes:
        """Code that takes so much fuel, and gets more where it has become less than nothing."""
        return self.get + b"\x41" + signed(cost) + self.pay

    def body(self, params: int, body: Reader) -> bytes:
        """The body of a function with so many parameters, without its size. It must be valid; the reader is spent."""
        groups, count = [], params
        for _ in range(body.u32()):
            size, kind = body.u32(), body.byte()
            groups.append(unsigned(size) + bytes((kind,)))
            count += size
        self.scratch, self.needs_scratch, self.calls = unsigned(count), False, False
        self.code = body.data[body.at : body.end]
        depth = self.rewrite()
        # The end of wasm3's stack is all that stops a recursion. A call takes 144 bytes of the native stack, each loop
        # around it 48 more, and as few as 8 of wasm3's: with these locals, 4 bytes each, it takes an eighth.
        extra = self.needs_scratch + (3 + 3 * depth // 2 if self.calls else 0)
        if extra:
            groups.append(unsigned(extra) + _I32)
        return vector(groups) + b"".join(self.pieces)

    def rewrite(self) -> int:
        """Fills pieces; returns how many loops lie in each other."""
        code, self.out = self.code, bytearray()
        self.pieces = [b""]
        pieces = self.pieces
        self.at = self.kept = at = cost = depth = 0
        # Open blocks: True for a loop; open loops: (the piece that shall charge, the cost outside so far).
        opened, heads = [False], [(0, 0)]
        while opened:
            op = code[at]
            at += 1
            cost += 1
            step = _STEPS[op]
            if step == _NONE:
                continue
            if step <= _TWO:
                at = at + 1 if code[at] < 0x80 else self.shorten(at)
                if step == _TWO:
                    at = at + 1 if code[at] < 0x80 else self.shorten(at)
            elif step <= _BLOCK:
                at = at + 1 if code[at] < 0x80 else self.shorten_signed(at)
                if step == _BLOCK:
                    opened.append(False)
            elif op == _LOOP:
                at = at + 1 if code[at] < 0x80 else self.shorten_signed(at)
                self.keep(at)
                self.spend(self.least)
                opened.append(True)
                heads.append((len(pieces) + 1, cost))
                pieces += self.out, b""
                self.out = bytearray()
                depth = max(depth, len(heads) - 1)
                cost = 0
            elif op == _END:
                if opened.pop():
                    head, outside = heads.pop()
                    pieces[head] = self.charge(cost)
                    cost = outside
            else:
                self.at = at
                self.rare(op)
                at = self.at
        pieces[0] = self.charge(cost)
        self.keep(at)
        pieces.append(self.out)
        return depth

    def rare(self, op: int) -> None:
        """Gets over an instruction that is changed, or that carries something of its own."""
        kind = _KINDS[op]
        if kind == kinds.CALL:
            index, behind = self.number(self.at)
            self.replace(self.at, self.function(index), behind)
            self.calls = True
        elif kind == kinds.CALL_INDIRECT:
            self.at = self.shorten(self.shorten(self.at))
            self.calls = True
        elif kind == kinds.BRANCH_TABLE:
            self.branch_table()
        elif kind in (kinds.CONST_F32, kinds.CONST_F64):
            self.at += 4 if kind == kinds.CONST_F32 else 8
        elif kind == kinds.SELECT_TYPED:
            # The types of its operands say the same, and wasm3 knows only the other.
            _, at = self.number(self.at)
            self.replace(self.at - 1, bytes((_SELECT,)), at + 1)
        elif op == PREFIX:
            self.prefixed()
        else:
            if op == _GROW:
                self.limit_growth()
            self.at += 1

    def branch_table(self) -> None:
        count, behind = self.number(self.at)
        self.shorten(self.at)
        self.at = behind
        if max(self.code[behind : behind + count + 1]) < 0x80:
            self.at += count + 1
        else:
            for _ in range(count + 1):
                self.at = self.shorten(self.at)

    def prefixed(self) -> None:
        """What lies behind the prefix 0xFC; copying and filling charge for each 16 bytes."""
        number, at = self.number(self.at)
        instruction = INSTRUCTIONS[PREFIX << 8 | number]
        before = b""
        if instruction.kind != kinds.EXTENDED:
            self.needs_scratch = True
            # The length on top of the stack stays there: local.tee; global.get; local.get; i32.const; i32.shr_u
            before = b"\x22" + self.scratch + self.get + b"\x20" + self.scratch + _SHIFT + self.pay
        self.replace(self.at - 1, before + bytes((PREFIX,)) + unsigned(number), at)
        self.at += {kinds.EXTENDED: 0, kinds.MEMORY: 1, kinds.MEMORY_COPY: 2}[instruction.kind]

    def limit_growth(self) -> None:
        """Puts memory.grow behind a limit: wasm3 0.5.0 adds without a look at overflow, and shrinks by memory.grow(-1).

        local.tee; i32.const; local.get; i32.const; i32.lt_u; select
        """
        self.needs_scratch = True
        most = b"\x41" + signed(_TOO_MANY_PAGES)
        lesser = b"\x22" + self.scratch + most + b"\x20" + self.scratch + most + b"\x49\x1b"
        self.replace(self.at - 1, lesser + bytes((_GROW,)), self.at)

    # Places and numbers of the code.

    def keep(self, at: int) -> None:
        """What was read up to here is written as it is."""
        self.out += self.code[self.kept : at]
        self.kept = at

    def replace(self, at: int, new: bytes, behind: int) -> None:
        """Between two places stands something new."""
        self.out += self.code[self.kept : at] + new
        self.kept = self.at = behind
        self.spend(len(new))

    def spend(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise TooLarge("the module grows too much when it is prepared: give its functions fewer values and names")

    def behind(self, at: int) -> int:
        """The place behind a number."""
        while self.code[at] > 0x7F:
            at += 1
        return at + 1

    def number(self, at: int) -> tuple[int, int]:
        """(the unsigned number at this place, the place behind it)."""
        byte = self.code[at]
        if byte < 0x80:
            return byte, at + 1
        behind = self.behind(at)
        return value_of(self.code[at:behind]), behind

    def shorten(self, at: int) -> int:
        """Writes an unsigned number of several bytes; the place behind it."""
        behind = self.behind(at)
        if behind - at > 1 and not self.code[behind - 1]:
            self.replace(at, shorter(self.code[at:behind]), behind)
        return behind

    def shorten_signed(self, at: int) -> int:
        """Writes a signed number of several bytes; the place behind it."""
        behind = self.behind(at)
        if self.code[behind - 1] in (0, 0x7F):
            self.replace(at, shorter_signed(self.code[at:behind]), behind)
        return behind
