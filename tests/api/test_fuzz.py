"""Whatever JSON comes in, the answer is not a 5xx, what is refused changes nothing, and the engine stays sound."""

import random
from typing import Any

import msgspec
import pytest

from hub.api.bodies import DuplicateIn, JobIn, RetryIn, StopIn, TaskIn, WorkflowIn
from hub.core.checks import violations
from hub.core.world import World
from tests.api.stage import FILE, Stage
from tests.effort import effort

FIELDS = {kind: [one.encode_name for one in msgspec.structs.fields(kind)]
          for kind in (TaskIn, WorkflowIn, JobIn, StopIn, RetryIn, DuplicateIn)}  # fmt: skip
IDS = ["a", "b", "c", "d", "e"]
# fmt: off
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 101, 2**31, 2**63, 2**80, 0.1, -0.0, 1e308, "", "x", "a", "main", "$a", "${a", "\0",
    "x" * 300, [], {}, [1, 2], ["a"], [[]], [None], {"ttl": 1}, {"ttl": -1}, {"a": {"b": [1]}}, "* * * * *",
    "2030-01-01T00:00:00Z", "Europe/Riga", FILE, {"tasks": {"a": {"inputs": [1]}}}, ["timeout"], "call",
]
# fmt: on
# Values that pass the first check, and how often a body has the field.
GOOD: dict[str, tuple[float, list[Any]]] = {
    "id": (0.7, IDS),
    "name": (0.98, ["main", "t", "a"]),
    "file": (0.8, [FILE]),
    "image_url": (0.05, ["docker.io/myorg/extract:v1"]),
    "inputs": (0.7, [[1, 2], ["$a", 1], ["${b.outputs[0]}", 1], {"x": 1}, ["$item"]]),
    "depends_on": (0.3, [["a"], ["b"], ["a", "b"], [{"id": "a", "required": False}]]),
    "parent_id": (0.1, ["a", "b"]),
    "run_if": (0.2, ["success", "failure", "always"]),
    "on_dep_failure": (0.1, ["skip", "fail", "run-anyway"]),
    "when": (0.05, ["1 > 0", "a.result > 1"]),
    "retries": (0.2, [0, 1, 3]),
    "backoff": (0.1, ["fixed", "exponential"]),
    "backoff_base": (0.1, [0, 0.01]),
    "stdin": (0.1, ["", "x"]),
    "allow": (0.1, [[], ["adc", "publish:a/"]]),
    "limits": (0.1, [{}, {"memory_pages": 1, "output_bytes": 0}]),
    "timeout": (0.1, [None, 5]),
    "queue_timeout": (0.05, [0.01, 5]),
    "on_device_lost": (0.1, ["retry", "wait"]),
    "cost": (0.1, [0, 5]),
    "broadcast": (0.05, [True]),
    "daemon": (0.05, [True]),
    "for_each": (0.05, [[1, 2], [], "$a", "${a.outputs}"]),
    "priority": (0.1, [0, 100, "high"]),
    "proplet_id": (0.1, ["d1", "d2", "x"]),
    "cache": (0.1, [{"ttl": 60}]),
    "dedup_key": (0.05, ["k"]),
    "user_id": (0.1, ["u"]),
    "idempotency_key": (0.05, ["i"]),
    "every": (0.04, [0.1, 60]),
    "schedule": (0.04, ["* * * * *"]),
    "overlap": (0.05, ["queue"]),
    "placement": (0.05, [{"labels": {"a": "b"}}]),
    "resources": (0.05, [{"memory_kb": 0}]),
    "fail_fast": (0.3, [True, False]),
    "max_parallel": (0.2, [1, 2]),
    "workflow_id": (0.3, ["w"]),
    "job_id": (0.3, ["j"]),
    "execution_mode": (0.9, ["parallel", "sequential", "configurable"]),
    "from": (0.5, ["failed", "all", "a"]),
    "children": (0.3, [True, False]),
    "dependencies": (0.3, [True, False]),
    "link": (0.1, [["a"]]),
    "overrides": (0.1, [{"inputs": [3, 4]}, {"name": "n"}]),
    "running": (0.3, ["stop", "finish"]),
    "all": (0.2, [True]),
}  # fmt: skip


