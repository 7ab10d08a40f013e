"""What the edge reads of a module's bytes itself: its imports, its memory, its start function.

The hub has validated what it sends; here a module is only walked, and one that ends in the middle is bad_module.
"""

from shared import const
from shared.faults import TaskFailure

_TYPES = const(1)
_IMPORTS = const(2)
_MEMORY = const(5)
_START = const(8)
_LETTERS = {0x7F: "i", 0x7E: "I", 0x7D: "f", 0x7C: "F"}
_HAS_MAXIMUM = const(1)


def memory_pages(data: "bytes | bytearray") -> int:
    """The least memory a module needs, in pages of 64 KiB: the minimum in its memory section, 0 without one."""
    at = _memory(data)
    return _leb(data, at + 1)[0] if at else 0


def limit_memory(data: "bytes | bytearray", pages: int) -> "bytes | bytearray":
    """The module with its memory's maximum at most so many pages: a bytearray itself, of bytes a copy.

    The number keeps its length, so nothing moves; the hub writes one into every module it prepares. A memory without
    a maximum stays as it is. A maximum of 0 becomes 1: wasm3 0.5.0 takes it for none at all.
    """
    at = _memory(data)
    if not at or not data[at] & _HAS_MAXIMUM:
        return data
    _, at = _leb(data, at + 1)
    most, end = _leb(data, at)
    pages = max(pages, 1)
    if 0 < most <= pages:
        return data
    pages = min(pages, most or 1)
    if not isinstance(data, bytearray):
        data = bytearray(data)
    while at < end:
        data[at] = pages & 0x7F | (0x80 if at < end - 1 else 0)
        pages >>= 7
        at += 1
    return data


def start_function(data: "bytes | bytearray") -> int:
    """The index in a module's start section, -1 without one."""
    at = _section(data, _START)
    return _leb(data, at)[0] if at else -1


def imports(data: "bytes | bytearray") -> "list[tuple[str, str, str]]":
    """(module, name, signature) of every function a module imports, in its order; i(ii) is (i32, i32) -> i32."""
    at = _section(data, _IMPORTS)
    found: list[tuple[str, str, int]] = []
    count = 0
    if at:
        count, at = _leb(data, at)
    for _ in range(count):
        module, at = _name(data, at)
        name, at = _name(data, at)
        kind = _byte(data, at)
        if kind:  # a table, memory or global: wasm3 speaks for itself
            at = _skip_import(data, kind, at + 1)
        else:
            index, at = _leb(data, at + 1)
            found.append((module, name, index))
    types = _signatures(data, max([index for _, _, index in found])) if found else []
    return [(module, name, types[index]) for module, name, index in found]


def _signatures(data: "bytes | bytearray", last: int) -> "list[str]":
    """Of the types up to this one: imports have the first, and a large module has hundreds."""
    at = _section(data, _TYPES)
    count = 0
    if at:
        count, at = _leb(data, at)
    if last >= count:
        raise TaskFailure("the module imports a function of type %d and has %d types" % (last, count), "bad_module")
    found = []
    for _ in range(last + 1):
        parameters, at = _letters(data, at + 1)
        results, at = _letters(data, at)
        found.append("%s(%s)" % (results or "v", parameters))
    return found


def _letters(data: "bytes | bytearray", at: int) -> "tuple[str, int]":
    count, at = _leb(data, at)
    word = ""
    for i in range(count):
        word += _LETTERS.get(_byte(data, at + i), "?")
    return word, at + count


def _name(data: "bytes | bytearray", at: int) -> "tuple[str, int]":
    size, at = _leb(data, at)
    try:
        return str(bytes(data[at : at + size]), "utf-8"), at + size
    except ValueError:
        raise TaskFailure("the module imports a name that is not UTF-8", "bad_module")  # noqa: B904


def _skip_import(data: "bytes | bytearray", kind: int, at: int) -> int:
    if kind == 3:  # a global: its type, whether it may change
        return at + 2
    if kind == 1:  # a table has the type of its elements before its limits
        at += 1
    flags = _byte(data, at)
    _, at = _leb(data, at + 1)
    return _leb(data, at)[1] if flags & _HAS_MAXIMUM else at


def _memory(data: "bytes | bytearray") -> int:
    """Where the limits of the module's own memory begin, 0 when it has none."""
    at = _section(data, _MEMORY)
    if not at:
        return 0
    count, at = _leb(data, at)
    return at if count else 0


def _section(data: "bytes | bytearray", wanted: int) -> int:
    """Where the content of a section begins, 0 when the module has none of this number."""
    at = 8
    while at < len(data):
        kind = data[at]
        size, at = _leb(data, at + 1)
        if kind == wanted:
            return at
        at += size
    return 0


def _leb(data: "bytes | bytearray", at: int) -> "tuple[int, int]":
    number = shift = 0
    while True:
        byte = _byte(data, at)
        at += 1
        if byte < 0x80:
            return number | byte << shift, at
        number |= (byte & 0x7F) << shift
        shift += 7
        if shift > 28:
            raise TaskFailure("the module has a number of more than five bytes", "bad_module")


def _byte(data: "bytes | bytearray", at: int) -> int:
    if at >= len(data):
        raise TaskFailure("the module ends in the middle of a section", "bad_module")
    return data[at]
