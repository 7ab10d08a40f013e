"""Looking at a workflow or a job (plan, graph, trace, summary), and at what a schedule would do."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hub.api import drawing, params, tracing
from hub.api.answers import Endpoint, answer, runtime_of
from hub.api.definitions import wall_seconds
from hub.api.finding import group_of
from hub.api.views import time_text
from hub.core import plan as planning
from hub.core.cron import cron, zone
from hub.core.engine import group_times
from hub.core.model import Doc, Group, Task
from hub.runtime import Readable
from shared import states
from shared.errors import BadRequest

MAX_WORKERS = 100_000
MAX_PREVIEW = 100


# --- before the run


def plan(kind: str) -> Endpoint:
    """GET /workflows/{id}/plan?workers=N: plan_view and `workers`, null when it was not given."""

    async def endpoint(request: Request) -> Response:
        _, group = await group_of(request, kind)
        workers = params.number(request, "workers", 0, 1, MAX_WORKERS) or None
        return answer({**plan_view(group, list(group.tasks.values()), workers), "workers": workers})

    return endpoint


def plan_view(group: Group, tasks: Sequence[Task], workers: int | None = None) -> Doc:
    """{"steps": [{"level": 0, "nodes": ["a"]}, ...], "critical_path": [...], "makespan_s": 2.0}

    Never more than the group's max_parallel run at a time, however many workers there are.
    """
    bounds = [bound for bound in (workers, group.doc.get("max_parallel")) if bound is not None]
    found = planning.plan(tasks, min(bounds, default=None))
    return {
        "steps": [{"level": level, "nodes": nodes} for level, nodes in enumerate(found.steps)],
        "critical_path": found.critical_path,
        "makespan_s": round(found.makespan_s, 6),
    }


# --- the run


def graph(kind: str) -> Endpoint:
    """GET /workflows/{id}/graph?format=json|mermaid|dot"""

    async def endpoint(request: Request) -> Response:
        _, group = await group_of(request, kind)
        form = params.choice(request, "format", ("json", "mermaid", "dot")) or "json"
        found = drawing.graph_of(group)
        if form == "mermaid":
            return PlainTextResponse(drawing.mermaid(found))
        return PlainTextResponse(drawing.dot(found, _title(group))) if form == "dot" else answer(found)

    return endpoint


def trace(kind: str) -> Endpoint:
    """GET /workflows/{id}/trace?format=json|chrome"""

    async def endpoint(request: Request) -> Response:
        runtime, group = await group_of(request, kind)
        form = params.choice(request, "format", ("json", "chrome")) or "json"
        spans = tracing.spans_of(runtime, group)
        if form == "chrome":
            return answer(tracing.chrome(f"{kind} {_title(group)}", spans, runtime.clock().wall))
        return answer({f"{kind}_id": group.id, "name": group.doc["name"], "spans": [*map(tracing.printed, spans)]})

    return endpoint


def _title(group: Group) -> str:
    return group.doc["name"] or group.id


def summary(runtime: Readable, group: Group) -> Doc:
    """How many of the tasks ended how, daemons left out, and the seconds from the first start to the end, or to now.

    What timed out, Failed or Interrupted, counts in timed_out only. Beside that each task counts once, but for two
    fields that say more: `cached` is of the succeeded, `handled` of the failed those whose failure a `run_if: failure`
    child has dealt with.
    """
    counts = dict.fromkeys(_COUNTS, 0)
    for task in group.tasks.values():
        if task.tally is not None:
            outcome = _outcome(task)
            counts[outcome] += 1
            counts["cached"] += outcome == "succeeded" and bool(task.doc.get("cached"))
            counts["handled"] += outcome == "failed" and any(_handles(child, task) for child in task.children.values())
    return {**counts, "total_duration_s": _duration_s(runtime, group)}


_COUNTS = ("succeeded", "failed", "skipped", "timed_out", "cancelled", "cached", "running", "pending", "handled")
_OUTCOME = ("pending", "running", "running", "succeeded", "failed", "skipped", "cancelled")


def _outcome(task: Task) -> str:
    stopped = task.state in (states.FAILED, states.INTERRUPTED)
    timed_out = stopped and (task.doc.get("error_info") or {}).get("code") == "timeout"
    return "timed_out" if timed_out else _OUTCOME[task.state]


def _handles(child: Task, failed: Task) -> bool:
    """A child that only waits for its turn in a sequential job handles nothing."""
    return child.state == states.COMPLETED and child.doc.get("run_if") == "failure" and failed in child.parents


def _duration_s(runtime: Readable, group: Group) -> float:
    began, ended = group_times(group)
    if began is None:
        return 0.0
    if group.active:
        ended = runtime.clock().wall
    elif ended is None:
        ended = max((task.doc.get("finish_time") or began for task in group.tasks.values()), default=began)
    return round(max(0.0, ended - began), 6)


# --- schedules


async def preview(request: Request) -> Response:
    """GET /cron/preview?schedule&timezone&from&count: the next times strictly after `from` (RFC 3339, else now).

    Fewer than count when the calendar ends before.
    """
    query = request.query_params
    if not query.get("schedule"):
        raise BadRequest("schedule is missing: give a cron expression such as */5 * * * *", "bad_schedule")
    timezone = query.get("timezone") or "UTC"
    zone(timezone)
    due = cron(query["schedule"], timezone)
    count = params.number(request, "count", 5, 1, MAX_PREVIEW)
    given = query.get("from")
    wall: float | None = wall_seconds("from", given, timezone) if given else runtime_of(request).clock().wall
    times: list[str] = []
    while len(times) < count and wall is not None and (wall := due.after(wall)) is not None:
        times.append(time_text(wall))
    return answer({"times": times})
