"""Typed conversion for the `call` ABI: JSON inputs to wasm arguments, wasm results to JSON outputs and text."""

import struct

from shared import const
from shared.faults import TaskFailure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:  # not at run time: typing costs a worker process memory and does not exist on MicroPython
    from typing import Any

# wasm3's numbers of the value types
I32 = 1
I64 = 2
F32 = 3
F64 = 4
_NAMES = {I32: "i32", I64: "i64", F32: "f32", F64: "f64"}

# From here on a number rounds to infinity as f32: the largest f32 plus half a step.
# Made from integers: no board can freeze a float as large as this.
_F32_END = float((1 << 128) - (1 << 103))
_NOT_FINITE = {"nan": float("nan"), "inf": float("inf"), "+inf": float("inf"), "-inf": float("-inf")}


def arguments(inputs: "Any", types: "tuple[int, ...]") -> "list[int | float]":
    """The arguments for a function with these parameter types.

    inputs is a JSON list (or None for no inputs). i32 and i64 take integers of the signed or the unsigned range, true
    and false, and strings such as "-7" or "0xff"; f32 and f64 take numbers and numeric strings, "nan", "inf", "-inf".
    Integers come out signed. Anything else is TaskFailure bad_inputs, with a sentence naming the input by its
    position, counted from 1.
    """
    if inputs is None:
        inputs = []
    if not isinstance(inputs, list):
        raise TaskFailure("inputs must be a list, one for each parameter", "bad_inputs")
    if len(inputs) != len(types):
        wanted = ", ".join([_name(type_) for type_ in types]) or "none"
        raise TaskFailure(
            "%d inputs given, the function takes %d (%s)" % (len(inputs), len(types), wanted), "bad_inputs"
        )
    return [_argument(inputs[i], types[i], i + 1) for i in range(len(types))]


def outputs(values: "tuple[int | float, ...]", types: "tuple[int, ...]") -> "list[int | float | str]":
    """JSON values of results.

    Signed integers; floats as the shortest decimal that round-trips, in the precision of their type; "nan", "inf" and
    "-inf" as strings, for JSON has no such numbers.
    """
    return [_output(values[i], types[i]) for i in range(len(types))]


def text(json_values: "list[int | float | str]") -> str:
    """The outputs as text, one a line: "30\\n"; "" when there are none."""
    return "".join([str(value) + "\n" for value in json_values])


def _name(type_: int) -> str:
    return _NAMES.get(type_, "unknown")


def _refuse(position: int, type_: int, why: str, value: "Any") -> TaskFailure:
    shown = repr(value)
    if len(shown) > 40:
        shown = shown[:37] + "..."
    return TaskFailure("input %d (%s) %s: %s" % (position, _name(type_), why, shown), "bad_inputs")


def _argument(value: "Any", type_: int, position: int) -> "int | float":
    if type_ in (I32, I64):
        return _to_int(value, type_, position)
    if type_ in (F32, F64):
        return _to_float(value, type_, position)
    raise TaskFailure("parameter %d has a type that no input can give" % position, "bad_inputs")


def _to_int(value: "Any", type_: int, position: int) -> int:
    number = _parse_int(value) if isinstance(value, str) else value
    if not isinstance(number, (int, bool)):  # on MicroPython a bool is no int
        raise _refuse(position, type_, "must be an integer", value)
    number = int(number)  # true and false are 1 and 0
    bits = 32 if type_ == I32 else 64
    half = 1 << (bits - 1)
    if not -half <= number < 2 * half:
        raise _refuse(position, type_, "must be in the range -2**%d to 2**%d-1" % (bits - 1, bits), value)
    return number - 2 * half if number >= half else number


def _parse_int(word: str) -> "int | None":
    digits = word[1:] if word[:1] in ("-", "+") else word
    hexadecimal = digits[:2] in ("0x", "0X")
    if hexadecimal:
        digits = digits[2:]
    allowed = "0123456789abcdefABCDEF" if hexadecimal else "0123456789"
    # Checked here because int() also takes "1_0" and other scripts' digits; 4,300 is where CPython itself refuses.
    if not 0 < len(digits) <= 400 or not all(c in allowed for c in digits):
        return None
    number = int(digits, 16 if hexadecimal else 10)
    return -number if word[0] == "-" else number


def _to_float(value: "Any", type_: int, position: int) -> float:
    if isinstance(value, str):
        if value.lower() in _NOT_FINITE:
            return _NOT_FINITE[value.lower()]
        number = _parse_float(value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    else:
        number = None
    if number is None:
        raise _refuse(position, type_, "must be a number", value)
    try:
        number = float(number)
    except OverflowError:
        number = float("inf")
    if number in (float("inf"), float("-inf")) or (type_ == F32 and abs(number) >= _F32_END):
        raise _refuse(position, type_, "is too large", value)
    return number


def _parse_float(word: str) -> "int | float | None":
    whole = _parse_int(word)
    if whole is not None:
        return whole
    if not word or not all(c in "0123456789+-.eE" for c in word):
        return None
    try:
        return float(word)
    except ValueError:
        return None


def _output(value: "int | float", type_: int) -> "int | float | str":
    if type_ in (I32, I64):
        return int(value)
    if value != value:
        return "nan"
    if value in (float("inf"), float("-inf")):
        return "inf" if value > 0 else "-inf"
    return _shortest_f32(value) if type_ == F32 else value


def _shortest_f32(value: float) -> float:
    """The decimal of the fewest digits that is this f32 (0.1, not 0.10000000149011612)."""
    packed = struct.pack("<f", value)
    for digits in range(1, 9):
        short = float("%.*e" % (digits - 1, value))
        if abs(short) < _F32_END and struct.pack("<f", short) == packed:
            return short
    return float("%.8e" % value)
