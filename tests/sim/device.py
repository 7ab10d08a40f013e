"""A device: the real edge (edge.main with its agent, link, outbox and modules) on a clock, files and a network of ours.

In the place of wasm3 is a runner that runs nothing: how long a task takes and how it ends are drawn from the seed and
the task's name, and what it returns says which execution it was.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import edge.files
import edge.link
import edge.main
import edge.modules
import edge.tasks
from tests.sim.flash import Flash, SyscallsOfEdge
from tests.sim.loop import Process
from tests.sim.network import SimClient

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation

DATA = "data"
ENDLESS_S = 1e6
# Codes that a failing task ends with; what retries makes of them is the hub's business.
CODES = ("trap_unreachable", "trap_div0", "exit_code", "worker_died", "bad_inputs")


@dataclass
class Model:
    """What kind of device: a board on littlefs with small buffers, or Linux. rate: of its clock, by the hub's."""

    name: str
    slots: int = 2
    board: bool = False
    outbox: int = 16
    rate: float = 1.0
    labels: tuple[tuple[str, str], ...] = ()


class Device:
    """One device through all its boots. `runner` is that of the present one."""

    def __init__(self, world: "Simulation", model: Model) -> None:
        self.world = world
        self.model = model
        self.name = model.name
        self.network = world.network
        self.chance = random.Random(f"{world.plan.seed}/{model.name}")
        self.disk = Flash(not model.board, self.chance)
        self.process: Process | None = None
        self.runner: Runner | None = None
        self.boots = 0

    def boot(self) -> None:
        if self.process is not None:
            return
        self.boots += 1
        self.process = Process(f"{self.name}#{self.boots}", self)
        self.process.context.run(self._begin)

    def _begin(self) -> None:
        self.world.say(self.name, "boots")
        self.began = self.world.loop.now
        runner = self.runner = Runner(self)
        running = edge.main.run(
            "hub", 1883, self.name, DATA, slots=self.model.slots, labels=dict(self.model.labels),
            log=self._says, runner=runner,
        )  # fmt: skip
        asyncio.ensure_future(running, loop=self.world.loop).add_done_callback(self._ended)

    def _says(self, line: str) -> None:
        self.world.say(self.name, "says", line)
        # An edge goes on after a fault of its own, and says so.
        if "starts a new session after" in line or "a tick failed" in line:
            self.world.violated(f"{self.name} has a fault", RuntimeError(line))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.world.violated(f"the edge on {self.name} ended: {task!r}", task.exception())

    def die(self, power_cut: bool) -> None:
        """The process is gone, and with a power cut what was not safe on its disk."""
        if self.process is None:
            return
        self.world.say(self.name, "loses power" if power_cut else "is killed")
        process, self.process, self.runner = self.process, None, None
        process.dead = True
        self.network.device_died(process, self.chance)
        if power_cut:
            self.disk.power_cut()

    def now_ms(self) -> int:
        return int((self.world.loop.now - self.began) * self.model.rate * 1000)

    def removes(self, path: str) -> None:
        """A file is about to go; a result may only when it was acknowledged."""
        if path in self.results() and not path.endswith(".new"):
            fields = json.loads(self.disk.files[path].data)
            self.world.ledger.drops(self.name, fields["task"], fields["attempt"])

    def results(self) -> list[str]:
        """Files of the outbox."""
        return [path for path in self.disk.files if path.startswith(DATA + "/outbox/")]

    @property
    def idle(self) -> bool:
        return self.runner is not None and not self.runner.running and not self.results()


def failure(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "error": {"code": code, "message": message}, "duration_ms": 1.5}


