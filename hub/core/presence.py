"""Devices: who is there, what they say they run against what they should run, and what their silence means."""

from collections.abc import Collection
from typing import Any

from hub.core import attempts, flow, updates
from hub.core.commands import Beat, Hello, Stalled
from hub.core.model import ALIVE_HISTORY, RESENDS, Doc, Task
from hub.core.proplet import Proplet
from hub.core.timing import DEADLINE, LEASE, QUEUED, RETRY, SILENCE
from hub.core.world import World
from shared import states
from shared.errors import TaskFailure

# The longest that a device waits before it tries to reach its hub again (shared.backoff).
RETURN_S = 60.0

Pairs = Collection[tuple[str, int]]


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


_CAUSES = {"PWRON": "power", "WDT": "watchdog", "DEEPSLEEP": "sleep"}
_LAST = {"cause": str, "task": str, "attempt": int, "text": str}


def _words(last: Doc) -> Doc:
    """Last words as they are kept."""
    found = updates.typed(last, _LAST)
    if "cause" in found:
        found["cause"] = _CAUSES.get(found["cause"], found["cause"].lower())
    return found


def hello(world: World, command: Hello) -> None:
    proplet = world.proplets.get(command.device)
    if proplet is None:
        connected(world, command.device)
        proplet = world.proplets[command.device]
    fields = command.fields
    rebooted = proplet.doc.get("boot") != fields["boot"]
    proplet.connected = proplet.greeted = True
    _note_memory(proplet, fields)
    _seen(world, proplet)
    history = [*(proplet.doc.get("alive_history") or ()), world.now.wall][-ALIVE_HISTORY:]
    changes = {**{key: fields.get(key) for key in _HELLO}, "alive_history": history}
    changes.update(updates.greeted(proplet, fields))
    if fields.get("last"):  # said once a boot
        changes["last_words"] = {**_words(fields["last"]), "at": world.now.wall}
    _write_seen(world, proplet, changes)
    proplet.read_caps()
    # The last used comes first.
    proplet.modules = dict.fromkeys(str(one) for one in reversed(fields.get("modules") or ()))
    running, outbox = _pairs(fields["running"]), _pairs(fields["outbox"])
    for task in list(proplet.running.values()):
        key = (task.id, task.attempt)
        if key not in running and key not in outbox:
            if rebooted:
                attempts.lost(world, task, f"proplet {proplet.id} restarted with the task on it")
            else:
                # Nothing of the connection before can arrive any more: the start was lost with it.
                _send_again(world, task)
    _reconcile(world, proplet, running)
    world.placer.update(proplet)
    world.fans_due = bool(world.fans)


def beat(world: World, command: Beat) -> None:
    proplet = world.proplets.get(command.device)
    if proplet is None or not proplet.greeted:
        return
    fields = command.fields
    _note_memory(proplet, fields)
    proplet.uptime_s = fields["uptime_s"]
    silent = not proplet.alive
    _seen(world, proplet)
    if silent:
        _write_seen(world, proplet, {})  # its silence was told, and so is its end
    if fields.get("on_trial"):
        world.send(proplet.id, "keep", {})
    running = _pairs(fields["running"])
    for task in list(proplet.running.values()):
        overdue = world.now.mono - task.dispatched > world.policy.beat_s
        if overdue and task.state == states.SCHEDULED and (task.id, task.attempt) not in running:
            _send_again(world, task)
    _reconcile(world, proplet, running)
    world.placer.update(proplet)


def _note_memory(proplet: Proplet, fields: dict[str, Any]) -> None:
    """What a device with one slot has free beside its task says nothing of what the next will find: the device would
    stand idle after it until the next beat."""
    if not (fields["running"] and proplet.mem_free and proplet.slots == 1):
        proplet.mem_free = fields["mem_free"]


def _pairs(items: Any) -> Pairs:
    """In their order: what follows must not depend on how a process hashes text."""
    return dict.fromkeys((item[0], item[1]) for item in items)


