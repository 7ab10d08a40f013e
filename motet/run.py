"""A workflow that runs at the hub: handles on it and on its tasks, and how its end is waited for."""
# ruff: noqa: ASYNC109  for blocking callers too, a limit is kept by the reading time of the stream

import asyncio
import logging
import threading
from collections.abc import Generator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Literal

from motet import calls
from motet.both import Awaiting, Blocking, operation
from motet.calls import Call
from motet.errors import Document, TaskCancelledError, TaskError, WaitTimeout, error_of
from motet.follow import follow
from motet.port import Port
from motet.results import NodeResult, RunResult, node_result, value_of
from motet.tracker import Tracker
from motet.workflow import Task
from shared import states
from shared.errors import BadRequest, Conflict, NotFound, Unavailable

log = logging.getLogger("motet")

OnTaskError = Literal["raise", "log", "continue"]
CancelEvent = threading.Event | asyncio.Event


class _TaskHandle:
    """One task at the hub. `id`, and `name` as its run calls it."""

    def __init__(self, port: Port, task: Document, name: str = "") -> None:
        self.name: str = name or task["name"]
        self.id: str = task["id"]
        self._port = port
        self._document = task
        self._scope = ("workflow", task["workflow_id"]) if task.get("workflow_id") else ("task", self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.id}>"

    @operation
    async def result(self, timeout: float | None = None) -> Any:
        """The task's value, once it has completed: its one output, or the list of several.

        Raises the TaskError of a task that failed, was skipped (code `skipped`) or will not run because its workflow
        was stopped. WaitTimeout after so many seconds; the task goes on.
        """
        task = await self._ended(timeout)
        if task["state"] == states.COMPLETED:
            return value_of(task)
        error = error_of(self.name, task)
        if error is None:
            raise TaskError(f"task {self.name} was skipped", "skipped", {"task": self.name, "task_id": self.id})
        raise error

    @operation
    async def status(self) -> NodeResult:
        """How the task stands now."""
        return node_result(self.name, await self._read())

    @operation
    async def cancel(self, error_message: str | None = None) -> None:
        """Stops the task; nothing happens when it has ended."""
        fields = {} if error_message is None else {"error_message": error_message}
        await _unless_ended(self._port, calls.act("tasks", self.id, "stop", fields))

    async def _read(self) -> Document:
        if self._document["state"] not in states.ENDED:
            self._document = await self._port.send(calls.get("tasks", self.id))
        return self._document

    async def _ended(self, timeout: float | None) -> Document:
        """The task's document when it has ended, or when its workflow has without it."""
        if self._document["state"] in states.ENDED:
            return self._document
        kind, scope = self._scope
        listen = calls.page("events", {f"{kind}_id": scope})
        read = partial(self._port.send, calls.get("tasks", self.id))
        async with aclosing(follow(self._port, listen, timeout, read)) as events:
            async for event in events:
                if event["data"].get("id") != self.id:
                    continue
                self._document = event["data"]
                if self._document["state"] in states.ENDED:
                    return self._document
                if event["event"] == "done":
                    raise TaskCancelledError(f"task {self.name} never ran: its workflow has ended")
        raise WaitTimeout(f"task {self.name} has not ended within {timeout:g} s", detail={"id": self.id})


class TaskHandle(_TaskHandle, Blocking):
    """result() blocks; in a coroutine, `await handle` waits in a thread."""

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.to_thread(self.result).__await__()


