"""How tasks go on: start, stop, what follows when a task settles. Nothing here scans all tasks at an event."""

from collections.abc import Iterable

from hub.core import conditions, expressions, passing, removal, reuse
from hub.core.codes import classify
from hub.core.commands import Start, Stop, StopAll
from hub.core.entries import listed
from hub.core.graph import unsettled
from hub.core.model import REPORTED, WORKFLOWS, Doc, Group, Task
from hub.core.timing import DEADLINE
from hub.core.world import World
from shared import states
from shared.errors import Conflict, TaskFailure

# What a new run does not keep of the one before; the attempt number goes on, it is what fences.
FRESH: Doc = {
    **dict.fromkeys(REPORTED),
    "start_time": None,
    "finish_time": None,
    "results": None,
    "error": None,
    "error_info": None,
    "stopping": None,
    "proplet_id": None,
    "queued_at": None,
    "dispatched_at": None,
    "losses": None,
    "failures": None,
    "bound_to": None,
    "parts": None,
    "cached": None,
    "cache_key": None,
    "progress": None,
    "progress_message": None,
}

NO_MODULE = "upload one with PUT /tasks/{id}/upload"


def start(world: World, command: Start) -> None:
    if command.kind == "task":
        _start_task(world, world.task(command.id))
    else:
        _start_group(world, world.group(command.kind, command.id), command.kind)


def _start_task(world: World, task: Task) -> None:
    check_startable(task)
    if any(gate.state not in states.SETTLED for gate in task.gates):
        waits = next(gate.id for gate in task.gates if gate.state not in states.SETTLED)
        raise Conflict(f"task {task.id} has unmet dependencies: it waits for task {waits}", "unmet_dependencies")
    if task.state in states.ENDED:
        reset(world, [task] if task.gates else with_descendants(task))
    queue(world, task)


def queue(world: World, task: Task) -> None:
    """Has a Pending task run, whatever its conditions say."""
    _enqueue(world, task)
    settle(world, task)


def _start_group(world: World, group: Group, kind: str) -> None:
    if group.active:
        raise Conflict(f"{kind} {group.id} runs already", "already_running")
    tasks = list(group.tasks.values())
    # Links keep the results they share; the first of an archive, or of links alone, says why nothing starts.
    own = [task for task in tasks if task.plain or (task.source is None and not task.doc.get("archived"))]
    if tasks and not own:
        check_frozen(tasks[0], "started")
    # A daemon does not count for the group, and one that runs goes on running.
    own = [task for task in own if task.plain or not (task.doc.get("daemon") and task.under_way)]
    state = group.state
    # An interrupted workflow goes on where it was; whatever else has ended runs again as a whole.
    resume = kind == "workflow" and state == states.INTERRUPTED
    again = state in states.ENDED
    inside = {task.id for task in own}
    roots = [task for task in own if not task.gates or inside.isdisjoint([gate.id for gate in task.gates])]
    for task in own if kind == "job" else roots:
        check_startable(task)
    if again:
        reset(world, [task for task in own if task.state == states.INTERRUPTED or not resume])
    begin_group(world, group)
    decide_ready(world, own if resume else roots)


def begin_group(world: World, group: Group) -> None:
    """A run of the group begins: its time counts from now."""
    timeout = group.doc.get("timeout")
    world.write(group, {"started": True, "deadline": None if timeout is None else world.now.wall + timeout})
    watch_deadline(world, group)


def decide_ready(world: World, tasks: Iterable[Task]) -> None:
    """Starts, or ends, those of the tasks that wait for nothing."""
    for task in tasks:
        if task.state == states.PENDING and not task.waiting and not task.wanted:
            _decide(world, task)
            settle(world, task)


def watch_deadline(world: World, group: Group) -> None:
    """Has the group looked at when its time is over."""
    deadline = group.doc.get("deadline")
    if deadline is not None:
        group.until = world.now.mono + min(group.doc["timeout"], max(0.0, deadline - world.now.wall))
        world.timers.add(group.until, DEADLINE, f"{group.table}/{group.id}")


def deadline_due(world: World, which: str) -> None:
    """A group whose time is over: what has not ended is Interrupted, with code `timeout`."""
    table, _, id = which.partition("/")
    group = (world.workflows if table == WORKFLOWS else world.jobs).get(id)
    if group is None or group.doc.get("deadline") is None or not group.active or group.until > world.now.mono:
        return  # or it is another run, with a time of its own
    message = f"the {table[:-1]} took longer than {group.doc['timeout']:g} s"
    for task in group.tasks.values():
        if task.state not in states.ENDED:
            stop_task(world, task, message, "timeout")


