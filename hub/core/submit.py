"""Taking tasks, workflows and jobs in, changing and deleting them. All is checked before anything changes."""

from collections.abc import Callable, Iterable, Sequence

from hub.core import expressions, flow, graph, modules, removal, reuse, schedules
from hub.core.commands import CreateJob, CreateTask, CreateWorkflow, Delete, UpdateTask
from hub.core.graph import link, rank, rank_up
from hub.core.model import JOBS, MODES, PROPLETS, SEQUENTIAL, WORKFLOWS, Doc, Group, Task
from hub.core.world import World
from shared import states
from shared.errors import BadRequest, Conflict


def create_task(world: World, command: CreateTask) -> tuple[Task, bool]:
    """The task, and whether it is new: one made by the same request, or an active one with its dedup_key, is not."""
    spec = command.spec
    known = reuse.first_answer(world, command.request)
    if known is not None and known[1] in world.tasks:
        return world.tasks[known[1]], True
    twin = reuse.active_twin(world, spec.get("dedup_key"))
    if twin is not None:
        return twin, False
    schedules.check(spec, world.now.wall)
    _check_when(spec)
    world.check_room(1)
    modules.check_known(world, spec.get("module"))
    id = spec.get("id") or command.fresh_id
    _check_new_ids(world, [id])
    group = None
    if spec.get("workflow_id") and not schedules.TIMED.isdisjoint(spec):
        raise _scheduled_member()
    if spec.get("workflow_id"):
        group = world.workflows.get(spec["workflow_id"])
        if group is None:
            raise BadRequest(f"workflow {spec['workflow_id']} does not exist", "unknown_workflow")
    parents = _existing(world, spec["name"], spec.get("depends_on") or ())
    task = world.admit({**spec, "id": id}, group)
    link(task, parents)
    rank_up(task)
    if task.is_template:
        schedules.arm(world, task)
    reuse.keep_request(world, command.request, "task", task.id)
    return task, True


def create_workflow(world: World, command: CreateWorkflow) -> tuple[Group, list[Task]]:
    """The workflow and its tasks in the order of the request. With dry_run all is checked and nothing is kept."""
    known = reuse.first_answer(world, command.request)
    if known is not None and known[1] in world.workflows:
        return world.workflows[known[1]], list(world.workflows[known[1]].tasks.values())
    ids, parents = _resolve(world, command.specs, command.fresh_ids)
    graph.check_acyclic(parents, lambda at: _label(command.specs[at]))
    definitions = _definitions(ids, command.specs, parents, {"workflow_id": command.id})
    doc = {"id": command.id, "name": command.name, **command.options}
    if command.dry_run:
        born = {"state": states.PENDING, "created_at": world.now.wall}
        return Group(WORKFLOWS, doc), [Task({**definition, **born}) for definition in definitions]
    group = _admit_group(world, WORKFLOWS, world.workflows, doc)
    tasks = [world.admit(definition, group) for definition in definitions]
    for task, deps in zip(tasks, parents, strict=True):
        if deps:
            link(task, [tasks[at] for at in deps])
    rank(tasks)
    reuse.keep_request(world, command.request, "workflow", group.id)
    return group, tasks


def create_job(world: World, command: CreateJob) -> tuple[Group, list[Task]]:
    if command.mode not in MODES:
        modes = ", ".join(MODES)
        raise BadRequest(f"execution_mode {command.mode} is unknown: use one of {modes}", "bad_execution_mode")
    known = reuse.first_answer(world, command.request)
    if known is not None and known[1] in world.jobs:
        return world.jobs[known[1]], list(world.jobs[known[1]].tasks.values())
    ids, parents = _resolve(world, command.specs, command.fresh_ids)
    sequential = command.mode == SEQUENTIAL
    # In a sequential job each task also waits for the one before it: that edge counts when cycles are looked for.
    gates = [[*deps, at - 1] if sequential and at else list(deps) for at, deps in enumerate(parents)]
    graph.check_acyclic(gates, lambda at: _label(command.specs[at]))
    doc = {"id": command.id, "name": command.name, "execution_mode": command.mode, **command.options}
    group = _admit_group(world, JOBS, world.jobs, doc)
    tasks: list[Task] = []
    for at, definition in enumerate(_definitions(ids, command.specs, parents, {"job_id": command.id})):
        if sequential and at:
            definition["after"] = ids[at - 1]
        tasks.append(world.admit(definition, group))
    for at, (task, deps) in enumerate(zip(tasks, parents, strict=True)):
        link(task, [tasks[dep] for dep in deps], tasks[at - 1] if sequential and at else None)
    rank(tasks)
    reuse.keep_request(world, command.request, "job", group.id)
    return group, tasks


