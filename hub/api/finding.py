"""Tasks, workflows and jobs, wherever they are: in the store, or in the history of ended runs."""

import contextlib
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
from shared.errors import NotFound

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
    bare = Past(runtime_of(request), {})
    units: list[Readable] = []
    for doc in docs:
        if not _needs_others(doc):
            shown.append((bare, Task(doc)))
            continue
        # A unit may be as large as a workflow: it is read once for all its tasks on the page.
        unit = next((one for one in units if doc["id"] in one.engine.world.tasks), None)
        with contextlib.suppress(NotFound):  # deleted since
            if unit is None:
                unit, _ = await task_of(request, doc["id"])
                units.append(unit)
            shown.append((unit, unit.engine.world.task(doc["id"])))
    return frame, sorted(shown, key=lambda one: one[1].doc["seq"])


def _needs_others(doc: Doc) -> bool:
    """Most tasks are read from their own document, some with others of their unit."""
    return bool(doc.get("parts")) or (doc.get("origin") or {}).get("type") == "link" or doc["state"] == states.PENDING


async def page_of_groups(
    request: Request, table: str, live: Sequence[Group], newest_first: bool, some: tuple[int, ...] | None
) -> Page[Group]:
    """live: those of the store, by creation; some: the states that are asked for."""
    frame, shown, docs = await _page(request, table, live, newest_first, {"state": some} if some else {}, None)
    for doc in docs:
        with contextlib.suppress(NotFound):  # deleted since
            shown.append(await group_of(request, table[:-1], doc["id"]))
    return frame, sorted(shown, key=lambda one: one[1].doc["seq"], reverse=newest_first)


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
