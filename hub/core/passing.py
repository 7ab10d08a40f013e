"""What a task gets from the tasks it depends on: their results, and references to them in its inputs."""

import re
from typing import Any

from hub.core.abi import CALL, EDGE, Call, Module
from hub.core.model import Doc, Task
from shared import states
from shared.errors import TaskFailure

# "$task-001" or "${task-001.outputs[0]}"; ids are those of rest.md
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z0-9._:-]+?)(?:\.(outputs|results)(?:\[(\d+)\])?)?\}|([A-Za-z0-9._:-]+))")


def parent_results(task: Task) -> Doc:
    """{id: outputs} of the tasks in depends_on, never a grandparent's.

    A Failed parent gives {"error_info": ...}, a Skipped one None.
    """
    return {parent.id: _value(parent) for parent in task.parents}


def by_name(task: Task) -> dict[str, Task]:
    """The tasks it depends on, by id and by the name they were given."""
    return {parent.doc["name"]: parent for parent in task.parents} | {parent.id: parent for parent in task.parents}


def _value(parent: Task) -> Any:
    if parent.state == states.COMPLETED:
        return (parent.source or parent).doc.get("outputs")
    if parent.state == states.FAILED:
        return {"error_info": parent.doc.get("error_info")}
    return None


def resolve(task: Task) -> Any:
    """The task's inputs with each reference replaced, and a parent's outputs added to object inputs.

    Raises TaskFailure `bad_reference` when what is referred to is not there.
    """
    inputs = task.doc.get("inputs")
    if isinstance(inputs, list):
        if str not in map(type, inputs):
            return inputs
        parents = by_name(task)
        return [replaced(item, parents) for item in inputs]
    if isinstance(inputs, dict):
        parents = by_name(task)
        given = {key: replaced(item, parents) for key, item in inputs.items()}
        return parent_results(task) | given
    return inputs


def replaced(item: Any, parents: dict[str, Task]) -> Any:
    if not isinstance(item, str):
        return item
    match = _REFERENCE.fullmatch(item)
    if match is None:
        return item
    braced, field, index, plain = match.groups()
    parent = parents.get(braced or plain)
    if parent is None:
        raise TaskFailure(f"input {item} names no task of depends_on", "bad_reference")
    if parent.state != states.COMPLETED:
        word = states.NAMES[parent.state]
        raise TaskFailure(f"input {item} refers to a task that is {word} and has no results", "bad_reference")
    if field == "results" and index is None:
        return parent.origin_of_values.doc.get("results")
    outputs = parent.origin_of_values.doc.get("outputs") or []
    if index is not None:
        if int(index) >= len(outputs):
            raise TaskFailure(f"input {item} refers to output {index} of {len(outputs)}", "bad_reference")
        return outputs[int(index)]
    # The whole of a task that returned one value is that value.
    return outputs[0] if field is None and len(outputs) == 1 else outputs


def arguments(task: Task, call: Call, module: Module) -> Any:
    """The inputs as the device gives them to the function: for `call`, and for `edge` with parameters, an object
    becomes a list, by the names of the parameters.

    The names are the task's `params`, or those of the module's name section. Inputs that no names are known for go as
    they are, and so they do to the other ABIs.
    """
    inputs = resolve(task)
    if not isinstance(inputs, dict):
        return inputs
    function = module.functions[call.function]
    # A function of `edge` may take parameters as well; without any it reads the object as its payload.
    takes_list = call.abi == CALL or (call.abi == EDGE and function["params"])
    if not takes_list:
        return inputs
    names = task.doc.get("params") or _parameters(function)
    if names is None:
        return inputs
    missing = [name for name in names if name not in inputs]
    if missing:
        raise TaskFailure(f"inputs lack the parameter {missing[0]}", "bad_inputs")
    return [inputs[name] for name in names]


def _parameters(function: Doc) -> list[str] | None:
    """The names of the parameters, where they are known."""
    names: list[str] = function.get("param_names") or []
    return None if function["params"] and not names else names
