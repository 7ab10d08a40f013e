"""/metrics for Prometheus, and what is measured of one task and one proplet."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from hub.api import params
from hub.api.answers import answer, runtime_of
from hub.api.finding import task_of
from hub.api.tracing import all_attempts
from hub.api.views import time_text
from hub.core.model import Doc, Task


async def metrics(request: Request) -> Response:
    """All metrics of the hub, in the text format of Prometheus or, by Accept, that of OpenMetrics."""
    registry: CollectorRegistry = request.app.state.registry
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})


async def task_metrics(request: Request) -> Response:
    """What each attempt took, first to last."""
    readable, task = await task_of(request)
    attempts = all_attempts(readable, task)
    frame, shown = params.cut(request, "metrics", attempts, len(attempts))
    return answer({**frame, "metrics": [_attempt_metrics(task, attempt) for attempt in shown]})


def _attempt_metrics(task: Task, attempt: Doc) -> Doc:
    queued, dispatched = attempt.get("queued_at"), attempt["dispatched_at"]
    began, ended = attempt.get("start_time"), attempt.get("finish_time")
    measured: Doc = {}
    if queued is not None:
        measured["queue_seconds"] = _between(queued, dispatched)
    if began is not None:
        measured["start_seconds"] = _between(dispatched, began)
        if ended is not None:
            measured["uptime_seconds"] = _between(began, ended)
    # What the device reported stands in the task's document, of the attempt that ended it.
    if attempt["number"] == task.attempt and attempt.get("outcome") in ("completed", "failed"):
        measured |= {key: task.doc[key] for key in ("duration_ms", "fuel") if task.doc.get(key) is not None}
    return {
        "task_id": task.id,
        "proplet_id": attempt["proplet_id"],
        "attempt": attempt["number"],
        "outcome": attempt.get("outcome") or "running",
        "timestamp": time_text(ended or began or dispatched),
        "metrics": measured,
    }


def _between(earlier: float, later: float) -> float:
    """Seconds, to the microsecond; never below 0, even when the clock was set back meanwhile."""
    return round(max(0.0, later - earlier), 6)


async def proplet_metrics(request: Request) -> Response:
    """What its last heartbeat said; nothing before the first since the hub's start."""
    proplet = runtime_of(request).engine.world.proplet(request.path_params["id"])
    doc = proplet.doc
    heard = proplet.seen > float("-inf") and doc.get("mem_total") is not None
    last = {
        "proplet_id": proplet.id,
        "timestamp": time_text(proplet.seen_wall),
        "uptime_seconds": proplet.uptime_s,
        "slots": doc.get("slots"),
        "running": len(proplet.running),
        "memory_metrics": {"free_bytes": proplet.mem_free, "total_bytes": doc.get("mem_total")},
    }
    frame, shown = params.cut(request, "metrics", [last] if heard else [], int(heard))
    return answer({**frame, "metrics": shown})
