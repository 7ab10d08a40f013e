"""Workflows out of the names of parameters: a parameter named as another task is gets that task's value.

wf = pipeline([task("a", module=one), task("b", module=two), task("c", module=sum_of_a_and_b)])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError as GraphCycle
from graphlib import TopologicalSorter
from typing import Any

from motet.errors import cycle_error
from motet.fields import Module, module_bytes
from motet.workflow import Task, Workflow
from shared.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Step:
    """One task of a pipeline; made by task()."""

    name: str
    module: bytes
    function: str | None
    params: tuple[str, ...]
    inputs: Mapping[str, Any]
    fields: Mapping[str, Any] = field(default_factory=dict)


def task(
    name: str,
    module: Module,
    function: str | None = None,
    params: Sequence[str] | None = None,
    inputs: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Step:
    """One task of a pipeline. inputs: values by parameter; fields: as of Workflow.task().

    params: the names of the function's parameters; where the module's name section has them (`wat2wasm
    --debug-names`, debug builds) it may be left out. BadRequest when neither has them, or the module is none.
    """
    data = module_bytes(name, module)
    names = tuple(params) if params is not None else _parameters(name, data, function)
    return Step(name, data, function, names, dict(inputs or {}), fields)


def pipeline(steps: Sequence[Step], name: str = "", **options: Any) -> Workflow:
    """The workflow of the steps; options are those of Workflow.

    CycleError when steps need each other; BadRequest for a parameter that is neither another step's name nor in
    `inputs`.
    """
    by_name = {step.name: step for step in steps}
    workflow = Workflow(name, **options)
    for step in _ordered(by_name):
        tasks = {needed: workflow[needed] for needed in _needs(step, by_name)}
        inputs = [_value(step, param, tasks) for param in step.params]
        workflow.task(step.name, step.module, step.function, inputs or None, **step.fields)
    if len(workflow) != len(steps):
        raise BadRequest("two tasks of the pipeline have the same name", "duplicate_name")
    return workflow


def _ordered(by_name: Mapping[str, Step]) -> list[Step]:
    """Each step behind those it needs."""
    sorter = TopologicalSorter({step.name: _needs(step, by_name) for step in by_name.values()})
    try:
        return [by_name[name] for name in sorter.static_order()]
    except GraphCycle as error:
        # graphlib lists each before the one that needs it, and the first once more at the end.
        cycle = error.args[1][:0:-1]
        place = {name: at for at, name in enumerate(by_name)}
        first = min(range(len(cycle)), key=lambda at: place[cycle[at]])
        raise cycle_error(cycle[first:] + cycle[:first]) from None


def _needs(step: Step, by_name: Mapping[str, Step]) -> list[str]:
    return [param for param in step.params if param in by_name and param != step.name and param not in step.inputs]


def _value(step: Step, param: str, tasks: Mapping[str, Task]) -> Any:
    if param in step.inputs:
        return step.inputs[param]
    if param in tasks:
        return tasks[param].result
    raise BadRequest(f"task {step.name}: its parameter {param} is no other task, and not in inputs", "bad_inputs")


def _parameters(name: str, module: bytes, function: str | None) -> tuple[str, ...]:
    """The names of the parameters of the function that an edge will call."""
    # Pure standard library: a client without the extra `hub` has it too.
    from hub.core.abi import FALLBACKS
    from hub.modules.inspect import inspect

    info = inspect(module)
    wanted = (function,) if function else (name, *FALLBACKS)
    export = next((export for one in wanted if (export := info.function(one)) is not None), None)
    if export is None or export.signature is None:
        raise BadRequest(f"task {name}: its module exports none of {', '.join(wanted)}", "missing_export")
    if len(export.param_names) != len(export.signature.params):
        count = len(export.signature.params)
        raise BadRequest(
            f"task {name}: its module does not name the {count} parameters of {export.name}: give params=[...]",
            "no_params",
        )
    return export.param_names
