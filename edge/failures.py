"""The results of attempts that failed."""

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any


def failure(code: str, message: str) -> "dict[str, Any]":
    """The result of an attempt that failed."""
    return {"ok": False, "error": {"code": code, "message": message}}
