"""Tiny modules, built by hand: the bodies are WebAssembly code without the final end."""

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


def function(
    export: str, code: bytes, params: tuple[int, ...] = (), results: tuple[int, ...] = ()
) -> tuple[str, bytes, bytes]:
    kinds = b"\x60" + vector([bytes([p]) for p in params]) + vector([bytes([r]) for r in results])
    return export, kinds, code


def module(
    *functions: tuple[str, bytes, bytes],
    pages: int | None = None,
    start: int | None = None,
    imported: str = "",
    table: int = 0,
    globals_: bytes = b"",
) -> bytes:
    """A module of functions; start: index of its start function; imported: an env.<name> of type () -> (), index 0."""
    types = [kinds for _, kinds, _ in functions]
    out = b"\0asm\x01\0\0\0" + section(1, vector([*types, b"\x60\0\0"]))
    if imported:
        out += section(2, vector([name("env") + name(imported) + b"\x00" + leb(len(types))]))
    first = 1 if imported else 0
    out += section(3, vector([leb(i) for i in range(len(functions))]))
    if table:
        out += section(4, vector([b"\x70\x00" + leb(table)]))
    if pages is not None:
        out += section(5, vector([b"\x00" + leb(pages)]))
    if globals_:
        out += section(6, globals_)
    exports = [name(e) + b"\x00" + leb(i + first) for i, (e, _, _) in enumerate(functions) if e]
    out += section(7, vector(exports))
    if start is not None:
        out += section(8, leb(start))
    bodies = [b"\x00" + code + b"\x0b" for _, _, code in functions]
    return out + section(10, vector([leb(len(body)) + body for body in bodies]))


def one(code: bytes, params: tuple[int, ...] = (), results: tuple[int, ...] = ()) -> bytes:
    """A module with one function, main."""
    return module(function("main", code, params, results))


ADDER = one(ADD, (I32, I32), (I32,))
LOOP = one(ENDLESS)
