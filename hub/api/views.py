"""What goes out: documents as rest.md prints them."""

import base64
import contextlib
from datetime import UTC, datetime

from hub.core.abi import Module
from hub.core.engine import group_times
from hub.core.entries import listed
from hub.core.fan import results_by_proplet
from hub.core.model import JOBS, REPORTED, Doc, Group
from hub.core.proplet import Proplet
from hub.core.schedules import KINDS, recurring
from hub.runtime import Readable
from shared import states
from shared.errors import Damaged, NotFound

ZERO_TIME = "0001-01-01T00:00:00Z"
# Up to here an answer carries the module itself.
FILE_SHOWN = 4096
# Absent when empty, in the order of print.
_OPTIONAL = """
    image_url function abi params inputs env stdin allow limits run_if on_dep_failure when retries backoff
    backoff_base backoff_max backoff_jitter retry_on queue_timeout on_device_lost lost_after idempotent stop_grace_s
    cost placement resources broadcast for_each max_items cache dedup_key idempotency_key parent_id workflow_id job_id
    user_id results outputs stdout stderr output exit_code duration_ms fuel error error_info metadata origin stopping
    parts cached archived
""".split()


def time_text(wall: float | None) -> str:
    """RFC 3339 in UTC, fractional unless the second is whole; the zero time for what has not come."""
    if not wall:
        return ZERO_TIME
    text = datetime.fromtimestamp(wall, UTC).isoformat()
    return text.replace("+00:00", "Z")


# What a link reads through to the task it links to.
_SHARED = (*REPORTED, "results", "start_time", "finish_time", "proplet_id")


def task_view(runtime: Readable, doc: Doc, full_file: bool = False) -> Doc:
    source = runtime.engine.world.tasks.get(doc["origin"]["id"]) if _is_link(doc) else None
    if source is not None:
        doc = {**doc, **{key: source.doc.get(key) for key in _SHARED}}
    state = doc["state"]
    view: Doc = {
        "id": doc["id"],
        "name": doc["name"],
        "kind": doc.get("kind", "standard"),
        "state": state,
        "state_name": states.NAMES[state],
        "priority": doc.get("priority", 50),
        "cli_args": doc.get("cli_args"),
        "daemon": doc.get("daemon", False),
        "encrypted": False,
        **{key: doc[key] for key in _OPTIONAL if doc.get(key) is not None and doc[key] != []},
        **_dependencies(doc),
        **_file(runtime, doc.get("module"), full_file),
        "start_time": time_text(doc.get("start_time")),
        "finish_time": time_text(doc.get("finish_time")),
        "created_at": time_text(doc["created_at"]),
        "updated_at": time_text(doc.get("updated_at")),
        "next_run": time_text(doc.get("next_run")),
        "progress": 1.0 if state == states.COMPLETED else doc.get("progress") or 0.0,
    }
    if doc.get("progress_message"):
        view["progress_message"] = doc["progress_message"]
    if any(doc.get(key) is not None for key in KINDS):
        view |= _schedule_view(doc)
    if doc.get("scheduled_for") is not None:
        view["scheduled_for"] = time_text(doc["scheduled_for"])
    proplet = doc.get("proplet_id") or doc.get("pinned_to")
    if proplet:
        view["proplet_id"] = proplet
    if "timeout" in doc:
        view["timeout"] = doc["timeout"]
    if doc.get("broadcast") and doc.get("parts"):
        view["proplet_results"] = results_by_proplet(runtime.engine.world, doc)
    if doc.get("retry_at") is not None:
        view["retry_at"] = time_text(doc["retry_at"])
    attempts = listed(doc)
    if attempts:
        view["attempts"] = [attempt_view(attempt) for attempt in attempts]
    if state == states.PENDING:
        task = runtime.engine.world.tasks.get(doc["id"])
        reason = runtime.engine.pending_reason(task) if task else None
        if reason:
            view["pending_reason"] = reason
    return view


def _is_link(doc: Doc) -> bool:
    return (doc.get("origin") or {}).get("type") == "link"


def _dependencies(doc: Doc) -> Doc:
    """depends_on as it was sent, with resolved ids: an optional one as an object."""
    optional = doc.get("optional") or ()
    ids = doc.get("depends_on")
    return {"depends_on": [{"id": id, "required": False} if id in optional else id for id in ids]} if ids else {}


