"""Full validation of an upload: after it, wasm3 can neither crash on a module nor meet what it lacks."""

from hub.modules.bodies import Checker
from hub.modules.info import ModuleInfo
from hub.modules.inspect import describe
from hub.modules.instructions import NUMBERS
from hub.modules.reader import Budget, Reader, refuse
from hub.modules.walk import FUNCREF, FUNCTION, GLOBAL, KINDS, MEMORY, TABLE, VALUE_TYPES, Span, Walk, walk

# wasm3's own limit for parameters and results together.
MAX_SIGNATURE = 1_000

# opcode: (the type it makes, how it is read)
_CONSTANTS = {0x41: 0x7F, 0x42: 0x7E, 0x43: 0x7D, 0x44: 0x7C}
_GLOBAL_GET, _END = 0x23, 0x0B


def validate(data: bytes) -> ModuleInfo:
    """What inspect() finds, and the features, of a module that is valid and that wasm3 0.5.0 can run.

    That is the MVP with sign extension, saturating conversion, multi-value, memory.copy and memory.fill. TooLarge and
    BadRequest (code `bad_module`) as inspect(); what is invalid names the function and the byte, what wasm3 lacks by
    its name.
    """
    module = walk(data)
    return describe(module, check(module))


def check(module: Walk) -> set[str]:
    """The features a module uses beyond the MVP; BadRequest when it is not valid."""
    _check_types(module)
    _check_tables(module)
    _check_globals(module)
    _check_start(module)
    _check_segments(module)
    checker = Checker(module)
    for index, body in enumerate(module.bodies, module.imported_functions):
        checker.check(index, body.again())
    features = checker.features
    if any(len(kind.results) > 1 for kind in module.types):
        features.add("multi-value")
    if any(module.globals[index].mutable for _, kind, index in module.exports if kind == GLOBAL) or any(
        one.mutable for one in module.globals if one.value is None
    ):
        features.add("mutable-globals")
    return features


def _check_types(module: Walk) -> None:
    for index, kind in enumerate(module.types):
        strange = (kind.params + kind.results).translate(None, NUMBERS)
        if strange:
            refuse(f"type {index} has values of {VALUE_TYPES[strange[0]]}, which wasm3 lacks", type=index)
        if len(kind.params) + len(kind.results) > MAX_SIGNATURE:
            refuse(f"type {index} has over {MAX_SIGNATURE} parameters and results, wasm3's limit", type=index)


def _check_tables(module: Walk) -> None:
    if len(module.tables) > 1:
        refuse(f"the module has {len(module.tables)} tables (reference types, which wasm3 lacks)")
    if any(kind != FUNCREF for kind in module.table_types):
        refuse("the module has a table of externref, which wasm3 lacks")


def _check_globals(module: Walk) -> None:
    for index, one in enumerate(module.globals):
        if one.type not in NUMBERS:
            refuse(f"global {index} is a {VALUE_TYPES[one.type]}, which wasm3 lacks", **{"global": index})
        if one.value is not None:
            _check_constant(module, one.value, one.type, f"the value of global {index}")


def _check_constant(module: Walk, span: Span, wanted: int, what: str) -> None:
    """A constant expression is one instruction: a constant, or an imported constant global."""
    reader = Reader(module.data, span.at, span.end, what, Budget())
    op = reader.byte()
    if op == _GLOBAL_GET:
        index = reader.u32()
        if index >= len(module.globals) or module.globals[index].value is not None:
            reader.bad(f"global.get {index} names no imported global")
        if module.globals[index].mutable:
            reader.bad(f"global.get {index} names a global that can change")
        made = module.globals[index].type
    elif op in _CONSTANTS:
        made = _CONSTANTS[op]
        if made == 0x7F or made == 0x7E:
            reader.signed(32 if made == 0x7F else 64)
        else:
            reader.skip(4 if made == 0x7D else 8)
    elif op == _END:
        reader.bad("it is empty")
    else:
        reader.bad(f"the instruction 0x{op:02x} (reference types or extended constants, which wasm3 lacks)")
    if reader.byte() != _END:
        reader.bad("it has more than one instruction (extended constants, which wasm3 lacks)")
    if made != wanted:
        reader.bad(f"it is {VALUE_TYPES[made]}, and {VALUE_TYPES[wanted]} is wanted")


def _check_start(module: Walk) -> None:
    if module.start is not None and any(module.type_of(module.start)):
        refuse(f"the start function {module.start} has parameters or results", function=module.start)


def _check_segments(module: Walk) -> None:
    for index, elements in enumerate(module.elements):
        what = f"element segment {index}"
        if elements.offset is None:
            refuse(f"{what} is passive or declared (table.init and reference types, which wasm3 lacks)")
        if elements.functions is None:
            refuse(f"{what} has expressions (reference types, which wasm3 lacks)")
        if elements.table >= len(module.tables):
            refuse(f"{what} is for {KINDS[TABLE]} {elements.table}, and there are {len(module.tables)}")
        _check_constant(module, elements.offset, 0x7F, f"the offset of {what}")
        unknown = next((one for one in elements.functions if one >= len(module.functions)), None)
        if unknown is not None:
            refuse(f"{what} names {KINDS[FUNCTION]} {unknown}, and there are {len(module.functions)}")
    for index, data in enumerate(module.data_segments):
        what = f"data segment {index}"
        if data.offset is None:
            refuse(f"{what} is passive (memory.init, which wasm3 lacks)")
        if data.memory >= len(module.memories):
            refuse(f"{what} is for {KINDS[MEMORY]} {data.memory}, and there are {len(module.memories)}")
        _check_constant(module, data.offset, 0x7F, f"the offset of {what}")
