"""What people ask of the hub, as commands; an answer is a promise, a hub that dies gives none."""

import asyncio
from typing import TYPE_CHECKING, Any

from hub.core import commands
from shared.errors import MotetError

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

# After so long without an answer, whoever wants one asks again.
PATIENCE_S = 5.0
# Who finds no hub tries again after so long.
AGAIN_S = 1.0


class People:
    def __init__(self, world: "Simulation") -> None:
        self.world = world
        self._fresh = 0

    def fresh(self, count: int) -> list[str]:
        self._fresh += count
        return [f"fresh-{self._fresh - at}" for at in range(count)]

    def ask(self, command: Any) -> "asyncio.Task[Any] | None":
        """The hub's work on it; None when there is no hub: then it is asked a little later."""
        hub = self.world.hub
        if hub.runtime is None or hub.process is None:
            self.world.later(AGAIN_S, lambda: self.ask(command) and None)
            return None
        asked = self.world.loop.create_task(hub.runtime.do(command), context=hub.process.context)
        asked.add_done_callback(lambda done: self._answered(command, done), context=self.world.context)
        return asked  # type: ignore[no-any-return]

    def _answered(self, command: Any, done: "asyncio.Task[Any]") -> None:
        error = done.exception()
        name = type(command).__name__
        if error is None:
            self.world.ledger.replied(command)
            self.world.say("people", "are told: done", name)
        elif isinstance(error, MotetError):
            self.world.say("people", "are refused", f"{name}: {error.message}")
        else:
            self.world.violated(f"{command!r} ended with {error!r}", error)

    # --- the verbs of a plan

    def do_task(self, spec: dict[str, Any]) -> None:
        self.ask(commands.CreateTask(dict(spec), self.fresh(1)[0]))

    def do_template(self, spec: dict[str, Any]) -> None:
        spec = dict(spec)
        seconds = spec.pop("at_in", None)
        if seconds is not None:
            spec["at"] = self.world.hub.clock().wall + seconds
        self.do_task(spec)

    def do_patient(self, spec: dict[str, Any], key: str) -> None:
        asked = self.ask(commands.CreateTask(dict(spec), self.fresh(1)[0], (key, "digest")))

        def look() -> None:
            if asked is None or not asked.done() or asked.exception() is not None:
                self.do_patient(spec, key)

        self.world.later(PATIENCE_S, look)

    def do_workflow(self, id: str, specs: list[dict[str, Any]], options: dict[str, Any]) -> None:
        copies = [dict(spec) for spec in specs]
        self.ask(commands.CreateWorkflow(id, id, copies, self.fresh(len(specs)), options=dict(options)))

    def do_job(self, id: str, mode: str, specs: list[dict[str, Any]], options: dict[str, Any]) -> None:
        copies = [dict(spec) for spec in specs]
        self.ask(commands.CreateJob(id, id, mode, copies, self.fresh(len(specs)), dict(options)))

    def do_start(self, kind: str, id: str, now: bool = False) -> None:
        self.ask(commands.Start(kind, id, now))

    def do_stop(self, kind: str, id: str, finish_running: bool = False) -> None:
        self.ask(commands.Stop(kind, id, finish_running=finish_running))

    def do_stop_all(self, finish_running: bool) -> None:
        self.ask(commands.StopAll(finish_running=finish_running))

    def do_retry(self, kind: str, id: str) -> None:
        self.ask(commands.Retry(kind, id))

    def do_delete(self, kind: str, id: str) -> None:
        self.ask(commands.Delete(kind, id))

    def do_duplicate(self, mode: str, kind: str, id: str, fresh_id: str) -> None:
        self.ask(commands.Duplicate(mode, kind, id, fresh_id))

    def do_change(self, id: str, fields: dict[str, Any]) -> None:
        self.ask(commands.UpdateTask(id, dict(fields)))
