"""/jobs and /workflows, which differ in how they are made and are alike in everything else."""

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from hub.api import params
from hub.api.answers import Endpoint, answer, library_of, nothing, runtime_of
from hub.api.bodies import JobIn, StopIn, TaskIn, WorkflowIn, idempotency, module_bytes, read
from hub.api.definitions import check_id, options_of, tasks_of
from hub.api.finding import group_of, page_of_groups
from hub.api.looking import plan_view, summary
from hub.api.tasks import finishes, stop_command
from hub.api.turns import in_turns
from hub.api.views import group_view, task_view
from hub.core import commands
from hub.core.model import JOBS, PARALLEL, WORKFLOWS, Doc
from hub.library import Library
from shared import states
from shared.errors import BadRequest

_STATUS = {"pending": (0,), "running": (1, 2), "completed": (3,), "failed": (4, 6)}


async def create_workflow(request: Request) -> Response:
    """With ?dry_run=true it is checked and planned, and nothing is stored."""
    runtime = runtime_of(request)
    dry_run = params.flag(request, "dry_run")
    body = await read(request, WorkflowIn)
    id = check_id("workflow_id", body.workflow_id) if body.workflow_id else str(uuid4())
    specs = await _specs(library_of(request), body.tasks, await tasks_of(body), dry_run)
    command = commands.CreateWorkflow(id, body.name or "", specs, _fresh_ids(specs), dry_run, options_of(body),
                                      await idempotency(request, body.idempotency_key))  # fmt: skip
    group, tasks = await runtime.do(command)
    view = {
        "workflow_id": group.id,
        "name": group.doc["name"],
        "tasks": [task_view(runtime, task.doc) for task in tasks],
    }
    if dry_run:
        return answer({**view, **plan_view(group, tasks)})
    return answer(view, 201, f"/workflows/{group.id}")


async def create_job(request: Request) -> Response:
    runtime = runtime_of(request)
    body = await read(request, JobIn)
    id = check_id("job_id", body.job_id) if body.job_id else str(uuid4())
    mode = body.execution_mode or PARALLEL
    specs = await _specs(library_of(request), body.tasks, await tasks_of(body), False)
    command = commands.CreateJob(id, body.name or "", mode, specs, _fresh_ids(specs), options_of(body),
                                 await idempotency(request, body.idempotency_key))  # fmt: skip
    group, tasks = await runtime.do(command)
    view = {"job_id": group.id, "tasks": [task_view(runtime, task.doc) for task in tasks]}
    return answer(view, 201, f"/jobs/{group.id}")


async def _specs(library: Library, tasks: list[TaskIn], specs: list[Doc], dry_run: bool) -> list[Doc]:
    """The definitions, each with the module that its `file` carries."""
    async for task, spec in in_turns(zip(tasks, specs, strict=True)):
        if task.file:
            data = module_bytes(task.file)
            if not dry_run:
                spec["module"] = await library.take(data)
    return specs


def _fresh_ids(specs: list[Doc]) -> list[str]:
    return ["" if spec.get("id") else str(uuid4()) for spec in specs]


async def list_jobs(request: Request) -> Response:
    """Newest first."""
    return await _page(request, JOBS, True)


async def list_workflows(request: Request) -> Response:
    """Oldest first."""
    return await _page(request, WORKFLOWS, False)


async def _page(request: Request, table: str, newest_first: bool) -> Response:
    groups = list(runtime_of(request).engine.world.groups(table).values())
    status = params.choice(request, "status", _STATUS)
    some = _STATUS[status] if status is not None else None
    if some is not None:
        groups = [group for group in groups if group.state in some]
    frame, shown = await page_of_groups(request, table, groups, newest_first, some)
    return answer({**frame, table: [group_view(readable, group) for readable, group in shown]})


async def get_job(request: Request) -> Response:
    runtime, group = await group_of(request, "job")
    return answer({**group_view(runtime, group), "summary": summary(runtime, group)})


async def get_workflow(request: Request) -> Response:
    runtime, group = await group_of(request, "workflow")
    counts = {states.NAMES[state].lower(): count for state, count in enumerate(group.counts)}
    return answer({**group_view(runtime, group), "counts": counts, "summary": summary(runtime, group)})


async def start_job(request: Request) -> Response:
    id = request.path_params["id"]
    await runtime_of(request).do(commands.Start("job", id))
    return answer({"job_id": id, "message": "job started"})


async def stop_job(request: Request) -> Response:
    id = request.path_params["id"]
    await runtime_of(request).do(await stop_command(request, "job", id))
    return answer({"job_id": id, "message": "job stopped"})


async def start_workflow(request: Request) -> Response:
    id = request.path_params["id"]
    await runtime_of(request).do(commands.Start("workflow", id))
    return answer({"workflow_id": id, "message": "workflow started"})


async def stop_workflow(request: Request) -> Response:
    id = request.path_params["id"]
    await runtime_of(request).do(await stop_command(request, "workflow", id))
    return answer({"workflow_id": id, "message": "workflow stopped"})


def delete(kind: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        await runtime_of(request).do(commands.Delete(kind, request.path_params["id"]))
        return nothing()

    return endpoint


async def refuse_change(request: Request) -> Response:
    await group_of(request, "job")
    raise BadRequest(
        "jobs are immutable, so that every run can be traced to its definition: create a new job", "method_not_allowed"
    )


async def stop_many(request: Request) -> Response:
    """POST /stop: one workflow, one job, or all that waits or runs."""
    body = await read(request, StopIn)
    chosen = [bool(body.workflow_id), bool(body.job_id), body.all]
    if sum(chosen) != 1:
        raise BadRequest('name what to stop: {"workflow_id": ...}, {"job_id": ...} or {"all": true}', "bad_body")
    finish = finishes(body)
    command: commands.Stop | commands.StopAll
    if body.all:
        command = commands.StopAll(body.error_message, finish)
    elif body.workflow_id:
        command = commands.Stop("workflow", body.workflow_id, body.error_message, finish)
    else:
        command = commands.Stop("job", body.job_id or "", body.error_message, finish)
    return answer({"stopped": await runtime_of(request).do(command)})