def check_startable(task: Task) -> None:
    """Refuses what runs already and what has nothing to run, before anything has changed."""
    if task.under_way:
        raise Conflict(f"task {task.id} runs already", "already_running")
    if task.is_template:
        raise Conflict(f"task {task.id} runs by the clock: POST /tasks/{task.id}/start?now=true fires it", "scheduled")
    check_frozen(task, "started")
    check_module(task)


def check_frozen(task: Task, what: str) -> None:
    """An archive stays as it is, and a link has no run of its own."""
    if task.doc.get("archived"):
        raise Conflict(f"task {task.id} is archived and cannot be {what}: copy it instead", "archived")
    if task.source is not None:
        raise Conflict(f"task {task.id} links to {task.source.id} and cannot be {what}: take that one", "linked")


def check_module(task: Task) -> None:
    if not task.doc.get("module") and not task.doc.get("image_url"):
        raise Conflict(f"task {task.id} has no module: {NO_MODULE.format(id=task.id)}", "no_module")


def with_descendants(root: Task) -> list[Task]:
    """The task and all that lies behind it, each once; Conflict when one of them runs."""
    found = {root.id: root}
    todo = [root]
    while todo:
        for child in todo.pop().children.values():
            if child.under_way:
                raise Conflict(f"task {root.id} cannot start again: task {child.id} behind it runs", "already_running")
            if child.id not in found:
                found[child.id] = child
                todo.append(child)
    return list(found.values())


def reset(world: World, tasks: list[Task]) -> None:
    """Takes ended tasks back to Pending for a new run."""
    for task in tasks:
        if task.state != states.PENDING:
            removal.drop_parts(world, task)
            changes: Doc = {key: None for key in FRESH if task.doc.get(key) is not None}
            if "dispatched_at" in changes:
                changes["attempts"] = listed(task.doc)
            world.move(task, states.PENDING, changes)
    # Only now are all states what they will be; the children of a task that had settled wait for it again.
    waiting = {task.id: task for task in tasks}
    for task in tasks:
        waiting.update(task.children)
    for task in waiting.values():
        task.waiting = unsettled(task)


def settle(world: World, task: Task) -> None:
    """If the task is Completed, Failed or Skipped: decides the children for which it was the last one.

    Skips travel down here, in a queue of their own, so that a chain of any length does not recurse.
    """
    if task.state not in states.SETTLED or (task.state == states.COMPLETED and not task.children):
        return
    done = [task]
    for settled in done:
        if settled.state == states.FAILED and settled.group is not None and settled.group.fail_fast:
            done.extend(_halt(world, settled.group))
        for child in settled.children.values():
            if child.state in states.ENDED:
                continue
            # One that runs may yet be tried again: its parents began anew behind its back.
            child.waiting -= 1
            if not child.waiting and not child.wanted and child.state == states.PENDING:
                _decide(world, child)
                if child.state in states.SETTLED:
                    done.append(child)


def _halt(world: World, group: Group) -> list[Task]:
    """The first failure under fail_fast: what has not started is Skipped, what runs may finish."""
    pending = [task for task in group.tasks.values() if task.state == states.PENDING]
    for task in pending:
        world.dequeue(task)
        world.move(task, states.SKIPPED, {"finish_time": world.now.wall})
    return pending


def _decide(world: World, task: Task) -> None:
    """All that a task waited for has settled: it runs, is Skipped, or Failed for its dependency's sake."""
    try:
        verdict = _verdict(task)
    except TaskFailure as error:
        fail(world, task, error.code, error.message)
        return
    if verdict == conditions.RUN:
        _enqueue(world, task)
    elif verdict == conditions.SKIP:
        world.move(task, states.SKIPPED, {"finish_time": world.now.wall})
    else:
        bad = next(parent for parent in task.parents if parent.state != states.COMPLETED)
        fail(world, task, "dependency_failed", f"task {bad.id}, which it depends on, is {states.NAMES[bad.state]}")


def _verdict(task: Task) -> str:
    group, previous, doc = task.group, task.previous, task.doc
    if previous is not None and previous.state != states.COMPLETED and group is not None and group.fail_fast:
        return conditions.SKIP
    if task.plain:
        # What follows says the same of it, at three times the cost; most tasks are such.
        for parent in task.parents:
            if parent.state != states.COMPLETED:
                return conditions.SKIP
        return conditions.RUN
    optional = doc.get("optional") or ()
    ends = [(parent.state, parent.id not in optional) for parent in task.parents]
    verdict = conditions.decide(doc.get("run_if"), doc.get("on_dep_failure"), ends)
    if verdict == conditions.RUN and doc.get("when"):
        return conditions.RUN if expressions.holds(doc["when"], passing.by_name(task)) else conditions.SKIP
    return verdict


