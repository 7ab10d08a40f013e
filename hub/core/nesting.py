"""How deep JSON that comes in may be nested: what is much deeper can be read, and then perhaps not be written again."""

from typing import Any

MAX_DEPTH = 64
_HOLDERS = (dict, list)


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than MAX_DEPTH. Walks level by level, so that no depth breaks it."""
    level = [value] if type(value) in _HOLDERS else []
    for _ in range(MAX_DEPTH):
        level = [inner for one in level for inner in (one.values() if type(one) is dict else one)
                 if type(inner) in _HOLDERS]  # fmt: skip
        if not level:
            return False
    return True
