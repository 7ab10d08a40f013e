"""The form of a module that devices run: small, metered, and free of what wasm3 0.5.0 stumbles over."""

from collections import Counter
from collections.abc import Iterable, Iterator

from hub.modules.encode import five_bytes, limits, section, shorter, shorter_signed, sized, unsigned, vector
from hub.modules.header import HEADER, MAX_MODULE
from hub.modules.info import Limits
from hub.modules.lower import lower
from hub.modules.meter import Meter
from hub.modules.reader import refuse
from hub.modules.separate import separate
from hub.modules.validate import MAX_SIGNATURE, check
from hub.modules.walk import FUNCTION, GLOBAL, KINDS, MEMORY, TABLE, Span, Type, Walk, walk
from shared.errors import TooLarge
from shared.host import FUEL, MODULE, TICK

# Raised when what write() makes of a module changes: a hub prepares the modules in its store anew at its next start.
FORM = 1
# 256 MiB
MAX_PAGES = 4096
# How far a module may grow: the code of loops becomes eight times as large. So a small module is small work.
_GROWTH, _LEAST_ROOM = 16, 64 << 10
# wasm3 0.5.0 finds a function by the first three names it is exported under.
MAX_NAMES = 3

_TICK_TYPE = Type(b"", b"\x7f")
_FUEL_GLOBAL = b"\x7f\x01\x41\0\x0b"
_CONST_I32, _CONST_I64, _GLOBAL_GET, _END = b"\x41", b"\x42", b"\x23", b"\x0b"


def prepare(data: bytes) -> bytes:
    """The prepared form of a module. Errors: those of validate() and write()."""
    module = walk(data)
    check(module)
    return write(module)


def write(module: Walk) -> bytes:
    """The prepared form of a module that was checked.

    Custom sections and the data count are gone, every number has its shortest form. `edge.tick` () -> i32 is the last
    import, `__fuel` an exported i32 global that begins with 0: where time can be spent it is lowered, and below zero
    what tick answers is added. The memory's maximum is at most 4096 pages and always written in five bytes, so that a
    device can lower it in place. BadRequest `bad_module` for a memory that begins with more, TooLarge over 8 MiB,
    and for what adds over 16 bytes for each of its own and 64 KiB.
    """
    writer = _Writer(module)
    out = bytearray(HEADER)
    for number, items in (
        (1, writer.types()),
        (2, writer.imports()),
        (3, writer.functions()),
        (4, writer.tables()),
        (5, writer.memories()),
        (6, writer.globals()),
        (7, writer.exports()),
    ):
        out += _section(number, items)
    if module.start is not None:
        out += section(8, writer.meter.function(module.start))
    for number, items in ((9, writer.elements()), (10, writer.bodies()), (11, writer.data())):
        out += _section(number, items)
    if len(out) > MAX_MODULE:
        raise TooLarge(f"prepared for devices, the module takes {len(out)} bytes, over {MAX_MODULE} (8 MiB): split it")
    return bytes(out)


