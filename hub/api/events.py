"""/events: what changes, live, as Server-Sent Events (WHATWG HTML, "Server-sent events").

An event is `task`, `workflow`, `job` or `proplet` with the changed document and its `status` in words, or `deleted`.
`log` and `publish` are what a task says meanwhile: they are no changes, have no id and are never told again. `done` is
the end of what was asked for. `resync` comes first where the hub cannot tell all that happened since the reader's
Last-Event-ID: read the state anew.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Send
from starlette.types import Scope as Connection

from hub.api.answers import archivist_of, runtime_of
from hub.api.finding import group_of, task_of
from hub.api.views import group_view, proplet_view, said_view, task_view
from hub.archivist import Archivist
from hub.core.model import JOBS, PROPLETS, TASKS, WORKFLOWS, Doc, Group, Put, Task
from hub.runtime import Readable, Runtime
from hub.telemetry import PUBLISH
from shared import states
from shared.errors import BadRequest, TooMany, Unavailable

log = logging.getLogger("motet.api")

# Changes that a stream which comes back can still be told.
KEPT = 1000
# A reader this many changes behind is let go; it comes back with Last-Event-ID. One that comes back begins KEPT behind.
BEHIND = 2 * KEPT
READERS = 200
PING_S = 15.0
# A reader that takes no byte for so long is let go.
STALL_S = 30.0
_SHOWN = (TASKS, WORKFLOWS, JOBS, PROPLETS)
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
# An id is the number of the hub's start times this, plus the number of the change since: it grows across restarts, and
# tells an id of another start, which says nothing of what this one keeps.
_START = 10**12


@dataclass(frozen=True, slots=True)
class Change:
    """One document as it became; None when it was deleted. number counts from 1 since the hub's start."""

    number: int
    table: str
    id: str
    doc: Doc | None


@dataclass(frozen=True, slots=True)
class Said:
    """What a task has said: the event's name, and its data."""

    event: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Scope:
    """What a stream was asked for: a kind and an id, or everything."""

    kind: str = ""
    id: str = ""

    def holds(self, change: Change) -> bool:
        """Whether the change belongs to what was asked for."""
        if not self.kind or self._is_itself(change):
            return True
        return change.table == TASKS and change.doc is not None and change.doc.get(f"{self.kind}_id") == self.id

    def ends(self, change: Change) -> bool:
        """Whether the change is the end of what was asked for."""
        gone = change.doc is None or change.doc.get("state") in states.ENDED
        return gone and self._is_itself(change)

    def hears(self, event: str, task: Task) -> bool:
        """Whether it is told what this task says. Who follows everything hears messages, and not every line."""
        if not self.kind:
            return event == PUBLISH
        return self.id == (task.id if self.kind == "task" else task.doc.get(f"{self.kind}_id"))

    def _is_itself(self, change: Change) -> bool:
        return change.table == f"{self.kind}s" and change.id == self.id


