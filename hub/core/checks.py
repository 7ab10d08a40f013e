"""The invariants of the engine's state. Tests and simulations call violations() after every command."""

from collections import Counter

from hub.core.engine import Engine
from hub.core.graph import unsettled
from hub.core.images import unresolved
from hub.core.model import Group, Task
from shared import states


def violations(engine: Engine) -> list[str]:
    """Sentences that say what is wrong; none in a sound state. Looks at everything: not for a running hub."""
    world = engine.world
    found: list[str] = []
    for task in world.tasks.values():
        found.extend(f"task {task.id} {text}" for text in _task_violations(engine, task))
    for group in [*world.workflows.values(), *world.jobs.values()]:
        found.extend(f"group {group.id} {text}" for text in _group_violations(group))
    for proplet in world.proplets.values():
        for id, task in proplet.running.items():
            if task.state not in states.ACTIVE or task.doc["proplet_id"] != proplet.id:
                found.append(f"proplet {proplet.id} holds task {id}, which is {states.NAMES[task.state]}")
    found.extend(_module_violations(engine))
    found.extend(_image_violations(engine))
    placed = [task for task in world.tasks.values() if task.ticket and not task.held and not task.is_fan]
    queued = sum(task.id not in world.images.waiting for task in placed)
    if queued != world.placer.length:
        found.append(f"the queue counts {world.placer.length} tasks and holds {queued}")
    counted = Counter(task.state for task in world.tasks.values())
    tallied = {state: world.counts.tasks(state) for state in range(len(states.NAMES))}
    if any(tallied[state] != counted[state] for state in tallied):
        found.append(f"the counts of tasks by state are {tallied}, the tasks are {dict(counted)}")
    return found


def _image_violations(engine: Engine) -> list[str]:
    images = engine.world.images
    found = [
        f"task {task.id} waits for a module and is none that does"
        for task in images.waiting.values()
        if not task.ticket or task.held or task.doc.get("module") or task.doc["image_url"] not in images.fetching
    ]
    found += [
        f"task {task.id} is not known by the url of its module"
        for task in engine.world.tasks.values()
        if (url := unresolved(task)) is not None and task not in images.of(url)
    ]
    return found


def _module_violations(engine: Engine) -> list[str]:
    shelf = engine.world.modules
    referred = Counter(task.doc.get("module") for task in engine.world.tasks.values())
    referred.update(engine.world.ended.modules)
    found = [
        f"module {module.id} counts {module.tasks} tasks and has {referred[module.id]}"
        for module in shelf.values()
        if module.tasks != referred[module.id]
    ]
    if set(shelf.unused) != {module.id for module in shelf.values() if not module.tasks}:
        found.append("the modules without a task are not those that are held to be")
    found += [
        f"module {module.id} is not known by its form {blob}"
        for module in shelf.values()
        for blob in module.blobs
        if shelf.with_form(blob) is None
    ]
    return found


def _task_violations(engine: Engine, task: Task) -> list[str]:
    found = []
    if task.state in states.ACTIVE and not task.is_fan:
        proplet = engine.world.proplets.get(task.doc.get("proplet_id") or "")
        if proplet is None or proplet.running.get(task.id) is not task:
            found.append("is active and on no proplet's books")
    if task.wanted and task.state != states.PENDING:
        found.append(f"is queued and {states.NAMES[task.state]}")
    if task.wanted != (task.state == states.PENDING and task.doc.get("queued_at") is not None):
        found.append("is queued in memory and not in its document, or the other way round")
    if task.state not in states.ENDED and task.waiting != unsettled(task):
        found.append(f"waits for {unsettled(task)} tasks and counts {task.waiting}")
    gates = [gate.state for gate in task.gates]
    idle = task.group is not None and task.state == states.PENDING and not task.wanted
    if idle and not task.late and gates and all(state in states.SETTLED for state in gates):
        found.append("is in limbo: all it waited for has settled")
    return found


def _group_violations(group: Group) -> list[str]:
    counted = [task for task in group.tasks.values() if task.tally is group]
    counts = Counter(task.state for task in counted)
    found = []
    if [counts[state] for state in range(len(states.NAMES))] != group.counts:
        found.append(f"counts {group.counts} and has {dict(counts)}")
    if group.queued != sum(1 for task in counted if task.wanted):
        found.append("has lost count of its queued tasks")
    if group.placed != sum(1 for task in counted if task.ticket and not task.held):
        found.append("has lost count of its tasks that wait for a proplet")
    if group.holds_back:
        found.append("holds tasks back that may run")
    limit = group.doc.get("max_parallel")
    if limit is not None and group.running > limit:
        found.append(f"runs {group.running} tasks and may run {limit}")
    return found
