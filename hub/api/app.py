"""The API put together: the table of routes, errors and limits."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api import (
    events,
    groups,
    guard,
    health,
    logs,
    looking,
    metrics,
    mip,
    modules,
    openapi,
    problems,
    proplets,
    runs,
    tasks,
)
from hub.api.answers import Endpoint
from hub.api.bodies import MAX_BODY
from hub.api.counting import Requests
from hub.api.gate import Gate
from hub.api.modules import MAX_UPLOAD
from hub.archivist import Archivist
from hub.library import Library
from hub.runtime import Runtime
from hub.telemetry import Telemetry
from hub.updates import Updates
from shared.errors import MotetError, TooLarge

# path: {method: endpoint}. One route a path, so that a 405 lists every method there is.
ROUTES: dict[str, dict[str, Endpoint]] = {
    "/health": {"GET": health.health},
    "/metrics": {"GET": metrics.metrics},
    "/openapi.json": {"GET": openapi.document},
    "/events": {"GET": events.stream},
    "/stop": {"POST": groups.stop_many},
    "/tasks": {"GET": tasks.list_tasks, "POST": tasks.create_task},
    "/tasks/{id}": {"GET": tasks.get_task, "PUT": tasks.update_task, "DELETE": tasks.delete_task},
    "/tasks/{id}/upload": {"PUT": tasks.upload_module},
    "/tasks/{id}/start": {"POST": tasks.start_task},
    "/tasks/{id}/stop": {"POST": tasks.stop_task},
    "/tasks/{id}/results": {"GET": tasks.task_results},
    "/tasks/{id}/attempts": {"GET": tasks.task_attempts},
    "/tasks/{id}/logs": {"GET": logs.task_logs},
    "/tasks/{id}/metrics": {"GET": metrics.task_metrics},
    "/tasks/{id}/events": {"GET": events.task_events},
    "/tasks/{id}/retry": {"POST": runs.retry("task")},
    "/tasks/{id}/copy": {"POST": runs.duplicate("copy", "task")},
    "/tasks/{id}/link": {"POST": runs.duplicate("link", "task")},
    "/tasks/{id}/archive": {"POST": runs.duplicate("archive", "task")},
    "/workflows/{id}/retry": {"POST": runs.retry("workflow")},
    "/workflows/{id}/copy": {"POST": runs.duplicate("copy", "workflow")},
    "/workflows/{id}/link": {"POST": runs.duplicate("link", "workflow")},
    "/workflows/{id}/archive": {"POST": runs.duplicate("archive", "workflow")},
    "/jobs": {"GET": groups.list_jobs, "POST": groups.create_job},
    "/jobs/{id}": {"GET": groups.get_job, "PUT": groups.refuse_change, "DELETE": groups.delete("job")},
    "/jobs/{id}/start": {"POST": groups.start_job},
    "/jobs/{id}/stop": {"POST": groups.stop_job},
    "/workflows": {"GET": groups.list_workflows, "POST": groups.create_workflow},
    "/workflows/{id}": {"GET": groups.get_workflow, "DELETE": groups.delete("workflow")},
    "/workflows/{id}/start": {"POST": groups.start_workflow},
    "/workflows/{id}/stop": {"POST": groups.stop_workflow},
    "/workflows/{id}/events": {"GET": events.workflow_events},
    "/workflows/{id}/plan": {"GET": looking.plan("workflow")},
    "/workflows/{id}/graph": {"GET": looking.graph("workflow")},
    "/workflows/{id}/trace": {"GET": looking.trace("workflow")},
    "/jobs/{id}/plan": {"GET": looking.plan("job")},
    "/jobs/{id}/graph": {"GET": looking.graph("job")},
    "/jobs/{id}/trace": {"GET": looking.trace("job")},
    "/cron/preview": {"GET": looking.preview},
    "/proplets": {"GET": proplets.list_proplets},
    "/proplets/{id}": {"GET": proplets.get_proplet, "DELETE": proplets.delete_proplet},
    "/proplets/{id}/update": {"POST": proplets.update_proplet},
    "/proplets/{id}/metrics": {"GET": metrics.proplet_metrics},
    "/proplets/{id}/alive-history": {"GET": proplets.alive_history},
    "/proplets/{id}/logs": {"GET": logs.proplet_logs},
    "/proplets/{id}/messages": {"GET": logs.proplet_messages},
    "/modules": {"GET": modules.list_modules},
    "/modules/{id}": {"GET": modules.get_module, "DELETE": modules.delete_module},
    "/modules/{id}/release": {"POST": modules.release_module},
    "/mip/edge/package.json": {"GET": mip.package},
    "/mip/edge/{file}": {"GET": mip.file},
    "/mip/edge/{folder}/{file}": {"GET": mip.file},
    "/mip/package/{form}/edge/{version}.json": {"GET": mip.indexed},
    "/mip/file/{prefix}/{hash}": {"GET": mip.hashed},
}


def build(
    runtime: Runtime,
    archivist: Archivist,
    library: Library,
    updates: Updates,
    telemetry: Telemetry,
    feed: events.Feed,
    registry: CollectorRegistry,
    requests: Requests,
    instance_id: str,
    names: frozenset[str] | None = None,
) -> ASGIApp:
    """registry: what /metrics shows; requests: where answers are counted; names: what a request may call the hub in
    its Host header, None for anything."""
    app = Starlette(
        routes=[_route(path, endpoints, names) for path, endpoints in ROUTES.items()],
        exception_handlers={
            MotetError: problems.on_motet_error,
            HTTPException: problems.on_http_error,
            ClientDisconnect: problems.on_gone,
            Exception: problems.on_crash,
        },
    )
    app.router.redirect_slashes = False
    app.state.runtime = runtime
    app.state.archivist = archivist
    app.state.library = library
    app.state.updates = updates
    app.state.telemetry = telemetry
    app.state.feed = feed
    app.state.registry = registry
    app.state.instance_id = instance_id
    app.state.compiling = asyncio.Lock()
    return _without_trailing_slash(requests.counted(Gate().guarding(app)))


def _route(path: str, endpoints: dict[str, Endpoint], names: frozenset[str] | None) -> Route:
    if "GET" in endpoints:
        endpoints = {**endpoints, "HEAD": endpoints["GET"]}

    limit = MAX_UPLOAD if path.endswith("/upload") else MAX_BODY

    async def endpoint(request: Request) -> Response:
        guard.check(request, names)
        return await endpoints[request.method](_limited(request, limit))

    return Route(path, endpoint, methods=list(endpoints))


def _limited(request: Request, limit: int) -> Request:
    """The request with a body that ends in TooLarge beyond the limit (Starlette's own limit answers plain text)."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit:
        raise TooLarge(f"a body of {length[:20]} bytes is over {limit}")
    total = 0

    async def receive() -> Message:
        nonlocal total
        message = await request.receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise TooLarge(f"the body is over {limit} bytes")
        return message

    return Request(request.scope, receive)


def _without_trailing_slash(app: ASGIApp) -> ASGIApp:
    """Every path works with and without a slash at its end, as in Propeller, without a redirect."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        path: Any = scope.get("path")
        if path and path != "/" and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/") or "/"}
        await app(scope, receive, send)

    return wrapped
