"""The builder of workflows: tasks, what they wait for, and what they get from each other.

wf = Workflow("sums")
a = wf.task("a", module="add.wasm", inputs=[1, 2])
b = wf.task("b", module="add.wasm", inputs=[a.output, 5])
Client().run(wf)
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

from motet.calls import Document, with_file
from motet.errors import cycle_error
from motet.fields import Module, as_json, check_fields, module_bytes
from motet.references import ITEM, Outputs, Reference, named_in
from shared.errors import BadRequest

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class ExecutionStep:
    """The tasks of one level: each waits for one of the level before."""

    level: int
    nodes: list[str]


class Task:
    """One task of a Workflow; made by Workflow.task()."""

    def __init__(self, workflow: "Workflow", name: str, document: Document, parents: "dict[Task, bool]") -> None:
        self.workflow = workflow
        self.name = name
        self._document = document
        # Each with whether it is required.
        self._parents: dict[Task, bool] = {}
        # Without one that waits for it no edge can close a cycle, and nothing need be searched.
        self._is_waited_for = False
        self._wait_for(parents)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @property
    def key(self) -> str:
        """What the hub knows it by: its id, where it was given one, else its name."""
        return self._document.get("id") or self.name

    @property
    def depends_on(self) -> "list[Task]":
        return list(self._parents)

    @property
    def output(self) -> Reference:
        """Stands for the first thing it returns."""
        return self.outputs[0]

    @property
    def outputs(self) -> Outputs:
        """Stands for the list of what it returns; outputs[1] for the second."""
        return Outputs(self, f"${{{self.key}.outputs}}")

    @property
    def result(self) -> Reference:
        """Stands for its value: the one thing it returns, or the list of several."""
        return Reference(self, f"${self.key}")

    @property
    def text(self) -> Reference:
        """Stands for its results as text, one value a line."""
        return Reference(self, f"${{{self.key}.results}}")

    def after(self, *tasks: "Task", required: bool = True) -> "Task":
        """Has it wait for others; not required: for their end only, however they end. Answers itself.

        CycleError when one of them waits for this task; BadRequest for a task of another workflow. Nothing has
        changed then.
        """
        for task in tasks:
            self.workflow.check_own(task)
            way = _way(task, self) if self._is_waited_for or task is self else None
            if way is not None:
                raise cycle_error(self.workflow.rotated([task.name for task in (self, *way[:-1])]))
        self._wait_for(dict.fromkeys(tasks, required))
        return self

    def _wait_for(self, parents: "Mapping[Task, bool]") -> None:
        self._parents.update(parents)
        for parent in parents:
            parent._is_waited_for = True

    def to_dict(self, defaults: Document) -> Document:
        """As the hub takes it; defaults are fields that it may lack."""
        document = with_file({**defaults, **self._document})
        if self._parents:
            document["depends_on"] = [
                task.key if required else {"id": task.key, "required": False}
                for task, required in self._parents.items()
            ]
        return document


class Workflow:
    """Tasks and their order. on_dep_failure is for those that do not say it themselves; the others are the hub's.

    fail_fast: after the first failure nothing new starts. max_parallel: tasks at a time. timeout: seconds for the
    whole, kept by the hub.
    """

    def __init__(
        self,
        name: str = "",
        *,
        fail_fast: bool | None = None,
        on_dep_failure: str | None = None,
        max_parallel: int | None = None,
        timeout: float | None = None,
        user_id: str | None = None,
        metadata: Document | None = None,
    ) -> None:
        given = {
            "name": name or None,
            "fail_fast": fail_fast,
            "max_parallel": max_parallel,
            "timeout": timeout,
            "user_id": user_id,
            "metadata": None if metadata is None else as_json("the workflow", "metadata", metadata),
        }
        self.name = name
        self._options = {field: value for field, value in given.items() if value is not None}
        self._defaults = {} if on_dep_failure is None else {"on_dep_failure": on_dep_failure}
        self._tasks: dict[str, Task] = {}
        self._by_key: dict[str, Task] = {}

    def task(
        self,
        name: str,
        module: Module | None = None,
        function: str | None = None,
        inputs: Sequence[Any] | Mapping[str, Any] | None = None,
        depends_on: "Sequence[Task | str | Mapping[str, Any]]" = (),
        **fields: Any,
    ) -> Task:
        """Adds a task; fields: `retries`, `timeout`, `run_if` and all others of a task at the hub.

        module: the bytes or the path of a wasm module. inputs: JSON, with references (a.output) to tasks of this
        workflow, which make it depend on them; so do references as text ("${a.outputs[0]}"). With for_each, a
        reference or a list, "$item" stands for the item.
        CheckpointError for what is not JSON; BadRequest for a name that is not 1 to 64 of A-Za-z0-9._:- or is taken,
        an unknown field, a module that cannot be read, and a task that is not of this workflow.
        """
        self._check_name(name)
        check_fields(name, fields)
        parents: dict[Task, bool] = {}
        refer = partial(self._refer, name, parents, "for_each" in fields)
        given = {"function": function, "inputs": inputs, **fields}
        document: Document = {"name": name} | {
            field: self._field(field, value, name, refer) for field, value in given.items() if value is not None
        }
        # No limit of time is something else than none given.
        if "timeout" in fields:
            document["timeout"] = fields["timeout"]
        if module is not None:
            document["file"] = module_bytes(name, module)
        for dependency in depends_on:
            parent, required = self._dependency(name, dependency)
            parents[parent] = required
        task = Task(self, name, document, parents)
        if task.key in self._by_key:
            raise BadRequest(f"task {task.key} exists already in this workflow: choose another id", "duplicate_name")
        self._tasks[name] = self._by_key[task.key] = task
        return task

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    def execution_plan(self) -> list[ExecutionStep]:
        """Which tasks may run together, by name; level 0 waits for nothing."""
        place = {task: at for at, task in enumerate(self)}
        sorter = TopologicalSorter({task: task.depends_on for task in self})
        sorter.prepare()
        steps: list[ExecutionStep] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=place.__getitem__)
            steps.append(ExecutionStep(len(steps), [task.name for task in ready]))
            sorter.done(*ready)
        return steps

    def to_dict(self) -> Document:
        """The body of POST /workflows."""
        return {**self._options, "tasks": [task.to_dict(self._defaults) for task in self]}

    def check_own(self, task: object) -> None:
        """BadRequest for anything but a task of this workflow."""
        if not isinstance(task, Task) or task.workflow is not self:
            raise BadRequest(f"{task!r} is no task of this workflow", "unknown_dependency")

    def rotated(self, cycle: list[str]) -> list[str]:
        """The cycle from that of its tasks which was added first."""
        place = {name: at for at, name in enumerate(self._tasks)}
        first = min(range(len(cycle)), key=lambda at: place[cycle[at]])
        return cycle[first:] + cycle[:first]

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise BadRequest(f"a task's name is 1 to 64 of A-Z a-z 0-9 . _ : -, not {name!r}", "bad_name")
        if name in self._tasks or name in self._by_key:
            raise BadRequest(f"task {name} exists already in this workflow: choose another name", "duplicate_name")

    def _field(self, field: str, value: Any, task: str, refer: Callable[[Any], Any]) -> Any:
        """A field's value as JSON, with references as text."""
        if field in ("inputs", "for_each"):
            # Deeper than one level the hub does not look for them.
            if isinstance(value, Mapping):
                value = {key: refer(item) for key, item in value.items()}
            else:
                value = [refer(item) for item in value] if isinstance(value, list | tuple) else refer(value)
        elif field == "parent_id" and isinstance(value, Task):
            self.check_own(value)
            value = value.key
        return value if field == "file" else as_json(task, field, value)

    def _refer(self, name: str, parents: dict[Task, bool], in_fan: bool, value: Any) -> Any:
        """A reference as text; the task that it, or a text, refers to becomes a parent."""
        if isinstance(value, Reference):
            self.check_own(value.task)
            parents[value.task] = True
            return value.text
        key = None if in_fan and value == ITEM else named_in(value)
        if key is not None:
            parents[self._known(name, key)] = True
        return value

    def _dependency(self, name: str, dependency: Any) -> tuple[Task, bool]:
        """What depends_on takes: a task, its name or id, or {"id", "required"} of either."""
        required = True
        if isinstance(dependency, Mapping):
            required = dependency.get("required", True)
            dependency = dependency.get("id")
        if isinstance(dependency, str):
            return self._known(name, dependency), required
        self.check_own(dependency)
        return dependency, required

    def _known(self, name: str, key: str) -> Task:
        task = self._by_key.get(key) or self._tasks.get(key)
        if task is None:
            raise BadRequest(
                f"dependency validation failed: dependency task not found: task {name} depends on {key} "
                "which does not exist",
                "unknown_dependency",
                {"task": name, "dependency": key},
            )
        return task


def _way(start: Task, goal: Task) -> list[Task] | None:
    """A way from one task to another on which each depends on the next, both ends included; None without one."""
    before: dict[Task, Task | None] = {start: None}
    todo = [start]
    while todo:
        task = todo.pop()
        if task is goal:
            way: list[Task] = []
            step: Task | None = task
            while step is not None:
                way.append(step)
                step = before[step]
            return way[::-1]
        for parent in task.depends_on:
            if parent not in before:
                before[parent] = task
                todo.append(parent)
    return None
