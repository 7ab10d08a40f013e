"""/events: what changes, live, as Server-Sent Events (WHATWG HTML, "Server-sent events")."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hub.api.answers import runtime_of
from hub.api.views import group_view, proplet_view, task_view
from hub.core.model import JOBS, PROPLETS, TASKS, WORKFLOWS, Doc, Put
from hub.runtime import Runtime
from shared import states
from shared.errors import BadRequest, TooMany

# Changes that a stream which comes back can still be told.
KEPT = 1000
# A reader this many changes behind is let go; it comes back with Last-Event-ID.
BEHIND = 1000
READERS = 200
PING_S = 15.0
_SHOWN = (TASKS, WORKFLOWS, JOBS, PROPLETS)


@dataclass(frozen=True, slots=True)
class Change:
    number: int
    table: str
    id: str
    doc: Doc


# None ends its stream.
Queue = asyncio.Queue["Change | None"]


class Feed:
    """Hands every durable change to all who listen."""

    def __init__(self) -> None:
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._number = 0
        self._readers: set[Queue] = set()

    def publish(self, put: Put) -> None:
        if put.doc is None or put.table not in _SHOWN:
            return
        self._number += 1
        change = Change(self._number, put.table, put.id, put.doc)
        self._kept.append(change)
        for queue in list(self._readers):
            if queue.qsize() < BEHIND:
                queue.put_nowait(change)
            else:
                self._readers.discard(queue)
                queue.put_nowait(None)

    def join(self, after: int | None) -> Queue:
        """A queue of what changes from now on, and before that what is still kept after a number."""
        if len(self._readers) >= READERS:
            raise TooMany(f"{READERS} streams are open already: close one", "too_many_streams")
        queue: Queue = asyncio.Queue()
        if after is not None:
            for change in self._kept:
                if change.number > after:
                    queue.put_nowait(change)
        self._readers.add(queue)
        return queue

    def leave(self, queue: Queue) -> None:
        self._readers.discard(queue)

    def close(self) -> None:
        """Ends every stream, so that an open one does not keep the hub from stopping."""
        for queue in self._readers:
            queue.put_nowait(None)
        self._readers.clear()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stream was asked for: a kind and an id, or everything."""

    kind: str = ""
    id: str = ""

    def holds(self, change: Change) -> bool:
        """Whether the change belongs to what was asked for."""
        if not self.kind:
            return True
        if change.table == TASKS:
            return (change.id if self.kind == "task" else change.doc.get(f"{self.kind}_id")) == self.id
        return change.table == f"{self.kind}s" and change.id == self.id

    def ends(self, change: Change) -> bool:
        """Whether the change is the end of what was asked for."""
        return change.table == f"{self.kind}s" and change.id == self.id and change.doc.get("state") in states.ENDED

    def current(self, runtime: Runtime) -> Change | None:
        """What was asked for as it stands, NotFound when there is none; None for everything."""
        if not self.kind:
            return None
        world = runtime.engine.world
        record = world.task(self.id) if self.kind == "task" else world.group(self.kind, self.id)
        return Change(0, record.table, record.id, record.doc)


async def stream(request: Request) -> Response:
    """?task_id= | workflow_id= | job_id= names what to follow, to its `done`; without, everything, for ever."""
    runtime = runtime_of(request)
    named = [Scope(kind, request.query_params[f"{kind}_id"]) for kind in ("task", "workflow", "job")
             if f"{kind}_id" in request.query_params]  # fmt: skip
    if len(named) > 1:
        raise BadRequest("follow one thing: task_id, workflow_id or job_id", "bad_query")
    return _streaming(request, named[0] if named else Scope(), runtime)


async def task_events(request: Request) -> Response:
    return _streaming(request, Scope("task", request.path_params["id"]), runtime_of(request))


async def workflow_events(request: Request) -> Response:
    return _streaming(request, Scope("workflow", request.path_params["id"]), runtime_of(request))


def _streaming(request: Request, scope: Scope, runtime: Runtime) -> Response:
    current = scope.current(runtime)
    last = request.headers.get("last-event-id", "")
    feed: Feed = request.app.state.feed
    queue = feed.join(int(last) if last.isascii() and last.isdigit() and len(last) < 16 else None)
    if current is not None and queue.empty() and scope.ends(current):
        # It has ended already: nothing that comes would say so.
        queue.put_nowait(current)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(feed, queue, scope, runtime), headers=headers, media_type="text/event-stream")


async def _lines(feed: Feed, queue: Queue, scope: Scope, runtime: Runtime) -> AsyncIterator[bytes]:
    try:
        yield b": motet\n\n"
        while True:
            try:
                change = await asyncio.wait_for(queue.get(), PING_S)
            except TimeoutError:
                yield b": ping\n\n"
                continue
            if change is None:
                return
            if not scope.holds(change):
                continue
            data = msgspec.json.encode(_view(runtime, change))
            if change.number:
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (change.number, change.table[:-1].encode(), data)
            if scope.ends(change):
                yield b"event: done\ndata: %b\n\n" % data
                return
    finally:
        feed.leave(queue)


def _view(runtime: Runtime, change: Change) -> Doc:
    """The changed document as the other routes print it, with its status in words."""
    world = runtime.engine.world
    if change.table == TASKS:
        view = task_view(runtime, change.doc)
    elif change.table == PROPLETS:
        proplet = world.proplets.get(change.id)
        return proplet_view(proplet) if proplet else {"id": change.id}
    else:
        group = (world.jobs if change.table == JOBS else world.workflows).get(change.id)
        view = group_view(runtime, group, tasks=False) if group else {"id": change.id, "state": states.PENDING}
    return {**view, "status": states.WORDS[view["state"]]}
