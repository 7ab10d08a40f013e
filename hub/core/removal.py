"""Tasks that go: off every book, and what is remembered of them."""

from hub.core.model import ATTEMPTS, NUMBERS, NUMBERS_KEPT, TASKS, Task
from hub.core.world import World, old_attempts
from shared import states


def drop_parts(world: World, task: Task) -> None:
    """Lets the parts of a run go that is over, but for those that others need."""
    for id in task.doc.get("parts") or ():
        part = world.tasks.get(id)
        if part is not None and part.state in states.ENDED and not part.children and not part.links:
            drop_task(world, part)


def drop_task(world: World, task: Task) -> None:
    drop_parts(world, task)
    for parent in task.gates:
        parent.children.pop(task.id, None)
    if task.source is not None:
        task.source.links.pop(task.id, None)
    let_go(world, task)
    world.modules.release(task.doc.get("module"), world.now.mono)
    for id in old_attempts(task):
        world.forget(ATTEMPTS, id)
    world.forget(TASKS, task.id)
    # The id of a firing comes but once: its slot is in it.
    if (task.doc.get("origin") or {}).get("type") != "schedule":
        remember_number(world, task.id, task.attempt)


def let_go(world: World, task: Task) -> None:
    """Takes a task off all books but those of modules. What it kept from leaving the store is looked at anew."""
    del world.tasks[task.id]
    world.counts.born[task.state] -= 1
    world.images.drop(task)
    if world.dedup.get(task.doc.get("dedup_key") or "") == task.id:
        del world.dedup[task.doc["dedup_key"]]
    if task.doc.get("parent_id"):
        world.leave_parent(task)
    if task.group is not None:
        del task.group.tasks[task.id]
    if task.tally is not None:
        task.tally.counts[task.state] -= 1
    world.ended.part(world.tasks, task, world.firings.pop(task.id, ()))


def remember_number(world: World, id: str, attempt: int) -> None:
    """Has the next task with this id go on counting."""
    if attempt:
        world.numbers[id] = {"id": id, "attempt": attempt}
        world.keep_doc(NUMBERS, world.numbers[id])
        if len(world.numbers) > NUMBERS_KEPT:
            oldest = next(iter(world.numbers))
            del world.numbers[oldest]
            world.forget(NUMBERS, oldest)
