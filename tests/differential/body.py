"""Random bodies of functions: well typed, and sure to end, since every loop counts its rounds and calls form no cycle.

Bits of a NaN differ between engines and rightly so; wherever they could be seen, in memory, as an integer or as a sign,
a NaN is replaced first. So two engines must agree on every value but the payload of a NaN that is a result.
"""

from dataclasses import dataclass, field
from random import Random

from tests.differential import opcodes as op
from tests.differential.inputs import edge_value
from tests.differential.opcodes import constant, padded, sleb
from tests.edge.wasms import I32, I64, leb, vector

Types = tuple[int, ...]

# Instructions that one call may execute, about; what would go over it is left out.
MAX_COST = 20_000
MAX_ROUNDS = 4
MAX_SIZE = 6000


@dataclass
class Signature:
    params: Types
    results: Types


@dataclass
class Context:
    """What the bodies of one module may use. cost: about how many instructions a call of the function executes."""

    random: Random
    types: list[Signature]
    globals: list[tuple[int, bool]]
    functions: list[Signature] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    pages: int | None = None
    bulk: bool = True
    # Functions of the table by their index, None where it is empty; they are not called from each other.
    table: list[int | None] = field(default_factory=list)
    padded: bool = False

    def type_index(self, signature: Signature) -> int:
        if signature not in self.types:
            self.types.append(signature)
        return self.types.index(signature)

    def index(self, number: int) -> bytes:
        return padded(number) if self.padded and self.random.random() < 0.5 else leb(number)


@dataclass
class Label:
    """carries: what a branch to it takes along."""

    carries: Types