class Runner:
    """The port that edge.wasm describes."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.world = device.world
        self.running: dict[tuple[str, int], _Run] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self.running.clear()

    def start(
        self,
        start: dict[str, Any],
        path: str,
        on_started: Callable[[str, int], None],
        on_finished: Callable[[str, int, dict[str, Any]], None],
        on_event: Callable[[str, int, str, dict[str, Any]], None] | None = None,
    ) -> None:
        key = start["task"], start["attempt"]
        with self.device.disk.open(path, "rb") as file:
            if hashlib.sha256(file.read()).hexdigest() != start["module"]:
                self.world.violated(f"{self.device.name} runs {key} with a module that is none")
        if len(self.running) == self.device.model.slots:
            self.world.violated(f"{self.device.name} runs more than {self.device.model.slots} tasks")
        self.running[key] = _Run(self, start, on_started, on_finished, on_event)

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        if (task, attempt) in self.running:
            self.running[task, attempt].stop(grace_ms)


class _Run:
    """One execution."""

    def __init__(self, runner: Runner, start: dict[str, Any], on_started: Any, on_finished: Any, on_event: Any) -> None:
        self._runner = runner
        self._world = runner.world
        self.task, self.attempt = start["task"], start["attempt"]
        self._on_started, self._on_finished, self._on_event = on_started, on_finished, on_event
        self.serial = self._world.ledger.begins(runner.device, start)
        chance = random.Random(f"{self._world.plan.seed}/{self.task}/{start.get('inputs')}/{self.attempt}")
        self._loop = self._world.loop
        self._loop.call_later(chance.choice((0.01, 0.01, 2.0)), self._started)
        seconds, result = self._fate(chance, start)
        self._ending = self._loop.call_later(seconds, self._end, result)
        self._graceful = chance.random() < 0.5

    def _fate(self, chance: random.Random, start: dict[str, Any]) -> tuple[float, dict[str, Any]]:
        longest = chance.choices((0.2, 3.0, 20.0, 90.0), (8, 10, 3, 1))[0]
        seconds = chance.uniform(longest / 2, longest)
        fails = chance.random()
        timeout_ms = start["limits"].get("timeout_ms")
        if start.get("daemon"):
            return chance.choice((seconds, ENDLESS_S)), self.value(True)
        if timeout_ms is not None and seconds * 1000 > timeout_ms:
            return timeout_ms / 1000, failure("timeout", self.tag())
        if fails < self._world.plan.failing:
            return seconds, failure(chance.choice(CODES), self.tag())
        return seconds, self.value(True)

    def tag(self) -> str:
        return f"execution {self.serial}"

    def value(self, ok: bool) -> dict[str, Any]:
        return {"ok": ok, "outputs": [self.serial], "text": f"{self.serial}\n", "duration_ms": 1.5}

    def _started(self) -> None:
        if self._ending is not None:
            self._on_started(self.task, self.attempt)
            if self._on_event is not None:
                self._on_event(self.task, self.attempt, "progress", {"permille": 500})

    def stop(self, grace_ms: int) -> None:
        if self._ending is not None:
            self._ending.cancel()
            wait = grace_ms / 1000 if not self._graceful else min(grace_ms / 1000, 0.5)
            self._ending = self._loop.call_later(wait, self._end, failure("cancelled", self.tag()))

    def _end(self, result: dict[str, Any]) -> None:
        self._ending = None
        del self._runner.running[self.task, self.attempt]
        self._world.ledger.ends(self.serial, result)
        self._on_finished(self.task, self.attempt, result)
        self._world.ledger.kept(self.serial)


class _Platform:
    """Stands in for edge.board or edge.cpython.host: what the present device is and has."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        model: Model = Process.current().machine.model
        ours = {
            "OUTBOX": model.outbox,
            "MAX_CHUNK": 2048 if model.board else 4096,
            "memory": lambda: (100_000, 200_000),
            "flash_free": lambda folder: 1_000_000,
            "runtime": lambda: "simulated",
        }
        return ours[name] if name in ours else getattr(self._real, name)


@contextmanager
def on_our_ground() -> Iterator[None]:
    """The edge's modules with clock, files, chance and network of the device whose code runs."""
    system = SyscallsOfEdge()
    with ExitStack() as stack:
        for module in (edge.files, edge.modules, edge.main):
            stack.enter_context(patch.object(module, "os", system))
        for module in (edge.files, edge.modules):
            stack.enter_context(patch.object(module, "open", system.file, create=True))
        stack.enter_context(patch.object(edge.files, "fsync", system.fsync))
        for module in (edge.main, edge.tasks):
            stack.enter_context(patch.object(module, "now_ms", lambda: Process.current().machine.now_ms()))
        stack.enter_context(patch.object(edge.main, "platform", _Platform(edge.main.platform)))
        stack.enter_context(patch.object(edge.link, "Client", SimClient))
        yield
