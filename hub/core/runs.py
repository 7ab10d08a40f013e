"""Runs, copies and reuse: retry from what failed, copy, link and archive tasks with their trees and workflows."""

from typing import Any

from hub.core import flow
from hub.core.commands import Duplicate, Retry
from hub.core.graph import link, rank
from hub.core.model import REPORTED, WORKFLOWS, Doc, Group, Task
from hub.core.schedules import derived_id
from hub.core.world import World
from shared import states
from shared.errors import Conflict, NotFound

COPY, LINK, ARCHIVE = "copy", "link", "archive"

# What belongs to a run or to one task's life, and so not to a copy's definition.
_OF_A_RUN = frozenset(REPORTED).union(
    """
    seq state created_at updated_at start_time finish_time results error error_info attempt attempts queued_at
    dispatched_at retry_at failures losses stopping stop_message stop_code proplet_id bound_to parts runs cached
    cache_key progress progress_message next_run last_run last_firing run_count anchor missed last_missed queued_slot
    queued_in decided_at corrections given_up archived origin scheduled_for workflow_id job_id after dedup_key
    idempotency_key
    """.split()
)
# What an archive keeps of the run beside the definition.
_SHOWN = (*REPORTED, "state", "start_time", "finish_time", "results", "error", "error_info", "attempt", "attempts",
          "queued_at", "dispatched_at", "progress", "proplet_id", "cached")  # fmt: skip


# --- retry


def retry(world: World, command: Retry) -> None:
    """Runs again what failed and what lies behind it, never an upstream success."""
    if command.kind == "task":
        scope = flow.with_descendants(world.task(command.id))
        group = None
    else:
        group = world.group(command.kind, command.id)
        if group.active:
            raise Conflict(f"{command.kind} {group.id} runs: wait for its end, or stop it", "already_running")
        scope = list(group.tasks.values())
    again = _again(scope, command, group)
    for task in again:
        flow.check_startable(task)
    flow.reset(world, again)
    if group is not None:
        flow.begin_group(world, group)
    flow.decide_ready(world, again)


def _again(scope: list[Task], command: Retry, group: Group | None) -> list[Task]:
    inside = {task.id: task for task in scope}
    if command.start_from == "all":
        return scope
    if command.start_from == "failed":
        roots = [task for task in scope if task.state == states.FAILED]
        if not roots:
            raise Conflict(f"nothing of {command.kind} {command.id} has failed", "nothing_failed")
        if group is not None and group.fail_fast:
            # What the failure kept from starting lies behind it as well.
            roots += [task for task in scope if task.state == states.SKIPPED]
    elif command.start_from in inside:
        roots = [inside[command.start_from]]
    else:
        raise NotFound(f"{command.kind} {command.id} has no task {command.start_from}", "unknown_task")
    found: dict[str, Task] = {}
    for root in roots:
        if root.id not in found:
            found.update((task.id, task) for task in flow.with_descendants(root))
    return list(found.values())


# --- copy, link, archive


def duplicate(world: World, command: Duplicate) -> Task | Group:
    """The new task or workflow; the source is left as it is, to the byte."""
    if command.kind == "task":
        source = world.task(command.id)
        group, members = None, _tree(world, source, command)
    else:
        old = world.group("workflow", command.id)
        members = list(old.tasks.values())
        group = _new_group(world, old, command)
    links = set(command.link)
    unknown = links - {task.id for task in members}
    if unknown:
        raise NotFound(f"task {min(unknown)} is not among those copied", "unknown_task")
    modes = {task.id: LINK if command.mode == LINK or task.id in links else command.mode for task in members}
    for task in members:
        _check_source(task, modes[task.id], command.user_id)
    if group is not None:
        world.workflows[group.id] = group
        world.keep(group)
    made = _make(world, members, modes, command, group)
    return group if group is not None else made[command.id]


def _tree(world: World, root: Task, command: Duplicate) -> list[Task]:
    """The task, with the tree below it by parent_id, and what they depend on, each once, parents first."""
    found = {root.id: root}
    todo = [root]
    while todo:
        task = todo.pop()
        near = list(world.below.get(task.id, {}).values()) if command.children else []
        near += _dependencies(task) if command.dependencies else []
        for other in near:
            if other.id not in found and not other.is_part:
                found[other.id] = other
                todo.append(other)
    return sorted(found.values(), key=lambda task: task.doc["seq"])


