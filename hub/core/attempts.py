"""One attempt of a task on a device: dispatch, started, result, and what happens when the device falls silent.

An attempt is (task, attempt number, device). Only the current one changes the task: that is the fence.
"""

from collections.abc import Collection
from typing import Any

from hub.core import flow, passing
from hub.core.commands import Beat, Hello, Result, Started
from hub.core.model import (
    ALIVE_HISTORY,
    ATTEMPTS_KEPT,
    LOSSES_ALLOWED,
    RESENDS,
    Doc,
    Proplet,
    Task,
)
from hub.core.timing import LEASE, SILENCE
from hub.core.world import World
from shared import states
from shared.errors import TaskFailure

Pairs = Collection[tuple[str, int]]

# What a device's result may say of the run, beside its outcome.
_REPORTED = ("outputs", "exit_code", "duration_ms", "stdout", "output")
# Of a result that came too late, what is kept in the attempt's entry.
_SUPERSEDED = ("ok", "outputs", "error", "duration_ms")


# --- dispatch


def dispatch(world: World) -> None:
    """Gives queued tasks to free proplets until one of them runs out."""
    for task, proplet in world.placer.matches():
        world.unqueued(task)
        try:
            fields = _start_fields(world, task)
        except TaskFailure as error:
            flow.fail(world, task, error.code, error.message)
            flow.settle(world, task)
            continue
        number = task.attempt + 1
        entry = {"number": number, "proplet_id": proplet.id, "dispatched_at": world.now.wall}
        attempts = [*(task.doc.get("attempts") or ()), entry][-ATTEMPTS_KEPT:]
        world.move(
            task,
            states.SCHEDULED,
            {"attempt": number, "proplet_id": proplet.id, "attempts": attempts, "start_time": None},
        )
        _hold(world, task, proplet)
        world.placer.update(proplet)
        task.resends = 0
        task.dispatched = world.now.mono
        world.send(proplet.id, "start", {**fields, "attempt": number})


def _start_fields(world: World, task: Task) -> Doc:
    """The start message (protocol.md) but for the attempt; TaskFailure when an input refers to what is not there."""
    doc, policy = task.doc, world.policy
    timeout_s = None if doc.get("daemon") else doc.get("timeout", policy.task_timeout_s)
    fields = {
        "task": task.id,
        "module": doc["module"],
        "size": world.modules[doc["module"]]["size_bytes"],
        "name": doc["name"],
        "function": doc.get("function"),
        "abi": doc.get("abi"),
        "inputs": passing.resolve(task),
        "env": doc.get("env"),
        "cli_args": doc.get("cli_args"),
        "daemon": doc.get("daemon"),
        "limits": {
            "timeout_ms": None if timeout_s is None else int(timeout_s * 1000),
            "memory_pages": policy.memory_pages,
            "stack_bytes": policy.stack_bytes,
            "output_bytes": policy.output_bytes,
        },
    }
    if task.parents:
        fields["parent_results"] = passing.parent_results(task)
    return fields


def _hold(world: World, task: Task, proplet: Proplet) -> None:
    """Puts an attempt on the proplet's books and begins its lease."""
    proplet.running[task.id] = task
    task.lease_until = world.now.mono + world.policy.lease_s
    _watch(world, task)


def _watch(world: World, task: Task) -> None:
    if not task.leased:
        task.leased = True
        world.timers.add(task.lease_until, LEASE, task.id)


def _release(world: World, task: Task) -> None:
    proplet = world.proplets[task.doc["proplet_id"]]
    proplet.running.pop(task.id, None)
    world.placer.update(proplet)


def take_up(world: World) -> None:
    """After a restart of the hub: every running attempt has one lease for its device to say hello."""
    for task in world.tasks.values():
        if task.state in states.ACTIVE:
            _hold(world, task, world.proplets[task.doc["proplet_id"]])
        elif task.doc.get("queued_at") is not None:
            world.enqueue(task)


# --- what devices say


def started(world: World, command: Started) -> None:
    task = _current(world, command.device, command.task, command.attempt)
    if task is not None and task.state == states.SCHEDULED:
        begin = _begin(world, task, world.now.wall)
        world.move(task, states.RUNNING, {"start_time": begin, "attempts": _noted(task, {"start_time": begin})})
        task.lease_until = world.now.mono + world.policy.lease_s


def result(world: World, command: Result) -> None:
    """Records the result of the current attempt, once; any other is answered, so that the device drops it."""
    task = _current(world, command.device, command.task, command.attempt)
    if task is None:
        _keep_superseded(world, command)
    elif task.doc.get("stopping"):
        _end_attempt(world, task, "cancelled", {"superseded": _summary(command.fields)})
        flow.interrupt(world, task, task.doc.get("stop_message"))
    elif command.fields.get("ok"):
        _complete(world, task, command.fields)
    else:
        _fail(world, task, command.fields)
    world.send(command.device, "ack", {"task": command.task, "attempt": command.attempt})