class Reader:
    """What one stream is still to be told. None in its queue ends it."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.queue: asyncio.Queue[Change | Said | None] = asyncio.Queue()
        # The end of what it asked for is in the queue, or was.
        self.ended = False

    def tell(self, change: Change) -> None:
        self.ended = self.ended or self.scope.ends(change)
        self.queue.put_nowait(change)


class Feed:
    """Hands every durable change to all who listen."""

    def __init__(self) -> None:
        self.number = 0
        self._kept: deque[Change] = deque(maxlen=KEPT)
        self._readers: dict[Reader, None] = {}
        self._closed = False

    def publish(self, put: Put) -> None:
        if put.table not in _SHOWN:
            return
        self.number += 1
        change = Change(self.number, put.table, put.id, put.doc)
        self._kept.append(change)
        # Only what a reader asked for is queued: a busy hub must not push out who follows one quiet task.
        for reader in [one for one in self._readers if one.scope.holds(change)]:
            if reader.queue.qsize() < BEHIND:
                reader.tell(change)
            else:
                self._let_go(reader)

    def say(self, event: str, task: Task, said: Doc) -> None:
        """Tells what a task says to those who follow it; who is far behind misses it, and no change for it."""
        readers = [one for one in self._readers if one.scope.hears(event, task) and one.queue.qsize() < KEPT]
        if readers:
            told = Said(event, msgspec.json.encode(said_view(said)))
            for reader in readers:
                reader.queue.put_nowait(told)

    def since(self, number: int) -> list[Change] | None:
        """Every change after that number; None when they are not all kept."""
        if not self.number - len(self._kept) <= number <= self.number:
            return None
        return [change for change in self._kept if change.number > number]

    def join(self, scope: Scope, first: Iterable[Change] = ()) -> Reader:
        """A reader of these changes, and then of what changes from now on.

        TooMany when READERS have joined, Unavailable when the feed is closed.
        """
        if self._closed:
            raise Unavailable("the hub is stopping: come back when it has started again", "stopping")
        if len(self._readers) >= READERS:
            raise TooMany(f"{READERS} streams are open already: close one", "too_many_streams")
        reader = Reader(scope)
        for change in first:
            reader.tell(change)
        self._readers[reader] = None
        return reader

    @property
    def readers(self) -> int:
        return len(self._readers)

    def leave(self, reader: Reader) -> None:
        self._readers.pop(reader, None)

    def close(self) -> None:
        """Ends every stream, so that an open one does not keep the hub from stopping."""
        self._closed = True
        for reader in list(self._readers):
            self._let_go(reader)

    def _let_go(self, reader: Reader) -> None:
        self.leave(reader)
        reader.queue.put_nowait(None)


async def stream(request: Request) -> Response:
    """?task_id= | workflow_id= | job_id= names what to follow, to its `done`; without, everything, for ever."""
    named = [Scope(kind, request.query_params[f"{kind}_id"]) for kind in ("task", "workflow", "job")
             if f"{kind}_id" in request.query_params]  # fmt: skip
    if len(named) > 1:
        raise BadRequest("follow one thing: task_id, workflow_id or job_id", "bad_query")
    return await _streaming(request, named[0] if named else Scope())


async def task_events(request: Request) -> Response:
    return await _streaming(request, Scope("task", request.path_params["id"]))


async def workflow_events(request: Request) -> Response:
    return await _streaming(request, Scope("workflow", request.path_params["id"]))


async def _current(request: Request, scope: Scope) -> Change | None:
    """What was asked for as it stands, NotFound when there is none; None for everything."""
    if not scope.kind:
        return None
    record: Task | Group
    if scope.kind == "task":
        _, record = await task_of(request, scope.id)
    else:
        _, record = await group_of(request, scope.kind, scope.id)
    return Change(0, record.table, record.id, record.doc)


async def _streaming(request: Request, scope: Scope) -> Response:
    runtime = runtime_of(request)
    feed: Feed = request.app.state.feed
    current = await _current(request, scope)
    if request.method == "HEAD":
        return Response(headers=_HEADERS, media_type="text/event-stream")
    last = request.headers.get("last-event-id", "")
    since = _since(feed, last, runtime.epoch) if last else []
    resync = b"" if since is not None else _resync(_id(runtime.epoch, feed.number), last)
    reader = feed.join(scope, [change for change in since or () if scope.holds(change)])
    return _Stream(feed, reader, _lines(reader, runtime, archivist_of(request), current, resync))


def _id(epoch: int, number: int) -> int:
    return epoch * _START + number


def _since(feed: Feed, last_event_id: str, epoch: int) -> list[Change] | None:
    """What a reader has missed; None when the hub cannot say, as after its restart, or when the id is none of ours."""
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 20):
        return None
    start, number = divmod(int(last_event_id), _START)
    return feed.since(number) if start == epoch else None


def _resync(id: int, last_event_id: str) -> bytes:
    why = f"not all that changed after {last_event_id[:40]!r} can be told: read the state anew"
    return b"id: %d\nevent: resync\ndata: %b\n\n" % (id, msgspec.json.encode({"reason": why}))


class _Stream(StreamingResponse):
    """Leaves the feed however it ends, and gives up on a reader that has stopped reading."""

    def __init__(self, feed: Feed, reader: Reader, lines: AsyncIterator[bytes]) -> None:
        super().__init__(lines, headers=_HEADERS, media_type="text/event-stream")
        self._feed = feed
        self._reader = reader

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        async def patient_send(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        try:
            await super().__call__(scope, receive, patient_send)
        except TimeoutError:
            log.warning("a reader of events has taken nothing for %d s and is let go", STALL_S)
        finally:
            self._feed.leave(self._reader)


async def _lines(
    reader: Reader, runtime: Runtime, archivist: Archivist, current: Change | None, resync: bytes
) -> AsyncIterator[bytes]:
    yield b": motet\n\n" + resync
    # Memory is ahead of the disk: what it says has ended is told once it is durable, then by its own change.
    if (
        current is not None
        and not reader.ended
        and reader.scope.ends(current)
        and runtime.is_durable(current.table, current.id)
    ):
        reader.tell(current)
    while True:
        try:
            async with asyncio.timeout(PING_S):
                change = await reader.queue.get()
        except TimeoutError:
            yield b": ping\n\n"
            continue
        if change is None:
            return
        if isinstance(change, Said):
            yield b"event: %b\ndata: %b\n\n" % (change.event.encode(), change.data)
            continue
        data = msgspec.json.encode(_view(await _readable(runtime, archivist, change), change))
        if change.number:
            event = change.table[:-1] if change.doc is not None else "deleted"
            yield b"id: %d\nevent: %b\ndata: %b\n\n" % (_id(runtime.epoch, change.number), event.encode(), data)
        if reader.scope.ends(change):
            yield b"event: done\ndata: %b\n\n" % data
            return


async def _readable(runtime: Runtime, archivist: Archivist, change: Change) -> Readable:
    """What has ended may be in the history by the time it is told."""
    world = runtime.engine.world
    if change.doc is None or change.table == PROPLETS:
        return runtime
    if change.id in (world.tasks if change.table == TASKS else world.groups(change.table)):
        return runtime
    return await archivist.find(change.table, change.id) or runtime


def _view(runtime: Readable, change: Change) -> Doc:
    """The changed document as the other routes print it, with its status in words."""
    world, doc = runtime.engine.world, change.doc
    if doc is None:
        return {"kind": change.table[:-1], "id": change.id, "status": "deleted"}
    if change.table == PROPLETS:
        proplet = world.proplets.get(change.id)
        return proplet_view(proplet) if proplet else {"id": change.id}
    state = doc.get("state", states.PENDING)
    if change.table == TASKS:
        view = task_view(runtime, doc)
    else:
        group = (world.jobs if change.table == JOBS else world.workflows).get(change.id)
        # A group's state is counted from its tasks as they are by now; a replay tells what it was.
        now = group_view(runtime, group, tasks=False) if group else {"id": change.id}
        view = {**now, "state": state, "state_name": states.NAMES[state]}
    return {**view, "status": states.WORDS[state]}
