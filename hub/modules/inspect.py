"""What a wasm module offers and wants: the structural gate of every upload.

Walks every section to its end with bounds checks; function bodies are measured, not decoded.
"""

from collections.abc import Callable

from hub.modules.header import HEADER, check_header
from hub.modules.info import Export, Import, Limits, ModuleInfo, Signature
from hub.modules.names import parameter_names
from hub.modules.reader import Budget, Reader, refuse

MAX_PAGES = 65536
KINDS = ("func", "table", "memory", "global")
_VALUE_TYPES = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref"}
_VALUE_BYTES = bytes(_VALUE_TYPES)
_REFERENCES = (0x70, 0x6F)
_END = 0x0B


def inspect(data: bytes) -> ModuleInfo:
    """What a core module offers and wants.

    TooLarge over 8 MiB; BadRequest (code `bad_module`) with one sentence for anything that is no core module of
    version 1, is cut short, has bytes left over or sections twice or out of order.
    """
    check_header(data)
    walk = _Walk(data)
    reader = Reader(data, len(HEADER), len(data), "module", Budget(), whole=True)
    while reader.left():
        walk.section(reader)
    return walk.result()


class _Walk:
    """Collects from the sections, in their order, what the result needs."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.last_place = 0
        self.signatures: list[Signature] = []
        self.known: dict[bytes, Signature] = {}
        self.functions: list[Signature] = []
        self.imports: list[Import] = []
        self.tables: list[Limits] = []
        self.memories: list[Limits] = []
        self.globals = 0
        self.exports: list[tuple[str, int, int]] = []
        self.start: int | None = None
        self.own_functions = 0
        self.bodies = 0
        self.segments: int | None = None
        self.data_segments = 0
        self.custom: list[str] = []
        self.name_section: Reader | None = None

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
            signature = Signature(self.value_types(part), self.value_types(part))
            # One object for equal types: many of them stay as many pointers.
            self.signatures.append(self.known.setdefault(part.data[at : part.at], signature))

    def value_types(self, part: Reader) -> tuple[str, ...]:
        raw = part.take(part.count())
        if raw.translate(None, _VALUE_BYTES):
            part.bad("an unknown value type")
        return tuple(_VALUE_TYPES[byte] for byte in raw)

    def import_section(self, part: Reader) -> None:
        for _ in range(part.count(least=4)):
            module, name, kind = part.name(), part.name(), part.byte()
            signature = None
            if kind == 0:
                signature = self.signature(part)
                self.functions.append(signature)
            elif kind == 1:
                self.table(part)
            elif kind == 2:
                self.memory(part)
            elif kind == 3:
                self.global_type(part)
            else:
                part.bad(f"an import of the unknown kind {kind}")
            self.imports.append(Import(module, name, KINDS[kind], signature))

    def signature(self, part: Reader) -> Signature:
        index = part.u32()
        if index >= len(self.signatures):
            part.bad(f"a function of type {index}, and there are {len(self.signatures)} types")
        return self.signatures[index]

    def table(self, part: Reader) -> None:
        if part.byte() not in _REFERENCES:
            part.bad("a table of an unknown type")
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

    def global_type(self, part: Reader) -> None:
        if part.byte() not in _VALUE_TYPES:
            part.bad("a global of an unknown type")
        if part.byte() > 1:
            part.bad("a global that is neither constant nor variable")
        self.globals += 1

    def function_section(self, part: Reader) -> None:
        self.own_functions = part.count()
        for _ in range(self.own_functions):
            self.functions.append(self.signature(part))

    def table_section(self, part: Reader) -> None:
        for _ in range(part.count(least=3)):
            self.table(part)

    def memory_section(self, part: Reader) -> None:
        for _ in range(part.count(least=2)):
            self.memory(part)

    def global_section(self, part: Reader) -> None:
        for _ in range(part.count(least=4)):
            self.global_type(part)
            self.constant(part)

    def constant(self, part: Reader) -> None:
        """Steps over a constant expression, up to and with its `end`."""
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

    def export_section(self, part: Reader) -> None:
        names = set()
        for _ in range(part.count(least=3)):
            name, kind, index = part.name(), part.byte(), part.u32()
            if kind >= len(KINDS):
                part.bad(f"an export of the unknown kind {kind}")
            if name in names:
                part.bad(f"two exports named {name[:64]!r}")
            names.add(name)
            there = (len(self.functions), len(self.tables), len(self.memories), self.globals)[kind]
            if index >= there:
                part.bad(f"the export {name[:64]!r} is {KINDS[kind]} {index}, and there are {there}")
            self.exports.append((name, kind, index))

    def start_section(self, part: Reader) -> None:
        self.start = part.u32()
        if self.start >= len(self.functions):
            part.bad(f"the start function is {self.start}, and there are {len(self.functions)}")

    def element_section(self, part: Reader) -> None:
        for _ in range(part.count(least=2)):
            flags = part.u32()
            if flags > 7:
                part.bad(f"an element segment of the unknown form {flags}")
            passive, explicit, expressions = flags & 1, flags & 2, flags & 4
            if not passive:
                if explicit:
                    part.u32()
                self.constant(part)
            if passive or explicit:
                part.byte()
            for _ in range(part.count()):
                if expressions:
                    self.constant(part)
                else:
                    part.u32()

    def data_count_section(self, part: Reader) -> None:
        self.segments = part.u32()

    def code_section(self, part: Reader) -> None:
        self.bodies = part.count(least=3)
        for _ in range(self.bodies):
            body = part.part("function body")
            for _ in range(body.count(least=2)):
                body.u32()
                if body.byte() not in _VALUE_TYPES:
                    body.bad("a local of an unknown type")
            if not body.left() or part.data[body.end - 1] != _END:
                body.bad("it does not end with `end`")

    def data_section(self, part: Reader) -> None:
        self.data_segments = part.count(least=2)
        for _ in range(self.data_segments):
            flags = part.u32()
            if flags > 2:
                part.bad(f"a data segment of the unknown form {flags}")
            if flags == 2:
                part.u32()
            if flags != 1:
                self.constant(part)
            part.skip(part.u32())

    def result(self) -> ModuleInfo:
        if self.bodies != self.own_functions:
            refuse(f"the module is cut short: it declares {self.own_functions} functions and holds {self.bodies}")
        if self.segments is not None and self.segments != self.data_segments:
            refuse(f"the module is cut short: it announces {self.segments} data segments, holds {self.data_segments}")
        return ModuleInfo(
            exports=tuple(self.export_list()),
            imports=tuple(self.imports),
            memory=self.memories[0] if self.memories else None,
            table=self.tables[0] if self.tables else None,
            start=self.start,
            custom_sections=tuple(self.custom),
            size_bytes=len(self.data),
        )

    def export_list(self) -> list[Export]:
        wanted = {index: len(self.functions[index].params) for _, kind, index in self.exports if kind == 0}
        names = parameter_names(self.name_section, wanted)
        return [
            Export(name, "func", self.functions[index], names.get(index, ()))
            if kind == 0
            else Export(name, KINDS[kind], None)
            for name, kind, index in self.exports
        ]


# section number: (its place in the order, its name, what reads it)
_SECTIONS: dict[int, tuple[int, str, Callable[[_Walk, Reader], None]]] = {
    1: (1, "type", _Walk.type_section),
    2: (2, "import", _Walk.import_section),
    3: (3, "function", _Walk.function_section),
    4: (4, "table", _Walk.table_section),
    5: (5, "memory", _Walk.memory_section),
    6: (6, "global", _Walk.global_section),
    7: (7, "export", _Walk.export_section),
    8: (8, "start", _Walk.start_section),
    9: (9, "element", _Walk.element_section),
    12: (10, "data count", _Walk.data_count_section),
    10: (11, "code", _Walk.code_section),
    11: (12, "data", _Walk.data_section),
}
