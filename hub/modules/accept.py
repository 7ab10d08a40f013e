"""The whole way of an upload: valid, within what wasm3 0.5.0 and the devices can do, and prepared."""

from dataclasses import dataclass

from hub.modules.encode import signed_value
from hub.modules.info import Import, ModuleInfo, Signature
from hub.modules.inspect import describe
from hub.modules.prepare import write
from hub.modules.reader import refuse
from hub.modules.validate import check
from hub.modules.walk import FUNCTION, Data, Elements, Walk, walk
from shared.host import FUEL, MODULE, TICK, functions

# wasm3's own limits, less what the prepared form may add.
MAX_TYPES = MAX_GLOBALS = MAX_SEGMENTS = 99_990
_OFFERED = functions()
MAX_FUNCTIONS = 90_000
MAX_IMPORTS = MAX_EXPORTS = 9_990
MAX_TABLE = 100_000
MAX_NAME = 10_000
# What the description of a module may list: 70 kB of upload would say the same 1,000 parameters 9,990 times.
MAX_VALUES = 50_000

_PAGE = 65_536
_WORDS = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": ""}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A module that devices may run: what it is like, and its prepared form."""

    info: ModuleInfo
    prepared: bytes


def accept(data: bytes) -> Accepted:
    """An upload, checked and prepared.

    TooLarge over 8 MiB, plain or prepared. BadRequest (code `bad_module`) with one sentence for what validate()
    refuses, for imports that no device can have, and for what always fails when the module is loaded.
    """
    module = walk(data)
    features = check(module)
    _check_imports(module.imports)
    _check_exports(module)
    _check_counts(module)
    _check_segments(module)
    return Accepted(describe(module, features), write(module))


def _check_imports(imports: list[Import]) -> None:
    for one in imports:
        name = f"{one.module[:64]}.{one.name[:64]}"
        _check_name(one.module, one.name)
        if one.signature is None:
            refuse(f"the module imports the {one.kind} {name}: devices offer functions only, define it in the module")
        if one.module != MODULE:
            continue
        if one.name == TICK:
            refuse(f"the module imports {name}, which is added to every module and closed to its own code")
        if one.name not in _OFFERED:
            refuse(f"the module imports {name}, and {MODULE} has no function of that name", function=one.name)
        wanted = _signature(_OFFERED[one.name])
        if one.signature != wanted:
            refuse(f"the module imports {name} as {_text(one.signature)}, and it is {_text(wanted)}", function=one.name)


def _check_exports(module: Walk) -> None:
    for name, _, _ in module.exports:
        _check_length(name)
        if name == FUEL:
            refuse(f"the module exports {FUEL}, a name that metering takes: give it another")


def _check_name(*names: str) -> None:
    for name in names:
        if "\0" in name:
            refuse(f"the name {name[:64]!r} holds a zero character, where wasm3 takes it to end")
        _check_length(name)


def _check_length(name: str) -> None:
    if len(name.encode()) > MAX_NAME:
        refuse(f"the name {name[:64]!r}… is over {MAX_NAME} bytes long, wasm3's limit")


def _check_counts(module: Walk) -> None:
    for what, there, most in (
        ("types", module.types, MAX_TYPES),
        ("functions", module.functions, MAX_FUNCTIONS),
        ("globals", module.globals, MAX_GLOBALS),
        ("imports", module.imports, MAX_IMPORTS),
        ("exports", module.exports, MAX_EXPORTS),
        ("element segments", module.elements, MAX_SEGMENTS),
        ("data segments", module.data_segments, MAX_SEGMENTS),
    ):
        if len(there) > most:
            refuse(f"the module has {len(there)} {what}, {most} is the most that wasm3 takes")
    outside = [index for _, kind, index in module.exports if kind == FUNCTION] + [*range(module.imported_functions)]
    values = sum(len(part) for index in outside for part in module.type_of(index))
    if values > MAX_VALUES:
        refuse(f"the functions imported and exported take and give {values} values, {MAX_VALUES} is the most")


def _check_segments(module: Walk) -> None:
    """Segments beyond the end trap before anything runs, and wasm3 writes those of tables all the same."""
    for index, elements in enumerate(module.elements):
        end = _offset(module, elements) + len(elements.functions or ())
        size = module.tables[0].least
        if end > size:
            refuse(f"element segment {index} ends at {end}, beyond the table of {size}: loading it always fails")
        if end > MAX_TABLE:
            refuse(f"element segment {index} ends at {end}, beyond the {MAX_TABLE} elements of wasm3's tables")
    for index, data in enumerate(module.data_segments):
        end = _offset(module, data) + data.content.end - data.content.at
        size = module.memories[0].least * _PAGE
        if end > size:
            refuse(f"data segment {index} ends at {end}, beyond the memory of {size}: loading it always fails")


def _offset(module: Walk, segment: Elements | Data) -> int:
    """Where a segment begins: its offset is i32.const, since there is no imported global."""
    assert segment.offset is not None
    return signed_value(module.data[segment.offset.at + 1 : segment.offset.end - 1]) % (1 << 32)


def _signature(text: str) -> Signature:
    """The signature that wasm3 writes as "i(ii)"."""
    results, _, params = text.rstrip(")").partition("(")
    return Signature(tuple(_WORDS[one] for one in params), tuple(_WORDS[one] for one in results if one != "v"))


def _text(signature: Signature) -> str:
    return f"({', '.join(signature.params)}) -> ({', '.join(signature.results)})"
