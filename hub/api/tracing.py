"""What a workflow or job really did: each attempt of each task as a span, also for chrome://tracing and Perfetto."""

from collections.abc import Iterable

from hub.api.drawing import label
from hub.api.views import time_text
from hub.core.entries import listed
from hub.core.fan import parts_of
from hub.core.model import ATTEMPTS, Doc, Group, Task
from hub.core.world import old_attempts
from hub.runtime import Readable

_TIMES = ("queued_at", "dispatched_at", "start_time", "finish_time")
_PID = 1


def all_attempts(runtime: Readable, task: Task) -> list[Doc]:
    """Every attempt, first to last; the task's document itself lists the last ten."""
    older = runtime.tables.get(ATTEMPTS, {})
    return [*filter(None, map(older.get, old_attempts(task))), *listed(task.doc)]


def spans_of(runtime: Readable, group: Group) -> list[Doc]:
    """The attempts of a group's tasks and of the parts they have become, by dispatch. Times are wall seconds.

    A task that never reached a device has none. `outcome` is "running" until the attempt has one.
    """
    spans = [
        _span(task, attempt, of)
        for member in group.tasks.values()
        for task, of in ((member, None), *((part, member) for part in parts_of(runtime.engine.world, member.doc)))
        for attempt in all_attempts(runtime, task)
    ]
    return sorted(spans, key=lambda span: span["dispatched_at"])


def _span(task: Task, attempt: Doc, of: Task | None) -> Doc:
    span = {
        "task_id": task.id,
        "name": task.doc["name"],
        "attempt": attempt["number"],
        "proplet_id": attempt["proplet_id"],
        **{key: attempt.get(key) for key in _TIMES},
        "outcome": attempt.get("outcome") or "running",
    }
    if of is not None:
        span["part_of"] = of.id
    if attempt.get("error_info"):
        span["error_info"] = attempt["error_info"]
    return span


def printed(span: Doc) -> Doc:
    return {**span, **{key: time_text(span[key]) for key in _TIMES}}


def chrome(name: str, spans: Iterable[Doc], now: float) -> Doc:
    """Google's Trace Event Format: {"traceEvents": [...]}, times in microseconds since the first dispatch.

    A span lasts from its dispatch to its end, or to now. The group is the process, a proplet a thread, or as many as it
    ran tasks at a time: Perfetto drops a span that begins within another of its thread and ends behind it.
    """
    lanes: dict[str, list[list[Doc]]] = {}
    base: float | None = None
    for span in spans:
        base = span["dispatched_at"] if base is None else base
        _into_lane(lanes.setdefault(span["proplet_id"], []), _complete_event(span, base, now))
    events = [_metadata("process_name", 0, {"name": name})]
    tid = 0
    for proplet, threads in lanes.items():
        for number, lane in enumerate(threads, 1):
            tid += 1
            events.append(_metadata("thread_name", tid, {"name": proplet if number == 1 else f"{proplet} #{number}"}))
            events.append(_metadata("thread_sort_index", tid, {"sort_index": tid}))
            events += [{**event, "tid": tid} for event in lane]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _complete_event(span: Doc, base: float, now: float) -> Doc:
    begin = _micros(base, span["dispatched_at"])
    end = _micros(base, span["finish_time"] or now)
    args = {"task": span["task_id"], "attempt": span["attempt"], "outcome": span["outcome"]}
    if span["queued_at"]:
        args["queued_us"] = max(0, _micros(span["queued_at"], span["dispatched_at"]))
    if span["start_time"]:
        args["until_started_us"] = max(0, _micros(span["dispatched_at"], span["start_time"]))
    if span.get("error_info"):
        args["error"] = span["error_info"].get("code")
    shown = label(span["name"], span["task_id"])
    # The hub's clock may have been set back meanwhile.
    return {
        "name": shown,
        "cat": "attempt",
        "ph": "X",
        "pid": _PID,
        "ts": begin,
        "dur": max(0, end - begin),
        "args": args,
    }


def _micros(since: float, wall: float) -> int:
    return round((wall - since) * 1e6)


def _into_lane(lanes: list[list[Doc]], event: Doc) -> None:
    """Onto the first thread that is free by then."""
    for lane in lanes:
        if lane[-1]["ts"] + lane[-1]["dur"] <= event["ts"]:
            lane.append(event)
            return
    lanes.append([event])


def _metadata(what: str, tid: int, args: Doc) -> Doc:
    return {"name": what, "ph": "M", "pid": _PID, "tid": tid, "args": args}
