"""Runs and copies: /retry, /copy, /link and /archive of tasks and workflows."""

from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import Endpoint, answer, runtime_of
from hub.api.bodies import DuplicateIn, RetryIn, read
from hub.api.definitions import overrides
from hub.api.finding import group_of, task_of
from hub.api.views import group_view, task_view
from hub.core import commands
from hub.core.model import Doc, Task
from hub.runtime import Readable
from shared.errors import BadRequest


def retry(kind: str) -> Endpoint:
    """POST {"from": "failed" | "all" | "<task id>"}: the task or the workflow, running again."""

    async def endpoint(request: Request) -> Response:
        runtime, id = runtime_of(request), request.path_params["id"]
        body = await read(request, RetryIn, empty=RetryIn())
        await runtime.do(commands.Retry(kind, id, body.start_from))
        readable, record = await (task_of(request) if kind == "task" else group_of(request, kind))
        return answer(_view(readable, record))

    return endpoint


def duplicate(mode: str, kind: str) -> Endpoint:
    """POST copy, link or archive: 201 with the new task or workflow."""

    async def endpoint(request: Request) -> Response:
        runtime, id = runtime_of(request), request.path_params["id"]
        body = await read(request, DuplicateIn, empty=DuplicateIn())
        if mode != "copy" and (body.overrides or body.link):
            raise BadRequest(f"{mode} takes neither overrides nor link: they are for copy", "bad_body")
        changes = overrides(body.overrides) if kind == "task" else _of_workflow(body.overrides)
        command = commands.Duplicate(mode, kind, id, str(uuid4()), body.children, body.dependencies, changes,
                                     body.link, body.user_id)  # fmt: skip
        made = await runtime.do(command)
        return answer(_view(runtime, made), 201, f"/{kind}s/{made.id}")

    return endpoint


def _of_workflow(given: Doc) -> Doc:
    """{"name", "tasks": {id: fields}}, the fields checked."""
    tasks: Any = given.get("tasks", {})
    name: Any = given.get("name", "")
    if (
        not isinstance(tasks, dict)
        or not isinstance(name, str)
        or not all(isinstance(one, dict) for one in tasks.values())
    ):
        raise BadRequest('overrides of a workflow are {"name": ..., "tasks": {id: fields}}', "bad_body")
    checked = {id: overrides(fields) for id, fields in tasks.items()}
    return {"tasks": checked, **({"name": name} if name else {})}


def _view(runtime: Readable, record: Any) -> Doc:
    return task_view(runtime, record.doc) if isinstance(record, Task) else group_view(runtime, record)
