"""The walk over a module: every section to its end, with bounds checks; function bodies are measured, not decoded.

What it collects is what inspect() describes, validate() checks and prepare() writes again.
"""

from collections.abc import Callable
from typing import NamedTuple

from hub.modules.header import HEADER, check_header
from hub.modules.info import Import, Limits, Signature
from hub.modules.reader import Budget, Reader, refuse

MAX_PAGES = 65536
KINDS = ("func", "table", "memory", "global")
FUNCTION, TABLE, MEMORY, GLOBAL = range(4)
VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
_VALUE_BYTES = bytes(VALUE_TYPES)
FUNCREF = 0x70
_REFERENCES = (FUNCREF, 0x6F)
_END = 0x0B


class Type(NamedTuple):
    """A function type: the bytes of its parameters and results."""

    params: bytes
    results: bytes


class Span(NamedTuple):
    """Where something lies in the module's bytes."""

    at: int
    end: int


class Global(NamedTuple):
    """A global; value is its constant expression with the `end`, None for an imported one."""

    type: int
    mutable: bool
    value: Span | None


class Elements(NamedTuple):
    """An element segment: its form (0 to 7), table, offset (None unless active), functions (None: expressions)."""

    form: int
    table: int
    offset: Span | None
    functions: list[int] | None
    at: int


class Data(NamedTuple):
    """A data segment: its form (0 to 2), memory, offset (None unless active) and bytes."""

    form: int
    memory: int
    offset: Span | None
    content: Span


def walk(data: bytes) -> "Walk":
    """A core module, walked. Errors: those of inspect()."""
    check_header(data)
    module = Walk(data)
    reader = Reader(data, len(HEADER), len(data), "module", Budget(), whole=True)
    while reader.left():
        module.section(reader)
    module.finish()
    return module


