"""A hub in a function, for a MockTransport: what was created ends at once, computed in Python."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2

from motet.demo_modules import ADDITION, TOO_HOT

Document = dict[str, Any]
STARTED = "2026-03-01T10:00:00.25Z"
FINISHED = "2026-03-01T10:00:00.5Z"
NEVER = "0001-01-01T00:00:00Z"
WORDS = ("Pending", "Scheduled", "Running", "Completed", "Failed", "Skipped", "Interrupted")


def stub_hub() -> Callable[[httpx2.Request], httpx2.Response]:
    """Tasks, workflows and jobs: addition adds, too_hot answers 1, any other module traps; run_if is obeyed, and a
    `when` that compares with 1 or 0."""
    groups: dict[str, list[Document]] = {}

    def handle(request: httpx2.Request) -> httpx2.Response:
        _, kind, *rest = request.url.path.split("/")
        if kind == "events":
            return httpx2.Response(200, content=_stream(groups[next(iter(request.url.params.values()))]))
        if not rest:
            body = json.loads(request.content)
            id_ = f"{kind}-{len(groups)}"
            tasks = [_task(task) for task in body.get("tasks", [body])]
            groups[id_] = groups[tasks[0]["id"]] = tasks
            document = tasks[0] if kind == "tasks" else {f"{kind[:-1]}_id": id_, "tasks": tasks}
            return httpx2.Response(201, json=document)
        tasks = groups[rest[0]]
        if rest[1:] == ["start"]:
            groups[rest[0]] = _played(tasks)
            return httpx2.Response(200, json={"started": True})
        # What is read first is still running, so that the stream has something to tell.
        return httpx2.Response(200, json=tasks[0] if kind == "tasks" else {"state": 2, "tasks": tasks})

    return handle


def _task(task: Document) -> Document:
    times = {"start_time": NEVER, "finish_time": NEVER, "updated_at": NEVER}
    return {"id": "t-1", **task, **times, "state": 0, "state_name": "Pending"}


def _played(tasks: list[Document]) -> list[Document]:
    states: dict[str, int] = {}
    played = []
    for task in tasks:
        result = {ADDITION: sum(task.get("inputs", [])), TOO_HOT: 1}.get(base64.b64decode(task["file"]))
        parents = [states[id_] for id_ in task.get("depends_on", [])]
        runs = (4 in parents) == (task.get("run_if") == "failure") and not task.get("when", "").endswith("== 0")
        state = (4 if result is None else 3) if runs else 5
        states[task["id"]] = state
        ended = {**task, "state": state, "state_name": WORDS[state], "updated_at": FINISHED}
        if runs:
            ended |= {"proplet_id": "edge-1", "start_time": STARTED, "finish_time": FINISHED}
            ended |= {"error": "unreachable executed"} if result is None else {"results": f"{result}\n"}
        played.append(ended)
    return played


def _stream(tasks: list[Document]) -> Iterator[bytes]:
    for number, task in enumerate(tasks):
        yield f"id: {number}\nevent: task\ndata: {json.dumps(task)}\n\n".encode()
    yield b"id: 99\nevent: done\ndata: {}\n\n"
