"""Query strings: pages and filters. A value that cannot be meant is refused, never bent."""

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from starlette.requests import Request

from shared import states
from shared.errors import BadRequest

Item = TypeVar("Item")
MAX_LIMIT = 1000


def page(request: Request) -> tuple[int, int]:
    """(offset, limit): 0 and 100 by default, limit 1 to 1000."""
    return number(request, "offset", 0, 0, 1 << 53), number(request, "limit", 100, 1, MAX_LIMIT)


def number(request: Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text) if text.isascii() and text.isdigit() else -1
    except ValueError:  # thousands of digits
        value = -1
    if not least <= value <= most:
        raise BadRequest(f"{name} must be a number from {least} to {most}, not {text[:40]!r}", f"bad_{name}")
    return value


def cut(
    request: Request, name: str, items: Sequence[Item] | Iterable[Item], total: int
) -> tuple[dict[str, Any], list[Item]]:
    """The frame of a page and the items on it."""
    offset, limit = page(request)
    shown = list(islice(items, offset, offset + limit))
    return {"offset": offset, "limit": limit, "total": total, name: None}, shown


def state_filter(text: str) -> int:
    """A state by its number or its word."""
    if text.isascii() and text.isdigit() and int(text[:3]) < len(states.NAMES):
        return int(text)
    for number, name in enumerate(states.NAMES):
        if text.lower() == name.lower():
            return number
    known = ", ".join(f"{number} {name}" for number, name in enumerate(states.NAMES))
    raise BadRequest(f"state {text[:40]!r} is unknown: use one of {known}", "bad_state")


def choice(request: Request, name: str, allowed: Iterable[str]) -> str | None:
    """The value of a filter that takes one of a few words; None without it."""
    text = request.query_params.get(name)
    if text is not None and text not in (words := tuple(allowed)):
        raise BadRequest(f"{name} {text[:40]!r} is unknown: use one of {', '.join(words)}", f"bad_{name}")
    return text


def flag(request: Request, name: str) -> bool:
    return choice(request, name, ("true", "false", "1", "0")) in ("true", "1")


def metadata_filter(request: Request) -> dict[str, Any] | None:
    """metadata={json object}: every key must match."""
    values = request.query_params.getlist("metadata")
    if not values:
        return None
    if len(values) > 1:
        raise BadRequest("multiple values not supported for metadata: give one JSON object", "bad_metadata")
    try:
        wanted = json.loads(values[0])
    except (ValueError, RecursionError):
        wanted = None
    if not isinstance(wanted, dict):
        raise BadRequest('metadata must be a JSON object such as {"site":"north"}', "bad_metadata")
    return wanted