def siblings(chance: random.Random) -> list[Any]:
    """Tasks of one group: ids of their own, and mostly dependencies on each other."""
    tasks: list[Any] = []
    for _ in range(chance.randrange(1, 6)):
        task = body(chance, TaskIn)
        if isinstance(task, dict):
            task["id"] = f"n{chance.randrange(10**9)}"
            task.pop("depends_on", None)
            for scheduled in ("every", "schedule", "dedup_key"):
                task.pop(scheduled, None)
            if tasks and chance.random() < 0.7:
                task["depends_on"] = [one["id"] for one in chance.sample(tasks, min(len(tasks), 2))]
            tasks.append(task)
    return tasks


def body(chance: random.Random, kind: type) -> Any:
    """A body that mostly passes, now and then with something odd in a field, or odd as a whole."""
    fields = {}
    for name in FIELDS[kind]:
        often, values = GOOD.get(name, (0.0, ODD))
        if name == "tasks":
            fields[name] = siblings(chance)
        elif name == "workflow_id" and kind is TaskIn:
            if chance.random() < 0.1:
                fields[name] = "w"
        elif chance.random() < often:
            fields[name] = chance.choice(values)
        elif chance.random() < 0.003:
            fields[name] = chance.choice(ODD)
    return fields if chance.random() < 0.995 else chance.choice(ODD)


def request(chance: random.Random, world: World) -> tuple[str, str, Any]:
    known = {"tasks": [*world.tasks], "workflows": [*world.workflows], "jobs": [*world.jobs],
             "modules": [*world.modules]}  # fmt: skip
    ids = {kind: chance.choice(some) if some and chance.random() < 0.95 else "nobody" for kind, some in known.items()}
    id, w, j = ids["tasks"], ids["workflows"], ids["jobs"]
    creations = [("POST", "/tasks", TaskIn), ("POST", "/workflows", WorkflowIn), ("POST", "/jobs", JobIn)]
    changes: list[tuple[str, str, type | None]] = [("PUT", f"/tasks/{id}", TaskIn), ("DELETE", f"/tasks/{id}", None)]
    module = f"/modules/{ids.pop('modules')}"
    changes += [("DELETE", module, None), ("POST", f"{module}/release", None)]
    for kind, one in ids.items():
        changes += [("POST", f"/{kind}/{one}/start", None)] * 3 + [("POST", f"/{kind}/{one}/stop", StopIn)]
    for kind in ("tasks", "workflows"):
        changes += [("POST", f"/{kind}/{ids[kind]}/retry", RetryIn)]
        changes += [("POST", f"/{kind}/{ids[kind]}/{verb}", DuplicateIn) for verb in ("copy", "link", "archive")]
    changes += [("DELETE", f"/workflows/{w}", None), ("POST", "/stop", StopIn)]
    looks: list[tuple[str, str, type | None]] = [
        ("GET", path, None)
        for path in (module, f"{module}?form=prepared", "/tasks", "/workflows", "/jobs", "/proplets", "/modules",
                     f"/tasks/{id}", f"/tasks/{id}/logs", "/proplets/d1/logs", "/proplets/d1/messages", f"/jobs/{j}",
                     f"/workflows/{w}", f"/workflows/{w}/plan", f"/workflows/{w}/graph", f"/workflows/{w}/trace")
    ]  # fmt: skip
    method, path, shape = chance.choice([*creations, *creations, *changes, *looks])
    return method, path, body(chance, shape) if shape else None


@pytest.mark.parametrize("seed", range(effort(2000)))
async def test_no_request_is_answered_with_5xx_and_the_engine_stays_sound(tmp_path, seed):
    chance = random.Random(seed)
    async with Stage(tmp_path) as stage:
        stage.join("d1")
        stage.join("d2", answers=False)
        stage.join("d3", answers=False)
        for _ in range(150):
            method, path, content = request(chance, stage.runtime.engine.world)
            answer = await stage.call(method, path, content)
            assert answer.status_code < 500, (method, path, content, answer.text)
            if answer.status_code >= 400:
                assert set(answer.json()) == {"error", "code", "detail"}, (path, answer.text)
            assert violations(stage.runtime.engine) == [], (method, path, content)
            while not stage.held.empty():
                start = stage.held.get_nowait()
                if start["kind"] == "start" and chance.random() < 0.7:
                    code = chance.choice(["trap_unreachable", "worker_died"])
                    stage.finish(start["device"], start, ok=chance.random() < 0.6, code=code)
    async with Stage(tmp_path) as stage:
        assert violations(stage.runtime.engine) == []
