"""What is not done twice: results known to the cache, requests that come again, tasks with an active dedup_key."""

import json
from hashlib import sha256
from typing import Any

from hub.core import passing
from hub.core.model import CACHE, REQUESTS, Doc, Task
from hub.core.world import World
from shared import states
from shared.errors import Conflict, TaskFailure

CACHE_KEPT = 1000
REQUESTS_KEPT = 10_000

# What decides the result of a run, beside inputs and parents' values.
_DECIDES = ("module", "function", "name", "abi", "env", "cli_args", "stdin", "allow", "limits")


def cache_key(task: Task) -> str | None:
    """Of module, function, inputs and parents' values; None when the inputs cannot be resolved."""
    try:
        inputs = passing.resolve(task)
    except TaskFailure:
        return None
    parts = [[task.doc.get(key) for key in _DECIDES], inputs, passing.parent_results(task)]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def cached(world: World, task: Task) -> bool:
    """Completes a task whose result is known and young enough; remembers its key otherwise."""
    key = cache_key(task)
    known = world.cache.get(key or "")
    if known is not None and world.now.wall - known["at"] <= task.doc["cache"]["ttl"]:
        times = {"start_time": world.now.wall, "finish_time": world.now.wall}
        result = {"outputs": known["outputs"], "results": known["results"]}
        world.move(task, states.COMPLETED, {"cached": True, **times, **result})
        return True
    world.write(task, {"cache_key": key})
    return False


def remember(world: World, task: Task) -> None:
    """Keeps the result of a task that asked for it."""
    key = task.doc.get("cache_key")
    if key is not None and task.doc.get("cache"):
        result = {"outputs": task.doc.get("outputs"), "results": task.doc.get("results")}
        _keep(world, CACHE, world.cache, {"id": key, "at": world.now.wall, **result}, CACHE_KEPT)


def first_answer(world: World, request: tuple[str, str] | None) -> Any:
    """(kind, id) that the same request made before, None for a new one; Conflict when its body was another."""
    if request is None:
        return None
    key, digest = request
    known = world.requests.get(key)
    if known is None:
        return None
    if known["digest"] != digest:
        raise Conflict(f"the idempotency key {key[:64]} came with another body before", "idempotency_conflict")
    return known["kind"], known["made"]


def keep_request(world: World, request: tuple[str, str] | None, kind: str, id: str) -> None:
    if request is not None:
        key, digest = request
        _keep(world, REQUESTS, world.requests, {"id": key, "digest": digest, "kind": kind, "made": id}, REQUESTS_KEPT)


def active_twin(world: World, key: str | None) -> Task | None:
    """The task with this dedup_key that has not ended."""
    twin = world.tasks.get(world.dedup.get(key or "", ""))
    return twin if twin is not None and twin.state not in states.ENDED else None


def _keep(world: World, table: str, docs: dict[str, Doc], doc: Doc, most: int) -> None:
    docs.pop(doc["id"], None)
    docs[doc["id"]] = doc
    world.keep_doc(table, doc)
    while len(docs) > most:
        oldest = next(iter(docs))
        del docs[oldest]
        world.forget(table, oldest)
