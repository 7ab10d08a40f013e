"""Calls of functions through the whole way: uploaded to a hub by REST, run by a real edge, read by REST again."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from tests.differential.generate import Function, generate
from tests.differential.inputs import inputs
from tests.differential.reference import Outcome, bits
from tests.e2e.world import World

# Tasks of one workflow: its body stays below 16 MB, and a page holds all of them.
TOGETHER = 1000
TIMEOUT_S = 20
WAIT_S = 300

_numbers = count(1)


@dataclass(frozen=True)
class Call:
    """One call of an export; what: where it comes from, for a person to find it again."""

    what: str
    data: bytes = field(repr=False)
    function: Function
    inputs: list[Any]


def generated_calls(seed: int, each: int) -> list[Call]:
    """So many calls of each function of a generated module."""
    module = generate(seed)
    random = Random(f"calls of {seed}")
    return [
        Call(f"seed {seed}", module.data, function, inputs(random, function.params))
        for function in module.functions
        for _ in range(each)
    ]


def run(world: World, calls: list[Call], **fields: Any) -> Iterator[tuple[Call, dict[str, Any]]]:
    """Each call with the task that made it, ended. fields: further ones of every task."""
    for at in range(0, len(calls), TOGETHER):
        part = calls[at : at + TOGETHER]
        yield from zip(part, _ended(world, [_task(call, fields) for call in part]), strict=True)


def _task(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": call.what, "function": call.function.name, "inputs": call.inputs, "timeout": TIMEOUT_S,
            "file": base64.b64encode(call.data).decode(), **fields}  # fmt: skip


def _ended(world: World, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tasks at their end, in their order; the hub forgets them."""
    id = f"calls-{next(_numbers)}"
    world.client.create_workflow(tasks, workflow_id=id, fail_fast=False)
    world.client.start_workflow(id)
    world.client.wait_workflow(id, WAIT_S)
    ended: list[dict[str, Any]] = world.client.tasks(workflow_id=id, limit=TOGETHER)["tasks"]
    world.client.delete_workflow(id)
    return ended


def outcome(call: Call, task: dict[str, Any]) -> Outcome:
    """What came of a call, in the words of the reference; any other failure stands where a trap would."""
    if task["state_name"] == "Completed":
        results = call.function.results
        return Outcome(tuple(bits(type_, value) for type_, value in zip(results, task.get("outputs", ()), strict=True)))
    return Outcome(trap=(task.get("error_info") or {}).get("code", task["state_name"]))
