"""Blocks without values: what a block takes and gives goes through locals, and what is never reached is left out.

wasm3 0.5.0 goes wrong on valid modules here. A branch that takes a float out over another block writes beyond the
stack, `br` to a loop leaves the loop's parameters behind, blocks with several values mix them up, and code behind a
branch is compiled with whatever types lie there. With blocks of no type and without dead code none of it happens.
"""

from collections.abc import Callable
from typing import NamedTuple

from hub.modules import instructions as kinds
from hub.modules.encode import unsigned, value_of, vector
from hub.modules.instructions import BYTES_BEHIND, EMPTY_BLOCK, I32, INSTRUCTIONS, NUMBERS, NUMBERS_BEHIND, PREFIX
from hub.modules.reader import Budget, Reader, refuse
from hub.modules.stack import MAX_LOCALS
from hub.modules.walk import Type

_LOOP, _IF, _ELSE, _END = 0x03, 0x04, 0x05, 0x0B
_GET, _SET = b"\x20", b"\x21"
_BRANCHES = (kinds.BRANCH, kinds.BRANCH_IF, kinds.BRANCH_TABLE)
_LEAVING = (kinds.BRANCH, kinds.BRANCH_TABLE, kinds.RETURN, kinds.UNREACHABLE)
# opcode: how many numbers follow, for what stays as it is
_STAYING = {
    code: NUMBERS_BEHIND.get(one.kind, 0)
    for code, one in INSTRUCTIONS.items()
    if code >> 8 == 0 and one.kind not in (*_BRANCHES, *_LEAVING, *BYTES_BEHIND, kinds.BLOCK, kinds.ELSE, kinds.END)
}


class _Places(NamedTuple):
    """Locals for values: code that takes these off the stack, and code that puts them there."""

    take: bytes = b""
    give: bytes = b""


class _Block(NamedTuple):
    """An open block: its type, and where a branch to it leaves values; to the function's own they stay on the stack."""

    opcode: int
    type: Type
    label: _Places


def lower(types: list[Type], params: bytes, body: Reader, spend: Callable[[int], None]) -> Reader:
    """The valid body of a function with these parameters, written so; types are those of its module.

    spend is told of bytes that are added; it raises where they are too many.
    """
    writer = _Lowering(types, params, body, spend)
    writer.run()
    groups = [*writer.groups, *(b"\x01" + bytes((kind,)) for kind in writer.added)]
    written = vector(groups) + writer.out
    return Reader(written, 0, len(written), body.what, Budget())


