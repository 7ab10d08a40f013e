"""Faults put into the product on purpose: a simulator that does not find them proves nothing by finding no others."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import edge.agent
import edge.files
import edge.main
import edge.outbox
import hub.store.disk
import hub.store.journal
import hub.store.recovery
from hub.archivist import Archivist
from hub.core import attempts, engine, flow, presence, removal, retention, retries, schedules, submit, timing
from hub.core.model import Now, Outcome
from hub.runtime import Runtime
from shared import states


@dataclass(frozen=True)
class Mutant:
    """says: what is wrong with this product. applied(): it, while the context lasts."""

    says: str
    applied: Callable[[], AbstractContextManager[Any]]


MUTANTS: dict[str, Mutant] = {}


def mutant(says: str) -> Callable[[Callable[[], Any]], None]:
    """The decorated function gives a context manager; its name, with dashes, is the mutant's."""

    def enter(make: Callable[[], Any]) -> None:
        MUTANTS[make.__name__.replace("_", "-")] = Mutant(says, make)

    return enter


# --- the hub's core


@mutant("any attempt's result is the task's")
def no_fencing():  # type: ignore[no-untyped-def]
    def current(world, device, id, attempt):  # type: ignore[no-untyped-def]
        task = world.tasks.get(id)
        return task if task is not None and task.state in states.ACTIVE else None

    return patch.object(attempts, "current", current)


@mutant("what a device runs when it says hello is given away once more")
def double_dispatch_at_hello():  # type: ignore[no-untyped-def]
    real = presence.hello

    def hello(world, command):  # type: ignore[no-untyped-def]
        proplet = world.proplets.get(command.device)
        for task in list(proplet.running.values()) if proplet is not None else ():
            del proplet.running[task.id]
            world.move(task, states.PENDING, {"proplet_id": None})
            world.enqueue(task)
        real(world, command)

    return patch.object(presence, "hello", hello)


@mutant("after a restart of the hub nothing is looked at when its time has come")
def lost_timers_after_restart():  # type: ignore[no-untyped-def]
    real = engine.Engine.load

    def load(self, *given):  # type: ignore[no-untyped-def]
        outcome = real(self, *given)
        self.world.timers = timing.Timers()
        return outcome

    return patch.object(engine.Engine, "load", load)


@mutant("after a restart of the hub schedules do not fire")
def lost_slots_after_restart():  # type: ignore[no-untyped-def]
    return patch.object(schedules, "take_up", lambda world: None)


@mutant("what waited for its next attempt does not after a restart of the hub")
def lost_retries_after_restart():  # type: ignore[no-untyped-def]
    real = attempts.take_up

    def take_up(world):  # type: ignore[no-untyped-def]
        with patch.object(type(world), "delay", lambda self, task, seconds: None):
            real(world)

    return patch.object(attempts, "take_up", take_up)


@mutant("a schedule waits for a time that was wrong")
def corrections_unnoticed():  # type: ignore[no-untyped-def]
    return patch.object(schedules, "_notice_correction", lambda world: None)


@mutant("leases go by the clock on the wall")
def leases_by_the_wall():  # type: ignore[no-untyped-def]
    real = engine.Engine.apply

    def apply(self, now, command):  # type: ignore[no-untyped-def]
        return real(self, Now(now.wall, now.wall), command)

    return patch.object(engine.Engine, "apply", apply)


@mutant("a late result is acknowledged and thrown away")
def late_results_forgotten():  # type: ignore[no-untyped-def]
    return patch.object(attempts, "_keep_superseded", lambda world, command: None)


@mutant("a late result is not acknowledged")
def late_results_unanswered():  # type: ignore[no-untyped-def]
    real = attempts.result

    def result(world, command):  # type: ignore[no-untyped-def]
        if attempts.current(world, command.device, command.task, command.attempt) is not None:
            real(world, command)

    return patch.object(attempts, "result", result)


@mutant("a stop is sent once")
def stop_sent_once():  # type: ignore[no-untyped-def]
    class Flow:
        def __getattr__(self, name: str) -> Any:
            return getattr(flow, name)

        @staticmethod
        def send_stop(world: Any, task: Any) -> None:
            pass

    return patch.object(presence, "flow", Flow())


@mutant("a task that was stopped may still complete")
def stops_forgotten():  # type: ignore[no-untyped-def]
    real = attempts.result

    def result(world, command):  # type: ignore[no-untyped-def]
        task = attempts.current(world, command.device, command.task, command.attempt)
        if task is not None and task.doc.get("stopping"):
            world.write(task, {"stopping": None})
        real(world, command)

    return patch.object(attempts, "result", result)


@mutant("a start is sent once")
def start_sent_once():  # type: ignore[no-untyped-def]
    return patch.object(presence, "_send_again", lambda world, task: attempts.renew(world, task))


@mutant("a failed attempt more than allowed")
def one_retry_too_many():  # type: ignore[no-untyped-def]
    real = retries.retried
    return patch.object(retries, "retried", lambda doc, code, failures: real(doc, code, failures - 1))


@mutant("a request that comes again makes another task")
def requests_forgotten():  # type: ignore[no-untyped-def]
    return patch.object(submit.reuse, "keep_request", lambda world, request, kind, id: None)


@mutant("a task with the id of a deleted one counts its attempts from 1")
def numbers_given_twice():  # type: ignore[no-untyped-def]
    return patch.object(removal, "remember_number", lambda world, id, attempt: None)


# --- the hub's runtime and store