def update_task(world: World, command: UpdateTask) -> Task:
    task = world.task(command.id)
    modules.check_job(task, "changed")
    flow.check_frozen(task, "changed")
    fields = dict(command.fields)
    module = fields.pop("module", None)
    modules.check_known(world, module)
    depends_on = fields.get("depends_on")
    if task.under_way:
        raise Conflict(f"task {task.id} runs: stop it before it is changed", "task_runs")
    parents = task.parents
    if depends_on is not None:
        if task.state != states.PENDING:
            raise Conflict(f"task {task.id} has ended: depends_on changes only while it is Pending", "task_ended")
        parents = _existing(world, task.doc["name"], depends_on)
        _check_no_way_back(task, parents)
    if "when" in fields or depends_on is not None:
        _check_when({**task.doc, **fields})
    retimed = any(key in fields for key in schedules.TIMING)
    if retimed:
        if task.group is not None:
            raise _scheduled_member()
        schedules.check({**task.doc, **fields}, world.now.wall)
    world.redefine(task, fields)
    if module is not None or "image_url" in fields:
        # Another url means another module, and the same one again a fresh look at it.
        world.set_module(task, module)
    if "cost" in fields:
        rank(task.group.tasks.values() if task.group is not None else world.tasks.values())
    if retimed and task.state == states.PENDING and task.is_template:
        schedules.arm(world, task)
    if depends_on is not None:
        for parent in task.parents:
            del parent.children[task.id]
        world.ended.recent.extend(task.parents)
        link(task, parents, task.previous)
        rank_up(task)
    return task


def delete(world: World, command: Delete) -> None:
    _DELETE[command.kind](world, command.id)


def _delete_task(world: World, id: str) -> None:
    task = world.task(id)
    modules.check_job(task, "deleted")
    if task.doc.get("archived"):
        flow.check_frozen(task, "deleted")
    if task.links:
        raise Conflict(f"task {id} cannot go: task {next(iter(task.links))} shares its results", "task_needed")
    if task.under_way:
        raise Conflict(f"task {id} runs: stop it first", "task_runs")
    if task.children:
        needs = next(iter(task.children))
        raise Conflict(f"task {id} cannot go: task {needs} depends on it", "task_needed")
    removal.drop_task(world, task)


def _delete_group(world: World, kind: str, id: str) -> None:
    group = world.group(kind, id)
    # Daemons do not count for the group, and run all the same.
    if any(task.under_way for task in group.tasks.values()):
        raise Conflict(f"{kind} {id} runs: stop it first", f"{kind}_runs")
    if group.doc.get("archived"):
        raise Conflict(f"{kind} {id} is archived and stays as it is", "archived")
    children = (child for task in group.tasks.values() for child in task.children.values())
    outside = next((child for child in children if child.group is not group), None)
    if outside is not None:
        raise Conflict(f"{kind} {id} cannot go: task {outside.id} depends on it", "task_needed")
    shared = next(
        (link for task in group.tasks.values() for link in task.links.values() if link.group is not group), None
    )
    if shared is not None:
        raise Conflict(f"{kind} {id} cannot go: task {shared.id} shares a result of it", "task_needed")
    for task in list(group.tasks.values()):
        removal.drop_task(world, task)
    del (world.workflows if group.table == WORKFLOWS else world.jobs)[id]
    world.ended.leave(group)
    world.forget(group.table, id)


def _delete_proplet(world: World, id: str) -> None:
    proplet = world.proplet(id)
    if proplet.running:
        raise Conflict(f"proplet {id} has {len(proplet.running)} active tasks: stop them first", "proplet_busy")
    if proplet.connected:
        raise Conflict(f"proplet {id} is connected: stop the device first", "proplet_connected")
    del world.proplets[id]
    world.forget(PROPLETS, id)


_DELETE: dict[str, Callable[[World, str], None]] = {
    "task": _delete_task,
    "workflow": lambda world, id: _delete_group(world, "workflow", id),
    "job": lambda world, id: _delete_group(world, "job", id),
    "proplet": _delete_proplet,
    "module": modules.delete,
}

# --- checks