def _dependencies(task: Task) -> list[Task]:
    """What it depends on in the graph; a part only borrows the dependencies of its task, for their values."""
    return [] if task.is_part else task.parents


def _check_source(task: Task, mode: str, user_id: str | None) -> None:
    if mode == LINK and task.state != states.COMPLETED:
        raise Conflict(
            f"task {task.id} is {states.NAMES[task.state]}: only a Completed task is linked", "not_completed"
        )
    if mode == LINK and user_id is not None and task.doc.get("user_id") != user_id:
        raise Conflict(f"task {task.id} belongs to another user", "user_mismatch")
    if mode == ARCHIVE and task.under_way:
        raise Conflict(f"task {task.id} runs: archive it when it has ended", "task_runs")


_OF_A_GROUP = ("fail_fast", "max_parallel", "timeout", "user_id", "metadata")


def _new_group(world: World, old: Group, command: Duplicate) -> Group:
    kept: Doc = {key: old.doc[key] for key in _OF_A_GROUP if key in old.doc}
    origin = {"type": command.mode, "id": old.id}
    name = command.overrides.get("name", old.doc["name"])
    doc: Doc = {"id": command.fresh_id, "name": name, **kept, "origin": origin}
    if command.mode == ARCHIVE:
        doc["archived"] = True
    return Group(WORKFLOWS, {**doc, "seq": world.next_seq(), "created_at": world.now.wall})


def _make(
    world: World, members: list[Task], modes: dict[str, str], command: Duplicate, group: Group | None
) -> dict[str, Task]:
    """The new tasks by the id of their source; dependencies and parents among them are remapped."""
    ids = {task.id: command.fresh_id if task.id == command.id else derived_id(command.fresh_id, task.id)
           for task in members}  # fmt: skip
    world.check_room(sum(mode == COPY for mode in modes.values()))
    made: dict[str, Task] = {}
    for task in members:
        definition = _definition(task, modes[task.id], command, ids)
        if group is not None:
            definition["workflow_id"] = group.id
        state = states.PENDING if modes[task.id] == COPY else task.state
        made[task.id] = world.admit(definition, group, state)
    for task in members:
        parents = [made.get(parent.id, parent) for parent in _dependencies(task)]
        link(made[task.id], parents)
        if modes[task.id] == LINK:
            world.share(made[task.id], task.origin_of_values)
        if modes[task.id] != COPY:
            world.ended.recent.append(made[task.id])
    rank(made.values())
    return made


def _definition(task: Task, mode: str, command: Duplicate, ids: dict[str, str]) -> Doc:
    doc = {key: value for key, value in task.doc.items() if key not in _OF_A_RUN}
    if mode == ARCHIVE:
        doc |= {key: task.doc[key] for key in _SHOWN if key in task.doc} | {"archived": True}
    elif mode == COPY:
        overrides = _overrides(task, command)
        if "image_url" in overrides:
            doc.pop("module", None)
        doc |= overrides
    if mode == LINK and command.user_id is not None:
        doc["user_id"] = command.user_id
    doc["id"] = ids[task.id]
    doc["origin"] = {"type": mode, "id": task.origin_of_values.id if mode == LINK else task.id}
    doc["depends_on"] = [ids.get(parent.id, parent.id) for parent in _dependencies(task)]
    if doc.get("optional"):
        doc["optional"] = [ids.get(id, id) for id in doc["optional"]]
    if doc.get("parent_id"):
        doc["parent_id"] = ids.get(doc["parent_id"], doc["parent_id"])
    return doc


def _overrides(task: Task, command: Duplicate) -> Doc:
    """Of a task's copy the fields themselves; of a workflow's, {"tasks": {id: fields}}."""
    if command.kind == "task":
        return command.overrides if task.id == command.id else {}
    tasks: dict[str, Any] = command.overrides.get("tasks", {})
    fields: Doc = tasks.get(task.id, {})
    return fields
