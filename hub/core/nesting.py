"""How deep JSON that comes in may be nested: what is much deeper can be read, and then perhaps not be written again."""

from typing import Any

MAX_DEPTH = 64


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested deeper than MAX_DEPTH. Walks level by level, so that no depth breaks it."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        if not inner:
            return False
        level = [item for items in inner for item in items if isinstance(item, (dict, list))]
    return True