def _complete(world: World, task: Task, fields: Doc) -> None:
    _end_attempt(world, task, "completed", {})
    reported = {key: fields[key] for key in _REPORTED if key in fields}
    text = fields.get("text")
    times = _times(world, task)
    world.move(task, states.COMPLETED, {**times, "results": "" if text is None else text, "losses": None, **reported})
    flow.settle(world, task)


def _fail(world: World, task: Task, fields: Doc) -> None:
    error = fields.get("error") or {}
    code, message = str(error.get("code") or "unknown"), str(error.get("message") or "the device gave no reason")
    failure = flow.failure(code, message, "responded")
    _end_attempt(world, task, "failed", {"error_info": failure["error_info"]})
    reported = {key: fields[key] for key in _REPORTED if key in fields and key != "outputs"}
    world.move(task, states.FAILED, {**_times(world, task), **reported, **failure})
    flow.settle(world, task)


def _times(world: World, task: Task) -> Doc:
    """When the run began (its dispatch, if `started` was lost) and now, its end."""
    begin = task.doc.get("start_time")
    if begin is None:
        begin = _begin(world, task, task.doc["attempts"][-1]["dispatched_at"])
    return {"start_time": begin, "finish_time": max(world.now.wall, begin)}


def _begin(world: World, task: Task, wall: float) -> float:
    """Never earlier than the end of what it waited for, even when the hub's clock was set back in between."""
    return max([wall, *(gate.doc.get("finish_time") or 0.0 for gate in task.gates())])


def _current(world: World, device: str, id: str, attempt: int) -> Task | None:
    task = world.tasks.get(id)
    if task is None or task.state not in states.ACTIVE:
        return None
    return task if task.attempt == attempt and task.doc["proplet_id"] == device else None


def _end_attempt(world: World, task: Task, outcome: str, more: Doc) -> None:
    _release(world, task)
    entry = {"outcome": outcome, "finish_time": world.now.wall, **more}
    world.write(task, {"attempts": _noted(task, entry)})


def _noted(task: Task, more: Doc) -> list[Doc]:
    """The attempts with something added to the current one."""
    *before, last = task.doc["attempts"]
    return [*before, {**last, **more}]


def _summary(fields: Doc) -> Doc:
    return {key: fields[key] for key in _SUPERSEDED if key in fields}


def _keep_superseded(world: World, command: Result) -> None:
    """A late result of an attempt that was fenced is kept with that attempt, never as the task's result."""
    task = world.tasks.get(command.task)
    if task is None:
        return
    attempts: list[Doc] = task.doc.get("attempts") or []
    for at, entry in enumerate(attempts):
        ours = entry["number"] == command.attempt and entry["proplet_id"] == command.device
        if ours and entry.get("outcome") == "lost" and "superseded" not in entry:
            kept = {**entry, "superseded": _summary(command.fields)}
            world.write(task, {"attempts": [*attempts[:at], kept, *attempts[at + 1 :]]})


# --- presence


def connected(world: World, device: str) -> None:
    proplet = world.proplets.get(device)
    if proplet is None:
        proplet = Proplet({"id": device, "name": device, "seq": world.next_seq(), "created_at": world.now.wall})
        world.proplets[device] = proplet
        world.keep(proplet)
    proplet.connected = True
    proplet.greeted = False
    _seen(world, proplet)


def disconnected(world: World, device: str) -> None:
    """A closed connection is a hint: nothing new goes there. What runs there is decided by its lease."""
    proplet = world.proplets.get(device)
    if proplet is not None:
        proplet.connected = proplet.greeted = False
        world.placer.update(proplet)
        _write_seen(world, proplet, {})


_HELLO = ("boot", "agent", "runtime", "caps", "mem_free", "mem_total", "flash_free", "slots", "labels", "max_message",
          "max_chunk")  # fmt: skip


def hello(world: World, command: Hello) -> None:
    proplet = world.proplets.get(command.device)
    if proplet is None:
        connected(world, command.device)
        proplet = world.proplets[command.device]
    fields = command.fields
    rebooted = proplet.doc.get("boot") != fields["boot"]
    proplet.connected = proplet.greeted = True
    proplet.mem_free = fields["mem_free"]
    _seen(world, proplet)
    history = [*(proplet.doc.get("alive_history") or ()), world.now.wall][-ALIVE_HISTORY:]
    _write_seen(world, proplet, {**{key: fields.get(key) for key in _HELLO}, "alive_history": history})
    running, outbox = _pairs(fields["running"]), _pairs(fields["outbox"])
    for task in list(proplet.running.values()):
        key = (task.id, task.attempt)
        if key not in running and key not in outbox:
            if rebooted:
                lost(world, task, f"proplet {proplet.id} restarted with the task on it")
            else:
                # Nothing of the connection before can arrive any more: the start was lost with it.
                _send_again(world, task)
    _reconcile(world, proplet, running)
    world.placer.update(proplet)


