"""The errors that an edge meets too; shared.errors has the tree. Apart, for a class takes a board 200 bytes."""

from shared import const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any


class MotetError(Exception):
    """Something Motet refused or could not do."""

    code = "error"

    def __init__(self, message: str, code: "str | None" = None, detail: "dict[str, object] | None" = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.detail = detail or {}


class BadRequest(MotetError):
    code = "bad_request"


class TooLarge(MotetError):
    code = "too_large"


class Damaged(MotetError):
    code = "damaged"


class TaskFailure(MotetError):
    code = "failed"


def failure(code: str, message: str) -> "dict[str, Any]":
    """The result of an attempt that failed."""
    return {"ok": False, "error": {"code": code, "message": message}}
