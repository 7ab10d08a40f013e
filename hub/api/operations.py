"""What each route takes and answers, for /openapi.json: one line a route, beside the table of routes."""

from typing import Any, NamedTuple

import msgspec

from hub.api.bodies import DuplicateIn, JobIn, RetryIn, StopIn, TaskIn, WorkflowIn
from hub.api.params import MAX_LIMIT

Schema = dict[str, Any]

JSON, TEXT, EVENTS, WASM = "application/json", "text/plain", "text/event-stream", "application/wasm"
UPLOAD = "multipart/form-data"


class Op(NamedTuple):
    """One operation.

    body: the shape of its JSON, or UPLOAD; optional: it may be left out. answers: name of a schema below, "" for none.
    query: names of parameters below. kinds: media types of the answer.
    """

    summary: str
    answers: str = ""
    status: int = 200
    body: type[msgspec.Struct] | str | None = None
    optional: bool = False
    query: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (JSON,)


_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "string", "enum": ["true", "false", "1", "0"]}
_PAGE = ("offset", "limit")


def _words(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


# A name with a colon is that parameter of some routes only.
QUERY: dict[str, Schema] = {
    "offset": {"type": "integer", "minimum": 0, "default": 0},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
    "state": _TEXT,
    "workflow_id": _TEXT,
    "job_id": _TEXT,
    "task_id": _TEXT,
    "parent_id": _TEXT,
    "user_id": _TEXT,
    "proplet_id": _TEXT,
    "name": _TEXT,
    "metadata": {"type": "string", "description": "a JSON object: every key must match"},
    "file": _words("full"),
    "now": _FLAG,
    "dry_run": _FLAG,
    "status:group": _words("pending", "running", "completed", "failed"),
    "status:proplet": _words("active", "inactive"),
    "level": _words("debug", "info", "warning", "error"),
    "workers": {"type": "integer", "minimum": 1},
    "format:graph": _words("json", "mermaid", "dot"),
    "format:trace": _words("json", "chrome"),
    "export": _TEXT,
    "form": _words("original", "prepared"),
    "schedule": _TEXT,
    "timezone": _TEXT,
    "from": _TEXT,
    "count": {"type": "integer", "minimum": 1},
}


def _object(**fields: Schema) -> Schema:
    """An object that has these fields, and maybe more."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def _page(items: str, kind: str) -> Schema:
    number = {"type": "integer", "minimum": 0}
    shown = {"type": "array", "items": {"$ref": f"#/components/schemas/{kind}"}}
    return _object(offset=number, limit=number, total=number, **{items: shown})


_STATE = {"state": {"type": "integer", "minimum": 0, "maximum": 6}, "state_name": _TEXT}
_ANY: Schema = {"type": "object"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TASKS = {"type": "array", "items": {"$ref": "#/components/schemas/Task"}}

SCHEMAS: dict[str, Schema] = {
    "Error": _object(error=_TEXT, code=_TEXT, detail=_ANY),
    "Task": _object(id=_TEXT, name=_TEXT, kind=_TEXT, **_STATE, created_at=_TIME, updated_at=_TIME),
    "Tasks": _page("tasks", "Task"),
    "Job": _object(job_id=_TEXT, name=_TEXT, **_STATE),
    "Jobs": _page("jobs", "Job"),
    "NewJob": _object(job_id=_TEXT, tasks=_TASKS),
    "Workflow": _object(workflow_id=_TEXT, name=_TEXT, **_STATE),
    "Workflows": _page("workflows", "Workflow"),
    "NewWorkflow": _object(workflow_id=_TEXT, name=_TEXT, tasks=_TASKS),
    "Proplet": _object(id=_TEXT, name=_TEXT, alive={"type": "boolean"}, task_count={"type": "integer"}),
    "Proplets": _page("proplets", "Proplet"),
    "Module": _object(sha256=_TEXT, size_bytes={"type": "integer"}),
    "Modules": _page("modules", "Module"),
    "Attempt": _object(number={"type": "integer"}, proplet_id=_TEXT),
    "Attempts": _page("attempts", "Attempt"),
    "Measured": _object(proplet_id=_TEXT, timestamp=_TIME),
    "Metrics": _page("metrics", "Measured"),
    "Line": _object(time=_TIME, level=_TEXT, text=_TEXT),
    "Lines": _page("logs", "Line"),
    "Message": _object(time=_TIME, topic=_TEXT),
    "Messages": _page("messages", "Message"),
    "Time": _TIME,
    "History": _page("history", "Time"),
    "Results": _object(results={}, outputs={}),
    "Started": _object(started={"type": "boolean"}),
    "Stopped": _object(stopped={"type": ["boolean", "integer"]}),
    "JobMessage": _object(job_id=_TEXT, message=_TEXT),
    "WorkflowMessage": _object(workflow_id=_TEXT, message=_TEXT),
    "Plan": _object(steps={"type": "array"}, critical_path={"type": "array"}),
    "Graph": _object(nodes={"type": "array"}, edges={"type": "array"}),
    "Trace": _ANY,
    "Times": _object(times={"type": "array", "items": _TIME}),
    "Health": _object(status=_words("pass", "fail"), version=_TEXT, instance_id=_TEXT),
    "Document": _ANY,
}


def _duplicates(kind: str, answers: str) -> dict[str, Op]:
    texts = {
        "copy": "A new run of it",
        "link": "One more that shares its results",
        "archive": "A copy of what it was, which never runs",
    }
    return {
        f"POST /{kind}s/{{id}}/{mode}": Op(text, answers, 201, DuplicateIn, optional=True)
        for mode, text in texts.items()
    }


def _looks(kind: str) -> dict[str, Op]:
    return {
        f"GET /{kind}s/{{id}}/plan": Op("Levels, critical path and makespan", "Plan", query=("workers",)),
        f"GET /{kind}s/{{id}}/graph": Op("Nodes and edges", "Graph", query=("format:graph",), kinds=(JSON, TEXT)),
        f"GET /{kind}s/{{id}}/trace": Op("Each attempt as a span", "Trace", query=("format:trace",)),
    }


# What an answer names, other operations take: {operation: (beginning of their paths, where their id is)}.
LINKS = {
    "POST /tasks": ("/tasks/{id}", "$response.body#/id"),
    "POST /jobs": ("/jobs/{id}", "$response.body#/job_id"),
    "POST /workflows": ("/workflows/{id}", "$response.body#/workflow_id"),
    "GET /proplets": ("/proplets/{id}", "$response.body#/proplets/0/id"),
    "GET /modules": ("/modules/{id}", "$response.body#/modules/0/sha256"),
}
# A module of 42 bytes that adds two numbers.
_TASK = {
    "name": "main",
    "inputs": [10, 20],
    "file": "AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL",
}
EXAMPLES: dict[str, Schema] = {
    "POST /tasks": _TASK,
    "POST /jobs": {"name": "sums", "execution_mode": "sequential", "tasks": [_TASK, _TASK]},
    "POST /workflows": {
        "name": "fan",
        "tasks": [{**_TASK, "name": "first", "function": "main"}, {**_TASK, "depends_on": ["first"]}],
    },
    "POST /stop": {"all": True},
}

_FILTERS = ("state", "workflow_id", "job_id", "parent_id", "user_id", "name", "proplet_id", "metadata", "file")

OPERATIONS: dict[str, Op] = {
    "GET /health": Op("Whether the hub is well", "Health"),
    "GET /metrics": Op("Metrics for Prometheus", kinds=(TEXT, "application/openmetrics-text")),
    "GET /openapi.json": Op("This document", "Document"),
    "GET /events": Op("What changes, live", query=("task_id", "workflow_id", "job_id"), kinds=(EVENTS,)),
    "POST /stop": Op("Stops a workflow, a job, or everything", "Stopped", body=StopIn),
    "GET /tasks": Op("Tasks, oldest first", "Tasks", query=(*_PAGE, *_FILTERS)),
    "POST /tasks": Op("Creates a task", "Task", 201, TaskIn),
    "GET /tasks/{id}": Op("One task", "Task", query=("file",)),
    "PUT /tasks/{id}": Op("Changes the fields that are sent", "Task", body=TaskIn),
    "DELETE /tasks/{id}": Op("Deletes a task", status=204),
    "PUT /tasks/{id}/upload": Op("Gives a task its module", "Task", body=UPLOAD),
    "POST /tasks/{id}/start": Op("Starts a task", "Started", query=("now",)),
    "POST /tasks/{id}/stop": Op("Stops a task", "Stopped", body=StopIn, optional=True),
    "GET /tasks/{id}/results": Op("What a task has answered", "Results"),
    "GET /tasks/{id}/attempts": Op("Every attempt, first to last", "Attempts", query=_PAGE),
    "GET /tasks/{id}/logs": Op("Its log lines, oldest first", "Lines", query=(*_PAGE, "level")),
    "GET /tasks/{id}/metrics": Op("What each attempt took", "Metrics", query=_PAGE),
    "GET /tasks/{id}/events": Op("What changes of a task, to its end", kinds=(EVENTS,)),
    "POST /tasks/{id}/retry": Op("Runs it again", "Task", body=RetryIn, optional=True),
    **_duplicates("task", "Task"),
    "GET /jobs": Op("Jobs, newest first", "Jobs", query=(*_PAGE, "status:group")),
    "POST /jobs": Op("Creates a job", "NewJob", 201, JobIn),
    "GET /jobs/{id}": Op("One job with its tasks", "Job"),
    "PUT /jobs/{id}": Op("Refused: jobs never change", status=405),
    "DELETE /jobs/{id}": Op("Deletes a job with its tasks", status=204),
    "POST /jobs/{id}/start": Op("Starts a job", "JobMessage"),
    "POST /jobs/{id}/stop": Op("Stops a job", "JobMessage", body=StopIn, optional=True),
    **_looks("job"),
    "GET /workflows": Op("Workflows, oldest first", "Workflows", query=(*_PAGE, "status:group")),
    "POST /workflows": Op("Creates a workflow", "NewWorkflow", 201, WorkflowIn, query=("dry_run",)),
    "GET /workflows/{id}": Op("One workflow with its tasks", "Workflow"),
    "DELETE /workflows/{id}": Op("Deletes a workflow", status=204),
    "POST /workflows/{id}/start": Op("Starts a workflow", "WorkflowMessage"),
    "POST /workflows/{id}/stop": Op("Stops a workflow", "WorkflowMessage", body=StopIn, optional=True),
    "POST /workflows/{id}/retry": Op("Runs it again", "Workflow", body=RetryIn, optional=True),
    **_duplicates("workflow", "Workflow"),
    "GET /workflows/{id}/events": Op("What changes of a workflow, to its end", kinds=(EVENTS,)),
    **_looks("workflow"),
    "GET /cron/preview": Op("When a schedule fires", "Times", query=("schedule", "timezone", "from", "count")),
    "GET /proplets": Op("Devices, oldest first", "Proplets", query=(*_PAGE, "status:proplet")),
    "GET /proplets/{id}": Op("One device", "Proplet"),
    "DELETE /proplets/{id}": Op("Forgets a device that is away", status=204),
    "POST /proplets/{id}/update": Op("Has a board fetch and try this hub's edge", "Proplet", status=202),
    "GET /proplets/{id}/metrics": Op("What its last heartbeat said", "Metrics", query=_PAGE),
    "GET /proplets/{id}/alive-history": Op("When it came", "History", query=_PAGE),
    "GET /proplets/{id}/logs": Op("Lines of the device itself", "Lines", query=(*_PAGE, "level")),
    "GET /proplets/{id}/messages": Op("What tasks on it have published", "Messages", query=_PAGE),
    "GET /modules": Op("Modules", "Modules", query=(*_PAGE, "export")),
    "GET /modules/{id}": Op("One module; its bytes by Accept or form", "Module", query=("form",), kinds=(JSON, WASM)),
    "DELETE /modules/{id}": Op("Forgets a module that no task refers to", status=204),
    "POST /modules/{id}/release": Op("Lets a quarantined module run again", "Module"),
    "GET /mip/edge/package.json": Op("The edge for MicroPython, as a package of mip", "Document"),
    "GET /mip/edge/{file}": Op("A file of it, beside its folders", kinds=("application/octet-stream", TEXT)),
    "GET /mip/edge/{folder}/{file}": Op("A file of it", kinds=("application/octet-stream", TEXT)),
    "GET /mip/package/{form}/edge/{version}.json": Op("The same as mip's index has packages", "Document"),
    "GET /mip/file/{prefix}/{hash}": Op("A file by its hash", kinds=("application/octet-stream",)),
}
