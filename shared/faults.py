"""The errors that an edge meets too; shared.errors has the tree. Apart, for a class takes a board 200 bytes."""


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
