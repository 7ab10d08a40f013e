"""Checks of what a hub keeps. They only read: the hub may run meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path

from hub.check.finding import Finding, failure, ok, warning
from hub.core.checks import violations
from hub.core.engine import Engine
from hub.core.load import take_in
from hub.core.model import MODULES, TASKS, Now, Policy
from hub.core.world import World
from hub.store import blobs
from hub.store.backup import forms_of
from hub.store.disk import StoreFailed
from hub.store.history import History, hidden_in
from hub.store.moment import look
from hub.store.records import Tables
from hub.store.recovery import StoreDamaged
from hub.store.sqlite import HistoryDamaged
from shared.errors import Damaged, NotFound

# Of several things that are wrong, so many are named.
NAMED = 3
# The clock may be so far behind the newest document before it is said to be set back.
BEHIND_S = 60.0


def check_store(data: Path) -> Iterator[Finding]:
    """Journal and snapshot, the documents among themselves, and every module's bytes."""
    try:
        with look(data / "store") as (tables, lsn, history):
            yield ok("store", f"{sum(map(len, tables.values()))} documents up to change {lsn} in {data / 'store'}")
            yield _documents(tables)
            yield _history(history, tables)
    except NotFound:
        yield ok("store", f"none yet in {data}: the first start of a hub makes it")
        return
    except (StoreDamaged, HistoryDamaged, StoreFailed) as damage:
        what, _, remedy = damage.message.partition(": ")
        yield failure("store" if isinstance(damage, StoreDamaged) else "history", what, remedy)
        return
    except OSError as error:
        remedy = "run the check as the user that the hub runs as"
        yield failure("store", f"{data / 'store'} cannot be read: {error.strerror}", remedy)
        return
    yield _modules(data / "blobs", tables)
    yield from _times(tables)


def _documents(tables: Tables) -> Finding:
    remedy = "restore a backup; if there is none, report this with the output of motet export"
    engine = Engine()
    try:
        engine.load(Now(0.0, time.time()), tables)
        wrong = violations(engine)
    except Exception as error:  # whatever it is, these documents are no state that the engine has left
        return failure("documents", f"they cannot be taken up: {type(error).__name__} {error}", remedy)
    modules = tables.get(MODULES, {})
    wrong += [
        f"task {task['id']} refers to module {task['module']}, which is unknown"
        for task in tables.get(TASKS, {}).values()
        if task.get("module") and task["module"] not in modules
    ]
    if wrong:
        return failure("documents", _some(wrong), remedy)
    world = engine.world
    groups = f"{len(world.workflows)} workflows, {len(world.jobs)} jobs, {len(world.proplets)} proplets"
    return ok("documents", f"{len(world.tasks)} tasks, {groups} agree with each other")


def _history(history: History | None, tables: Tables) -> Finding:
    """Its file, and each unit: whether the API could read it and bring it back."""
    if history is None:
        return ok("history", "none yet: nothing that has ended has left the store")
    wrong = history.faults()
    modules = tables.get(MODULES, {})
    for number, unit in history.units(hidden_in(tables)):
        try:
            tasks = take_in(World(Policy()), unit)
        except Exception as error:  # whatever it is, these documents are no unit that has left the store
            wrong.append(f"unit {number} cannot be taken up: {type(error).__name__} {error}")
            continue
        wrong += [f"task {task.id} is in the store as well" for task in tasks if task.id in tables.get(TASKS, {})]
        lost = (task for task in tasks if task.doc.get("module") and task.doc["module"] not in modules)
        wrong += [f"task {task.id} refers to module {task.doc['module']}, which is unknown" for task in lost]
    if wrong:
        remedy = "restore a backup; what cannot be read can be neither shown nor started again, all else works"
        return failure("history", _some(wrong), remedy)
    counts = f"{history.tasks} tasks, {history.workflows} workflows, {history.jobs} jobs that have ended"
    return ok("history", f"{counts}, {history.size_bytes} bytes")


def _modules(directory: Path, tables: Tables) -> Finding:
    wrong, size = [], 0
    for sha in forms_of(tables):
        try:
            size += len(blobs.look(directory, sha))
        except NotFound:
            wrong.append(f"{sha} is missing")
        except Damaged as damage:
            wrong.append(damage.message.partition(": ")[0])
    if wrong:
        return failure("modules", _some(wrong), "upload these modules again, or restore a backup")
    return ok("modules", f"{len(tables.get(MODULES, {}))} modules, {size} bytes, each with its checksum")


def _times(tables: Tables) -> Iterator[Finding]:
    """Times in the future: the clock was ahead then, or is behind now."""
    newest = max((task.get("updated_at") or 0.0 for task in tables.get(TASKS, {}).values()), default=0.0)
    ahead = newest - time.time()
    if ahead > BEHIND_S:
        found = f"the newest task was changed {ahead:.0f} s in the future"
        yield warning("times", found, "set the clock (timedatectl set-ntp true): schedules wait until that time")


def _some(sentences: list[str]) -> str:
    more = f"; and {len(sentences) - NAMED} more" if len(sentences) > NAMED else ""
    return "; ".join(sentences[:NAMED]) + more