class AsyncTaskHandle(_TaskHandle, Awaiting):
    """`await handle` is `await handle.result()`."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self.result().__await__()


class _Run:
    """One workflow at the hub: `workflow_id`; `tasks` and run["name"] are the handles on its tasks."""

    _handle: type[_TaskHandle]

    def __init__(self, port: Port, workflow: Document) -> None:
        self.workflow_id: str = workflow["workflow_id"]
        self._port = port
        self._workflow = workflow

    def _handles(self) -> dict[str, Any]:
        names = Tracker(self._workflow).names
        tasks = self._workflow["tasks"]
        return {names[task["id"]]: self._handle(self._port, task, names[task["id"]]) for task in tasks}

    @operation
    async def start(self) -> None:
        """Starts every root; again, when the workflow has ended."""
        await self._port.send(calls.act("workflows", self.workflow_id, "start"))

    @operation
    async def wait(
        self,
        timeout: float | None = None,
        callbacks: Any = None,
        on_task_error: OnTaskError = "continue",
        cancel_event: CancelEvent | None = None,
    ) -> RunResult:
        """What came of the workflow when it has ended; the arguments are those of Client.run()."""
        if on_task_error not in ("raise", "log", "continue"):
            raise BadRequest(f"on_task_error is raise, log or continue, not {on_task_error!r}", "bad_on_task_error")
        tracker = Tracker(self._workflow, callbacks)
        async with self._port.watch(cancel_event, self._finish_running):
            ended = await self._follow(tracker, timeout, on_task_error == "raise")
        if not ended:
            assert timeout is not None
            await self._give_up(tracker, timeout)
        if on_task_error == "raise" and (error := tracker.unhandled(False) or tracker.unhandled(True)) is not None:
            raise error
        if on_task_error == "log":
            for _, error in tracker.failed:
                log.error("%s", error.message)
        return tracker.result()

    @operation
    async def status(self) -> RunResult:
        """How its tasks stand now."""
        tracker = Tracker(self._workflow)
        tracker.see_all((await self._port.send(self._read))["tasks"])
        return tracker.result()

    @operation
    async def cancel_all(self, error_message: str | None = None, running: Literal["stop", "finish"] = "stop") -> None:
        """Stops every task that has not ended; "finish": what runs may end normally. Nothing to stop is no error."""
        await self._stop(error_message, running)

    @property
    def _read(self) -> Call:
        return calls.get("workflows", self.workflow_id)

    async def _follow(self, tracker: Tracker, timeout: float | None, abort: bool) -> bool:
        """Shows the tracker what happens up to the end of the run (True) or of the time. abort: at an error."""
        listen = calls.page("events", {"workflow_id": self.workflow_id})
        read = partial(self._port.send, self._read)
        async with aclosing(follow(self._port, listen, timeout, read)) as events:
            async for event in events:
                data = event["data"]
                if event["event"] == "task":
                    tracker.see(data)
                elif event["event"] in ("state", "done"):
                    tracker.see_all(data["tasks"])
                    if data["state"] in states.ENDED:
                        return True
                if abort and (error := tracker.unhandled(False)) is not None:
                    await self._stop(f"stopped because {error.message}", "stop")
                    raise error
        return False

    async def _give_up(self, tracker: Tracker, timeout: float) -> None:
        """Tells the hub to stop the run. What ended just before still counts as it ended."""
        with suppress(Unavailable):
            await self._stop(f"the run took longer than {timeout:g} s", "stop")
            tasks = (await self._port.send(self._read))["tasks"]
            tracker.see_all(task for task in tasks if task["state"] in states.SETTLED)
        tracker.expire(timeout)

    async def _finish_running(self) -> bool:
        """The cancel event is set: tells the hub; False when it cannot be reached."""
        try:
            await self._stop("cancelled", "finish")
        except Unavailable as error:
            log.warning("cannot cancel yet: %s", error.message)
            return False
        except NotFound:
            pass  # the workflow is gone
        return True

    async def _stop(self, message: str | None, running: str) -> None:
        fields = {"running": running} | ({} if message is None else {"error_message": message})
        await _unless_ended(self._port, calls.act("workflows", self.workflow_id, "stop", fields))


class Run(_Run, Blocking):
    _handle = TaskHandle

    def __init__(self, port: Port, workflow: Document) -> None:
        super().__init__(port, workflow)
        self.tasks: Mapping[str, TaskHandle] = self._handles()

    def __getitem__(self, task: str | Task) -> TaskHandle:
        return self.tasks[task.name if isinstance(task, Task) else task]


class AsyncRun(_Run, Awaiting):
    _handle = AsyncTaskHandle

    def __init__(self, port: Port, workflow: Document) -> None:
        super().__init__(port, workflow)
        self.tasks: Mapping[str, AsyncTaskHandle] = self._handles()

    def __getitem__(self, task: str | Task) -> AsyncTaskHandle:
        return self.tasks[task.name if isinstance(task, Task) else task]


async def _unless_ended(port: Port, call: Call) -> None:
    """A stop; that there is nothing left to stop is no error."""
    try:
        await port.send(call)
    except Conflict as error:
        if error.code != "already_ended":
            raise
