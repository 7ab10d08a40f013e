"""Errors as answers: {"error": sentence, "code": stable_word, "detail": {...}} with the status of rest.md."""

import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import BadRequest, Conflict, Forbidden, MotetError, NotFound, TooLarge, TooMany, Unavailable

log = logging.getLogger("motet.api")

_STATUS: tuple[tuple[type[MotetError], int], ...] = (
    (BadRequest, 400),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (TooMany, 429),
    (Unavailable, 503),
)
# Codes whose status is more exact than that of their class.
_STATUS_OF_CODE = {"method_not_allowed": 405, "bad_content_type": 415, "disk_full": 507, "history_damaged": 503}
_CODES = {404: "unknown_path", 405: "method_not_allowed"}
RETRY_AFTER_S = "1"


def on_motet_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MotetError)
    status = _STATUS_OF_CODE.get(error.code) or next((s for kind, s in _STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": RETRY_AFTER_S} if status in (429, 503) else None
    return problem(status, error.message, error.code, error.detail, headers)


def on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "bad_request")
    sentence = {
        404: f"there is nothing at {request.url.path}",
        405: f"{request.method} is not possible at {request.url.path}",
    }.get(error.status_code, error.detail)
    return problem(error.status_code, sentence, code, {}, dict(error.headers or {}))


def on_gone(request: Request, error: Exception) -> Response:
    """The client went away in the middle of its body: nobody hears this."""
    return problem(400, "the request ended before its body did", "bad_request", {})


def on_crash(request: Request, error: Exception) -> Response:
    """A fault of ours. Starlette logs it with its traceback when it raises it again."""
    return problem(500, "the hub made a mistake: its log says more", "internal", {})


def problem(
    status: int, error: str, code: str, detail: dict[str, object], headers: dict[str, str] | None = None
) -> Response:
    body = msgspec.json.encode({"error": error, "code": code, "detail": detail})
    return Response(body, status, headers, "application/json")
