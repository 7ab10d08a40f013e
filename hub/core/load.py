"""The start of a hub: everything of the world is rebuilt from the documents of the store."""

from hub.core.abi import Module
from hub.core.graph import link, rank
from hub.core.model import CACHE, JOBS, MODULES, MOVES, NUMBERS, PROPLETS, REQUESTS, TASKS, WORKFLOWS, Doc, Group, Task
from hub.core.proplet import Proplet
from hub.core.world import World


def load(world: World, tables: dict[str, dict[str, Doc]]) -> None:
    """Documents stay the store's own objects."""
    for doc in tables.get(PROPLETS, {}).values():
        world.proplets[doc["id"]] = Proplet(doc)
    for doc in tables.get(MODULES, {}).values():
        # Not idle since the start: it may have been so for a year.
        world.modules.put(Module(doc), float("-inf"))
    world.cache.update(tables.get(CACHE, {}))
    world.requests.update(tables.get(REQUESTS, {}))
    world.numbers.update(tables.get(NUMBERS, {}))
    world.ended.hidden.update((int(doc["id"]), doc["seq"]) for doc in tables.get(MOVES, {}).values())
    take_in(world, tables)
    world.last_seq = max((doc["seq"] for table in tables.values() for doc in table.values() if "seq" in doc), default=0)


def take_in(world: World, tables: dict[str, dict[str, Doc]]) -> list[Task]:
    """Makes tasks and groups of the documents, in the order of their creation, and links them; the tasks."""
    for table in (WORKFLOWS, JOBS):
        groups = world.groups(table)
        for doc in tables.get(table, {}).values():
            groups[doc["id"]] = Group(table, doc)
    docs = sorted(tables.get(TASKS, {}).values(), key=lambda doc: doc["seq"])
    tasks = []
    for doc in docs:
        group = world.workflows.get(doc.get("workflow_id") or "") or world.jobs.get(doc.get("job_id") or "")
        task = Task(doc, group)
        world.add_task(task)
        tasks.append(task)
    for task in tasks:
        doc = task.doc
        previous = doc.get("after")
        link(task, [world.tasks[id] for id in doc.get("depends_on") or ()], previous and world.tasks[previous])
    for task in tasks:
        origin = task.doc.get("origin") or {}
        if origin.get("type") in ("broadcast", "for_each") and origin["id"] in world.tasks:
            task.wait_for(world.tasks[origin["id"]].parents)
        elif origin.get("type") == "link":
            world.share(task, world.tasks[origin["id"]])
    rank(tasks)
    return tasks