class _Lowering:
    """Goes through one body. Locals are shared by blocks beside each other: they lie between two instructions only."""

    def __init__(self, types: list[Type], params: bytes, body: Reader, spend: Callable[[int], None]) -> None:
        self.types = types
        self.spend = spend
        self.groups: list[bytes] = []
        self.count = len(params)
        for _ in range(body.u32()):
            size, kind = body.u32(), body.byte()
            self.groups.append(unsigned(size) + bytes((kind,)))
            self.count += size
        self.code = body.data[body.at : body.end]
        # Where the next instruction lies, and what is not written yet.
        self.at = self.kept = 0
        self.out = bytearray()
        self.added = bytearray()
        self.known: dict[tuple[int, int, int], bytes] = {}
        self.places_of: dict[tuple[int, bytes], _Places] = {}
        self.blocks = [_Block(0, Type(b"", b""), _NOWHERE)]

    def run(self) -> None:
        code, at = self.code, 0
        while self.blocks:
            op = code[at]
            if op in _STAYING:
                for _ in range(_STAYING[op]):
                    at += 1
                    while code[at] > 0x7F:
                        at += 1
                at += 1
                continue
            self.at = at + 1
            if op == _END:
                self.end(reached=True)
            elif op == _ELSE:
                self.otherwise(reached=True)
            else:
                kind = self.step(op)
                if kind == kinds.BLOCK:
                    self.open(at, op)
                elif kind in _BRANCHES:
                    self.branch(at, kind)
                if kind in _LEAVING:
                    self.skip()
            at = self.at

    # Places in the code.

    def step(self, op: int) -> int:
        """Gets over what an opcode carries; its kind."""
        if op == PREFIX:
            begin, self.at = self.at, self.behind(self.at)
            op = PREFIX << 8 | value_of(self.code[begin : self.at])
        kind = INSTRUCTIONS[op].kind
        count = NUMBERS_BEHIND.get(kind, 0)
        if kind == kinds.BRANCH_TABLE:
            count = value_of(self.code[self.at : self.behind(self.at)]) + 2
        for _ in range(count):
            self.at = self.behind(self.at)
        self.at += BYTES_BEHIND.get(kind, 0)
        return kind

    def behind(self, at: int) -> int:
        while self.code[at] > 0x7F:
            at += 1
        return at + 1

    def replace(self, at: int, new: bytes) -> None:
        """This stands instead of what was read from there on."""
        self.out += self.code[self.kept : at] + new
        self.kept = self.at
        self.spend(len(new))

    def numbers(self, raw: bytes) -> list[int]:
        found, begin = [], 0
        for at, byte in enumerate(raw, 1):
            if byte < 0x80:
                found.append(value_of(raw[begin:at]))
                begin = at
        return found

    def type_of(self, raw: bytes) -> Type:
        if raw[0] == EMPTY_BLOCK:
            return Type(b"", b"")
        return Type(b"", raw) if raw[0] in NUMBERS else self.types[value_of(raw)]

    def skip(self) -> None:
        """Leaves out what is never reached, up to the end of the block or its else."""
        self.out += self.code[self.kept : self.at]
        depth = 0
        while True:
            self.kept = self.at
            op = self.code[self.at]
            self.at += 1
            if op == _END:
                if not depth:
                    return self.end(reached=False)
                depth -= 1
            elif op == _ELSE:
                if not depth:
                    return self.otherwise(reached=False)
            elif self.step(op) == kinds.BLOCK:
                depth += 1

    # Blocks.

    def places(self, depth: int, types: bytes) -> _Places:
        """For the values of a block so deep."""
        if not types:
            return _NOWHERE
        found = self.places_of.get((depth, types))
        if found is None:
            places = [self.local(depth, place, kind) for place, kind in enumerate(types)]
            found = _Places(b"".join(_SET + one for one in reversed(places)), b"".join(_GET + one for one in places))
            self.places_of[depth, types] = found
        return found

    def local(self, depth: int, place: int, kind: int) -> bytes:
        key = depth, place, kind
        if key not in self.known:
            if self.count == MAX_LOCALS:
                refuse(f"the blocks of a function take and give more than {MAX_LOCALS} values")
            self.known[key] = unsigned(self.count)
            self.count += 1
            self.added.append(kind)
        return self.known[key]

    def condition(self) -> _Places:
        """Where an i32 waits that lies upon other values."""
        return self.places(-1, _CONDITION)

    def open(self, at: int, op: int) -> None:
        depth, kind = len(self.blocks), self.type_of(self.code[at + 1 : self.at])
        params, results = self.places(depth, kind.params), self.places(depth, kind.results)
        if self.code[at + 1] != EMPTY_BLOCK:
            above = self.condition() if op == _IF and kind.params else _NOWHERE
            self.replace(at, above.take + params.take + above.give + bytes((op, EMPTY_BLOCK)) + params.give)
        self.blocks.append(_Block(op, kind, params if op == _LOOP else results))

    def end(self, reached: bool) -> None:
        block = self.blocks.pop()
        results = self.places(len(self.blocks), block.type.results)
        # An if without else gives what it takes, in the same locals.
        self.replace(self.at - 1, (results.take if reached else b"") + bytes((_END,)) + results.give)

    def otherwise(self, reached: bool) -> None:
        block, depth = self.blocks[-1], len(self.blocks) - 1
        results, params = self.places(depth, block.type.results), self.places(depth, block.type.params)
        self.replace(self.at - 1, (results.take if reached else b"") + bytes((_ELSE,)) + params.give)

    def branch(self, at: int, kind: int) -> None:
        """Values go where the block takes them from, and stay on the stack as well where the branch may not be."""
        raw = self.code[at : self.at]
        if kind == kinds.BRANCH_TABLE:
            self.table(at, raw)
            return
        label = self.label(value_of(raw[1:]))
        if kind == kinds.BRANCH:
            self.replace(at, label.take + raw)
        elif label != _NOWHERE:
            above = self.condition()
            self.replace(at, above.take + label.take + label.give + above.give + raw)

    def label(self, depth: int) -> _Places:
        return self.blocks[-1 - depth].label

    def table(self, at: int, raw: bytes) -> None:
        """The values go to the places of every block there."""
        _, *depths = self.numbers(raw[1:])
        labels = [one for one in dict.fromkeys(map(self.label, depths)) if one != _NOWHERE]
        if not labels:
            return
        first, *others = labels
        above, outermost = self.condition(), len(self.blocks) - 1
        code = above.take + first.take + b"".join(first.give + one.take for one in others)
        if outermost in depths:
            # The function's own label wants the values on the stack, and the others want nothing there.
            inside = [0 if depth == outermost else depth + 1 for depth in depths]
            raw = raw[:1] + vector(map(unsigned, inside[:-1])) + unsigned(inside[-1])
            self.replace(at, code + _BLOCK + above.give + raw + bytes((_END,)) + first.give + _RETURN)
        else:
            self.replace(at, code + above.give + raw)


_NOWHERE = _Places()
_BLOCK, _RETURN = bytes((0x02, EMPTY_BLOCK)), b"\x0f"
_CONDITION = bytes((I32,))
