"""Tiny modules, built by hand: the bodies are WebAssembly code without the final end."""

from typing import Any

I32, I64, F32, F64 = 0x7F, 0x7E, 0x7D, 0x7C

ENDLESS = b"\x03\x40\x0c\x00\x0b"  # loop br 0 end
UNREACHABLE = b"\x00"
GET0 = b"\x20\x00"
ADD = b"\x20\x00\x20\x01\x6a"
DIV = b"\x20\x00\x20\x01\x6d"
CALL0 = b"\x10\x00"
TRUNCATE = b"\x20\x00\xaa"  # i32.trunc_f64_s
LOAD0 = b"\x20\x00\x28\x02\x00"
CALL_INDIRECT = b"\x20\x00\x20\x00\x11\x00\x00"


def leb(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def vector(items: list[bytes]) -> bytes:
    return leb(len(items)) + b"".join(items)


def name(text: str) -> bytes:
    return vector([bytes([byte]) for byte in text.encode()])


def section(number: int, body: bytes) -> bytes:
    return bytes([number]) + leb(len(body)) + body


def kinds(signature: str) -> bytes:
    """A function type from wasm3's letters."""
    letters = {"i": I32, "I": I64, "f": F32, "F": F64, "v": None}
    results, _, params = signature[:-1].partition("(")
    ends = [bytes([letters[letter]]) for letter in results if letters[letter]]
    return b"\x60" + vector([bytes([letters[letter]]) for letter in params]) + vector(ends)


def function(
    export: str, code: bytes, params: tuple[int, ...] = (), results: tuple[int, ...] = ()
) -> tuple[str, bytes, bytes]:
    type_ = b"\x60" + vector([bytes([p]) for p in params]) + vector([bytes([r]) for r in results])
    return export, type_, code


def module(
    *functions: tuple[str, bytes, bytes],
    pages: int | None = None,
    limits: bytes = b"",
    start: int | None = None,
    imports: tuple[tuple[str, str, str], ...] = (),
    table: int = 0,
    globals_: bytes = b"",
    exports: tuple[bytes, ...] = (),
) -> bytes:
    """A module of functions.

    start: index of its start function; imports: (module, name, signature), the first functions; limits: those of its
    memory, in place of pages; globals_ and exports: as they stand in their sections, the exports without those of
    functions.
    """
    types = [type_ for _, type_, _ in functions] + [kinds(signature) for _, _, signature in imports]
    out = b"\0asm\x01\0\0\0" + section(1, vector(types))
    if imports:
        entries = [name(m) + name(n) + b"\x00" + leb(len(functions) + i) for i, (m, n, _) in enumerate(imports)]
        out += section(2, vector(entries))
    out += section(3, vector([leb(i) for i in range(len(functions))]))
    if table:
        out += section(4, vector([b"\x70\x00" + leb(table)]))
    if pages is not None or limits:
        out += section(5, vector([limits or b"\x00" + leb(pages or 0)]))
    if globals_:
        out += section(6, globals_)
    named = [name(e) + b"\x00" + leb(i + len(imports)) for i, (e, _, _) in enumerate(functions) if e]
    named.extend(exports)
    out += section(7, vector(named))
    if start is not None:
        out += section(8, leb(start))
    bodies = [b"\x00" + code + b"\x0b" for _, _, code in functions]
    return out + section(10, vector([leb(len(body)) + body for body in bodies]))


def one(code: bytes, params: tuple[int, ...] = (), results: tuple[int, ...] = ()) -> bytes:
    """A module with one function, main."""
    return module(function("main", code, params, results))


# As the hub prepares modules: edge.tick is the last import, __fuel the last global.
TICK = ("edge", "tick", "i()")


def charge(count: int, tick: int = 0, fuel: int = 0) -> bytes:
    """Take count off the global fuel; below zero add what the function tick gives."""
    tank = leb(fuel)
    take = b"\x23" + tank + const(count) + b"\x6b\x24" + tank
    refill = b"\x10" + leb(tick) + b"\x23" + tank + b"\x6a\x24" + tank
    return take + b"\x23" + tank + b"\x41\x00\x48\x04\x40" + refill + b"\x0b"


def const(number: int) -> bytes:
    """i32.const"""
    out = b"\x41"
    while not -64 <= number < 64:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number & 0x7F])


def metered(
    *functions: tuple[str, bytes, bytes], imports: tuple[tuple[str, str, str], ...] = (), **options: Any
) -> bytes:
    """A module with edge.tick (function len(imports)) and __fuel (global 0); its functions charge themselves."""
    options.setdefault("exports", (name("__fuel") + b"\x03\x00",))
    options.setdefault("globals_", b"\x01\x7f\x01\x41\x00\x0b")
    return module(*functions, imports=imports + (TICK,), **options)


ADDER = one(ADD, (I32, I32), (I32,))
LOOP = one(ENDLESS)
# loop (charge 5) br 0 end
METERED_LOOP = metered(function("main", b"\x03\x40" + charge(5) + b"\x0c\x00\x0b"))
