"""The value of a result that is text: what references, `when` and other tasks see of what a module wrote or printed."""

import json
import math
from typing import Any, NoReturn

from hub.core.nesting import MAX_DEPTH


def of_text(text: str) -> list[Any]:
    """[value]: the text as strict JSON, or else as it is, without one line's end at its own; [] of an empty text."""
    if not text:
        return []
    text = text.removesuffix("\n").removesuffix("\r")
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if _fits(value, MAX_DEPTH):  # else it stays text
            return [value]
    except (ValueError, RecursionError):
        pass
    return [text]


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)  # NaN and Infinity are Python's, not JSON's


def _finite(word: str) -> float:
    number = float(word)
    if not math.isfinite(number):  # 1e999
        raise ValueError(word)
    return number


def _fits(value: Any, depth: int) -> bool:
    """Whether it can be written again: not too deep, and no text with half a UTF-16 pair."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        value = [*value, *value.values()]
    elif not isinstance(value, list):
        return True
    return depth > 0 and all(_fits(item, depth - 1) for item in value)
