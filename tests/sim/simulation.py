"""One plan, played to its end: hub, devices, network and people, in one loop with a clock of its own."""

import asyncio
import logging
import random
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from hub.core.model import TASKS
from hub.link.messages import read_up
from shared import messages, states
from shared.errors import MotetError
from tests.sim.device import Device, on_our_ground
from tests.sim.faults import Faults
from tests.sim.hub import Hub, additions, on_our_disk
from tests.sim.ledger import Ledger
from tests.sim.loop import Loop, Process
from tests.sim.network import CALM, Network
from tests.sim.people import People
from tests.sim.plan import Plan, Step

# Long enough for the longest way: leases, resends, backoffs, retries and time-outs one after the other.
LIVELY_S = 2400.0
LOOK_S = 5.0


@dataclass
class Outcome:
    """violation: the first promise that was broken, None when all were kept. broke: the program itself did."""

    violation: str | None
    broke: bool
    seconds: float  # of virtual time
    turns: int  # of the engine
    executions: int

    @property
    def title(self) -> str:
        """What was broken, whichever task or device it was."""
        return re.sub(r"\d+(\.\d+)?", "N", (self.violation or "").split("\n")[0])[:60]


def simulate(plan: Plan, tell: Callable[[str], None] | None = None) -> Outcome:
    """Plays the plan. tell is given one line for everything that happens."""
    directory = Path(tempfile.mkdtemp(prefix="motet-sim-"))
    try:
        with on_our_disk(), on_our_ground():
            world = Simulation(plan, directory, tell)
            with _logs_of(world):
                return world.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class Simulation:
    def __init__(self, plan: Plan, directory: Path, tell: Callable[[str], None] | None) -> None:
        self.plan = plan
        self.tell = tell
        self.violation: str | None = None
        self.broke = False
        self.context = copy_context()
        self.loop = Loop(self._broke)
        self.ledger = Ledger(self)
        self.network = Network(self.loop, plan.seed, self._say_message)
        self.hub = Hub(self, directory)
        self.devices = {model.name: Device(self, model) for model in plan.devices}
        self.people = People(self)
        self.faults = Faults(self)
        self._reminders: list[asyncio.TimerHandle] = []

    # --- what others tell

    def say(self, who: str, what: str, more: str = "") -> None:
        if self.tell is not None:
            self.tell(f"{self.loop.now:9.3f} {who:6} {what} {more}")

    def _say_message(self, device: str, way: str, kind: str, payload: bytes) -> None:
        if self.tell is not None:
            kind, fields = (kind, read_up(kind, payload)) if kind else messages.read_down(payload)
            self.tell(f"{self.loop.now:9.3f} {device:6} {way:4} {kind} {_brief(kind, fields)}")

    def violated(self, text: str, error: BaseException | None = None) -> None:
        if self.violation is None:
            self.violation = text if error is None else f"{text}: {error!r}"
            self.broke = error is not None and not isinstance(error, MotetError)
            self.say("LEDGER", "VIOLATION", self.violation)
            self.loop.stopped = True

    def _broke(self, owner: Process | None, error: BaseException) -> None:
        self.violated(f"{owner.name if owner else 'the simulator'} broke", error)

    def later(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        """Something outside of hub and devices."""
        return self.loop.call_later(seconds, what, context=self.context)  # type: ignore[no-any-return]

    # --- the play

    def run(self) -> Outcome:
        try:
            self._play()
        finally:
            self.loop.close()
            self.hub.crash()
        return Outcome(self.violation, self.broke, self.loop.now, self.ledger.turns, len(self.ledger.executions))

    def _play(self) -> None:
        chance = random.Random(f"{self.plan.seed}/boots")
        self.hub.boot()
        self.later(0.2, lambda: [self.people.ask(command) for command in additions()] and None)
        for device in self.devices.values():
            self.later(chance.uniform(0, 2), device.boot)
        self.loop.run_until(1.0)
        self.network.weather = self.plan.weather
        for step in self.plan.steps:
            self.later(step.at - self.loop.now, lambda step=step: self._do(step))  # type: ignore[misc]
        self.loop.run_until(self.plan.calm)
        self._calm()
        self._wait_for_quiet()
        if self.violation is None:
            self._look_back()

    def _do(self, step: Step) -> None:
        self.say("PLAN", str(step)[9:])
        verb = "do_" + step.verb
        getattr(self.faults if hasattr(self.faults, verb) else self.people, verb)(**step.what)

    def _calm(self) -> None:
        self.say("PLAN", "the calm begins")
        self.network.weather = CALM
        self.faults.calm()
        # What goes on for ever is asked to end; again, when the hub was busy coming up.
        self._reminders = [self.later(wait, self._stop_the_endless) for wait in (10.0, 60.0, 120.0)]

    def _stop_the_endless(self) -> None:
        for id, doc in sorted(self.ledger.tables.get(TASKS, {}).items()):
            slot = doc.get("next_run")
            if slot is not None and slot < self.hub.clock().wall - LOOK_S - 1.0:
                self.violated(f"task {id} had to fire {self.hub.clock().wall - slot:.0f} s ago")
            endless = doc.get("daemon") or any(doc.get(key) is not None for key in ("schedule", "every", "at"))
            if endless and doc["state"] not in states.ENDED and not doc.get("stopping"):
                self.people.do_stop("task", id)

    def _wait_for_quiet(self) -> None:
        end = self.loop.now + LIVELY_S
        self.loop.run_until(self.loop.now + 11.0)
        while self.violation is None and (busy := self._busy()):
            if self.loop.now > end:
                self.violated(f"not all ends: {busy}")
            self.loop.run_until(self.loop.now + LOOK_S)

    def _busy(self) -> str | None:
        engine = self.hub.engine
        if engine is None or self.hub.runtime is None:
            return "the hub does not run"
        for task in engine.world.tasks.values():
            if task.under_way:
                return f"task {task.id} is {states.NAMES[task.state]} ({engine.pending_reason(task)})"
            if task.is_template and task.doc.get("next_run") is not None:
                return f"task {task.id} fires on"
        for device in self.devices.values():
            if not device.idle:
                runs = list(device.runner.running) if device.runner else None
                return f"{device.name} runs {runs} and keeps {device.results()}"
            proplet = engine.world.proplets.get(device.name)
            if proplet is None or not proplet.greeted or proplet.running:
                return f"the hub takes {device.name} for busy or away"
        return None

    def _look_back(self) -> None:
        self.ledger.audit()
        engine = self.hub.engine
        assert engine is not None
        live = {task.id: engine.pending_reason(task) for task in engine.world.tasks.values()}
        # What differs behind the restart is to be the hub's doing, and nobody else's.
        for reminder in self._reminders:
            reminder.cancel()
        self.hub.crash()
        self.loop.run_until(self.loop.now + 10.0)
        again = self.hub.engine
        if self.violation is None and again is not None:
            for id, reason in live.items():
                if id in again.world.tasks and again.pending_reason(again.world.tasks[id]) != reason:
                    now = again.pending_reason(again.world.tasks[id])
                    self.violated(f"task {id} waited because it {reason}, and after a restart because it {now}")


def _brief(kind: str, fields: dict[str, object]) -> str:
    if "task" in fields:
        text = f"{fields['task']}/{fields.get('attempt')}"
        return text + (f" {fields.get('outputs') or fields.get('error')}" if kind == "result" else "")
    shown = ("running", "outbox", "boot", "epoch", "offset", "text")
    return " ".join(f"{key}={fields[key]}" for key in shown if key in fields)


class _Watch(logging.Handler):
    """What the hub logs with a traceback, a person would have to look at."""

    def __init__(self, world: Simulation) -> None:
        super().__init__(logging.ERROR)
        self.world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None and not isinstance(record.exc_info[1], OSError):
            self.world.violated(f"the hub logs: {record.getMessage()}", record.exc_info[1])


@contextmanager
def _logs_of(world: Simulation) -> Iterator[None]:
    watch = _Watch(world)
    loggers = [logging.getLogger(name) for name in ("motet", "hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(watch)
        logger.setLevel(logging.ERROR)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(watch)
            logger.setLevel(level)
            logger.propagate = True
