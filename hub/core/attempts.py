"""One attempt of a task on a device: dispatch, started, result, and what happens when the device falls silent.

An attempt is (task, attempt number, device). Only the current one changes the task: that is the fence.
"""

import json

from hub.core import flow, outputs, passing, quarantine, retries, reuse
from hub.core.abi import reads_environment
from hub.core.codes import classify
from hub.core.commands import Progress, Result, Started
from hub.core.entries import entry
from hub.core.model import ATTEMPTS, ATTEMPTS_KEPT, LOSSES_ALLOWED, OLDER_KEPT, REPORTED, Doc, Task
from hub.core.proplet import Proplet
from hub.core.timing import LEASE
from hub.core.world import World, attempt_id
from shared import states
from shared.errors import TaskFailure

_REPORTED = frozenset(REPORTED)
# Of a result that came too late, what is kept in the attempt's entry.
_SUPERSEDED = ("ok", "outputs", "error", "duration_ms")


# A daemon that lasted so long is not failing; one that fails waits at most so long.
DAEMON_STEADY_S = 60.0
DAEMON_WAIT_S = 30.0


# --- dispatch


def dispatch(world: World) -> None:
    """Gives queued tasks to free proplets until one of them runs out."""
    now = world.now
    for task, proplet in world.placer.matches():
        doc = task.doc
        queued_at = doc.get("queued_at")
        world.taken(task)
        try:
            fields = start_fields(world, task)
        except TaskFailure as error:
            flow.fail(world, task, error.code, error.message)
            world.write(task, {"queued_at": None})
            flow.settle(world, task)
            continue
        task.attempt = number = task.attempt + 1
        if number > ATTEMPTS_KEPT:
            _set_aside(world, task)
        changes = {"attempt": number, "proplet_id": proplet.id, "dispatched_at": now.wall}
        world.move(task, states.SCHEDULED, changes)
        _hold(world, task, proplet)
        task.resends = 0
        task.dispatched = now.mono
        if queued_at is not None:
            world.counts.queued.add(now.wall - queued_at)
        fields["attempt"] = number
        world.send(proplet.id, "start", fields)


def _set_aside(world: World, task: Task) -> None:
    """Keeps the oldest attempt beside the task's document, which lists so many and no more."""
    attempts: list[Doc] = task.doc.get("attempts") or []
    if len(attempts) < ATTEMPTS_KEPT:
        return  # it bears the id, and goes on with the numbers, of a task that was deleted
    oldest, number = attempts[0], attempts[0]["number"]
    world.keep_doc(ATTEMPTS, {**oldest, "id": attempt_id(task.id, number), "task": task.id})
    if number > OLDER_KEPT:
        world.forget(ATTEMPTS, attempt_id(task.id, number - OLDER_KEPT))
    world.write(task, {"attempts": attempts[1:]})


# Of a task's definition, what the start message has as well.
_PASSED_ON = ("env", "cli_args", "stdin", "allow", "daemon")


def start_fields(world: World, task: Task) -> Doc:
    """The start message (protocol.md) but for the attempt; TaskFailure when the module or its inputs cannot be had."""
    doc = task.doc
    module, call = world.call(task)
    fields = {
        "task": task.id,
        "module": module.doc["prepared"],
        "size": module.doc["prepared_size"],
        "name": doc["name"],
        "abi": call.abi,
        "function": call.function,
        "inputs": passing.arguments(task, call, module),
        "limits": world.usual_limits if task.plain else world.policy.limits(doc),
    }
    if not task.plain:
        fields.update({key: doc[key] for key in _PASSED_ON if key in doc})
    if task.parents:
        results = fields["parent_results"] = passing.parent_results(task)
        if reads_environment(call, module):
            fields["env"] = {**(doc.get("env") or {}), "PARENT_RESULTS": json.dumps(results)}
    return fields


def _hold(world: World, task: Task, proplet: Proplet) -> None:
    """Puts an attempt on the proplet's books and begins its lease."""
    proplet.running[task.id] = task
    world.placer.update(proplet)
    renew(world, task)
    watch(world, task)


def renew(world: World, task: Task) -> None:
    """Begins the attempt's lease anew: lost_after, but no less than the hub's own."""
    lease_s = world.policy.lease_s
    if not task.plain:
        lease_s = max(lease_s, task.doc.get("lost_after") or 0.0)
    task.lease_until = world.now.mono + lease_s


def watch(world: World, task: Task) -> None:
    if not task.leased:
        task.leased = True
        world.timers.add(task.lease_until, LEASE, task.id)


