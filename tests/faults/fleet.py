"""Many real edges in this process: connection, agent, outbox and files are theirs, only what a module does is not."""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.main import Edge
from motet.testing.edge import MODULE

FILE = base64.b64encode(MODULE).decode()
# A task takes up to so long.
TASK_S = 0.05
# Failures in a row that an edge in a hurry counts at most.
HURRIED = 3

Key = tuple[str, int]


class Runner:
    """Gives a task's input back after a moment."""

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet

    def start(self, start: dict[str, Any], path: str, on_started: Any, on_finished: Any, on_event: Any) -> None:
        key = start["task"], start["attempt"]
        self._fleet.runs[key] += 1
        on_started(*key)
        value = start["inputs"][0]
        result = {"ok": True, "outputs": [value], "text": f"{value}\n"}
        wait_s = self._fleet.chance.uniform(0, self._fleet.task_s)
        asyncio.get_running_loop().call_later(wait_s, on_finished, *key, result)

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        raise AssertionError("nobody stops anything here")


class Member(Edge):
    """An edge that tells its fleet which results it has let go of."""

    def __init__(self, fleet: "Fleet", name: str, folder: Path) -> None:
        super().__init__(name, str(folder), 4, {}, lambda line: None, Runner(fleet), None)
        self._fleet = fleet

    def online(self) -> None:
        self._fleet.connections += 1
        super().online()

    def do(self, actions: "list[tuple[Any, ...]]") -> None:
        super().do(actions)
        for action in actions:
            if action[0] == "drop":
                self._fleet.released.add((action[1], action[2]))
                self._fleet.on_released(action[1], action[2])
        self._fleet.changed.set()


class Fleet:
    """Edges at one port of this machine.

    runs: how often each attempt was run; released: whose result the hub has acknowledged; connections: sessions so far;
    task_s: how long a task takes at most
    """

    def __init__(self, folder: Path, port: int, count: int, seed: int, base_s: float) -> None:
        self.chance = random.Random(seed)
        self.task_s = TASK_S
        self.runs: Counter[Key] = Counter()
        self.released: set[Key] = set()
        self.on_released: Callable[[str, int], None] = lambda task, attempt: None
        self.connections = 0
        self.changed = asyncio.Event()
        self.members = [Member(self, f"edge-{at}", folder / f"edge-{at}") for at in range(count)]
        self._port, self._base_s = port, base_s
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Fleet":
        for member in self.members:
            serving = member.link.serve("127.0.0.1", self._port, None, None, self._base_s)
            self._running += asyncio.create_task(serving), asyncio.create_task(member.tick(None))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def welcomed(self) -> int:
        return sum(member.agent.welcomed for member in self.members)

    def hurry(self) -> None:
        """Has every edge try again soon: waits that double would outlast a hub that is there for moments only."""
        for member in self.members:
            member.link.failures = min(member.link.failures, HURRIED)

    async def until(self, holds: Any, timeout_s: float = 120) -> None:
        """Waits until it holds; asked whenever an edge did anything."""
        async with asyncio.timeout(timeout_s):
            while not holds():
                self.changed.clear()
                await self.changed.wait()
