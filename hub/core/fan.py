"""Tasks that become several: broadcast, one part for each alive proplet; for_each, one for each item of a list.

The task itself runs nowhere. It is Running while its parts are, and then has a list: the value of each part, in order.
"""

from typing import Any

from hub.core import flow, passing
from hub.core.model import Doc, Task
from hub.core.place import fits
from hub.core.schedules import INHERITED, derived_id
from hub.core.world import World
from shared import states
from shared.errors import TaskFailure

MAX_ITEMS = 256
ITEM = "$item"


def begin_due(world: World) -> None:
    """Makes the parts of what is ready; a broadcast without an alive proplet that fits waits for one."""
    world.fans_due = False
    for task in list(world.fans.values()):
        # One that failed before it may have ended its whole group.
        if task.id in world.fans:
            _begin(world, task)
            flow.settle(world, task)


def _begin(world: World, task: Task) -> None:
    try:
        owns = _broadcast(world, task) if task.doc.get("broadcast") else _for_each(task)
    except TaskFailure as error:
        world.dequeue(task)
        flow.fail(world, task, error.code, error.message)
        return
    if not owns and task.doc.get("broadcast"):
        return
    world.dequeue(task)
    parts = [_part(world, task, *own) for own in owns]
    world.move(task, states.RUNNING, {"start_time": world.now.wall, "parts": [part.id for part in parts]})
    for part in parts:
        flow.queue(world, part)
    if not parts:
        _end(world, task)


# kind, key, and the fields of a part that are its own
Own = tuple[str, str | int, Doc]


def _broadcast(world: World, task: Task) -> list[Own]:
    """Every alive proplet that can run it."""
    alive = (one for one in world.proplets.values() if one.connected and one.greeted and one.alive)
    return [("broadcast", one.id, {"pinned_to": one.id}) for one in alive if fits(one, task.need, ever=True)]


def _for_each(task: Task) -> list[Own]:
    return [("for_each", at, {"inputs": _inputs(task, item)}) for at, item in enumerate(_items(task))]


def _items(task: Task) -> list[Any]:
    reference = task.doc["for_each"]
    items = passing.replaced(reference, passing.by_name(task)) if isinstance(reference, str) else reference
    if not isinstance(items, list):
        raise TaskFailure(f"for_each {reference} is no list", "bad_reference")
    most = task.doc.get("max_items") or MAX_ITEMS
    if len(items) > most:
        raise TaskFailure(f"for_each has {len(items)} items, over the {most} of max_items", "too_large")
    return items


def _inputs(task: Task, item: Any) -> Any:
    """The inputs of one part: "$item" stands for the item; without inputs, the item itself is what the part gets."""
    inputs = task.doc.get("inputs")
    if isinstance(inputs, list):
        return [item if one == ITEM else one for one in inputs]
    if isinstance(inputs, dict):
        return {key: item if one == ITEM else one for key, one in inputs.items()}
    return item if isinstance(item, (list, dict)) else [item]


def _part(world: World, task: Task, kind: str, key: str | int, own: Doc) -> Task:
    inherited = {name: task.doc[name] for name in INHERITED if task.doc.get(name) is not None}
    origin = {"type": kind, "id": task.id, "key": key}
    id = derived_id(task.id, (task.doc.get("runs") or 0, key))
    part = world.admit({**inherited, **own, "id": id, "origin": origin, "parent_id": task.id}, None)
    # A part may refer to what its task depends on, and is not in their graph.
    part.wait_for(task.parents)
    return part


def follow(world: World, part: Task) -> None:
    """A part has ended: with the last one its task does."""
    task = world.tasks.get(part.doc["origin"]["id"])
    if task is None or task.state != states.RUNNING or part.id not in (task.doc.get("parts") or ()):
        return
    parts = parts_of(world, task.doc)
    if all(one.state in states.ENDED for one in parts):
        _end(world, task)
        flow.settle(world, task)


def _end(world: World, task: Task) -> None:
    parts = parts_of(world, task.doc)
    bad = next((one for one in parts if one.state == states.FAILED), None)
    stopped = any(one.state != states.COMPLETED for one in parts)
    outputs = [_value(one) for one in parts]
    text = "".join(one.doc.get("results") or "" for one in parts)
    shown: Doc = {"outputs": outputs, "results": text, "runs": (task.doc.get("runs") or 0) + 1}
    world.write(task, shown)
    if task.doc.get("stopping") or (stopped and bad is None):
        flow.interrupted(world, task)
    elif bad is not None:
        failure = {key: bad.doc.get(key) for key in ("error", "error_info")}
        world.move(task, states.FAILED, {"finish_time": flow.finish_time(world, task), **failure})
    else:
        world.move(task, states.COMPLETED, {"finish_time": flow.finish_time(world, task)})


def _value(part: Task) -> Any:
    outputs = part.doc.get("outputs")
    return outputs[0] if outputs is not None and len(outputs) == 1 else outputs


def parts_of(world: World, doc: Doc) -> list[Task]:
    return [world.tasks[id] for id in doc.get("parts") or () if id in world.tasks]


def results_by_proplet(world: World, doc: Doc) -> dict[str, Doc]:
    """Of a broadcast: for each proplet the state, results, outputs and error of its part."""
    shown = ("results", "outputs", "error")
    return {
        part.doc["origin"]["key"]: {
            "task_id": part.id,
            "state": part.state,
            **{key: part.doc[key] for key in shown if part.doc.get(key) is not None},
        }
        for part in parts_of(world, doc)
    }
