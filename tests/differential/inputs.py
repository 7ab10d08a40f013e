"""Values at the edges of the types, and the inputs of generated calls as JSON has them."""

import math
import struct
from random import Random

from tests.edge.wasms import F32, F64, I32, I64

_FLOATS = {
    F32: (1.1754943508222875e-38, 1.401298464324817e-45, -1.1754942106924411e-38, 3.4028234663852886e38,
          -3.4028234663852886e38, 16777216.0, 0.10000000149011612),
    F64: (2.2250738585072014e-308, 5e-324, -2.225073858507201e-308, 1.7976931348623157e308, -1.7976931348623157e308,
          9007199254740992.0, 0.1),
}  # fmt: skip
_COMMON = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 2147483647.0, -2147483648.0, 2147483648.0, 4294967295.0,
           4294967296.0, -9.223372036854775808e18, 9.223372036854775808e18, 1.8446744073709551616e19, math.inf,
           -math.inf, math.nan)  # fmt: skip
_SMALL = (0, 1, 2, 3, -1, -2, 7, 8, 31, 32, 63, 64, 255, 256, -128, 127, 65535, -32768)


def bits_of(type_: int) -> int:
    return 32 if type_ in (I32, F32) else 64


def rounded(type_: int, value: float) -> float:
    """The nearest value of the type, infinity when it is too large."""
    if type_ == F64:
        return value
    try:
        single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return single


def edge_value(random: Random, type_: int) -> float:
    """A value of the type, often one where something changes; integers of the signed range."""
    bits = bits_of(type_)
    kind = random.random()
    if type_ in (I32, I64):
        half = 1 << (bits - 1)
        if kind < 0.4:
            return random.choice(_SMALL)
        if kind < 0.7:
            return random.choice((half - 1, -half, half - 2, 1 - half, half >> 1, -1, 0x55555555, -0x21524111))
        return random.randrange(-half, half)
    if kind < 0.05:
        return math.nan
    if kind < 0.4:
        return rounded(type_, random.choice(_COMMON))
    if kind < 0.6:
        return random.choice(_FLOATS[type_])
    if kind < 0.8:
        return rounded(type_, random.uniform(-1000, 1000))
    raw = random.getrandbits(bits).to_bytes(bits // 8, "little")
    value: float = struct.unpack("<f" if type_ == F32 else "<d", raw)[0]
    return value


def inputs(random: Random, params: tuple[int, ...]) -> list[int | float | str]:
    """What a client sends: integers of the signed or the unsigned range, at times as text; floats that JSON lacks as
    words."""
    return [_input(random, type_) for type_ in params]


def _input(random: Random, type_: int) -> int | float | str:
    value = edge_value(random, type_)
    if type_ in (F32, F64):
        if math.isnan(value):
            return "nan"
        return ("inf" if value > 0 else "-inf") if math.isinf(value) else value
    number = int(value)
    if number < 0 and random.random() < 0.3:
        number += 1 << bits_of(type_)
    shape = random.random()
    if shape < 0.05:
        return hex(number)
    return str(number) if shape < 0.1 else number


def argument(type_: int, value: float | str) -> float:
    """What the function gets for an input: integers signed, floats as the type has them."""
    if type_ in (F32, F64):
        return rounded(type_, float(value))
    number = int(value, 0) if isinstance(value, str) else int(value)
    half = 1 << (bits_of(type_) - 1)
    return number - 2 * half if number >= half else number
