"""The books about runs that have ended: which ones leave the store next, which are on their way, and what is gone."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from hub.core.model import Doc, Group, Task

encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Unit:
    """Tasks and groups that stay together, with their documents as they were when it was chosen to go."""

    number: int
    tasks: list[Task]
    groups: list[Group]
    docs: list[Doc] = field(init=False)

    def __post_init__(self) -> None:
        self.docs = [record.doc for record in self.records]

    @property
    def records(self) -> list[Task | Group]:
        return [*self.tasks, *self.groups]


class Ended:
    """What the world knows of ended runs beside their documents."""

    def __init__(self) -> None:
        # Tasks that have come to an end, or lost what kept them, since the last look.
        self.recent: list[Task] = []
        # Groups, and tasks without one, that may have ended, with the wall second of their last end: oldest first.
        self.order: dict[Task | Group, float] = {}
        # The size of their documents as JSON, each and together: about what they take of memory where they are large.
        self.sizes: Counter[Task | Group] = Counter()
        self.bytes = 0
        # Units that the history is taking a copy of; they are in the store until it has it.
        self.moving: list[Unit] = []
        # {first: last} number of units whose copy in the history does not count: on its way in, or on its way out.
        self.hidden: dict[int, int] = {}
        # How many tasks in the history refer to each module.
        self.modules: Counter[str] = Counter()

    def hides(self, unit: int) -> bool:
        return any(first <= unit <= last for first, last in self.hidden.items())

    def part(self, tasks: dict[str, Task], gone: Task, firings: Iterable[str]) -> None:
        """A task is gone: what stayed because of it is looked at again. tasks are all there are, by id."""
        self.leave(gone)
        self.recent.extend(gone.gates)
        if gone.source is not None:
            self.recent.append(gone.source)
        if gone.group is not None and gone.group.tasks:
            self.recent.append(next(iter(gone.group.tasks.values())))
        ids = (gone.doc.get("parent_id") or "", *firings)
        self.recent.extend(tasks[id] for id in ids if id in tasks)

    def note(self, task: Task, wall: float) -> None:
        """Puts the task, or its group, behind all that ended before."""
        record = task.group or task
        self.order.pop(record, None)
        self.order[record] = wall
        size = len(encode(task.doc))
        self.sizes[record] += size
        self.bytes += size

    def leave(self, record: Task | Group) -> None:
        """It is looked at, or gone."""
        self.order.pop(record, None)
        self.bytes -= self.sizes.pop(record, 0)

    def note_recent(self, tasks: dict[str, Task]) -> None:
        for task in self.recent:
            if tasks.get(task.id) is task:
                self.note(task, ended_at(task))
        self.recent.clear()


def ended_at(task: Task) -> float:
    """Wall second; of one that never ran, of its last change."""
    at: float = task.doc.get("finish_time") or task.doc.get("updated_at") or task.doc["created_at"]
    return at
