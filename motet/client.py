"""A small synchronous client of the hub's REST API: `Client().create_task("main", file=wasm, inputs=[1, 2])`."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from motet import calls
from motet.calls import Call, Document
from motet.extras import need
from motet.sse import Event, EventParser
from shared.backoff import delay
from shared.errors import BadRequest, MotetError, Unavailable
from shared.states import ENDED

if TYPE_CHECKING:
    import httpx2

DEFAULT_URL = "http://127.0.0.1:7070"
# The hub pings every 15 s; a stream silent for three pings is broken.
SILENCE_S = 45.0
# How long a stream that was open once waits for its hub to come back.
PATIENCE_S = 30.0

OnEvent = Callable[[Event], None]


class WaitTimeout(MotetError, TimeoutError):
    """What was waited for has not ended in time; it goes on."""

    code = "timeout"


class Client:
    """Talks to one hub. Answers are the documents of the REST contract as dicts.

    Raises BadRequest, NotFound, Conflict, TooLarge, TooMany or Unavailable with the hub's sentence, code and detail;
    Unavailable (code `no_hub`) when nothing answers. Wherever a task's `file` is bytes, it is sent in base64.
    timeout: seconds for one answer. transport: a transport of httpx2, for tests and other ways to a hub.
    """

    def __init__(
        self, base_url: str = DEFAULT_URL, transport: "httpx2.BaseTransport | None" = None, timeout: float = 30.0
    ) -> None:
        need("client", "motet's client needs the HTTP library")
        import httpx2

        self.url = base_url.rstrip("/")
        self.timeout = timeout
        try:
            parsed = httpx2.URL(self.url)
        except httpx2.InvalidURL:
            parsed = httpx2.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise BadRequest(f"{base_url!r} is no address of a hub: write http://HOST:PORT", "bad_url")
        # A proxy of the environment is never the way to this machine itself.
        local = parsed.host in ("127.0.0.1", "::1", "localhost")
        self._http = httpx2.Client(base_url=self.url, transport=transport, timeout=timeout, trust_env=not local)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- tasks

    def create_task(self, name: str, **fields: Any) -> Document:
        """The created task; fields: `file`, `function`, `inputs` and all others of a task."""
        return self._document(calls.create_task(name, fields))

    def upload(self, task_id: str, module: bytes) -> Document:
        """The task with its module."""
        return self._document(calls.upload(task_id, module))

    def start_task(self, task_id: str) -> Document:
        return self._document(calls.act("tasks", task_id, "start"))

    def stop_task(self, task_id: str, **fields: Any) -> Document:
        """fields: `error_message`, which becomes the task's error, and `running`: "stop" or "finish"."""
        return self._document(calls.act("tasks", task_id, "stop", fields))

    def task(self, task_id: str) -> Document:
        return self._document(calls.get("tasks", task_id))

    def tasks(self, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `tasks`. filters: those and `state`, `workflow_id`, `metadata` …"""
        return self._document(calls.page("tasks", filters))

    def results(self, task_id: str) -> str:
        """The text of a task's results, one value a line; "" when there are none."""
        return self._document(calls.get("tasks", task_id, "results")).get("results") or ""

    # -- workflows and jobs

    def create_workflow(self, tasks: Iterable[Document], **fields: Any) -> Document:
        """`workflow_id`, `name`, `tasks`; fields: `name`, `fail_fast` and all others of a workflow."""
        return self._document(calls.create_group("workflows", tasks, fields))

    def start_workflow(self, workflow_id: str) -> Document:
        return self._document(calls.act("workflows", workflow_id, "start"))

    def workflow(self, workflow_id: str) -> Document:
        """State, summary, tasks."""
        return self._document(calls.get("workflows", workflow_id))

    def create_job(self, name: str, tasks: Iterable[Document], **fields: Any) -> Document:
        """`job_id`, `tasks`; fields: `execution_mode` ("parallel", "sequential", "configurable") and others."""
        return self._document(calls.create_group("jobs", tasks, {"name": name, **fields}))

    def start_job(self, job_id: str) -> Document:
        return self._document(calls.act("jobs", job_id, "start"))

    def job(self, job_id: str) -> Document:
        """State and tasks."""
        return self._document(calls.get("jobs", job_id))

    # -- the hub

    def proplets(self, **filters: Any) -> Document:
        """A page: `offset`, `limit`, `total`, `proplets`. filters: those and `status`: "active" or "inactive"."""
        return self._document(calls.page("proplets", filters))

    def health(self) -> Document:
        return self._document(calls.page("health", {}))

    def send(self, call: Call) -> Any:
        """The JSON of the answer to any call."""
        files = None if call.upload is None else {"file": ("module.wasm", call.upload, "application/wasm")}
        with self._sentences():
            response = self._http.request(call.method, call.path, json=call.json, params=dict(call.query), files=files)
        return self._read(response)

    # -- changes as they happen

    def events(
        self, task_id: str | None = None, workflow_id: str | None = None, job_id: str | None = None
    ) -> Iterator[Event]:
        """Changes as they happen: {"id", "event", "data"}; the last is `done`, without a filter there is no last.

        A broken stream is opened again behind the last event; Unavailable when its hub stays away for 30 s.
        """
        query = calls.page("events", {"task_id": task_id, "workflow_id": workflow_id, "job_id": job_id})
        return (event for event in self._follow(query, None) if event is not None)

    def wait_task(self, task_id: str, timeout: float | None = None, on_event: OnEvent | None = None) -> Document:
        """The task when it has ended. WaitTimeout after so many seconds.

        on_event gets every event, and the document as it stands when the stream is opened as one with the id "".
        """
        return self._wait("task", task_id, self.task, timeout, on_event)

    def wait_workflow(
        self, workflow_id: str, timeout: float | None = None, on_event: OnEvent | None = None
    ) -> Document:
        """As wait_task; events are of its tasks too."""
        return self._wait("workflow", workflow_id, self.workflow, timeout, on_event)

    def wait_job(self, job_id: str, timeout: float | None = None, on_event: OnEvent | None = None) -> Document:
        """As wait_task; events are of its tasks too."""
        return self._wait("job", job_id, self.job, timeout, on_event)

    def wait_proplets(self, count: int, timeout: float | None = None) -> Document:
        """The page of the alive proplets when there are at least so many. WaitTimeout after so many seconds."""
        for event in self._follow(calls.page("events", {}), timeout):
            if event is None or event["event"] == "proplet":
                alive = self.proplets(status="active")
                if alive["total"] >= count:
                    return alive
        raise WaitTimeout(f"{count} proplets have not come within {timeout:g} s")

    def _wait(
        self,
        kind: str,
        id_: str,
        read: Callable[[str], Document],
        timeout: float | None,
        on_event: OnEvent | None,
    ) -> Document:
        for event in self._follow(calls.page("events", {f"{kind}_id": id_}), timeout):
            # The state is read behind the opened stream: what happens after it, the stream tells.
            if event is None:
                document = read(id_)
                if document["state"] in ENDED:
                    return document
                event = Event(id="", event=kind, data=document)
            elif event["event"] == "done":
                return read(id_)
            if on_event is not None:
                on_event(event)
        raise WaitTimeout(f"{kind} {id_} has not ended within {timeout:g} s", detail={"id": id_})

    def _follow(self, call: Call, timeout: float | None) -> Iterator[Event | None]:
        """Events up to `done` or the timeout, over as many connections as it takes; None at each (re)connection."""
        deadline = None if timeout is None else time.monotonic() + timeout
        last_id = ""
        failures = 0
        patient_until = 0.0
        while _left(deadline) > 0:
            try:
                for event in self._stream(call, last_id, deadline):
                    patient_until, failures = float("inf"), 0
                    last_id = last_id if event is None else event["id"]
                    yield event
                    if event is not None and event["event"] == "done":
                        return
            except Unavailable:
                patient_until = min(patient_until, time.monotonic() + PATIENCE_S)
                if time.monotonic() > patient_until:
                    raise
            failures += 1
            time.sleep(max(0.0, min(delay(failures, random.random(), 0.2, 5.0), _left(deadline))))

    def _stream(self, call: Call, last_id: str, deadline: float | None) -> Iterator[Event | None]:
        """The events of one connection, None first. Ends when the hub closes it, or for a shorter reading time."""
        import httpx2

        silence = min(SILENCE_S, _left(deadline))
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx2.Timeout(self.timeout, read=silence)
        parser = EventParser()
        with (
            self._sentences(),
            self._http.stream("GET", call.path, params=dict(call.query), headers=headers, timeout=timeout) as response,
        ):
            if response.status_code != 200:
                response.read()
                self._read(response)
            yield None
            for chunk in response.iter_bytes():
                try:
                    events = parser.feed(chunk)
                except ValueError:
                    raise MotetError(f"{self.url} sends events that are not JSON", "not_a_hub") from None
                yield from events
                # The socket's time limit starts anew with every piece, so near the deadline it must be a shorter one.
                if silence > _left(deadline) + 1:
                    return

    def _document(self, call: Call) -> Document:
        document = self.send(call)
        return document if isinstance(document, dict) else {}

    def _read(self, response: "httpx2.Response") -> Any:
        return calls.answer(self.url, response.status_code, response.content, response.headers.get("Retry-After"))

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turns what goes wrong on the way into Unavailable."""
        import httpx2

        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise Unavailable(f"no hub answers at {self.url}: start one with `motet hub`", "no_hub") from error
        except httpx2.TimeoutException as error:
            raise Unavailable(f"the hub at {self.url} did not answer in time", "no_answer") from error
        except httpx2.HTTPError as error:
            raise Unavailable(f"the connection to the hub at {self.url} broke: {error}", "broken") from error


def _left(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - time.monotonic()