class Body:
    """Writes one function. Everything it emits leaves the stack as its name says."""

    def __init__(self, context: Context, signature: Signature, more_locals: int = 0) -> None:
        self.context = context
        self.random = context.random
        self.signature = signature
        self.code = bytearray()
        self.locals: list[int] = [*signature.params]
        for type_ in op.TYPES:
            self.locals += [type_] * self.random.randint(1, 2)
        self.locals += self.random.choices(op.TYPES, k=more_locals)
        self.free = len(self.locals)
        # For NaNs to be looked at. Only `observed` writes them, and loops their counters.
        self.scratch = {type_: self._local(type_) for type_ in op.FLOATS}
        self.labels = [Label(signature.results)]
        self.cost = 0
        self.times = 1

    def write(self, statements: int) -> bytes:
        """The whole body as the code section wants it."""
        for _ in range(statements):
            self.statement(3)
        for type_ in self.signature.results:
            self.value(type_, 4)
        self.emit(op.END)
        declared = [leb(1) + bytes([type_]) for type_ in self.locals[len(self.signature.params) :]]
        body = vector(declared) + bytes(self.code)
        return leb(len(body)) + body

    def emit(self, *parts: int | bytes) -> None:
        for part in parts:
            self.code += bytes([part]) if isinstance(part, int) else part
        self.cost += self.times

    def _local(self, type_: int) -> int:
        self.locals.append(type_)
        return len(self.locals) - 1

    def _some(self, type_: int) -> int:
        """A local of the type that anybody may write."""
        return self.random.choice([at for at in range(self.free) if self.locals[at] == type_])

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    def _types(self, most: int) -> Types:
        return tuple(self.random.choices(op.TYPES, k=self.random.randint(0, most)))

    def _fits(self, cost: int) -> bool:
        return len(self.code) < MAX_SIZE and self.cost + cost * self.times < MAX_COST

    # --- values: each pushes one of the type

    def value(self, type_: int, depth: int) -> None:
        if depth <= 0 or not self._fits(0) or self._chance(0.15):
            self.leaf(type_)
            return
        makers = [self.unary, self.binary, self.binary, self.converted, self.chosen, self.block_value, self.if_value,
                  self.called, self.teed]  # fmt: skip
        if type_ == I32:
            makers += [self.compared, self.compared, self.tested]
        if self.context.pages is not None:
            makers += [self.loaded, self.loaded]
            if type_ == I32:
                makers.append(self.memory_value)
        self.random.choice(makers)(type_, depth - 1)

    def leaf(self, type_: int) -> None:
        same = [at for at, (kind, _) in enumerate(self.context.globals) if kind == type_]
        if same and self._chance(0.2):
            self.emit(op.GLOBAL_GET, self.context.index(self.random.choice(same)))
        elif self._chance(0.6):
            self.emit(op.LOCAL_GET, self.context.index(self._some(type_)))
        else:
            self.emit(constant(type_, edge_value(self.random, type_)))

    def observed(self, type_: int, depth: int) -> None:
        """A value whose bits may be looked at: no NaN."""
        self.value(type_, depth)
        if type_ in op.FLOATS:
            scratch = leb(self.scratch[type_])
            self.emit(op.LOCAL_TEE, scratch)
            self.emit(constant(type_, 1.5))
            self.emit(op.LOCAL_GET, scratch)
            self.emit(op.LOCAL_GET, scratch)
            self.emit(op.EQUAL[type_])
            self.emit(op.SELECT)

    def unary(self, type_: int, depth: int) -> None:
        self.value(type_, depth)
        self.emit(self.random.choice(op.UNARY[type_]))

    def binary(self, type_: int, depth: int) -> None:
        code = self.random.choice(op.BINARY[type_])
        self.value(type_, depth)
        if code[0] == op.COPYSIGN.get(type_):
            self.observed(type_, depth)
        else:
            self.value(type_, depth)
        if code in op.DIVISIONS.get(type_, ()) and self._chance(0.9):
            self.emit(constant(type_, 1))
            self.emit(op.OR[type_])
        self.emit(code)

    def converted(self, type_: int, depth: int) -> None:
        table = self.random.choices((op.CONVERT, op.TRUNCATE, op.REINTERPRET), (10, 3, 3))[0]
        pairs = [pair for pair in table if pair[1] == type_]
        if not pairs:
            self.unary(type_, depth)
            return
        pair = self.random.choice(pairs)
        if table is op.REINTERPRET:
            self.observed(pair[0], depth)
        else:
            self.value(pair[0], depth)
        self.emit(self.random.choice(table[pair]))

    def chosen(self, type_: int, depth: int) -> None:
        self.value(type_, depth)
        self.value(type_, depth)
        self.value(I32, depth)
        self.emit(op.SELECT)

    def compared(self, type_: int, depth: int) -> None:
        of = self.random.choice(op.TYPES)
        self.value(of, depth)
        self.value(of, depth)
        self.emit(self.random.choice(op.COMPARE[of]))

    def tested(self, type_: int, depth: int) -> None:
        of = self.random.choice((I32, I64))
        self.value(of, depth)
        self.emit(op.TEST[of])

    def teed(self, type_: int, depth: int) -> None:
        self.value(type_, depth)
        self.emit(op.LOCAL_TEE, self.context.index(self._some(type_)))

    def memory_value(self, type_: int, depth: int) -> None:
        if self._chance(0.5):
            self.emit(op.MEMORY_SIZE, 0)
        else:
            self.emit(constant(I32, self.random.choice((0, 1, 1, 2, 70_000, -1))))
            self.emit(op.MEMORY_GROW, 0)

    def address(self, depth: int, size: int) -> bytes:
        """Pushes an address; the immediates of an access to it."""
        self.value(I32, depth)
        align = leb(self.random.randint(0, size.bit_length() - 1))
        if self._chance(0.04):
            return align + leb(self.random.choice((0, 1, 65_536, 2**31, 2**32 - 1)))
        self.emit(constant(I32, self.random.choice((0xFF, 0xFFF, 0x7FFF))))
        self.emit(op.I32_AND)
        return align + leb(self.random.choice((0, 0, 1, 7, 100, 0x7FFF)))

    def loaded(self, type_: int, depth: int) -> None:
        code, size = self.random.choice(op.LOAD[type_])
        place = self.address(depth, size)
        self.emit(code, place)

    # --- control

    def block_type(self, params: Types, results: Types) -> bytes:
        if params or len(results) > 1 or self._chance(0.1):
            return sleb(self.context.type_index(Signature(params, results)))
        return bytes(results) or b"\x40"

    def inside(self, params: Types, results: Types, carries: Types, depth: int) -> None:
        """The inside of a block: takes its parameters, does something, leaves its results."""
        self.labels.append(Label(carries))
        for type_ in reversed(params):
            if self._chance(0.7):
                self.emit(op.LOCAL_SET, leb(self._some(type_)))
            else:
                self.emit(op.DROP)
        for _ in range(self.random.randint(0, 2)):
            self.statement(depth)
        if self._chance(0.1):
            self.leave(depth)
        else:
            for type_ in results:
                self.value(type_, depth)
        self.labels.pop()

    def leave(self, depth: int) -> None:
        """Goes somewhere else, so that nothing is wanted from what follows; some dead code."""
        at = self.random.randrange(len(self.labels))
        for type_ in self.labels[-1 - at].carries:
            self.value(type_, depth)
        same = [n for n, label in enumerate(reversed(self.labels)) if label.carries == self.labels[-1 - at].carries]
        if self._chance(0.3):
            self.value(I32, depth)
            self.emit(op.BR_TABLE, vector([leb(self.random.choice(same)) for _ in range(self.random.randint(0, 4))]))
            self.emit(leb(at))
        elif at == len(self.labels) - 1 and self._chance(0.5):
            self.emit(op.RETURN)
        else:
            self.emit(op.BR, leb(at))
        self.emit(self.random.choice((b"", b"", b"", b"\x1a", b"\x6a\x1a", b"\x00", b"\x1b\x1a", b"\x41\x00\x1a")))

    def block_value(self, type_: int, depth: int) -> None:
        self.block(self._types(2), (type_,), depth)

    def block(self, params: Types, results: Types, depth: int) -> None:
        for param in params:
            self.value(param, depth - 1)
        self.emit(op.BLOCK, self.block_type(params, results))
        self.inside(params, results, results, depth)
        self.emit(op.END)

    def if_value(self, type_: int, depth: int) -> None:
        self.if_else(self._types(1), (type_,), depth)

    def if_else(self, params: Types, results: Types, depth: int) -> None:
        for param in params:
            self.value(param, depth - 1)
        self.value(I32, depth)
        self.emit(op.IF, self.block_type(params, results))
        self.inside(params, results, results, depth)
        if params != results or self._chance(0.6):
            self.emit(op.ELSE)
            self.inside(params, results, results, depth)
        self.emit(op.END)

    def loop(self, params: Types, depth: int) -> None:
        """Rounds are counted where a round begins, so that a branch to the loop from anywhere in it counts too."""
        rounds = self.random.randint(1, MAX_ROUNDS)
        counter = leb(self._local(I32))
        for param in params:
            self.value(param, depth - 1)
        self.emit(constant(I32, 0))
        self.emit(op.LOCAL_SET, counter)
        self.emit(op.BLOCK, self.block_type(params, params))
        self.emit(op.LOOP, self.block_type(params, params))
        self.times *= rounds
        self.emit(op.LOCAL_GET, counter)
        self.emit(constant(I32, rounds))
        self.emit(op.I32_GE_U)
        self.emit(op.BR_IF, 1)
        self.emit(op.LOCAL_GET, counter)
        self.emit(constant(I32, 1))
        self.emit(op.I32_ADD)
        self.emit(op.LOCAL_SET, counter)
        self.labels.append(Label(params))
        self.inside(params, params, params, depth)
        self.labels.pop()
        self.emit(op.BR, 0, op.END, op.END)
        self.times //= rounds
        self.keep(params)

    def keep(self, types: Types) -> None:
        """Stores what is on the stack where it can be seen later, or drops it."""
        for type_ in reversed(types):
            if self._chance(0.7):
                self.emit(op.LOCAL_SET, self.context.index(self._some(type_)))
            else:
                self.emit(op.DROP)

    def called(self, type_: int, depth: int) -> None:
        """The result of a function that has it as its only one."""
        fitting = [at for at, one in enumerate(self.context.functions) if one.results == (type_,)]
        if self.call(fitting, depth) is None:
            self.leaf(type_)

    def call(self, fitting: list[int], depth: int) -> Types | None:
        """Calls one of these functions, by its number or through the table: its results; None when none may be."""
        fitting = [at for at in fitting if self._fits(self.context.costs[at] + 20)]
        if not fitting:
            return None
        function = self.random.choice(fitting)
        signature = self.context.functions[function]
        for param in signature.params:
            self.value(param, depth)
        table = self.context.table
        if function in table and self._chance(0.8):
            if self._chance(0.9):
                self.emit(constant(I32, self.random.choice([at for at, one in enumerate(table) if one == function])))
            else:
                self.emit(constant(I32, self.random.choice((*range(len(table)), len(table), -1))))
            self.emit(op.CALL_INDIRECT, self.context.index(self.context.type_index(signature)), self.context.index(0))
            self.cost += max(self.context.costs[at] for at in table if at is not None) * self.times
        else:
            self.emit(op.CALL, self.context.index(function))
            self.cost += self.context.costs[function] * self.times
        return signature.results

    # --- statements: each leaves the stack as it was

    def statement(self, depth: int) -> None:
        if depth <= 0 or not self._fits(100):
            self.set_local(0)
            return
        makers = [self.set_local, self.set_local, self.set_global, self.call_statement, self.branch,
                  self.block_statement, self.if_statement, self.loop_statement, self.trap]  # fmt: skip
        if self.context.pages is not None:
            makers += [self.store, self.store, self.bulk]
        self.random.choice(makers)(depth - 1)

    def set_local(self, depth: int) -> None:
        type_ = self.random.choice(op.TYPES)
        self.value(type_, depth)
        self.emit(op.LOCAL_SET, self.context.index(self._some(type_)))

    def set_global(self, depth: int) -> None:
        variable = [at for at, (_, mutable) in enumerate(self.context.globals) if mutable]
        if variable:
            at = self.random.choice(variable)
            self.value(self.context.globals[at][0], depth)
            self.emit(op.GLOBAL_SET, self.context.index(at))

    def call_statement(self, depth: int) -> None:
        self.keep(self.call([*range(len(self.context.functions))], depth) or ())

    def block_statement(self, depth: int) -> None:
        params, results = self._types(2), self._types(2)
        self.block(params, results, depth)
        self.keep(results)

    def if_statement(self, depth: int) -> None:
        params = self._types(2)
        results = params if self._chance(0.4) else self._types(2)
        self.if_else(params, results, depth)
        self.keep(results)

    def loop_statement(self, depth: int) -> None:
        if self.times < MAX_ROUNDS**2:
            self.loop(self._types(2), depth)

    def branch(self, depth: int) -> None:
        """Perhaps to a label around here, with what it carries."""
        if self._chance(0.5):
            self.value(I32, depth)
            self.emit(op.IF, 0x40)
            self.labels.append(Label(()))
            self.leave(depth)
            self.labels.pop()
            self.emit(op.END)
            return
        at = self.random.randrange(len(self.labels))
        carries = self.labels[-1 - at].carries
        for type_ in carries:
            self.value(type_, depth)
        self.value(I32, depth)
        self.emit(op.BR_IF, leb(at))
        self.keep(carries)

    def trap(self, depth: int) -> None:
        """Unreachable, in a place that is seldom reached."""
        for _ in range(2):
            self.value(I32, depth)
            self.emit(op.TEST[I32])
        self.emit(op.I32_AND, op.IF, 0x40, op.UNREACHABLE, op.END)

    def store(self, depth: int) -> None:
        type_ = self.random.choice(op.TYPES)
        code, size = self.random.choice(op.STORE[type_])
        place = self.address(depth, size)
        self.observed(type_, depth)
        self.emit(code, place)

    def bulk(self, depth: int) -> None:
        if not self.context.bulk:
            return
        copies = self._chance(0.5)
        for mask in (0x3FFF, 0x3FFF if copies else 0xFF, 0xFFF):
            self.value(I32, depth - 1)
            if self._chance(0.95):
                self.emit(constant(I32, mask))
                self.emit(op.I32_AND)
        self.emit(op.MEMORY_COPY if copies else op.MEMORY_FILL)
