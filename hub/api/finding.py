"""Tasks, workflows and jobs, wherever they are: in the store, or in the history of ended runs."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from hub.api import params
from hub.api.answers import archivist_of, runtime_of
from hub.archivist import Past
from hub.core.model import TASKS, Doc, Group, Task
from hub.runtime import Readable
from shared import states

R = TypeVar("R", Task, Group)


async def task_of(request: Request, id: str | None = None) -> tuple[Readable, Task]:
    """The task that the path names, or this one, and what it is to be read with; NotFound when there is none."""
    runtime, id = runtime_of(request), id or request.path_params["id"]
    if id not in runtime.engine.world.tasks:
        past = await archivist_of(request).find(TASKS, id)
        if past is not None:
            return past, past.engine.world.task(id)
    return runtime, runtime.engine.world.task(id)


async def group_of(request: Request, kind: str, id: str | None = None) -> tuple[Readable, Group]:
    """The same for a workflow or a job."""
    runtime, id = runtime_of(request), id or request.path_params["id"]
    if id not in runtime.engine.world.groups(f"{kind}s"):
        past = await archivist_of(request).find(f"{kind}s", id)
        if past is not None:
            return past, past.engine.world.group(kind, id)
    return runtime, runtime.engine.world.group(kind, id)


# A page: its frame, and what stands on it with what it is to be read with.
Page = tuple[dict[str, Any], list[tuple[Readable, R]]]


async def page_of_tasks(
    request: Request,
    live: Sequence[Task],
    equal: Mapping[str, Any],
    meets: Callable[[Any], bool] | None,
) -> Page[Task]:
    """Oldest first. live: those of the store that are asked for, by creation; equal, meets: see History.seqs."""
    frame, shown, docs = await _page(request, TASKS, live, False, equal, meets)
    past = Past(runtime_of(request), {})
    found = [*shown, *[await _past_task(request, past, doc) for doc in docs]]
    return frame, sorted(found, key=lambda one: one[1].doc["seq"])


async def _past_task(request: Request, bare: Past, doc: Doc) -> tuple[Readable, Task]:
    """Most tasks are read from their own document, some with others of their unit."""
    needs_others = doc.get("parts") or (doc.get("origin") or {}).get("type") == "link" or doc["state"] == states.PENDING
    return await task_of(request, doc["id"]) if needs_others else (bare, Task(doc))


async def page_of_groups(
    request: Request, table: str, live: Sequence[Group], newest_first: bool, some: tuple[int, ...] | None
) -> Page[Group]:
    """live: those of the store, by creation; some: the states that are asked for."""
    frame, shown, docs = await _page(request, table, live, newest_first, {"state": some} if some else {}, None)
    found = [*shown, *[await group_of(request, table[:-1], doc["id"]) for doc in docs]]
    return frame, sorted(found, key=lambda one: one[1].doc["seq"], reverse=newest_first)


async def _page(
    request: Request,
    table: str,
    live: Sequence[R],
    newest_first: bool,
    equal: Mapping[str, Any],
    meets: Callable[[Any], bool] | None,
) -> tuple[dict[str, Any], list[tuple[Readable, R]], list[Doc]]:
    runtime, archivist = runtime_of(request), archivist_of(request)
    offset, limit = params.page(request)
    if archivist.is_empty:
        begin, end = min(offset, len(live)), min(offset + limit, len(live))
        if newest_first:
            begin, end = len(live) - end, len(live) - begin
        count = 0
        docs: list[Doc] = []
    else:
        seqs = array("q", [record.doc["seq"] for record in live])
        count, begin, end, docs = await archivist.page(table, seqs, offset, limit, newest_first, equal, meets)
    frame = {"offset": offset, "limit": limit, "total": len(live) + count, table: None}
    return frame, [(runtime, record) for record in live[begin:end]], docs