@mutant("answers and messages leave before the journal has written what they say")
def reply_before_journal():  # type: ignore[no-untyped-def]
    real = Runtime._take

    def take(self, turn):  # type: ignore[no-untyped-def]
        self._carry_out(turn)
        real(self, type(turn)(Outcome(None, turn.outcome.puts, []), None))

    return patch.object(Runtime, "_take", take)


@mutant("the journal takes a write for durable that was not synced")
def no_fdatasync():  # type: ignore[no-untyped-def]
    def append(self, data):  # type: ignore[no-untyped-def]
        if self.used + len(data) > self._reserved:
            self._reserve(len(data))
        hub.store.disk.write_all(self._fd, data, self.used)
        self.used += len(data)

    return patch.object(hub.store.disk.AheadFile, "append", append)


@mutant("a start does not sync what a killed hub has written and it reads")
def read_unsynced():  # type: ignore[no-untyped-def]
    return patch.object(hub.store.disk.AheadFile, "sync", lambda self: None)


@mutant("a start does not sync the name of a journal that a killed hub has begun")
def read_unnamed():  # type: ignore[no-untyped-def]
    return patch.object(hub.store.recovery, "sync_directory", lambda path: None)


@mutant("the older journals go before the snapshot that replaces them is written")
def delete_before_snapshot():  # type: ignore[no-untyped-def]
    real = hub.store.journal.write_snapshot

    def write_snapshot(directory, generation, *rest):  # type: ignore[no-untyped-def]
        hub.store.journal.remove_older(directory, generation)
        return real(directory, generation, *rest)

    return patch.object(hub.store.journal, "write_snapshot", write_snapshot)


@mutant("a write for which there was no room is taken for done")
def full_disk_taken_for_written():  # type: ignore[no-untyped-def]
    real = hub.store.disk.AheadFile.append

    def append(self, data):  # type: ignore[no-untyped-def]
        with suppress(hub.store.disk.NoRoom):
            real(self, data)

    return patch.object(hub.store.disk.AheadFile, "append", append)


@mutant("what waits for room on the disk is not written when there is some")
def waiting_for_room_forgotten():  # type: ignore[no-untyped-def]
    real = hub.store.journal.Journal._write_pending

    def write_pending(self):  # type: ignore[no-untyped-def]
        try:
            real(self)
        except hub.store.disk.NoRoom:
            self._pending.clear()
            raise

    return patch.object(hub.store.journal.Journal, "_write_pending", write_pending)


# --- the device


@mutant("the device drops a result when it has published it")
def no_application_ack():  # type: ignore[no-untyped-def]
    real = edge.main.Edge.payload

    def payload(self, kind, fields):  # type: ignore[no-untyped-def]
        made = real(self, kind, fields)
        if kind == "result" and made is not None:
            self.do(self.agent.message("ack", {"task": fields[0], "attempt": fields[1]}, 0))
        return made

    return patch.object(edge.main.Edge, "payload", payload)


@mutant("the device deletes a result's file when it is sent, and keeps it in memory until the ack")
def delete_before_ack():  # type: ignore[no-untyped-def]
    real = edge.outbox.Outbox.get

    def get(self, task, attempt):  # type: ignore[no-untyped-def]
        payload = real(self, task, attempt)
        if payload is not None and (task, attempt) not in self._held:
            self._held[task, attempt] = payload
            edge.files.remove(self._path(self._numbers[task, attempt]))
        return payload

    return patch.object(edge.outbox.Outbox, "get", get)


@mutant("the outbox is in memory only")
def outbox_in_memory():  # type: ignore[no-untyped-def]
    def put(self, task, attempt, payload):  # type: ignore[no-untyped-def]
        self._numbers[task, attempt] = self._next
        self._next += 1
        self._held[task, attempt] = payload
        return True

    return patch.object(edge.outbox.Outbox, "put", put)


@mutant("a result's file is synced, its name is not")
def names_unsynced():  # type: ignore[no-untyped-def]
    return patch.object(edge.files, "_flush_name", lambda path: None)


@mutant("results go again at a reconnect only")
def results_sent_once():  # type: ignore[no-untyped-def]
    real = edge.agent.Agent._beat

    def beat(self, now_ms):  # type: ignore[no-untyped-def]
        real(self, now_ms)
        self._late = []

    return patch.object(edge.agent.Agent, "_beat", beat)


@mutant("the device forgets which attempts ran on it")
def device_forgets():  # type: ignore[no-untyped-def]
    return patch.object(edge.agent.Agent, "_remember", lambda self, key: None)


# --- the history of what has ended


@mutant("copies in the history are not marked, on their way in or out")
def copies_unmarked():  # type: ignore[no-untyped-def]
    return patch.object(retention, "_hide", lambda world, first, last: None)


@mutant("what changes while its copy is written leaves the store all the same")
def changes_left_behind():  # type: ignore[no-untyped-def]
    return patch.object(retention, "_has_changed", lambda world, unit: False)


@mutant("a run leaves the store before its copy is written")
def copies_written_late():  # type: ignore[no-untyped-def]
    real = Archivist._in_thread

    async def in_thread(self, work, *given):  # type: ignore[no-untyped-def]
        if work == self.history.add:
            asyncio.get_running_loop().call_later(1.0, work, *given)
            return None
        return await real(self, work, *given)

    return patch.object(Archivist, "_in_thread", in_thread)


@mutant("a copy is written or removed before the mark on it is on the disk")
def marks_not_waited_for():  # type: ignore[no-untyped-def]
    async def settled(self):  # type: ignore[no-untyped-def]
        pass

    return patch.object(Runtime, "settled", settled)
