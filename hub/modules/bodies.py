"""The type checker of function bodies: the algorithm of the specification's appendix, one pass, no recursion."""

from collections.abc import Callable

from hub.modules import instructions as kinds
from hub.modules.instructions import (
    BINARY,
    CONST_I32,
    F64,
    I32,
    I64,
    INSTRUCTIONS,
    LOAD,
    LOCAL_GET,
    LOCAL_SET,
    LOCAL_TEE,
    NUMBERS,
    PREFIX,
    STORE,
    UNARY,
    Instruction,
)
from hub.modules.reader import Reader, refuse
from hub.modules.stack import ANY, FLOOR, State, words
from hub.modules.walk import VALUE_TYPES, Type, Walk

# 8 MiB of what compilers write are 3,800,000.
MAX_INSTRUCTIONS = 4_000_000
# wasm3 compiles blocks by recursion on the native stack.
MAX_NESTING = 1_000

_PREFIXED, _UNKNOWN = 100, 101
_ELSE_CODE, _IF_CODE, _LOOP_CODE, _END_CODE = 0x05, 0x04, 0x03, 0x0B


def _dispatch(code: int) -> int:
    if code == PREFIX:
        return _PREFIXED
    instruction = INSTRUCTIONS.get(code)
    return _UNKNOWN if instruction is None else instruction.kind


_KINDS = bytes(map(_dispatch, range(256)))
_PLAIN = [INSTRUCTIONS.get(code, Instruction("", _UNKNOWN)) for code in range(256)]
# For loads, stores and plain operators: the type of the last operand, that of the result, the alignment.
_TAKES = bytes((plain.params or b"\0")[-1] for plain in _PLAIN)
_GIVES = bytes((plain.results or b"\0")[0] for plain in _PLAIN)
_ALIGN = bytes(plain.align for plain in _PLAIN)
_BLOCK_TYPES = {kinds.EMPTY_BLOCK: Type(b"", b""), **{kind: Type(b"", bytes((kind,))) for kind in NUMBERS}}