class Walk:
    """What the sections hold, in their order. functions: the type index of each, imported ones first.

    to_lower, to_separate: those own functions that need hub.modules.lower and separate, found by the check.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.last_place = 0
        self.types: list[Type] = []
        self.signatures: list[Signature] = []
        self.known: dict[bytes, tuple[Type, Signature]] = {}
        self.functions: list[int] = []
        self.imported_functions = 0
        self.imports: list[Import] = []
        self.tables: list[Limits] = []
        self.table_types: list[int] = []
        self.memories: list[Limits] = []
        self.globals: list[Global] = []
        self.exports: list[tuple[str, int, int]] = []
        self.start: int | None = None
        self.elements: list[Elements] = []
        self.bodies: list[Reader] = []
        self.segments: int | None = None
        self.data_segments: list[Data] = []
        self.custom: list[str] = []
        self.name_section: Reader | None = None
        self.to_lower: set[int] = set()
        self.to_separate: set[int] = set()

    def section(self, reader: Reader) -> None:
        at = reader.at
        number = reader.byte()
        if number == 0:
            self.custom_section(reader.part("custom section"))
            return
        if number not in _SECTIONS:
            if number == 13:
                refuse("the module uses exceptions, which wasm3 lacks: build it without them", offset=at)
            refuse(f"the bytes from {at} on are no section of a module: it is damaged, or junk follows it", offset=at)
        place, name, read = _SECTIONS[number]
        if place <= self.last_place:
            refuse(f"the {name} section at byte {at} is there twice or out of order", offset=at)
        self.last_place = place
        part = reader.part(f"{name} section")
        read(self, part)
        part.finish()

    def custom_section(self, part: Reader) -> None:
        name = part.name()
        part.budget.charge(1)
        self.custom.append(name)
        if name == "name":
            self.name_section = part

    def type_section(self, part: Reader) -> None:
        for _ in range(part.count(least=3)):
            at = part.at
            if part.byte() != 0x60:
                part.bad("a type that is no function type (garbage collection, which wasm3 lacks)")
            params, results = self.value_types(part), self.value_types(part)
            # One object for equal types: many of them stay as many pointers.
            raw = part.data[at : part.at]
            if raw not in self.known:
                self.known[raw] = Type(params, results), Signature(_words(params), _words(results))
            kind, signature = self.known[raw]
            self.types.append(kind)
            self.signatures.append(signature)

    def value_types(self, part: Reader) -> bytes:
        raw = part.take(part.count())
        if raw.translate(None, _VALUE_BYTES):
            part.bad("an unknown value type")
        return raw

    def import_section(self, part: Reader) -> None:
        for _ in range(part.count(least=4)):
            module, name, kind = part.name(), part.name(), part.byte()
            signature = None
            if kind == FUNCTION:
                self.function(part)
                self.imported_functions += 1
                signature = self.signature(-1)
            elif kind == TABLE:
                self.table(part)
            elif kind == MEMORY:
                self.memory(part)
            elif kind == GLOBAL:
                self.globals.append(Global(*self.global_type(part), None))
            else:
                part.bad(f"an import of the unknown kind {kind}")
            self.imports.append(Import(module, name, KINDS[kind], signature))

    def function(self, part: Reader) -> None:
        index = part.u32()
        if index >= len(self.types):
            part.bad(f"a function of type {index}, and there are {len(self.types)} types")
        self.functions.append(index)

    def type_of(self, function: int) -> Type:
        return self.types[self.functions[function]]

    def signature(self, function: int) -> Signature:
        return self.signatures[self.functions[function]]

    def table(self, part: Reader) -> None:
        kind = part.byte()
        if kind not in _REFERENCES:
            part.bad("a table of an unknown type")
        self.table_types.append(kind)
        self.tables.append(self.limits(part, (1 << 32) - 1))

    def memory(self, part: Reader) -> None:
        self.memories.append(self.limits(part, MAX_PAGES))
        if len(self.memories) > 1:
            part.bad("a second memory (multi-memory, which wasm3 lacks)")

    def limits(self, part: Reader, top: int) -> Limits:
        flags = part.byte()
        if flags > 1:
            part.bad("shared memory, 64-bit memory or custom page sizes, which wasm3 lacks")
        least = part.u32()
        most = part.u32() if flags else None
        if least > top or (most is not None and not least <= most <= top):
            part.bad(f"limits of {least} to {most}, and {top} is the most there can be")
        return Limits(least, most)

    def global_type(self, part: Reader) -> tuple[int, bool]:
        kind, mutable = part.byte(), part.byte()
        if kind not in VALUE_TYPES:
            part.bad("a global of an unknown type")
        if mutable > 1:
            part.bad("a global that is neither constant nor variable")
        return kind, bool(mutable)

    def function_section(self, part: Reader) -> None:
        for _ in range(part.count()):
            self.function(part)

    def table_section(self, part: Reader) -> None:
        for _ in range(part.count(least=3)):
            self.table(part)

    def memory_section(self, part: Reader) -> None:
        for _ in range(part.count(least=2)):
            self.memory(part)

    def global_section(self, part: Reader) -> None:
        for _ in range(part.count(least=4)):
            self.globals.append(Global(*self.global_type(part), self.constant(part)))

    def constant(self, part: Reader) -> Span:
        """Where a constant expression lies, with its `end`."""
        at = part.at
        while (op := part.byte()) != _END:
            part.budget.charge(1)
            if op in (0x23, 0xD2):  # global.get, ref.func
                part.u32()
            elif op == 0x41:
                part.signed(32)
            elif op == 0x42:
                part.signed(64)
            elif op in (0x43, 0x44):
                part.skip(4 if op == 0x43 else 8)
            elif op == 0xD0:
                part.byte()
            elif op not in (0x6A, 0x6B, 0x6C, 0x7C, 0x7D, 0x7E):  # add, sub, mul: extended constants
                part.bad(f"an instruction 0x{op:02x} that is no constant")
        return Span(at, part.at)

    def export_section(self, part: Reader) -> None:
        names = set()
        for _ in range(part.count(least=3)):
            name, kind, index = part.name(), part.byte(), part.u32()
            if kind >= len(KINDS):
                part.bad(f"an export of the unknown kind {kind}")
            if name in names:
                part.bad(f"two exports named {name[:64]!r}")
            names.add(name)
            there = (len(self.functions), len(self.tables), len(self.memories), len(self.globals))[kind]
            if index >= there:
                part.bad(f"the export {name[:64]!r} is {KINDS[kind]} {index}, and there are {there}")
            self.exports.append((name, kind, index))

    def start_section(self, part: Reader) -> None:
        self.start = part.u32()
        if self.start >= len(self.functions):
            part.bad(f"the start function is {self.start}, and there are {len(self.functions)}")

    def element_section(self, part: Reader) -> None:
        for _ in range(part.count(least=2)):
            at, form, table, offset = part.at, part.u32(), 0, None
            if form > 7:
                part.bad(f"an element segment of the unknown form {form}")
            passive, explicit, expressions = form & 1, form & 2, form & 4
            if not passive:
                if explicit:
                    table = part.u32()
                offset = self.constant(part)
            if passive or explicit:
                part.byte()
            functions = None
            if expressions:
                for _ in range(part.count()):
                    self.constant(part)
            else:
                functions = [part.u32() for _ in range(part.count())]
            self.elements.append(Elements(form, table, offset, functions, at))

    def data_count_section(self, part: Reader) -> None:
        self.segments = part.u32()

    def code_section(self, part: Reader) -> None:
        for _ in range(part.count(least=3)):
            body = part.part("function body")
            self.bodies.append(body.again())
            for _ in range(body.count(least=2)):
                body.u32()
                if body.byte() not in VALUE_TYPES:
                    body.bad("a local of an unknown type")
            if not body.left() or part.data[body.end - 1] != _END:
                body.bad("it does not end with `end`")

    def data_section(self, part: Reader) -> None:
        for _ in range(part.count(least=2)):
            form, memory, offset = part.u32(), 0, None
            if form > 2:
                part.bad(f"a data segment of the unknown form {form}")
            if form == 2:
                memory = part.u32()
            if form != 1:
                offset = self.constant(part)
            size = part.u32()
            at = part.at
            part.skip(size)
            self.data_segments.append(Data(form, memory, offset, Span(at, part.at)))

    def finish(self) -> None:
        """Refuses a module whose sections do not fit each other."""
        own = len(self.functions) - self.imported_functions
        if len(self.bodies) != own:
            refuse(f"the module is cut short: it declares {own} functions and holds {len(self.bodies)}")
        if self.segments is not None and self.segments != len(self.data_segments):
            announced, there = self.segments, len(self.data_segments)
            refuse(f"the module is cut short: it announces {announced} data segments, holds {there}")


def _words(types: bytes) -> tuple[str, ...]:
    return tuple(VALUE_TYPES[byte] for byte in types)


# section number: (its place in the order, its name, what reads it)
_SECTIONS: dict[int, tuple[int, str, Callable[[Walk, Reader], None]]] = {
    1: (1, "type", Walk.type_section),
    2: (2, "import", Walk.import_section),
    3: (3, "function", Walk.function_section),
    4: (4, "table", Walk.table_section),
    5: (5, "memory", Walk.memory_section),
    6: (6, "global", Walk.global_section),
    7: (7, "export", Walk.export_section),
    8: (8, "start", Walk.start_section),
    9: (9, "element", Walk.element_section),
    12: (10, "data count", Walk.data_count_section),
    10: (11, "code", Walk.code_section),
    11: (12, "data", Walk.data_section),
}
