"""What tasks and devices say beside results: /tasks/{id}/logs, /proplets/{id}/logs and /proplets/{id}/messages."""

from starlette.requests import Request
from starlette.responses import Response

from hub.api import params
from hub.api.answers import answer, runtime_of, telemetry_of
from hub.api.finding import task_of
from hub.api.views import said_view
from hub.telemetry import LEVELS, Lines


async def task_logs(request: Request) -> Response:
    """A page of a task's lines, the oldest first; a link's are those of the task it links to."""
    _, task = await task_of(request)
    return _page(request, telemetry_of(request).task_logs(task.origin_of_values.id))


async def proplet_logs(request: Request) -> Response:
    """A page of the lines of a device that belong to no task, the oldest first."""
    proplet = runtime_of(request).engine.world.proplet(request.path_params["id"])
    return _page(request, telemetry_of(request).device_logs(proplet.id))


def _page(request: Request, lines: Lines) -> Response:
    """?level= leaves out what is less than that. `dropped` counts the lines that went to make room."""
    level = params.choice(request, "level", LEVELS)
    offset, limit = params.page(request)
    if level is None:
        total, shown = lines.total, lines.read(offset, limit)
    else:
        wanted = LEVELS[LEVELS.index(level) :]
        found = [line for line in lines.read(0, lines.total) if line["level"] in wanted]
        total, shown = len(found), found[offset : offset + limit]
    logs = [said_view(line) for line in shown]
    return answer({"offset": offset, "limit": limit, "total": total, "dropped": lines.dropped, "logs": logs})


async def proplet_messages(request: Request) -> Response:
    """A page of what tasks on the device have published lately, the oldest first."""
    proplet = runtime_of(request).engine.world.proplet(request.path_params["id"])
    messages = telemetry_of(request).messages(proplet.id)
    frame, shown = params.cut(request, "messages", messages, len(messages))
    return answer({**frame, "messages": [said_view(message) for message in shown]})
