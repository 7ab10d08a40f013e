"""JSON answers, encoded by msgspec (0.9 us for a task where the standard library takes 7.5)."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.archivist import Archivist
from hub.library import Library
from hub.runtime import Runtime
from hub.telemetry import Telemetry

Endpoint = Callable[[Request], Awaitable[Response]]

_encode = msgspec.json.Encoder().encode


def answer(content: Any, status: int = 200, location: str | None = None) -> Response:
    headers = {"Location": location} if location else None
    return Response(_encode(content), status, headers, "application/json")


def nothing() -> Response:
    return Response(status_code=204)


def library_of(request: Request) -> Library:
    library: Library = request.app.state.library
    return library


def archivist_of(request: Request) -> Archivist:
    archivist: Archivist = request.app.state.archivist
    return archivist


def telemetry_of(request: Request) -> Telemetry:
    telemetry: Telemetry = request.app.state.telemetry
    return telemetry


def runtime_of(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime
