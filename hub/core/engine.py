"""The engine: takes a command and the time, changes documents, says what to keep and what to send."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hub.core import (
    attempts,
    commands,
    fan,
    flow,
    modules,
    presence,
    quarantine,
    retention,
    runs,
    schedules,
    submit,
    updates,
)
from hub.core.load import load
from hub.core.model import Doc, Group, Now, Outcome, Policy, Send, Task
from hub.core.place import why_waiting
from hub.core.world import World
from shared import states

# A monotonic timer does not see the wall clock being set: slots are looked for again after this long at the latest.
LOOK_S = 5.0
NOTHING: Mapping[str, int] = MappingProxyType({})


class Engine:
    """The whole scheduler, without a clock, I/O or randomness.

    apply() answers an Outcome: `reply` for the caller, `puts` for the store, then what is to be done when they are on
    the disk. A command that is refused raises a MotetError and has changed nothing.
    """

    def __init__(self, policy: Policy = Policy()) -> None:  # noqa: B008  it is frozen
        self.world = World(policy)
        # Set when the hub stops: nothing is dispatched any more, and what is queued waits for the next start.
        self.draining = False
        self._handlers: dict[type, Callable[[World, Any], Any]] = {
            commands.CreateTask: submit.create_task,
            commands.CreateWorkflow: submit.create_workflow,
            commands.CreateJob: submit.create_job,
            commands.UpdateTask: submit.update_task,
            commands.AddModule: modules.add_module,
            commands.AttachModule: modules.attach_module,
            commands.Fetched: modules.fetched,
            commands.Release: quarantine.release,
            commands.Sweep: modules.sweep,
            commands.Delete: submit.delete,
            commands.Start: _start,
            commands.Retry: runs.retry,
            commands.Duplicate: runs.duplicate,
            commands.Stop: _stop,
            commands.StopAll: flow.stop_all,
            commands.Connected: lambda world, command: presence.connected(world, command.device),
            commands.Disconnected: lambda world, command: presence.disconnected(world, command.device),
            commands.Hello: presence.hello,
            commands.Beat: presence.beat,
            commands.Started: attempts.started,
            commands.Result: attempts.result,
            commands.Progress: attempts.progress,
            commands.AskUpdate: updates.ask,
            commands.UpdateSaid: updates.said,
            commands.Stalled: presence.stalled,
            commands.Retire: retention.retire,
            commands.Retired: retention.retired,
            commands.Recall: retention.recall,
            commands.Discard: retention.discard,
            commands.Settled: retention.settled,
            commands.Tick: _tick,
        }

    def load(self, now: Now, tables: dict[str, dict[str, Doc]], bygone: Mapping[str, int] = NOTHING) -> Outcome:
        """Takes up the documents of the store after a start of the hub.

        bygone: how many tasks in the history refer to each module.
        """
        self.world.now = now
        load(self.world, tables)
        for module, tasks in bygone.items():
            self.world.ended.modules[module] = tasks
            self.world.modules.refer(module, tasks)
        attempts.take_up(self.world)
        schedules.take_up(self.world)
        retention.take_up(self.world)
        return self._outcome(None)

    def apply(self, now: Now, command: commands.Command) -> Outcome:
        self.world.now = now
        return self._outcome(self._handlers[type(command)](self.world, command))

    def _outcome(self, reply: Any) -> Outcome:
        """Dispatches what is ready; what ends in doing so may make more ready."""
        world = self.world
        while True:
            if world.held:
                world.admit_held()
            if world.fans_due:
                fan.begin_due(world)
            if world.placer.length and not self.draining:
                attempts.dispatch(world)
            # What fails at its dispatch or its beginning makes room for what its group holds back.
            if not world.ended_parts and not (world.held and world.has_room()):
                break
            ended, world.ended_parts = world.ended_parts, []
            for part in ended:
                (schedules if part.doc["origin"]["type"] == "schedule" else fan).follow(world, part)
        return world.take(reply)

    def next_deadline(self) -> float | None:
        """Monotonic second of the next Tick that may matter."""
        deadline, slot = self.world.timers.next(), self.world.slots.next()
        if slot is None:
            return deadline
        now = self.world.now
        look = now.mono + min(max(0.0, slot - now.wall), LOOK_S)
        return look if deadline is None else min(deadline, look)

    # --- reading

    def stands(self, send: Send) -> bool:
        """Whether a message that an earlier turn led to is still to leave: while its turn was on its way to the disk,
        the attempt that it starts may have been given up."""
        fields = send.fields
        return (
            send.kind != "start"
            or attempts.current(self.world, send.device, fields["task"], fields["attempt"]) is not None
        )

    @property
    def busy(self) -> bool:
        """Whether a device that is connected has work of ours."""
        return any(proplet.running and proplet.connected for proplet in self.world.proplets.values())

    def pending_reason(self, task: Task) -> str | None:
        """Why a Pending task does not run yet, in words; None when it does not wait."""
        if task.state != states.PENDING:
            return None
        if task.is_template:
            return None if task.doc.get("next_run") is None else "waits for its next run"
        if task.delayed:
            return f"failed {task.doc.get('failures')} times and is tried again at its retry_at"
        if task.held and task.group is not None:
            return f"{task.group.doc['max_parallel']} tasks of its {task.group.table[:-1]} run already"
        if task.id in self.world.images.waiting:
            return f"its module is being fetched from {task.doc['image_url']}"
        return why_waiting(list(self.world.proplets.values()), task) if task.ticket else _waits_for(task)


def _start(world: World, command: commands.Start) -> None:
    task = world.task(command.id) if command.kind == "task" else None
    if task is None or not task.is_template:
        flow.start(world, command)
    elif command.now:
        schedules.fire_now(world, task)
    else:
        schedules.start(world, task)


def _stop(world: World, command: commands.Stop) -> int:
    task = world.tasks.get(command.id) if command.kind == "task" else None
    if task is None or task.state in states.ENDED or not task.is_template:
        return flow.stop(world, command)
    schedules.stop(world, task, command.error_message)
    return 1


def _tick(world: World, command: commands.Tick) -> None:
    presence.tick(world)
    schedules.fire_due(world)


def _waits_for(task: Task) -> str:
    waiting = [gate.id for gate in task.gates if gate.state not in states.SETTLED]
    if not waiting:
        return "not started"
    more = f" and {len(waiting) - 1} more" if len(waiting) > 1 else ""
    return f"waits for task {waiting[0]}{more}"


def group_times(group: Group) -> tuple[float | None, float | None]:
    """When the first task of a group began and, once nothing runs, when the last one ended."""
    begins = [task.doc["start_time"] for task in group.tasks.values() if task.doc.get("start_time")]
    ends = [task.doc["finish_time"] for task in group.tasks.values() if task.doc.get("finish_time")]
    return min(begins, default=None), max(ends, default=None) if group.state in states.ENDED else None
