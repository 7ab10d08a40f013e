"""Copies of 64-bit locals, where two uses of one wait on the stack while it changes or a block begins.

wasm3 0.5.0 saves the old value for both of them and counts one of its two slots once: when the first use is done, half
of the value is given away. A use that comes from a local of its own has a value of its own.
"""

from collections.abc import Callable
from heapq import heappop, heappush

from hub.modules import instructions as kinds
from hub.modules.encode import unsigned, value_of, vector
from hub.modules.instructions import BYTES_BEHIND, F64, I64, INSTRUCTIONS, NUMBERS_BEHIND, PREFIX
from hub.modules.reader import Budget, Reader, refuse
from hub.modules.stack import MAX_LOCALS
from hub.modules.walk import Walk

WIDE = (I64, F64)
_IF = 0x04
# Metering puts a block before these.
_METERED = (PREFIX << 8 | 10, PREFIX << 8 | 11)
_GET, _SET = b"\x20", b"\x21"
_LOCALS = (kinds.LOCAL_GET, kinds.LOCAL_SET, kinds.LOCAL_TEE)
# kind: how many values it takes and gives, where the table of instructions does not say so
_EFFECTS = {
    kinds.GLOBAL_GET: (0, 1),
    kinds.GLOBAL_SET: (1, 0),
    kinds.DROP: (1, 0),
    kinds.SELECT: (3, 1),
    kinds.SELECT_TYPED: (3, 1),
}


def separate(module: Walk, params: bytes, body: Reader, spend: Callable[[int], None]) -> Reader:
    """The body of a function with these parameters, written so. It is valid, has no dead code and no block of a type.

    spend is told of bytes that are added; it raises where they are too many.
    """
    writer = _Separating(module, params, body, spend)
    writer.run()
    groups = [*writer.groups, *(b"\x01" + bytes((kind,)) for kind in writer.added)]
    written = vector(groups) + b"".join(writer.pieces)
    return Reader(written, 0, len(written), body.what, Budget())


class _Use:
    """A value on the stack that is a 64-bit local as wasm3 sees it, until it is saved. at: the piece of code that puts
    it there; own: the local that it got instead."""

    __slots__ = ("at", "kind", "local", "own", "saved")

    def __init__(self, local: int, kind: int, at: int) -> None:
        self.local = local
        self.kind = kind
        self.at = at
        self.own: int | None = None
        self.saved = False


