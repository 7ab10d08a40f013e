"""The clients of a hub's REST API: `Client().run(workflow)`, `await AsyncClient().run(workflow)`."""
# ruff: noqa: ASYNC109  for blocking callers too, a limit is kept by the reading time of the stream

from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

from motet.api import Api
from motet.both import Awaiting, Blocking, finished, iterated, operation
from motet.errors import WaitTimeout
from motet.http import AwaitingHttp, BlockingHttp
from motet.port import AwaitingPort, BlockingPort
from motet.results import RunResult
from motet.run import AsyncRun, AsyncTaskHandle, CancelEvent, OnTaskError, Run, TaskHandle
from motet.sse import Event
from motet.workflow import Workflow

if TYPE_CHECKING:
    import httpx2

__all__ = ["DEFAULT_URL", "AsyncClient", "Client", "WaitTimeout"]

DEFAULT_URL = "http://127.0.0.1:7070"


class _Runner(Api):
    """What runs a workflow, for both clients."""

    _run: type[Run] | type[AsyncRun]

    @operation
    async def run(
        self,
        workflow: Workflow,
        timeout: float | None = None,
        callbacks: Any = None,
        on_task_error: OnTaskError = "raise",
        cancel_event: CancelEvent | None = None,
    ) -> RunResult:
        """Runs a workflow to its end; what came of each task.

        timeout: seconds for the whole; the hub is told to stop what has not ended then, and it is TIMED_OUT.
        callbacks: an object with any of on_node_start(name), on_node_complete(name, result), on_node_error(name,
        error) and on_node_skip(name); each is called once a task at most, in order, in this thread; what it raises
        is logged.
        on_task_error: "raise": the first failure that no other task is there to handle (run_if failure or always,
        on_dep_failure run-anyway, an optional dependency) stops the rest and is raised as TaskError; "log": the
        workflow goes on and errors are logged by the logger `motet`; "continue": they are in the result only.
        cancel_event: once it is set, running tasks finish and the unstarted are CANCELLED.
        """
        run = await self._submitted(workflow, started=cancel_event is None or not cancel_event.is_set())
        result: RunResult = await type(run).wait.coroutine(run, timeout, callbacks, on_task_error, cancel_event)
        return result

    async def _submitted(self, workflow: Workflow, started: bool = True) -> Any:
        run = self._run(self._port, await self._created(workflow))
        if started:
            await type(run).start.coroutine(run)
        return run

    async def _attached(self, workflow_id: str) -> Any:
        return self._run(self._port, await type(self).workflow.coroutine(self, workflow_id))


class Client(_Runner, Blocking):
    """Talks to one hub and blocks meanwhile; may be used by several threads.

    transport: a transport of httpx2, or a BlockingPort of one's own, which needs no httpx2. timeout: seconds for one
    answer. BadRequest (code `bad_url`) for what is no address.
    """

    _run = Run

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        transport: "httpx2.BaseTransport | BlockingPort | None" = None,
        timeout: float = 30.0,
    ) -> None:
        self.url = base_url.rstrip("/")
        self._port = transport if isinstance(transport, BlockingPort) else BlockingHttp(self.url, transport, timeout)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, workflow: Workflow) -> Run:
        """Creates and starts a workflow; the handle on it, without waiting."""
        run: Run = finished(self._submitted(workflow))
        return run

    def attach(self, workflow_id: str) -> Run:
        """The handle on a workflow that the hub has already."""
        run: Run = finished(self._attached(workflow_id))
        return run

    def attach_task(self, task_id: str) -> TaskHandle:
        """The handle on a task that the hub has already, of a workflow or not."""
        return TaskHandle(self._port, self.task(task_id))

    def events(
        self, task_id: str | None = None, workflow_id: str | None = None, job_id: str | None = None
    ) -> Iterator[Event]:
        """Changes as they happen: {"id", "event", "data"}; the last is `done`, without a filter there is no last.

        A broken stream is opened again behind the last event; Unavailable when its hub stays away for 30 s.
        """
        return iterated(self._events(task_id, workflow_id, job_id))


class AsyncClient(_Runner, Awaiting):
    """The Client whose methods are awaited. transport: an async one of httpx2, or an AwaitingPort of one's own."""

    _run = AsyncRun

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        transport: "httpx2.AsyncBaseTransport | AwaitingPort | None" = None,
        timeout: float = 30.0,
    ) -> None:
        self.url = base_url.rstrip("/")
        self._port = transport if isinstance(transport, AwaitingPort) else AwaitingHttp(self.url, transport, timeout)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def submit(self, workflow: Workflow) -> AsyncRun:
        """As Client.submit."""
        run: AsyncRun = await self._submitted(workflow)
        return run

    async def attach(self, workflow_id: str) -> AsyncRun:
        """As Client.attach."""
        run: AsyncRun = await self._attached(workflow_id)
        return run

    async def attach_task(self, task_id: str) -> AsyncTaskHandle:
        """As Client.attach_task."""
        return AsyncTaskHandle(self._port, await self.task(task_id))

    def events(
        self, task_id: str | None = None, workflow_id: str | None = None, job_id: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """As Client.events, for `async for`."""
        return self._events(task_id, workflow_id, job_id)