def _check_new_ids(world: World, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for id in ids:
        if id in world.tasks or id in seen:
            raise Conflict(f"task {id} exists already: choose another id", "duplicate_id", {"id": id})
        seen.add(id)


def _existing(world: World, label: str, depends_on: Sequence[str]) -> list[Task]:
    for id in depends_on:
        if id not in world.tasks:
            raise _unknown_dependency(label, id)
    return [world.tasks[id] for id in depends_on]


def _unknown_dependency(label: str, id: str) -> BadRequest:
    return BadRequest(
        f"dependency validation failed: dependency task not found: task {label} depends on {id} which does not exist",
        "unknown_dependency",
        {"task": label, "dependency": id},
    )


def _check_no_way_back(task: Task, parents: list[Task]) -> None:
    """Refuses parents that depend on the task: walks up from them, no further than the tasks above."""
    todo = list(parents)
    above: dict[str, Task] = {}
    while todo:
        one = todo.pop()
        if one.id not in above:
            above[one.id] = one
            todo.extend(one.gates)
    if task.id not in above:
        return
    nodes = sorted(above.values(), key=lambda one: one.doc["seq"])
    at = {one.id: position for position, one in enumerate(nodes)}
    edges = [[at[gate.id] for gate in (parents if one is task else one.gates)] for one in nodes]
    graph.check_acyclic(edges, lambda position: nodes[position].id)


def _label(spec: Doc) -> str:
    label: str = spec.get("id") or spec["name"]
    return label


def _resolve(world: World, specs: Sequence[Doc], fresh_ids: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Each task's id, and the positions of the tasks it depends on.

    A dependency names a task by its id or, where the client gave none, by its name.
    """
    world.check_room(len(specs))
    if not all(map(schedules.TIMED.isdisjoint, specs)):
        raise _scheduled_member()
    ids = [spec.get("id") or fresh for spec, fresh in zip(specs, fresh_ids, strict=True)]
    _check_new_ids(world, ids)
    by_id = {id: at for at, id in enumerate(ids)}
    by_name: dict[str, list[int]] = {}
    for at, spec in enumerate(specs):
        if not spec.get("id"):
            by_name.setdefault(spec["name"], []).append(at)
    parents: list[list[int]] = []
    for spec in specs:
        deps: dict[int, None] = {}  # in order, each once
        for name in spec.get("depends_on") or ():
            deps[by_id[name] if name in by_id else _named(spec, name, by_name)] = None
        _check_when(spec)
        parents.append(list(deps))
    for module in dict.fromkeys([spec.get("module") for spec in specs]):
        modules.check_known(world, module)
    return ids, parents


def _named(spec: Doc, name: str, by_name: dict[str, list[int]]) -> int:
    """The position of the task that a dependency names by its name."""
    named, label = by_name.get(name), _label(spec)
    if named is None:
        raise _unknown_dependency(label, name)
    if len(named) > 1:
        raise BadRequest(f"task {label} depends on {name}, a name that {len(named)} tasks bear: give them ids",
                         "ambiguous_dependency", {"task": label, "dependency": name})  # fmt: skip
    return named[0]


def _scheduled_member() -> BadRequest:
    return BadRequest("a schedule belongs to a task of its own: POST it to /tasks without a workflow", "bad_schedule")


def _check_when(spec: Doc) -> None:
    if spec.get("when"):
        expressions.check(spec["when"], spec.get("depends_on") or ())


# --- making


def _definitions(ids: list[str], specs: Sequence[Doc], parents: list[list[int]], group: Doc) -> list[Doc]:
    """The tasks' documents as the client defined them, with ids resolved."""
    definitions = []
    for id, spec, deps in zip(ids, specs, parents, strict=True):
        definition = {**spec, **group, "id": id, "depends_on": [ids[at] for at in deps]}
        if spec.get("optional"):
            labels = {ids[at]: _label(specs[at]) for at in deps}
            definition["optional"] = [id for id, label in labels.items() if label in spec["optional"]]
        definitions.append(definition)
    return definitions


def _admit_group(world: World, table: str, groups: dict[str, Group], doc: Doc) -> Group:
    if doc["id"] in groups:
        raise Conflict(f"{table[:-1]} {doc['id']} exists already: choose another id", "duplicate_id")
    group = Group(table, {**doc, "seq": world.next_seq(), "created_at": world.now.wall})
    groups[group.id] = group
    world.keep(group)
    return group