def _reconcile(world: World, proplet: Proplet, running: Pairs) -> None:
    """Compares what the device says it runs with what it should run: leases go on, the rest is stopped."""
    for id, attempt in running:
        task = proplet.running.get(id)
        if task is None or task.attempt != attempt:
            world.send(proplet.id, "stop", {"task": id, "attempt": attempt, "grace_ms": 0})
            continue
        attempts.renew(world, task)
        attempts.watch(world, task)
        if task.doc.get("stopping"):
            flow.send_stop(world, task)


def _send_again(world: World, task: Task) -> None:
    """The same attempt once more; a device runs an attempt at most once, so a start too many does no harm."""
    if task.doc.get("stopping"):
        attempts.lost(world, task, "stopped before it began")
    elif task.resends >= RESENDS:
        attempts.lost(world, task, f"its start was sent {RESENDS + 1} times and not taken")
    else:
        task.resends += 1
        task.dispatched = world.now.mono
        attempts.renew(world, task)
        try:
            fields = attempts.start_fields(world, task)
        except TaskFailure as error:
            attempts.lost(world, task, error.message)
        else:
            world.send(task.doc["proplet_id"], "start", {**fields, "attempt": task.attempt})


def _seen(world: World, proplet: Proplet) -> None:
    proplet.seen, proplet.seen_wall = world.now.mono, world.now.wall
    if not proplet.alive:
        proplet.alive = True
        # A broadcast may have waited for it.
        world.fans_due = bool(world.fans)
        world.timers.add(world.now.mono + world.policy.lease_s, SILENCE, proplet.id)


def _write_seen(world: World, proplet: Proplet, changes: Doc) -> None:
    """Keeps when the device was last heard: at changes only, a beat each 10 s would wear out an SD card."""
    world.write(proplet, {**changes, "last_alive_at": proplet.seen_wall or None})


# --- time


def stalled(world: World, command: Stalled) -> None:
    """Time in which the hub heard nobody is no device's silence: leases go on for as long.

    A device may have given up the hub meanwhile. Until it is back it gets as long as it has tried in vain.
    """
    back = world.now.mono + min(command.seconds, RETURN_S)
    for proplet in world.proplets.values():
        proplet.seen = min(world.now.mono, proplet.seen + command.seconds)
        for task in proplet.running.values():
            # The timer of the lease is at its old end and finds the new one there.
            task.lease_until = max(task.lease_until + command.seconds, back)


def tick(world: World) -> None:
    for what, which in world.timers.due(world.now.mono):
        _DUE[what](world, which)


def _retry_due(world: World, id: str) -> None:
    task = world.tasks.get(id)
    if task is not None and task.delayed and task.due <= world.now.mono:
        world.enqueue(task)


def _queued_due(world: World, id: str) -> None:
    task = world.tasks.get(id)
    # The timer may be that of another task that bore this id, or of a definition that was changed.
    seconds = None if task is None else task.doc.get("queue_timeout")
    if task is not None and task.ticket and seconds is not None and task.due <= world.now.mono:
        world.dequeue(task)
        flow.fail(world, task, "timeout", f"it did not get its turn within {seconds:g} s")
        flow.settle(world, task)


def _lease_due(world: World, id: str) -> None:
    task = world.tasks.get(id)
    if task is None:
        return
    task.leased = False
    # The timer may be that of another task that bore this id, or of an earlier run that was no fan.
    if task.state not in states.ACTIVE or task.is_fan:
        return
    if task.lease_until > world.now.mono:
        attempts.watch(world, task)  # renewed since
        return
    if attempts.loss_rule(task) != "wait" or task.doc.get("stopping"):
        attempts.lost(world, task, f"proplet {task.doc['proplet_id']} fell silent")
    # Else its device decides when it says hello: it has it, its result, or neither.


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


_DUE = {
    LEASE: _lease_due,
    SILENCE: _silence_due,
    RETRY: _retry_due,
    QUEUED: _queued_due,
    DEADLINE: flow.deadline_due,
}