_SCHEDULE = ("schedule", "every", "timezone", "max_runs", "overlap", "catchup", "misfire_grace", "last_firing")
_SCHEDULE_TIMES = ("at", "start_at", "end_at", "last_run", "last_missed")


def _schedule_view(doc: Doc) -> Doc:
    return {
        **{key: doc[key] for key in _SCHEDULE if doc.get(key) is not None},
        **{key: time_text(doc[key]) for key in _SCHEDULE_TIMES if doc.get(key) is not None},
        "is_recurring": recurring(doc),
        "enabled": doc.get("enabled", True),
        "run_count": doc.get("run_count", 0),
        "missed": doc.get("missed", 0),
    }


def _file(runtime: Readable, module: str | None, full: bool) -> Doc:
    """The module in base64 while it is small, else its size; its hash stands beside both."""
    if module is None:
        return {}
    size = runtime.engine.world.modules[module].doc["size_bytes"]
    view: Doc = {"module": module, "file_size": size}
    if full or size <= FILE_SHOWN:
        # A blob that is lost or damaged must not hide the task.
        with contextlib.suppress(NotFound, Damaged):
            view["file"] = base64.b64encode(runtime.blobs.get(module)).decode()
    return view


def attempt_view(attempt: Doc) -> Doc:
    times = {key: time_text(attempt.get(key)) for key in ("queued_at", "dispatched_at", "start_time", "finish_time")}
    return {**{key: value for key, value in attempt.items() if key not in ("id", "task")}, **times}


_GROUP = ("fail_fast", "max_parallel", "timeout", "user_id", "metadata")


def group_view(runtime: Readable, group: Group, tasks: bool = True) -> Doc:
    """A job or a workflow: a summary with its tasks (rest.md, "pages"); without tasks for the live stream."""
    began, ended = group_times(group)
    state = group.state
    view: Doc = {
        "job_id" if group.table == JOBS else "workflow_id": group.id,
        "name": group.doc["name"],
        "state": state,
        "state_name": states.NAMES[state],
        "created_at": time_text(group.doc["created_at"]),
        "start_time": time_text(began),
        "finish_time": time_text(ended),
    }
    view |= {key: group.doc[key] for key in _GROUP if group.doc.get(key) is not None}
    if group.table == JOBS:
        view["execution_mode"] = group.doc["execution_mode"]
    if tasks:
        view["tasks"] = [task_view(runtime, task.doc) for task in group.tasks.values()]
    return view


# Of a module, what is printed as null where there is none.
_SAID = ("memory", "table", "start")
_UNSAID = ("id", "form", "deaths", "quarantined")
_HELLO = ("agent", "runtime", "caps", "boot", "mem_total", "flash_free", "slots", "labels")


def proplet_view(proplet: Proplet) -> Doc:
    doc = proplet.doc
    view: Doc = {
        "id": proplet.id,
        "name": doc["name"],
        "task_count": len(proplet.running),
        "alive": proplet.alive and proplet.connected,
        "last_alive_at": time_text(proplet.seen_wall),
        "created_at": time_text(doc["created_at"]),
        **{key: doc[key] for key in _HELLO if doc.get(key) is not None},
        "mem_free": proplet.mem_free,
        "uptime_s": proplet.uptime_s,
        "running": [task.id for task in proplet.running.values()],
    }
    words = doc.get("last_words")
    if words:
        view["last_words"] = {**words, "at": time_text(words["at"])}
    if doc.get("update"):
        view["update"] = {**doc["update"], "asked_at": time_text(doc["update"]["asked_at"])}
    if doc.get("slot"):
        view["slot"] = doc["slot"]
    view["metadata"] = {"wasm_runtime": "wasm3"}
    if doc.get("agent"):
        view["metadata"] |= {"proplet_version": doc["agent"], "total_memory_bytes": doc["mem_total"]}
    return view


def said_view(said: Doc) -> Doc:
    """A log line or a message."""
    return {**said, "time": time_text(said["time"])}


def module_view(module: Module) -> Doc:
    """What was inspected, under the sha256, and how many tasks refer to it."""
    doc = module.doc
    return {
        "sha256": module.id,
        **{key: value for key, value in doc.items() if key not in _UNSAID and (value is not None or key in _SAID)},
        **_quarantine(doc.get("quarantined")),
        "tasks": module.tasks,
        "created_at": time_text(doc["created_at"]),
    }


def _quarantine(doc: Doc | None) -> Doc:
    return {"quarantined": {**doc, "since": time_text(doc["since"])}} if doc else {}
