"""Retention: ended runs leave the store for the history, and come back when somebody needs them again.

What moves is a unit: a task with all that depends on it or that it depends on, with its group, its tree by parent_id,
its parts, links and firings. It moves when none of it can change by itself any more.

    retire    chooses units and marks their numbers: a copy of them in the history does not count yet
    retired   their copies are on the disk: what has not changed meanwhile leaves the store, in the record that takes
              the mark away
    recall    brings a unit back, in one record with a mark on its copy, which does not count from then on
    discard   marks what leaves the history for good
    settled   the copies that were marked are gone from the disk

So at every moment, and after a crash at any, a unit is in the store or in the history and counts once.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from hub.core import removal
from hub.core.commands import (
    AttachModule,
    Command,
    CreateJob,
    CreateTask,
    CreateWorkflow,
    Delete,
    Discard,
    Duplicate,
    Recall,
    Result,
    Retire,
    Retired,
    Retry,
    Settled,
    Start,
    Stop,
    UpdateTask,
)
from hub.core.ended import Unit, ended_at
from hub.core.load import take_in
from hub.core.model import ATTEMPTS, JOBS, LAST, META, MOVES, TASKS, WORKFLOWS, Doc, Group, Task
from hub.core.schedules import note_firings
from hub.core.world import World, old_attempts
from shared import states

R = TypeVar("R", Task, Group)

# Of what may have ended, so many are looked at in a turn.
LOOKS = 1000


def retire(world: World, command: Retire) -> tuple[list[Unit], bool]:
    """Units of so many tasks or a few more, the longest ended first, and whether it is worth asking again.

    While the units of the turn before are on their way, these again.
    """
    ended = world.ended
    if ended.moving:
        return ended.moving, True
    ended.note_recent(world.tasks)
    units: list[Unit] = []
    chosen: set[str] = set()
    looks = 0
    while len(chosen) < command.tasks and looks < LOOKS and ended.order and _is_due(world, len(chosen)):
        looks += 1
        record = next(iter(ended.order))
        ended.leave(record)
        tasks = _unit(world, record, chosen)
        if tasks:
            groups = list(dict.fromkeys(task.group for task in tasks if task.group is not None))
            for group in groups:
                # By it the history lists them: a task that was deleted may have changed it.
                if group.doc.get("state") != group.state:
                    world.write(group, {"state": group.state})
            units.append(Unit(world.next_seq(), tasks, groups))
            chosen.update(task.id for task in tasks)
    if units:
        ended.moving = units
        _hide(world, units[0].number, units[-1].number)
        world.keep_doc(META, {"id": LAST, "seq": world.last_seq})
    return units, bool(units) or looks >= LOOKS


def next_due(world: World) -> float | None:
    """Wall second at which the age of what has ended asks for a Retire; None while nothing has."""
    ended = world.ended
    if ended.order:
        return next(iter(ended.order.values())) + world.policy.keep_s
    return ended_at(ended.recent[0]) + world.policy.keep_s if ended.recent else None


def _is_due(world: World, chosen: int) -> bool:
    policy = world.policy
    if world.counts.ended - chosen > policy.keep_tasks or world.ended.bytes > policy.keep_bytes:
        return True
    due = next_due(world)
    return due is not None and due <= world.now.wall


def retired(world: World, command: Retired) -> list[int]:
    """The numbers of units that have changed since: they stay, and their copies are to go."""
    ended = world.ended
    units, ended.moving = ended.moving, []
    _show(world, units[0].number)
    stale = []
    for unit in units:
        if _has_changed(world, unit):
            stale.append(unit.number)
            _hide(world, unit.number, unit.number)
            ended.recent.extend(task for task in unit.tasks if world.tasks.get(task.id) is task)
        else:
            _take_out(world, unit)
    return stale


def _has_changed(world: World, unit: Unit) -> bool:
    """A document is replaced at a change, so that the same one is an unchanged one."""
    if any(record.doc is not doc for record, doc in zip(unit.records, unit.docs, strict=True)):
        return True
    if any(world.tasks.get(task.id) is not task for task in unit.tasks):
        return True
    return _unit(world, unit.tasks[0], ()) != unit.tasks


def _take_out(world: World, unit: Unit) -> None:
    for task in unit.tasks:
        removal.let_go(world, task)
        world.forget_quietly(TASKS, task.id)
        for id in old_attempts(task):
            world.forget_quietly(ATTEMPTS, id)
        if task.doc.get("module"):
            # It still needs its module: as many refer to that as before.
            world.ended.modules[task.doc["module"]] += 1
    for group in unit.groups:
        del world.groups(group.table)[group.id]
        world.forget_quietly(group.table, group.id)


def recall(world: World, command: Recall) -> bool:
    """Whether the unit came back: not when it is back already, or gone for good."""
    if world.ended.hides(command.unit):
        return False
    held = {key: world.dedup[key] for doc in command.tables.get(TASKS, {}).values()
            if (key := doc.get("dedup_key")) in world.dedup}  # fmt: skip
    tasks = take_in(world, command.tables)
    # A task with the same dedup_key that came later is still the one to ask.
    world.dedup.update(held)
    _in_order(world, tasks)
    for table, docs in command.tables.items():
        for doc in docs.values():
            world.keep_quietly(table, doc)
    for task in tasks:
        if task.doc.get("module"):
            world.ended.modules[task.doc["module"]] -= 1
            world.modules.release(task.doc["module"], world.now.mono)
    note_firings(world, tasks)
    for task in tasks:
        world.ended.note(task, world.now.wall)
    _hide(world, command.unit, command.unit)
    return True


def _in_order(world: World, tasks: list[Task]) -> None:
    """Puts tasks that came back, and their groups, where their creation has them in what is listed."""
    _move_back(world.tasks, tasks)
    for table in (WORKFLOWS, JOBS):
        _move_back(world.groups(table), [task.group for task in tasks if task.group and task.group.table == table])


def _move_back(records: dict[str, R], came: list[R]) -> None:
    if came:
        first = min(record.doc["seq"] for record in came)
        later = [record for record in records.values() if record.doc["seq"] >= first]
        for record in sorted(later, key=lambda record: record.doc["seq"]):
            records[record.id] = records.pop(record.id)


def discard(world: World, command: Discard) -> list[int]:
    """The numbers of the units that go: not those that are back in the store or gone already."""
    gone = []
    for unit in command.units:
        if world.ended.hides(unit.number):
            continue
        _hide(world, unit.number, unit.number)
        for module in unit.modules:
            world.ended.modules[module] -= 1
            world.modules.release(module, world.now.mono)
        for id, attempt in unit.attempts:
            removal.remember_number(world, id, attempt)
        gone.append(unit.number)
    return gone


def settled(world: World, command: Settled) -> None:
    for first in command.units:
        _show(world, first)


def _hide(world: World, first: int, last: int) -> None:
    world.ended.hidden[first] = last
    world.keep_doc(MOVES, {"id": str(first), "seq": last})


def _show(world: World, first: int) -> None:
    if world.ended.hidden.pop(first, None) is not None:
        world.forget(MOVES, str(first))


def take_up(world: World) -> None:
    """After a start of the hub: all that has ended, in the order of its end."""
    over = [task for task in world.tasks.values() if is_over(task)]
    for task in sorted(over, key=lambda task: (ended_at(task), task.doc["seq"])):
        world.ended.note(task, ended_at(task))


# --- what a command is about


def missing(world: World, command: Command) -> dict[str, list[str]]:
    """By table, the ids that a command names and that are not in the store: perhaps they are in the history."""
    named = _NAMED.get(type(command))
    if named is None:
        return {}
    found: dict[str, list[str]] = {}
    for table, id in named(world, command):
        if id and id not in (world.tasks if table == TASKS else world.groups(table)):
            found.setdefault(table, []).append(id)
    return found


Names = Iterator[tuple[str, str | None]]


def _of_fields(fields: Doc) -> Names:
    yield TASKS, fields.get("id")
    yield TASKS, fields.get("parent_id")
    yield WORKFLOWS, fields.get("workflow_id")
    yield from ((TASKS, id) for id in fields.get("depends_on") or ())


def _of_create_task(world: World, command: CreateTask) -> Names:
    yield from _of_fields(command.spec)
    yield from _of_request(world, command.request)


def _of_create_group(world: World, command: CreateWorkflow | CreateJob) -> Names:
    yield WORKFLOWS if isinstance(command, CreateWorkflow) else JOBS, command.id
    # What its tasks depend on are tasks of its own.
    yield from ((TASKS, spec.get(key)) for spec in command.specs for key in ("id", "parent_id"))
    yield from _of_request(world, command.request)


def _of_request(world: World, request: tuple[str, str] | None) -> Names:
    """What the same request made before."""
    known = None if request is None else world.requests.get(request[0])
    if known is not None:
        yield f"{known['kind']}s", known["made"]


def _of_update(world: World, command: UpdateTask) -> Names:
    yield TASKS, command.id
    yield from _of_fields(command.fields)


def _of_kind(world: World, command: Start | Stop | Retry | Duplicate | Delete) -> Names:
    if command.kind in ("task", "workflow", "job"):
        yield f"{command.kind}s", command.id


_NAMED: dict[type, Callable[[World, Any], Names]] = {
    CreateTask: _of_create_task,
    CreateWorkflow: _of_create_group,
    CreateJob: _of_create_group,
    UpdateTask: _of_update,
    AttachModule: lambda world, command: iter([(TASKS, command.id)]),
    Result: lambda world, command: iter([(TASKS, command.task)]),
    **dict.fromkeys((Start, Stop, Retry, Duplicate, Delete), _of_kind),
}


# --- what stays together


def _unit(world: World, record: Task | Group, without: set[str] | tuple[()]) -> list[Task] | None:
    """All tasks of the unit, by creation; None when it is not over, or has one of those in it."""
    if isinstance(record, Group):
        if record.active or world.groups(record.table).get(record.id) is not record or not record.tasks:
            return None
        first = next(reversed(record.tasks.values()))
    else:
        first = record
    if world.tasks.get(first.id) is not first:
        return None
    found = {first.id: first}
    todo = [first]
    groups: set[Group] = set()
    while todo:
        task = todo.pop()
        if task.id in without or not is_over(task):
            return None
        for near in _near(world, task, groups):
            if near.id not in found:
                found[near.id] = near
                todo.append(near)
    return sorted(found.values(), key=lambda task: task.doc["seq"])


def _near(world: World, task: Task, groups: set[Group]) -> Iterator[Task]:
    """What must not be parted from a task; a group's members once."""
    yield from task.children.values()
    yield from task.links.values()
    yield from task.gates
    yield from world.below.get(task.id, {}).values()
    if task.source is not None:
        yield task.source
    if task.group is not None and task.group not in groups:
        groups.add(task.group)
        yield from task.group.tasks.values()
    doc = task.doc
    above = doc["origin"]["id"] if task.is_part else None
    ids = (doc.get("parent_id"), above, *(doc.get("parts") or ()), *world.firings.get(task.id, ()))
    yield from (world.tasks[id] for id in ids if id in world.tasks)


def is_over(task: Task) -> bool:
    """Whether nothing happens to it any more, unless somebody wants it to, or something that it waits for does."""
    if task.under_way:
        return False
    if task.state in states.ENDED or task.doc.get("archived"):
        return True
    if task.is_template:
        # One that has had its day. One that has not run yet is somebody's to enable.
        doc = task.doc
        return doc.get("enabled") is False and doc.get("next_run") is None and bool(doc.get("run_count"))
    # Pending behind what was interrupted, or in a group that has ended without it.
    return task.waiting > 0 or (task.group is not None and task.group.state in states.ENDED)