def _release(world: World, task: Task, outcome: str) -> None:
    """Takes an attempt off the proplet's books."""
    world.counts.attempts[outcome] += 1
    proplet = world.proplets[task.doc["proplet_id"]]
    proplet.running.pop(task.id, None)
    world.placer.update(proplet)


def take_up(world: World) -> None:
    """After a restart of the hub: every running attempt has one lease for its device to say hello."""
    for task in world.tasks.values():
        if task.state in states.ACTIVE and not task.is_fan:
            _hold(world, task, world.proplets[task.doc["proplet_id"]])
        elif task.state != states.PENDING:
            continue
        elif task.doc.get("retry_at") is not None:
            # No longer than it was to wait at first: a gateway without a clock of its own may come back in 1970.
            left = max(0.0, task.doc["retry_at"] - world.now.wall)
            world.delay(task, min(left, _wait(task)))
        elif task.doc.get("queued_at") is not None:
            world.enqueue(task)
    for group in (*world.workflows.values(), *world.jobs.values()):
        flow.watch_deadline(world, group)


# --- what devices say


def started(world: World, command: Started) -> None:
    task = current(world, command.device, command.task, command.attempt)
    if task is not None and task.state == states.SCHEDULED:
        begin = _begin(world, task, world.now.wall)
        world.proplets[command.device].has_loaded(world.modules[task.doc["module"]].blobs[-1])
        world.move(task, states.RUNNING, {"start_time": begin})
        renew(world, task)


def progress(world: World, command: Progress) -> None:
    task = current(world, command.device, command.task, command.attempt)
    if task is not None:
        changes: Doc = {"progress": command.share}
        if command.message is not None:
            changes["progress_message"] = command.message
        world.write(task, changes)


def result(world: World, command: Result) -> None:
    """Records the result of the current attempt, once; any other is answered, so that the device drops it."""
    task = current(world, command.device, command.task, command.attempt)
    if task is None:
        world.counts.superseded += 1
        _keep_superseded(world, command)
    elif task.doc.get("stopping"):
        world.write(task, _end_attempt(world, task, "cancelled", {"superseded": _summary(command.fields)}))
        flow.interrupted(world, task)
    elif task.doc.get("daemon") and _restarts(command.fields):
        _restart(world, task, command.fields)
    elif command.fields.get("ok"):
        _complete(world, task, command.fields)
    else:
        _fail(world, task, command.fields)
    world.send(command.device, "ack", {"task": command.task, "attempt": command.attempt})


def _error(fields: Doc) -> Doc:
    return fields.get("error") or {}


def _note_death(world: World, task: Task, fields: Doc) -> None:
    """A module that kills the processes that run it is not sent out for ever."""
    if _error(fields).get("code") == "worker_died":
        quarantine.worker_died(world, world.modules[task.doc["module"]], task.doc["proplet_id"])


def _restarts(fields: Doc) -> bool:
    """A daemon that ended by itself runs again, unless it never can."""
    return bool(fields.get("ok")) or classify(str(_error(fields).get("code")))[1]


def _restart(world: World, task: Task, fields: Doc) -> None:
    """The daemon again on the same proplet, later the more often it has ended soon after its start."""
    _note_death(world, task, fields)
    lasted = world.now.wall - (task.doc.get("start_time") or world.now.wall)
    failures = 1 if lasted >= DAEMON_STEADY_S else (task.doc.get("failures") or 0) + 1
    outcome = "completed" if fields.get("ok") else "failed"
    ended = _end_attempt(world, task, outcome, {"error_info": fields.get("error")})
    bound = {"bound_to": task.doc["proplet_id"], "failures": failures}
    world.move(task, states.PENDING, {"start_time": None, "proplet_id": None, **bound, **ended})
    world.delay(task, _wait(task))


def _wait(task: Task) -> float:
    """Seconds before the attempt that follows the last one."""
    failures: int = task.doc["failures"]
    if task.doc.get("daemon"):
        return float(min(DAEMON_WAIT_S, 2.0 ** min(failures - 1, 10)))
    return retries.delay(task.doc, failures)


def _complete(world: World, task: Task, fields: Doc) -> None:
    _release(world, task, "completed")
    begin, end = _times(world, task)
    world.counts.ran.add(end - begin)
    # What a program printed is its result, unless the device says another.
    text = fields["text"] if "text" in fields else fields.get("stdout")
    changes = {"finish_time": end, "results": "" if text is None else text}
    if begin != task.doc.get("start_time"):
        changes["start_time"] = begin
    for key in fields:
        if key in _REPORTED:
            changes[key] = fields[key]
    if "outputs" not in fields:
        if text is not None:
            changes["outputs"] = outputs.of_text(text)
        elif "output" in fields:
            # Bytes that are no text: their base64 is what other tasks can be given.
            changes["outputs"] = [fields["output"]]
    world.move(task, states.COMPLETED, changes)
    if not task.plain:
        reuse.remember(world, task)
    flow.settle(world, task)


