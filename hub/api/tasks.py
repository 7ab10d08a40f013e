"""/tasks"""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from tinydb import Query

from hub.api import params
from hub.api.answers import answer, library_of, nothing, runtime_of
from hub.api.bodies import StopIn, TaskIn, idempotency, module_bytes, read
from hub.api.definitions import definition, new_task
from hub.api.finding import page_of_tasks, task_of
from hub.api.modules import uploaded
from hub.api.tracing import all_attempts
from hub.api.views import attempt_view, task_view
from hub.core import commands
from hub.core.model import TASKS, Doc, Task
from shared.errors import BadRequest


async def create_task(request: Request) -> Response:
    runtime = runtime_of(request)
    body = await read(request, TaskIn)
    spec = new_task(body)
    if body.file:
        spec["module"] = await library_of(request).take(module_bytes(body.file))
    request_id = await idempotency(request, body.idempotency_key)
    task, new = await runtime.do(commands.CreateTask(spec, str(uuid4()), request_id))
    return answer(task_view(runtime, task.doc), 201 if new else 200, f"/tasks/{task.id}")


# filter in the query string: field of the document
_FILTERS = {"workflow_id": "workflow_id", "job_id": "job_id", "parent_id": "parent_id", "user_id": "user_id",
            "name": "name", "proplet_id": "proplet_id"}  # fmt: skip


async def list_tasks(request: Request) -> Response:
    """Oldest first. Without a filter a page costs what it shows, and a look over the numbers of what has ended."""
    runtime, world = runtime_of(request), runtime_of(request).engine.world
    equal, metadata = _filters(request), params.metadata_filter(request)
    live: Sequence[Task]
    if not equal and not metadata:
        live = tuple(world.tasks.values())
    else:
        found = runtime.database.table(TASKS).search(_condition(equal, metadata or {}))
        live = sorted((world.tasks[doc["id"]] for doc in found), key=lambda task: task.doc["seq"])
    frame, shown = await page_of_tasks(request, live, equal, _meets(metadata))
    full = request.query_params.get("file") == "full"
    return answer({**frame, "tasks": [task_view(readable, task.doc, full) for readable, task in shown]})


def _filters(request: Request) -> Doc:
    equal: Doc = {field: request.query_params[name] for name, field in _FILTERS.items() if name in request.query_params}
    if "state" in request.query_params:
        equal["state"] = params.state_filter(request.query_params["state"])
    return equal


def _condition(equal: Doc, metadata: Doc) -> Query:
    """The filters as a TinyDB query."""
    parts = [Query()[field] == value for field, value in equal.items()]
    parts += [Query().metadata[key] == value for key, value in metadata.items()]
    whole: Query = functools.reduce(operator.and_, parts)
    return whole


def _meets(metadata: Doc | None) -> Callable[[Any], bool] | None:
    if not metadata:
        return None
    return lambda given: all(key in given and given[key] == value for key, value in metadata.items())


async def get_task(request: Request) -> Response:
    readable, task = await task_of(request)
    full = request.query_params.get("file") == "full"
    return answer(task_view(readable, task.doc, full))


async def update_task(request: Request) -> Response:
    """Only the fields sent change; "" and zero times mean unchanged."""
    runtime, id = runtime_of(request), request.path_params["id"]
    body = await read(request, TaskIn)
    await task_of(request)
    fields = definition(body)
    if "workflow_id" in fields:
        raise BadRequest("workflow_id does not change: create the task in the workflow", "bad_workflow_id")
    if body.file:
        fields["module"] = await library_of(request).take(module_bytes(body.file))
    task: Task = await runtime.do(commands.UpdateTask(id, fields))
    return answer(task_view(runtime, task.doc))


async def upload_module(request: Request) -> Response:
    runtime = runtime_of(request)
    id = (await task_of(request))[1].id
    module = await library_of(request).take(await uploaded(request))
    task: Task = await runtime.do(commands.AttachModule(id, module))
    return answer(task_view(runtime, task.doc))


async def delete_task(request: Request) -> Response:
    await runtime_of(request).do(commands.Delete("task", request.path_params["id"]))
    return nothing()


async def start_task(request: Request) -> Response:
    now = params.flag(request, "now")
    await runtime_of(request).do(commands.Start("task", request.path_params["id"], now))
    return answer({"started": True})


async def stop_task(request: Request) -> Response:
    command = await stop_command(request, "task", request.path_params["id"])
    await runtime_of(request).do(command)
    return answer({"stopped": True})


async def stop_command(request: Request, kind: str, id: str) -> commands.Stop:
    """A Stop out of the body that every stop route takes and none needs."""
    body = await read(request, StopIn, empty=StopIn())
    return commands.Stop(kind, id, body.error_message, finishes(body))


def finishes(body: StopIn) -> bool:
    if body.running not in ("stop", "finish"):
        raise BadRequest("running must be stop or finish", "bad_running")
    return body.running == "finish"


async def task_results(request: Request) -> Response:
    doc = (await task_of(request))[1].doc
    return answer({"results": doc.get("results"), "outputs": doc.get("outputs")})


async def task_attempts(request: Request) -> Response:
    """All of them, first to last; the task itself lists the last ten."""
    attempts = all_attempts(*await task_of(request))
    frame, shown = params.cut(request, "attempts", attempts, len(attempts))
    return answer({**frame, "attempts": [attempt_view(attempt) for attempt in shown]})