class Checker(State):
    """Checks the bodies of one module, one after the other, and collects the features they use."""

    def __init__(self, module: Walk) -> None:
        super().__init__()
        self.module = module
        self.types = [module.types[index] for index in module.functions]
        self.globals = [(bytes((one.type,)), one.mutable) for one in module.globals]
        self.no_memory = not module.memories
        self.no_table = not module.tables
        self.features: set[str] = set()
        # Counting them like this costs nothing.
        self.instructions = iter(range(MAX_INSTRUCTIONS))

    def check(self, index: int, body: Reader) -> None:
        """BadRequest unless the body of this function is valid."""
        self.begin(index, self.types[index], body)
        self.run()

    def run(self) -> None:
        """The loop over the instructions; what is frequent is done here, the rest by the methods below."""
        code, stack, local_types, frames = self.code, self.stack, self.locals, self.frames
        at, count = 0, len(self.locals)
        for _ in self.instructions:
            op = code[at]
            at += 1
            kind = _KINDS[op]
            if kind == LOCAL_GET:
                index = code[at]
                at += 1
                if index > 0x7F:
                    index, at = self.u32(at - 1)
                if index >= count:
                    self.unknown(at, "local", index, count)
                stack.append(local_types[index])
            elif kind == CONST_I32:
                at = at + 1 if code[at] < 0x80 else self.signed(at, 32)
                stack.append(I32)
            elif kind == BINARY:
                wanted = _TAKES[op]
                if stack[-1] == wanted and stack[-2] == wanted:
                    del stack[-1]
                    stack[-1] = _GIVES[op]
                else:
                    self.at, self.op = at, op
                    self.plain(_PLAIN[op])
            elif kind > STORE:
                self.at, self.op = at, op
                self.spend(1)
                _METHODS[kind](self)
                at = self.at
                if not frames:
                    break
            elif kind == UNARY:
                if stack[-1] == _TAKES[op]:
                    stack[-1] = _GIVES[op]
                else:
                    self.at, self.op = at, op
                    self.plain(_PLAIN[op])
            elif kind <= LOCAL_TEE:
                index = code[at]
                at += 1
                if index > 0x7F:
                    index, at = self.u32(at - 1)
                if index >= count:
                    self.unknown(at, "local", index, count)
                if stack[-1] != local_types[index]:
                    self.at, self.op = at, op
                    self.take(local_types[index : index + 1])
                    self.put(local_types[index : index + 1])
                # The 64-bit types are the even ones.
                if not stack[-1] & 1 and stack[-2] > ANY:
                    self.module.to_separate.add(self.index)
                if kind == LOCAL_SET:
                    del stack[-1]
            else:
                if code[at] > _ALIGN[op] or self.no_memory:
                    at = self.unusual_access(at, op)
                else:
                    at += 1
                at = at + 1 if code[at] < 0x80 else self.u32(at)[1]
                if kind == LOAD and stack[-1] == I32:
                    stack[-1] = _GIVES[op]
                elif kind == STORE and stack[-1] == _TAKES[op] and stack[-2] == I32:
                    del stack[-2:]
                else:
                    self.at, self.op = at, op
                    self.plain(_PLAIN[op])
        else:
            refuse(f"the module has over {MAX_INSTRUCTIONS} instructions: split it")

    def unusual_access(self, at: int, op: int) -> int:
        """The place behind an alignment that is written in several bytes; what else is unusual is wrong."""
        self.at, self.op = at, op
        if self.no_memory:
            self.bad(f"{self.name()} needs a memory, and the module has none")
        align = self.number()
        if 0x40 <= align < 0x80:
            self.bad(f"{self.name()} names a memory (multi-memory, which wasm3 lacks)")
        if align > _ALIGN[op]:
            self.bad(f"{self.name()} is aligned to 2^{align} bytes, more than its size")
        return self.at

    def plain(self, instruction: Instruction) -> None:
        self.take(instruction.params)
        self.put(instruction.results)

    def extended(self) -> None:
        instruction = _PLAIN[self.op]
        self.features.add(instruction.feature)
        self.plain(instruction)

    def prefixed(self) -> None:
        code = PREFIX << 8 | self.number()
        instruction = INSTRUCTIONS.get(code)
        if instruction is None:
            self.refuse_code(code)
        self.op = code
        self.features.add(instruction.feature)
        if instruction.kind != kinds.EXTENDED:
            self.pause()
            self.zero_bytes(2 if instruction.kind == kinds.MEMORY_COPY else 1)
        self.plain(instruction)

    def unknown_code(self) -> None:
        self.refuse_code(self.op)

    def memory(self) -> None:
        self.zero_bytes(1)
        self.plain(_PLAIN[self.op])

    def zero_bytes(self, count: int) -> None:
        if self.no_memory:
            self.bad(f"{self.name()} needs a memory, and the module has none")
        for _ in range(count):
            if self.code[self.at]:
                self.bad(f"{self.name()} names another memory than 0 (multi-memory, which wasm3 lacks)")
            self.at += 1

    def const_i64(self) -> None:
        self.at = self.signed(self.at, 64)
        self.stack += _PLAIN[self.op].results

    def const_float(self) -> None:
        self.at += 4 if self.op == 0x43 else 8
        self.stack += _PLAIN[self.op].results

    def global_get(self) -> None:
        self.put(self.global_type()[0])

    def global_set(self) -> None:
        kind, mutable = self.global_type()
        if not mutable:
            self.bad("global.set of a constant global")
        self.take(kind)

    def global_type(self) -> tuple[bytes, bool]:
        index = self.number()
        if index >= len(self.globals):
            self.unknown(self.at, "global", index, len(self.globals))
        return self.globals[index]

    def block(self) -> None:
        code = self.op
        kind = self.block_type()
        if code == _IF_CODE:
            self.take(_PLAIN[code].params)
        if kind.params:
            self.take(kind.params)
        self.open(code, kind)

    def open(self, code: int, kind: Type) -> None:
        if len(self.frames) > MAX_NESTING:
            self.bad(f"blocks lie over {MAX_NESTING} deep in each other")
        self.pause()
        label = kind.params if code == _LOOP_CODE else kind.results
        self.frames.append((code, kind, label, len(self.stack)))
        self.stack.append(FLOOR)
        if kind.params:
            self.put(kind.params)

    def pause(self) -> None:
        """A block begins here, once the function is metered: wasm3 saves the locals that are on the stack."""
        if self.stack[-1] > ANY and (I64 in self.locals or F64 in self.locals):
            self.module.to_separate.add(self.index)

    def block_type(self) -> Type:
        first = self.code[self.at]
        if first != kinds.EMPTY_BLOCK:
            self.module.to_lower.add(self.index)
            self.spend(1)
        kind = _BLOCK_TYPES.get(first)
        if kind is not None:
            self.at += 1
            return kind
        if first & 0xC0 == 0x40:
            lacks = f"{VALUE_TYPES[first]}, which wasm3 lacks" if first in VALUE_TYPES else f"0x{first:02x}, unknown"
            self.bad(f"a block of type {lacks}")
        if self.code[self.signed(self.at, 33) - 1] & 0x40:
            self.bad("a block of a negative type")
        index = self.number()
        if index >= len(self.module.types):
            self.unknown(self.at, "type", index, len(self.module.types))
        self.features.add("multi-value")
        return self.module.types[index]

    def close(self) -> tuple[int, Type]:
        """Leaves the innermost block, whose results must lie on the stack and nothing else; its opcode and type."""
        code, kind, _, height = self.frames[-1]
        stack = self.stack
        if kind.results:
            self.take(kind.results)
        left = len(stack) - height - 1
        if left:
            self.bad(f"{self.name()} of a block that leaves {left} more values than its type says")
        del self.frames[-1], stack[height:]
        return code, kind

    def end_block(self) -> None:
        code, kind = self.close()
        if code == _IF_CODE and kind.params != kind.results:
            self.bad("an if without else whose type says that it changes the stack")
        if kind.results:
            self.put(kind.results)
        if not self.frames and self.at != self.end:
            self.bad(f"{self.end - self.at} bytes follow the end of the function")

    def else_block(self) -> None:
        code, kind = self.close()
        if code != _IF_CODE:
            self.bad("else without if")
        self.open(_ELSE_CODE, kind)

    def label(self, depth: int) -> bytes:
        if depth >= len(self.frames):
            self.unknown(self.at, "label", depth, len(self.frames))
        return self.frames[-1 - depth][2]

    def branch(self) -> None:
        self.take(self.label(self.number()))
        self.kill()

    def branch_if(self) -> None:
        types = self.label(self.number())
        self.take(_PLAIN[self.op].params)
        if not self.stack.endswith(types):
            self.take(types)
            self.put(types)

    def branch_table(self) -> None:
        count = self.number()
        if count > self.end - self.at:
            self.bad(f"br_table with {count} labels, and fewer bytes follow")
        labels = set(self.code[self.at : self.at + count])
        if max(labels, default=0) > 0x7F:
            labels = {self.number() for _ in range(count)}
        else:
            self.at += count
        types = self.label(self.number())
        self.spend(1 + len(labels))
        self.take(_PLAIN[self.op].params)
        for depth in labels:
            other = self.label(depth)
            if len(other) != len(types):
                self.bad(f"br_table to labels that take {len(types)} and {len(other)} values")
            self.match(other)
        self.take(types)
        self.kill()

    def leave(self) -> None:
        self.take(self.frames[0][2])
        self.kill()

    def kill(self) -> None:
        super().kill()
        if self.code[self.at] not in (_END_CODE, _ELSE_CODE):
            self.module.to_lower.add(self.index)

    def call(self) -> None:
        index = self.number()
        if index >= len(self.types):
            self.unknown(self.at, "function", index, len(self.types))
        kind = self.types[index]
        self.take(kind.params)
        self.put(kind.results)

    def call_indirect(self) -> None:
        index, table = self.number(), self.number()
        if self.no_table or table:
            self.unknown(self.at, "table", table, 0 if self.no_table else 1)
        if index >= len(self.module.types):
            self.unknown(self.at, "type", index, len(self.module.types))
        kind = self.module.types[index]
        self.take(_PLAIN[self.op].params)
        self.take(kind.params)
        self.put(kind.results)

    def drop(self) -> None:
        self.take_one()

    def select(self) -> None:
        self.take(_PLAIN[self.op].params)
        second, first = self.take_one(), self.take_one()
        if first != second and ANY not in (first, second):
            self.bad(f"select between {words((first, second))}")
        self.stack.append(max(first, second))

    def select_typed(self) -> None:
        count = self.number()
        if count != 1:
            self.bad(f"select with {count} types, 1 is the number there can be")
        kind = self.code[self.at : self.at + 1]
        self.at += 1
        if kind[0] not in NUMBERS:
            self.bad(f"select of {VALUE_TYPES.get(kind[0], 'an unknown type')}, which wasm3 lacks")
        self.take(kind + kind + _PLAIN[self.op].params)
        self.put(kind)

    def nothing(self) -> None:
        """nop."""


_METHODS: dict[int, Callable[[Checker], None]] = {
    kinds.CONST_I64: Checker.const_i64,
    kinds.CONST_F32: Checker.const_float,
    kinds.CONST_F64: Checker.const_float,
    kinds.GLOBAL_GET: Checker.global_get,
    kinds.GLOBAL_SET: Checker.global_set,
    kinds.BLOCK: Checker.block,
    kinds.ELSE: Checker.else_block,
    kinds.END: Checker.end_block,
    kinds.BRANCH: Checker.branch,
    kinds.BRANCH_IF: Checker.branch_if,
    kinds.BRANCH_TABLE: Checker.branch_table,
    kinds.RETURN: Checker.leave,
    kinds.CALL: Checker.call,
    kinds.CALL_INDIRECT: Checker.call_indirect,
    kinds.UNREACHABLE: Checker.kill,
    kinds.NOP: Checker.nothing,
    kinds.DROP: Checker.drop,
    kinds.SELECT: Checker.select,
    kinds.SELECT_TYPED: Checker.select_typed,
    kinds.MEMORY: Checker.memory,
    kinds.EXTENDED: Checker.extended,
    _PREFIXED: Checker.prefixed,
    _UNKNOWN: Checker.unknown_code,
}