class _Writer:
    """The items of each section."""

    def __init__(self, module: Walk) -> None:
        self.module = module
        room = min(MAX_MODULE, _LEAST_ROOM + _GROWTH * len(module.data))
        self.meter = Meter(module.imported_functions, len(module.globals), room)
        # Behind the own functions: one that calls what has too many names. {name: (index, what it calls)}
        self.wrappers: dict[str, tuple[int, int]] = {}
        names: Counter[int] = Counter()
        # What has a zero character in its name cannot be asked for: wasm3 takes the name to end there.
        self.exported = [one for one in module.exports if "\0" not in one[0]]
        for name, kind, index in self.exported:
            if kind == FUNCTION:
                names[index] += 1
                if names[index] > MAX_NAMES:
                    self.wrappers[name] = len(module.functions) + len(self.wrappers), index

    def types(self) -> Iterator[bytes]:
        for kind in (*self.module.types, _TICK_TYPE):
            yield b"\x60" + sized(kind.params) + sized(kind.results)

    def imports(self) -> Iterator[bytes]:
        module = self.module
        functions, tables = iter(module.functions), iter(module.tables)
        memories, globals_ = iter(module.memories), iter(module.globals)
        for one in module.imports:
            kind = KINDS.index(one.kind)
            if kind == FUNCTION:
                what = unsigned(next(functions))
            elif kind == TABLE:
                what = _table(next(tables))
            elif kind == MEMORY:
                what = _memory(next(memories))
            else:
                imported = next(globals_)
                what = bytes((imported.type, imported.mutable))
            yield sized(one.module.encode()) + sized(one.name.encode()) + bytes((kind,)) + what
        yield sized(MODULE.encode()) + sized(TICK.encode()) + bytes((FUNCTION,)) + unsigned(len(module.types))

    def functions(self) -> Iterator[bytes]:
        functions = self.module.functions
        for index in functions[self.module.imported_functions :]:
            yield unsigned(index)
        for _, called in self.wrappers.values():
            yield unsigned(functions[called])

    def tables(self) -> list[bytes]:
        return [_table(one) for one in self.module.tables[self.imported(TABLE) :]]

    def memories(self) -> list[bytes]:
        return [_memory(one) for one in self.module.memories[self.imported(MEMORY) :]]

    def imported(self, kind: int) -> int:
        return sum(one.kind == KINDS[kind] for one in self.module.imports)

    def globals(self) -> Iterator[bytes]:
        for one in self.module.globals:
            if one.value is not None:
                yield bytes((one.type, one.mutable)) + self.constant(one.value)
        yield _FUEL_GLOBAL

    def constant(self, span: Span) -> bytes:
        raw = self.module.data[span.at : span.end]
        op, value = raw[:1], raw[1:-1]
        if op in (_CONST_I32, _CONST_I64):
            value = shorter_signed(value)
        elif op == _GLOBAL_GET:
            value = shorter(value)
        return op + value + _END

    def exports(self) -> Iterator[bytes]:
        for name, kind, index in self.exported:
            target, _ = self.wrappers.get(name, (index, 0))
            place = self.meter.function(target) if kind == FUNCTION else unsigned(target)
            yield sized(name.encode()) + bytes((kind,)) + place
        yield sized(FUEL.encode()) + bytes((GLOBAL,)) + unsigned(len(self.module.globals))

    def elements(self) -> Iterator[bytes]:
        for one in self.module.elements:
            # wasm3 takes the nothing that an empty one needs for a lack of memory.
            if one.offset is not None and one.functions:
                yield b"\0" + self.constant(one.offset) + vector(map(self.meter.function, one.functions))

    def bodies(self) -> Iterator[bytes]:
        module = self.module
        for index, found in enumerate(module.bodies, module.imported_functions):
            params, body = module.type_of(index).params, found.again()
            if index in module.to_lower:
                body = lower(module.types, params, body, self.meter.spend)
            if index in module.to_lower or index in module.to_separate:
                body = separate(module, params, body, self.meter.spend)
            yield sized(self.meter.body(len(params), body))
        arguments = [b"\x20" + unsigned(place) for place in range(MAX_SIGNATURE)]
        for _, called in self.wrappers.values():
            count = len(module.type_of(called).params)
            call = b"\x10" + self.meter.function(called)
            code = self.meter.charge(count + 2) + b"".join(arguments[:count]) + call + _END
            self.meter.spend(len(code))
            yield sized(b"\0" + code)

    def data(self) -> Iterator[bytes]:
        data = self.module.data
        for one in self.module.data_segments:
            if one.offset is not None:
                yield b"\0" + self.constant(one.offset) + sized(data[one.content.at : one.content.end])


def _section(number: int, items: Iterable[bytes]) -> bytes:
    content = vector(items)
    return section(number, content) if content != b"\0" else b""


def _table(of: Limits) -> bytes:
    return b"\x70" + limits(of)


def _memory(of: Limits) -> bytes:
    if of.least > MAX_PAGES:
        refuse(f"the module begins with {of.least} pages of memory, {MAX_PAGES} (256 MiB) is the most", limit=MAX_PAGES)
    most = MAX_PAGES if of.most is None else min(of.most, MAX_PAGES)
    return b"\x01" + unsigned(of.least) + five_bytes(most)
