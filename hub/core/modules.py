"""Modules come, are given to tasks, and go when no task refers to them."""

from hub.core import flow
from hub.core.abi import Module
from hub.core.commands import AddModule, AttachModule, Fetched, Sweep
from hub.core.model import JOBS, MODULES, Task
from hub.core.world import World
from shared import states
from shared.errors import Conflict


def add_module(world: World, command: AddModule) -> Module:
    """The module: the one that is there, when these bytes were added before. Its time without a task begins anew."""
    doc = command.doc
    module = world.modules.get(doc["id"])
    if module is None:
        module = Module({**doc, "created_at": world.now.wall})
        world.keep(module)
    elif module.doc.get("prepared") != doc["prepared"]:
        before = module.blobs
        world.write(module, {**doc, "refused": None})
        module.read()
        world.discard(world.modules.forget(module, tuple(blob for blob in before if blob not in module.blobs)))
    world.modules.put(module, world.now.mono)
    return module


def attach_module(world: World, command: AttachModule) -> Task:
    task = world.task(command.id)
    flow.check_frozen(task, "given another module")
    if task.doc.get("module") or (task.group is not None and task.group.doc.get("started")):
        check_job(task, "given another module")
    if task.state in states.ACTIVE:
        raise Conflict(f"task {task.id} runs: upload its module before it starts or after it has ended", "task_runs")
    check_known(world, command.module)
    _give(world, task, command.module)
    return task


def _give(world: World, task: Task, id: str) -> None:
    """One that is queued is looked at anew: whether it can run at all, and who may take it."""
    if not task.ticket:
        return world.set_module(task, id)
    world.dequeue(task)
    world.set_module(task, id)
    flow.queue(world, task)


def fetched(world: World, command: Fetched) -> None:
    """The module behind a url is here, or cannot be had.

    All tasks with this url get it, also those that nobody has started yet: one fetch, and one version of the module.
    """
    images = world.images
    images.fetching.discard(command.url)
    tasks = images.of(command.url)
    if command.module is not None and command.module in world.modules:
        for task in tasks:
            _give(world, task, command.module)
        return
    message = command.error or "the module was deleted as soon as it was here: start the task again"
    for task in [one for one in tasks if one.id in images.waiting]:
        # One that failed before it may have ended its whole group.
        if task.id in images.waiting:
            world.dequeue(task)
            flow.fail(world, task, "bad_module", message)
            flow.settle(world, task)


def check_known(world: World, id: str | None) -> None:
    """A module is stored before its task is made: in between it may have been deleted."""
    if id is not None and id not in world.modules:
        raise Conflict(f"module {id} has just been deleted: send it again", "module_gone")


def check_job(task: Task, what: str) -> None:
    if task.group is not None and task.group.table == JOBS:
        raise Conflict(
            f"task {task.id} belongs to job {task.group.id} and cannot be {what}: jobs are immutable, create a new job",
            "job_immutable",
        )


def delete(world: World, id: str) -> None:
    module = world.module(id)
    if module.tasks:
        count = "a task refers" if module.tasks == 1 else f"{module.tasks} tasks refer"
        raise Conflict(f"module {id} cannot go: {count} to it", "module_needed", {"tasks": module.tasks})
    _drop(world, module)


def sweep(world: World, command: Sweep) -> int:
    """Lets every module go that no task has referred to for so long, and that was not uploaded since; how many."""
    gone = [module for module in world.modules.unused.values() if _is_idle(world, module, command.grace_s)]
    for module in gone:
        _drop(world, module)
    return len(gone)


def _is_idle(world: World, module: Module, grace_s: float) -> bool:
    now = world.now
    # Its next upload would let a quarantined one run again.
    if module.doc.get("quarantined"):
        return False
    return now.wall - module.doc["created_at"] >= grace_s and now.mono - module.idle_since >= grace_s


def _drop(world: World, module: Module) -> None:
    world.forget(MODULES, module.id)
    world.discard(world.modules.drop(module))