def beat(world: World, command: Beat) -> None:
    proplet = world.proplets.get(command.device)
    if proplet is None or not proplet.greeted:
        return
    fields = command.fields
    proplet.mem_free, proplet.uptime_s = fields["mem_free"], fields["uptime_s"]
    _seen(world, proplet)
    running = _pairs(fields["running"])
    for task in list(proplet.running.values()):
        overdue = world.now.mono - task.dispatched > world.policy.beat_s
        if overdue and task.state == states.SCHEDULED and (task.id, task.attempt) not in running:
            _send_again(world, task)
    _reconcile(world, proplet, running)
    world.placer.update(proplet)


def _pairs(items: Any) -> set[tuple[str, int]]:
    return {(item[0], item[1]) for item in items}


def _reconcile(world: World, proplet: Proplet, running: Pairs) -> None:
    """Compares what the device says it runs with what it should run: leases go on, the rest is stopped."""
    for id, attempt in running:
        task = proplet.running.get(id)
        if task is None or task.attempt != attempt:
            world.send(proplet.id, "stop", {"task": id, "attempt": attempt, "grace_ms": 0})
            continue
        task.lease_until = world.now.mono + world.policy.lease_s
        if task.doc.get("stopping"):
            flow.send_stop(world, task)


def _send_again(world: World, task: Task) -> None:
    """The same attempt once more; a device runs an attempt at most once, so a start too many does no harm."""
    if task.doc.get("stopping"):
        lost(world, task, "stopped before it began")
    elif task.resends >= RESENDS:
        lost(world, task, f"its start was sent {RESENDS + 1} times and not taken")
    else:
        task.resends += 1
        task.dispatched = world.now.mono
        task.lease_until = world.now.mono + world.policy.lease_s
        try:
            fields = _start_fields(world, task)
        except TaskFailure as error:
            lost(world, task, error.message)
        else:
            world.send(task.doc["proplet_id"], "start", {**fields, "attempt": task.attempt})


def _seen(world: World, proplet: Proplet) -> None:
    proplet.seen, proplet.seen_wall = world.now.mono, world.now.wall
    if not proplet.alive:
        proplet.alive = True
        world.timers.add(world.now.mono + world.policy.lease_s, SILENCE, proplet.id)


def _write_seen(world: World, proplet: Proplet, changes: Doc) -> None:
    """Keeps when the device was last heard: at changes only, a beat each 10 s would wear out an SD card."""
    world.write(proplet, {**changes, "last_alive_at": proplet.seen_wall or None})


# --- time


def tick(world: World) -> None:
    for what, which in world.timers.due(world.now.mono):
        if what == LEASE:
            _lease_due(world, which)
        else:
            _silence_due(world, which)


def _lease_due(world: World, id: str) -> None:
    task = world.tasks.get(id)
    if task is None:
        return
    task.leased = False
    if task.state not in states.ACTIVE:
        return
    if task.lease_until > world.now.mono:
        _watch(world, task)  # renewed since
        return
    lost(world, task, f"proplet {task.doc['proplet_id']} fell silent")


def _silence_due(world: World, id: str) -> None:
    proplet = world.proplets.get(id)
    if proplet is None or not proplet.alive:
        return
    until = proplet.seen + world.policy.lease_s
    if until > world.now.mono:
        world.timers.add(until, SILENCE, id)
        return
    proplet.alive = False
    world.placer.update(proplet)
    _write_seen(world, proplet, {})


def lost(world: World, task: Task, why: str) -> None:
    """Fences the current attempt: whatever its device reports from now on is not this task's result."""
    losses = task.doc.get("losses", 0) or 0
    failure = flow.failure("device_lost", why, "unknown")
    _end_attempt(world, task, "lost", {"error_info": failure["error_info"]})
    if task.doc.get("stopping"):
        flow.interrupt(world, task, task.doc.get("stop_message"))
    elif losses >= LOSSES_ALLOWED:
        world.move(task, states.FAILED, {**_times(world, task), **failure})
        flow.settle(world, task)
    else:
        world.move(task, states.PENDING, {"start_time": None, "proplet_id": None, "losses": losses + 1})
        world.enqueue(task)
