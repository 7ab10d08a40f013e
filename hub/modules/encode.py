"""Writes the primitive values of a wasm binary, each number in as few bytes as it takes."""

from collections.abc import Iterable

from hub.modules.info import Limits


def unsigned(number: int) -> bytes:
    """An unsigned LEB128 number."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number: int) -> bytes:
    """A signed LEB128 number."""
    out = bytearray()
    while not -0x40 <= number < 0x40:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def five_bytes(number: int) -> bytes:
    """A number below 2^32 in five bytes whatever it is, so that it can be replaced in place."""
    return bytes(number >> shift & 0x7F | 0x80 for shift in (0, 7, 14, 21)) + bytes((number >> 28,))


def sized(content: bytes) -> bytes:
    """Bytes behind their length: a name, a vector of bytes, a function body."""
    return unsigned(len(content)) + content


def vector(items: Iterable[bytes]) -> bytes:
    """Items behind their number."""
    written = list(items)
    return unsigned(len(written)) + b"".join(written)


def limits(of: Limits) -> bytes:
    """Limits of a table."""
    if of.most is None:
        return b"\0" + unsigned(of.least)
    return b"\x01" + unsigned(of.least) + unsigned(of.most)


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + sized(content)


def shorter(raw: bytes) -> bytes:
    """An unsigned LEB128 number in its shortest form."""
    if raw[-1]:
        return raw
    kept = raw.rstrip(b"\x80\0")
    return kept[:-1] + bytes((kept[-1] & 0x7F,)) if kept else b"\0"


def shorter_signed(raw: bytes) -> bytes:
    """A signed LEB128 number in its shortest form."""
    sign = raw[-1]
    if sign not in (0, 0x7F):
        return raw
    kept = raw[:-1].rstrip(bytes((sign | 0x80,)))
    # The last byte that is left may have the sign already.
    if kept and kept[-1] & 0x40 == sign & 0x40:
        return kept[:-1] + bytes((kept[-1] & 0x7F,))
    return kept + raw[-1:]


def value_of(raw: bytes) -> int:
    """The unsigned number that LEB128 bytes are."""
    value = 0
    for byte in reversed(raw):
        value = value << 7 | byte & 0x7F
    return value


def signed_value(raw: bytes) -> int:
    """The signed number that LEB128 bytes are."""
    return value_of(raw) - ((raw[-1] >> 6 & 1) << 7 * len(raw))