def _fail(world: World, task: Task, fields: Doc) -> None:
    _note_death(world, task, fields)
    error = _error(fields)
    code, message = str(error.get("code") or "unknown"), str(error.get("message") or "the device gave no reason")
    failure = flow.failure(code, message, "responded")
    failures = (task.doc.get("failures") or 0) + 1
    ended = _end_attempt(world, task, "failed", {"error_info": failure["error_info"]})
    if retries.retried(task.doc, code, failures) and not _halted(task):
        world.move(task, states.PENDING, {"start_time": None, "proplet_id": None, "failures": failures, **ended})
        world.delay(task, _wait(task))
        return
    reported = {key: fields[key] for key in REPORTED if key in fields and key != "outputs"}
    begin, end = _times(world, task)
    changes = {"start_time": begin, "finish_time": end, **reported, **failure, **ended}
    world.move(task, states.FAILED, changes)
    flow.settle(world, task)


def _halted(task: Task) -> bool:
    """Nothing of its group starts any more, not even another attempt."""
    return task.group is not None and task.group.halted


def _times(world: World, task: Task) -> tuple[float, float]:
    """When the run began (its dispatch, if `started` was lost) and now, its end. Wall seconds."""
    begin = task.doc.get("start_time")
    if begin is None:
        begin = _begin(world, task, task.doc["dispatched_at"])
    return begin, max(world.now.wall, begin)


def _begin(world: World, task: Task, wall: float) -> float:
    """Never earlier than the end of what it waited for, even when the hub's clock was set back in between."""
    for gate in task.gates:
        end = gate.doc.get("finish_time")
        if end is not None and end > wall:
            wall = end
    return wall


def current(world: World, device: str, id: str, attempt: int) -> Task | None:
    """The task whose current attempt this is, on this device; None for any other."""
    task = world.tasks.get(id)
    if task is None or task.state not in states.ACTIVE:
        return None
    return task if task.attempt == attempt and task.doc.get("proplet_id") == device else None


def _end_attempt(world: World, task: Task, outcome: str, more: Doc) -> Doc:
    """Frees the slot of an attempt that did not complete its task; what the document is to say of it, for the caller
    to write."""
    _release(world, task, outcome)
    ended = {**entry(task.doc), "outcome": outcome, "finish_time": world.now.wall, **more}
    return {"attempts": [*(task.doc.get("attempts") or ()), ended], "queued_at": None, "dispatched_at": None}


def _summary(fields: Doc) -> Doc:
    return {key: fields[key] for key in _SUPERSEDED if key in fields}


def _keep_superseded(world: World, command: Result) -> None:
    """A late result of an attempt that was fenced is kept with that attempt, never as the task's result."""
    task = world.tasks.get(command.task)
    if task is None:
        return
    attempts: list[Doc] = task.doc.get("attempts") or []
    for at, one in enumerate(attempts):
        ours = one["number"] == command.attempt and one["proplet_id"] == command.device
        if ours and one.get("outcome") == "lost" and "superseded" not in one:
            kept = {**one, "superseded": _summary(command.fields)}
            world.write(task, {"attempts": [*attempts[:at], kept, *attempts[at + 1 :]]})


# --- loss


def lost(world: World, task: Task, why: str) -> None:
    """Fences the current attempt: whatever its device reports from now on is not this task's result."""
    losses = (task.doc.get("losses") or 0) + 1
    failure = flow.failure("device_lost", why, "unknown")
    begin, end = _times(world, task)
    world.write(task, _end_attempt(world, task, "lost", {"error_info": failure["error_info"]}))
    rule = loss_rule(task)
    if task.doc.get("stopping"):
        flow.interrupted(world, task)
    elif rule == "interrupt":
        flow.interrupt(world, task, why, "device_lost")
    elif rule == "fail" or losses > LOSSES_ALLOWED or not _repeatable(task) or _halted(task):
        world.move(task, states.FAILED, {"start_time": begin, "finish_time": end, **failure})
        flow.settle(world, task)
    else:
        bound = task.doc["proplet_id"] if task.doc.get("daemon") else None
        world.move(task, states.PENDING, {"start_time": None, "proplet_id": None, "losses": losses, "bound_to": bound})
        world.enqueue(task)


def _repeatable(task: Task) -> bool:
    return task.doc.get("idempotent") is not False


def loss_rule(task: Task) -> str:
    """on_device_lost; what must not run twice waits for its device to come back and tell."""
    given: str | None = task.doc.get("on_device_lost")
    return given or ("retry" if _repeatable(task) else "wait")