def _enqueue(world: World, task: Task) -> None:
    if task.doc.get("module"):
        try:
            world.call(task)
        except TaskFailure as error:
            return fail(world, task, error.code, error.message)
        if task.plain or not task.doc.get("cache") or not reuse.cached(world, task):
            world.enqueue(task)
    elif task.doc.get("image_url"):
        world.enqueue(task)
    else:
        fail(world, task, "bad_module", f"the task has no module: {NO_MODULE.format(id=task.id)}")


def fail(world: World, task: Task, code: str, message: str) -> None:
    """Ends a task that never reached a device, without settling its children."""
    world.move(task, states.FAILED, {"finish_time": world.now.wall, **failure(code, message, "not_sent")})


def failure(code: str, message: str, delivery: str) -> Doc:
    """The fields `error` and `error_info` of semantics.md; delivery is not_sent, sent, responded or unknown."""
    category, retryable = classify(code)
    info = {"code": code, "message": message, "category": category, "retryable": retryable, "delivery_state": delivery}
    return {"error": message, "error_info": info}


# --- stop


def stop(world: World, command: Stop) -> int:
    """How many tasks it stopped."""
    if command.kind == "task":
        task = world.task(command.id)
        if task.doc.get("archived"):
            check_frozen(task, "stopped")
        if task.state in states.ENDED:
            raise Conflict(f"task {task.id} has ended already: {states.NAMES[task.state]}", "already_ended")
        return _stop_each(world, [task], command)
    group = world.group(command.kind, command.id)
    # One that has ended may have tasks that still wait for interrupted parents, and daemons that run.
    if group.state in states.ENDED and all(task.state in states.ENDED for task in group.tasks.values()):
        raise Conflict(f"{command.kind} {group.id} has ended already: {states.NAMES[group.state]}", "already_ended")
    return _stop_each(world, group.tasks.values(), command)


def stop_all(world: World, command: StopAll) -> int:
    """Stops what waits for a proplet or runs; tasks that nobody started stay as they are."""
    busy = [task for task in world.tasks.values() if task.under_way]
    return _stop_each(world, busy, command)


def _stop_each(world: World, tasks: Iterable[Task], command: Stop | StopAll) -> int:
    stopped = 0
    for task in tasks:
        if task.doc.get("archived"):
            continue
        if task.state == states.PENDING or (task.state in states.ACTIVE and not command.finish_running):
            stop_task(world, task, command.error_message)
            stopped += 1
    return stopped


def stop_task(world: World, task: Task, message: str | None, code: str = "cancelled") -> None:
    """A Pending task is Interrupted at once, one on a device when the device says so or its lease ends."""
    if task.state == states.PENDING:
        world.dequeue(task)
        interrupt(world, task, message, code)
        return
    world.write(task, {"stopping": True, "stop_message": message, "stop_code": code})
    if not task.is_fan:
        send_stop(world, task)
    for id in task.doc.get("parts") or ():
        part = world.tasks.get(id)
        if part is not None and part.state not in states.ENDED:
            stop_task(world, part, message, code)


def interrupt(world: World, task: Task, message: str | None, code: str) -> None:
    """Ends a stopped task. Its children are not triggered: they stay Pending."""
    error = failure(code, message or "stopped by request", "unknown")
    changes = {"finish_time": finish_time(world, task), "stopping": None, "stop_message": None, "stop_code": None}
    world.move(task, states.INTERRUPTED, {**changes, **error})


def finish_time(world: World, task: Task) -> float:
    """Now, as the end of a run: never before its beginning, even when the hub's clock was set back in between."""
    return max(world.now.wall, task.doc.get("start_time") or 0.0)


def interrupted(world: World, task: Task) -> None:
    """The stop of a task that was on a device has come to its end."""
    interrupt(world, task, task.doc.get("stop_message"), task.doc.get("stop_code") or "cancelled")


def send_stop(world: World, task: Task) -> None:
    grace_ms = int(1000 * (task.doc.get("stop_grace_s") or 0))
    world.send(task.doc["proplet_id"], "stop", {"task": task.id, "attempt": task.attempt, "grace_ms": grace_ms})