class _Separating:
    """Goes through one body with the stack as wasm3 has it: uses of 64-bit locals, and None for any other value."""

    def __init__(self, module: Walk, params: bytes, body: Reader, spend: Callable[[int], None]) -> None:
        self.module = module
        self.spend = spend
        self.groups: list[bytes] = []
        locals_ = bytearray(params)
        for _ in range(body.u32()):
            size, kind = body.u32(), body.byte()
            self.groups.append(unsigned(size) + bytes((kind,)))
            locals_ += bytes((kind,)) * size
        self.locals = bytes(locals_)
        self.added = bytearray()
        self.code = body.data[body.at : body.end]
        self.at = self.kept = 0
        self.pieces: list[bytes] = []
        self.stack: list[_Use | None] = []
        # The uses of each local on the stack that wasm3 has not saved, in their order there.
        self.uses: dict[int, list[_Use]] = {}
        self.heights = [0]
        # What was added, by kind: from which piece on it is free again, the soonest first.
        self.free: dict[int, list[tuple[int, int]]] = {I64: [], F64: []}

    def run(self) -> None:
        code, stack, locals_ = self.code, self.stack, self.locals
        at = 0
        while self.heights:
            op = code[at]
            plain = _PLAIN[op]
            if plain is not None:
                numbers, more, taken, given = plain
                for _ in range(numbers):
                    at += 1
                    while code[at] > 0x7F:
                        at += 1
                at += 1 + more
                for _ in range(taken):
                    use = stack.pop()
                    if use is not None:
                        self.let_go(use)
                if given:
                    stack.append(None)
            elif _FIRST_LOCAL <= op <= _LAST_LOCAL and code[at + 1] < 0x80 and locals_[code[at + 1]] not in WIDE:
                if op == _GET[0]:
                    stack.append(None)
                elif op == _SET[0]:
                    use = stack.pop()
                    if use is not None:
                        self.let_go(use)
                at += 2
            else:
                self.at = at + 1
                self.special(op, at)
                at = self.at
        self.pieces.append(self.code[self.kept : self.at])

    def special(self, op: int, begin: int) -> None:
        if op == PREFIX:
            op = PREFIX << 8 | self.number()
        instruction = INSTRUCTIONS[op]
        kind = instruction.kind
        if kind in _LOCALS:
            self.local(kind, begin)
        elif kind in _SPECIAL:
            _SPECIAL[kind](self)
        else:
            if op in _METERED:
                self.save_all()
            for _ in range(NUMBERS_BEHIND.get(kind, 0)):
                self.number()
            self.take(len(instruction.params), len(instruction.results))

    def number(self) -> int:
        begin = at = self.at
        while self.code[at] > 0x7F:
            at += 1
        self.at = at + 1
        return value_of(self.code[begin : self.at])

    # The stack.

    def take(self, taken: int, given: int) -> None:
        if taken:
            self.cut(len(self.stack) - taken)
        self.stack += [None] * given

    def cut(self, height: int) -> None:
        while len(self.stack) > height:
            use = self.stack.pop()
            if use is not None:
                self.let_go(use)

    def let_go(self, use: _Use) -> None:
        """It has left the stack, the last of its local."""
        if use.own is not None:
            heappush(self.free[use.kind], (len(self.pieces), use.own))
        elif not use.saved:
            self.uses[use.local].pop()

    def local(self, kind: int, begin: int) -> None:
        index = self.number()
        type_ = self.locals[index]
        if kind == kinds.LOCAL_GET:
            use = None
            if type_ in WIDE:
                self.pieces += (self.code[self.kept : begin], self.code[begin : self.at])
                self.kept = self.at
                use = _Use(index, type_, len(self.pieces) - 1)
                self.uses.setdefault(index, []).append(use)
            self.stack.append(use)
            return
        if type_ in WIDE:
            self.save(self.uses.pop(index, []))
        if kind == kinds.LOCAL_SET:
            self.take(1, 0)

    def save(self, uses: list[_Use]) -> None:
        """wasm3 gives the uses of a local the value that it has had; all but the first get a local of their own."""
        for use in uses[1:]:
            use.own = self.fresh(use)
            # A copy of it is a use of the new local, which nothing else is.
            place = unsigned(use.own)
            self.pieces[use.at] += _SET + place + _GET + place
            self.spend(2 + 2 * len(place))
        for use in uses:
            use.saved = True

    def fresh(self, use: _Use) -> int:
        """A local that nothing uses from the piece of this use on."""
        free = self.free[use.kind]
        if free and free[0][0] <= use.at:
            return heappop(free)[1]
        number = len(self.locals) + len(self.added)
        if number >= MAX_LOCALS:
            refuse(f"a function has over {MAX_LOCALS} locals, with those that wasm3 needs besides")
        self.added.append(use.kind)
        return number

    # What is more than taking and giving values.

    def call(self) -> None:
        kind = self.module.type_of(self.number())
        self.take(len(kind.params), len(kind.results))

    def call_indirect(self) -> None:
        kind = self.module.types[self.number()]
        self.number()
        self.take(1 + len(kind.params), len(kind.results))

    def block(self) -> None:
        condition = self.code[self.at - 1] == _IF
        self.number()
        self.save_all()
        if condition:
            self.take(1, 0)
        self.heights.append(len(self.stack))

    def save_all(self) -> None:
        """As the beginning of a block does."""
        for same in self.uses.values():
            self.save(same)
        self.uses = {}

    def otherwise(self) -> None:
        self.cut(self.heights[-1])

    def end(self) -> None:
        self.cut(self.heights.pop())

    def branch_table(self) -> None:
        for _ in range(self.number() + 1):
            self.number()

    def nothing(self) -> None:
        """What follows a branch and the like is the end of its block."""

    def branch(self) -> None:
        self.number()


_SPECIAL = {
    kinds.CALL: _Separating.call,
    kinds.CALL_INDIRECT: _Separating.call_indirect,
    kinds.BLOCK: _Separating.block,
    kinds.ELSE: _Separating.otherwise,
    kinds.END: _Separating.end,
    kinds.BRANCH: _Separating.branch,
    kinds.BRANCH_TABLE: _Separating.branch_table,
    kinds.RETURN: _Separating.nothing,
    kinds.UNREACHABLE: _Separating.nothing,
}


def _plain(code: int) -> tuple[int, int, int, int] | None:
    """(numbers behind it, bytes behind it, values taken, values given) of what does nothing else."""
    instruction = INSTRUCTIONS.get(code)
    if instruction is None or instruction.kind in (*_SPECIAL, *_LOCALS):
        return None
    kind = instruction.kind
    taken, given = _EFFECTS.get(kind, (len(instruction.params), len(instruction.results)))
    return NUMBERS_BEHIND.get(kind, 0), BYTES_BEHIND.get(kind, 0), taken, given


_PLAIN = [_plain(code) for code in range(256)]
_FIRST_LOCAL, _LAST_LOCAL = 0x20, 0x22
