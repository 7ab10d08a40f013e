"""What a client can ask of a hub, written once for the blocking and the async one."""
# ruff: noqa: ASYNC109  for blocking callers too, a limit is kept by the reading time of the stream

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Any

from motet import calls
from motet.both import operation
from motet.calls import Call, Document
from motet.errors import WaitTimeout
from motet.follow import follow
from motet.port import Port
from motet.sse import Event
from motet.workflow import Workflow
from shared.errors import NotFound
from shared.states import ENDED

OnEvent = Callable[[Event], None]
Until = Callable[[Document], bool]


class Api:
    """The operations of a hub. Answers are the documents of the REST contract as dicts.

    Raises BadRequest, NotFound, Conflict, TooLarge, TooMany or Unavailable with the hub's sentence, code and detail;
    Unavailable (code `no_hub`) when nothing answers. Wherever a task's `file` is bytes, it is sent in base64.
    """

    _port: Port

    @operation
    async def close(self) -> None:
        await self._port.close()

    @operation
    async def send(self, call: Call) -> Any:
        """The JSON of the answer to any call."""
        return await self._port.send(call)

    # -- tasks

    @operation
    async def create_task(self, /, name: str, **fields: Any) -> Document:
        """The created task; fields: `file`, `function`, `inputs` and all others of a task."""
        return await self._document(calls.create_task(name, fields))

    @operation
    async def update_task(self, /, task_id: str, **fields: Any) -> Document:
        """The changed task; only the fields given change."""
        return await self._document(calls.change(task_id, fields))

    @operation
    async def upload(self, task_id: str, module: bytes) -> Document:
        """The task with its module."""
        return await self._document(calls.upload(task_id, module))

    @operation
    async def delete_task(self, task_id: str) -> None:
        await self._port.send(calls.delete("tasks", task_id))

    @operation
    async def start_task(self, task_id: str) -> Document:
        return await self._document(calls.act("tasks", task_id, "start"))

    @operation
    async def stop_task(self, /, task_id: str, **fields: Any) -> Document:
        """fields: `error_message`, which becomes the task's error, and `running`: "stop" or "finish"."""
        return await self._document(calls.act("tasks", task_id, "stop", fields))

    @operation
    async def retry_task(self, /, task_id: str, **fields: Any) -> Document:
        """Runs the task's tree again; fields: `from`: "failed" (default), "all" or a task's id."""
        return await self._document(calls.act("tasks", task_id, "retry", fields))

    @operation
    async def copy_task(self, /, task_id: str, **fields: Any) -> Document:
        """A new Pending task; fields: `children`, `dependencies`, `overrides`, `link`."""
        return await self._document(calls.act("tasks", task_id, "copy", fields))

    @operation
    async def link_task(self, /, task_id: str, **fields: Any) -> Document:
        """A new task that shares the results of a Completed one; fields: `user_id`."""
        return await self._document(calls.act("tasks", task_id, "link", fields))

    @operation
    async def archive_task(self, task_id: str) -> Document:
        """A frozen copy with state and results as they stand."""
        return await self._document(calls.act("tasks", task_id, "archive"))

    @operation
    async def task(self, task_id: str) -> Document:
        return await self._document(calls.get("tasks", task_id))

    @operation
    async def tasks(self, /, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `tasks`. filters: those and `state`, `workflow_id`, `metadata` …"""
        return await self._document(calls.page("tasks", filters))

    @operation
    async def results(self, task_id: str) -> str:
        """The text of a task's results, one value a line; "" when there are none."""
        return (await self._document(calls.get("tasks", task_id, "results"))).get("results") or ""

    # -- workflows and jobs

    @operation
    async def create_workflow(self, /, tasks: Iterable[Document], **fields: Any) -> Document:
        """`workflow_id`, `name`, `tasks`; fields: `name`, `fail_fast` and all others of a workflow."""
        return await self._document(calls.create_group("workflows", tasks, fields))

    @operation
    async def dry_run(self, workflow: Workflow) -> Document:
        """What creating the workflow would answer, with its `steps`; the hub checks it and keeps nothing."""
        return await self._document(_creation(workflow, dry_run=True))

    @operation
    async def start_workflow(self, workflow_id: str) -> Document:
        return await self._document(calls.act("workflows", workflow_id, "start"))

    @operation
    async def stop_workflow(self, /, workflow_id: str, **fields: Any) -> Document:
        """fields: as stop_task."""
        return await self._document(calls.act("workflows", workflow_id, "stop", fields))

    @operation
    async def retry_workflow(self, /, workflow_id: str, **fields: Any) -> Document:
        """Runs again what failed and what lies behind it; fields: `from`: "failed" (default), "all" or a task's id."""
        return await self._document(calls.act("workflows", workflow_id, "retry", fields))

    @operation
    async def copy_workflow(self, /, workflow_id: str, **fields: Any) -> Document:
        """A new Pending workflow; fields: `overrides`, and `link`: ids of tasks whose results it shares instead."""
        return await self._document(calls.act("workflows", workflow_id, "copy", fields))

    @operation
    async def link_workflow(self, /, workflow_id: str, **fields: Any) -> Document:
        """A new workflow that shares the results of a Completed one; fields: `user_id`."""
        return await self._document(calls.act("workflows", workflow_id, "link", fields))

    @operation
    async def archive_workflow(self, workflow_id: str) -> Document:
        """A frozen copy with state and results as they stand."""
        return await self._document(calls.act("workflows", workflow_id, "archive"))

    @operation
    async def delete_workflow(self, workflow_id: str) -> None:
        await self._port.send(calls.delete("workflows", workflow_id))

    @operation
    async def workflow(self, workflow_id: str) -> Document:
        """State, summary, tasks."""
        return await self._document(calls.get("workflows", workflow_id))

    @operation
    async def workflows(self, /, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `workflows`."""
        return await self._document(calls.page("workflows", filters))

    @operation
    async def plan(self, workflow_id: str, workers: int | None = None) -> Document:
        """`steps`, `critical_path`, `makespan_s`; with so many tasks at a time at most."""
        return await self._document(calls.get("workflows", workflow_id, "plan", {"workers": workers}))

    @operation
    async def trace(self, workflow_id: str, format: str | None = None) -> Any:
        """What ran when; format "chrome" is what chrome://tracing and Perfetto open."""
        return await self._port.send(calls.get("workflows", workflow_id, "trace", {"format": format}))

    @operation
    async def graph(self, workflow_id: str, format: str | None = None) -> Any:
        """The graph as text (format "mermaid" or "dot") or as a document ("json")."""
        return await self._port.send(calls.get("workflows", workflow_id, "graph", {"format": format}, text=True))

    @operation
    async def create_job(self, /, name: str, tasks: Iterable[Document], **fields: Any) -> Document:
        """`job_id`, `tasks`; fields: `execution_mode` ("parallel", "sequential", "configurable") and others."""
        return await self._document(calls.create_group("jobs", tasks, {"name": name, **fields}))

    @operation
    async def start_job(self, job_id: str) -> Document:
        return await self._document(calls.act("jobs", job_id, "start"))

    @operation
    async def stop_job(self, /, job_id: str, **fields: Any) -> Document:
        """fields: as stop_task."""
        return await self._document(calls.act("jobs", job_id, "stop", fields))

    @operation
    async def delete_job(self, job_id: str) -> None:
        await self._port.send(calls.delete("jobs", job_id))

    @operation
    async def job(self, job_id: str) -> Document:
        """State and tasks."""
        return await self._document(calls.get("jobs", job_id))

    # -- the hub

    @operation
    async def stop_all(self, /, **fields: Any) -> int:
        """Stops all that waits or runs at the hub; how many tasks it were. fields: as stop_task."""
        count: int = (await self._document(calls.stop_all(fields)))["stopped"]
        return count

    @operation
    async def proplets(self, /, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `proplets`. filters: those and `status`: "active" or "inactive"."""
        return await self._document(calls.page("proplets", filters))

    @operation
    async def proplet(self, proplet_id: str) -> Document:
        return await self._document(calls.get("proplets", proplet_id))

    @operation
    async def update_proplet(self, proplet_id: str) -> Document:
        """Has a board fetch the hub's edge and try it: the proplet, whose `update` says how it goes on."""
        return await self._document(calls.act("proplets", proplet_id, "update"))

    @operation
    async def logs(self, /, task_id: str, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `dropped`, `logs`, the oldest first. filters: those and `level`."""
        return await self._document(calls.get("tasks", task_id, "logs", filters))

    @operation
    async def modules(self, /, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `modules`. filters: those and `export`, the name of a function."""
        return await self._document(calls.page("modules", filters))

    @operation
    async def module(self, sha256: str) -> Document:
        """What is known of a module: its functions, which proplets have it and which could run it."""
        return await self._document(calls.get("modules", sha256))

    @operation
    async def release_module(self, sha256: str) -> Document:
        """Ends its quarantine. Conflict when there is none."""
        return await self._document(calls.act("modules", sha256, "release"))

    @operation
    async def cron_preview(
        self, schedule: str, timezone: str | None = None, from_: str | None = None, count: int | None = None
    ) -> list[str]:
        """The next times of a schedule, strictly after from_ (RFC 3339; now)."""
        query = {"schedule": schedule, "timezone": timezone, "from": from_, "count": count}
        times: list[str] = (await self._document(calls.page("cron/preview", query)))["times"]
        return times

    @operation
    async def health(self) -> Document:
        return await self._document(calls.page("health", {}))

    # -- waiting

    @operation
    async def wait_task(self, task_id: str, timeout: float | None = None, on_event: OnEvent | None = None) -> Document:
        """The task when it has ended. WaitTimeout after so many seconds.

        on_event gets every event, and the document as it stands when the stream is opened as one with the id "".
        """
        return await self._ended("task", task_id, timeout, on_event)

    @operation
    async def wait_workflow(
        self, workflow_id: str, timeout: float | None = None, on_event: OnEvent | None = None
    ) -> Document:
        """As wait_task; events are of its tasks too."""
        return await self._ended("workflow", workflow_id, timeout, on_event)

    @operation
    async def wait_job(self, job_id: str, timeout: float | None = None, on_event: OnEvent | None = None) -> Document:
        """As wait_task; events are of its tasks too."""
        return await self._ended("job", job_id, timeout, on_event)

    @operation
    async def wait_proplets(self, count: int, timeout: float | None = None) -> Document:
        """The page of the alive proplets when there are at least so many. WaitTimeout after so many seconds."""
        read, at = partial(self._document, calls.page("proplets", {"status": "active"})), ("state", "proplet")
        async with aclosing(follow(self._port, calls.page("events", {}), timeout, read, at)) as events:
            async for event in events:
                if event["event"] in at and event["data"]["total"] >= count:
                    alive: Document = event["data"]
                    return alive
        raise WaitTimeout(f"{count} proplets have not come within {timeout:g} s")

    @operation
    async def wait_proplet(
        self, proplet_id: str, until: Until, timeout: float | None = None, missing_ok: bool = False
    ) -> Document:
        """The proplet as soon as until(proplet) is true, of how it stands or of a change. WaitTimeout after so many
        seconds.

        missing_ok: one that the hub does not know is waited for; else it is NotFound, also when deleted meanwhile.
        """

        async def read() -> Document:
            try:
                return await self._document(calls.get("proplets", proplet_id))
            except NotFound:
                if not missing_ok:
                    raise
                return {}

        async with aclosing(follow(self._port, calls.page("events", {}), timeout, read)) as events:
            async for event in events:
                proplet: Document = event["data"]
                # Of one that is gone by the time its change is told there is nothing but the id.
                known = event["event"] in ("state", "proplet") and "alive" in proplet
                if known and proplet["id"] == proplet_id and until(proplet):
                    return proplet
                gone = event["event"] == "deleted" and (proplet["kind"], proplet["id"]) == ("proplet", proplet_id)
                if gone and not missing_ok:
                    raise NotFound(f"proplet {proplet_id} was deleted", "unknown_proplet")
        raise WaitTimeout(f"proplet {proplet_id} was not as wanted within {timeout:g} s", detail={"id": proplet_id})

    async def _ended(self, kind: str, id_: str, timeout: float | None, on_event: OnEvent | None) -> Document:
        listen, read = calls.page("events", {f"{kind}_id": id_}), partial(self._port.send, calls.get(f"{kind}s", id_))
        async with aclosing(follow(self._port, listen, timeout, read)) as events:
            async for event in events:
                document: Document = event["data"]
                if event["event"] == "done" or (event["event"] == "state" and document["state"] in ENDED):
                    return document
                if on_event is not None:
                    on_event(Event(id="", event=kind, data=document) if event["event"] == "state" else event)
        raise WaitTimeout(f"{kind} {id_} has not ended within {timeout:g} s", detail={"id": id_})

    # -- what the clients make their own of

    async def _events(
        self, task_id: str | None, workflow_id: str | None, job_id: str | None
    ) -> AsyncGenerator[Event, None]:
        query = calls.page("events", {"task_id": task_id, "workflow_id": workflow_id, "job_id": job_id})
        async with aclosing(follow(self._port, query, None)) as events:
            async for event in events:
                if event["event"] != "state":
                    yield event

    async def _created(self, workflow: Workflow) -> Document:
        return await self._document(_creation(workflow))

    async def _document(self, call: Call) -> Document:
        document = await self._port.send(call)
        return document if isinstance(document, dict) else {}


def _creation(workflow: Workflow, dry_run: bool = False) -> Call:
    body = workflow.to_dict()
    tasks = body.pop("tasks")
    return calls.create_group("workflows", tasks, body, dry_run)
