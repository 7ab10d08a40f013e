"""A hub that is killed with -9 again and again under load: what it acknowledged, to clients or to devices, holds."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter, deque
from pathlib import Path
from statistics import median

import httpx2

from hub.core.entries import listed
from hub.store.history import hidden_in
from hub.store.moment import look
from shared import states
from tests.bench.report import quantile
from tests.effort import SOAK
from tests.faults.fleet import FILE, Fleet
from tests.faults.template import ForkedWorld

KILLS = 1000 if SOAK else 50
# Of CPU, for a hub to be ready: the time that it waits for one is that of what else runs.
RECOVERY_S = 1.0
EDGES, WRITERS, RESTING = 20, 4, 10_000
# Ended tasks that are there at a time: more are deleted.
KEPT = 200
# Every so manyth start is that of the command, import and all, and every so manyth check goes through the API, too.
WHOLE, THROUGH = 10, 50
# Of a hub that writes snapshots all the time; every second one does.
SNAPSHOT_BYTES = 50_000
# What a task has reached at least.
CREATED, STARTED, ENDED = range(3)


class Ledger:
    """What clients and devices were told.

    known: of each task that nobody has asked to go, what was acknowledged; deleted: those whose deletion was;
    acknowledged: how many answers and results in all.
    """

    def __init__(self, fleet: Fleet, kept: int) -> None:
        self._kept = kept
        self.known: dict[str, int] = {}
        self.deleted: set[str] = set()
        self.acknowledged: Counter[str] = Counter()
        self.up = asyncio.Event()
        self.idle = asyncio.Event()
        self.over = False
        self._busy = 0
        self._ended: deque[str] = deque()
        fleet.on_released = self._released

    def _released(self, task: str, attempt: int) -> None:
        """An edge has let go of its result. The answer to its start may have been lost."""
        self.acknowledged["results"] += 1
        self.known[task] = ENDED
        self._ended.append(task)

    async def write(self, url: str, name: str) -> None:
        """Creates, starts and deletes tasks whenever there is a hub."""
        count = 0
        async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
            while not self.over:
                await self.up.wait()
                count += 1
                self._busy += 1
                self.idle.clear()
                with contextlib.suppress(httpx2.TransportError):
                    await self._one(http, f"{name}-{count}", count)
                self._busy -= 1
                if not self._busy:
                    self.idle.set()

    async def _one(self, http: httpx2.AsyncClient, id: str, value: int) -> None:
        await self._ask(http, "POST", "/tasks", 201, {"id": id, "name": "main", "inputs": [value], "file": FILE})
        self.known[id] = CREATED
        await self._ask(http, "POST", f"/tasks/{id}/start", 200)
        self.known[id] = max(self.known[id], STARTED)
        if len(self._ended) > self._kept:
            gone = self._ended.popleft()
            del self.known[gone]
            await self._ask(http, "DELETE", f"/tasks/{gone}", 204)
            self.deleted.add(gone)

    async def _ask(self, http: httpx2.AsyncClient, method: str, path: str, status: int, body: object = None) -> None:
        answer = await http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        self.acknowledged["answers"] += 1

    def is_over(self) -> bool:
        """Whether every task of which a client knows that it was started has given its result."""
        return STARTED not in self.known.values()

    async def check_api(self, world: ForkedWorld) -> None:
        """Everything that is acknowledged now can be read from the hub, which nobody writes to."""
        await self.idle.wait()
        known = self.known.copy()  # results go on coming in
        self._check(await asyncio.to_thread(every_task, world), known)

    def _check(self, tasks: dict[str, dict], known: dict[str, int]) -> None:
        assert self.deleted.isdisjoint(tasks)
        for id, reached in known.items():
            task = tasks[id]
            if reached == ENDED:
                # No kill of the hub costs an attempt.
                assert (task["state"], len(task["attempts"])) == (states.COMPLETED, 1), task["attempts"]
                assert task["results"] == f"{task['inputs'][0]}\n"

    def check_store(self, folder: Path) -> None:
        """The same of the files that a hub left; StoreDamaged or HistoryDamaged when they cannot be read."""
        with look(folder) as (tables, _, history):
            tasks = dict(tables["tasks"])
            assert len(tasks) >= RESTING
            for id, task in history.documents("tasks", hidden_in(tables)) if history is not None else ():
                assert id not in tasks, f"{id} is in the store and in the history"
                tasks[id] = task
        self._check({id: {**task, "attempts": listed(task)} for id, task in tasks.items()}, self.known)
        for id, reached in self.known.items():
            assert reached < STARTED or tasks[id]["state"] != states.PENDING or tasks[id]["queued_at"], tasks[id]


def world_of(tmp_path: Path, *options: str) -> ForkedWorld:
    return ForkedWorld(tmp_path, "--beat-s", "1", "--log-level", "error", *options)


class Killer:
    """Starts the hub and kills it, again and again, at every kind of moment."""

    def __init__(self, world: ForkedWorld, fleet: Fleet, ledger: Ledger) -> None:
        self.world, self.fleet, self.ledger = world, fleet, ledger
        self.store = world.folder / "hub" / "store"
        self.chance = random.Random(6)
        # Of each start: seconds until the hub was ready, and those of CPU.
        self.forked: list[tuple[float, float]] = []
        self.whole: list[tuple[float, float]] = []
        self.moments: Counter[str] = Counter()

    async def round(self, at: int) -> None:
        """One start and one kill, and a look at what it left."""
        self.fleet.hurry()
        world = self.world
        world.forks = at % WHOLE != WHOLE - 1
        world.snapshot_bytes = SNAPSHOT_BYTES if at % 2 else None
        if self.forked and world.forks and self.chance.random() < 0.25:
            moment = "start"
            await asyncio.to_thread(world.launch_hub)
            await asyncio.sleep(self.chance.uniform(0, median(ready_s for ready_s, _ in self.forked)))
        else:
            moment = "load"
            (self.forked if world.forks else self.whole).append(await self.start())
            self.ledger.up.set()
            await asyncio.sleep(self.chance.uniform(0.02, 0.5))
        self.ledger.up.clear()
        await asyncio.to_thread(world.hub.stop, signal.SIGKILL)
        if any(self.store.glob("snapshot-*.tmp")):
            moment = "snapshot"
        self.moments[moment] += 1
        self.ledger.check_store(self.store)

    async def start(self) -> tuple[float, float]:
        """Seconds from the process's beginning to its being ready, and those of CPU that it took."""
        began = time.perf_counter()
        await asyncio.to_thread(self.world.launch_hub)
        cpu_s = await asyncio.to_thread(self.world.await_ready)
        return time.perf_counter() - began, cpu_s


async def test_nothing_acknowledged_is_lost_by_kills_under_load(tmp_path):
    with contextlib.closing(world_of(tmp_path)) as world:
        killer = await survive(world, tmp_path, KILLS)
    assert killer.moments["start"] and killer.moments["snapshot"]


async def test_nor_when_what_has_ended_moves_to_the_history_at_once_and_is_deleted_from_there(tmp_path):
    with contextlib.closing(world_of(tmp_path, "--keep-tasks", "5")) as world:
        killer = await survive(world, tmp_path, KILLS // 5, kept=30)
        async with httpx2.AsyncClient(base_url=world.url) as http:
            metrics = (await http.get("/metrics")).text
    assert killer.ledger.deleted
    assert 'motet_history{kind="task"} 0.0' not in metrics


async def survive(world: ForkedWorld, tmp_path: Path, kills: int, kept: int = KEPT) -> Killer:
    for at in range(RESTING // 1000):
        world.client.create_job(f"resting-{at}", [{"name": "main"}] * 1000)
    world.hub.stop(signal.SIGKILL)
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 6, 0.05) as fleet:
        killer = Killer(world, fleet, ledger := Ledger(fleet, kept))
        async with asyncio.TaskGroup() as writers:  # what a writer is told wrongly ends the test
            for at in range(WRITERS):
                writers.create_task(ledger.write(world.url, f"w{at}"))
            for at in range(kills):
                await killer.round(at)
                if at % THROUGH == THROUGH - 1:
                    await killer.start()
                    await ledger.check_api(world)
                    await asyncio.to_thread(world.hub.stop, signal.SIGKILL)
            fleet.hurry()
            await killer.start()
            ledger.over = True
            ledger.up.set()
        await fleet.until(ledger.is_over)
        await ledger.check_api(world)
    assert set(fleet.runs.values()) == {1}, "an attempt ran twice"
    assert {attempt for _, attempt in fleet.runs} == {1}, "a kill of the hub cost an attempt"
    report(killer)
    assert len(fleet.released) > kills
    assert median(cpu_s for _, cpu_s in killer.whole) <= RECOVERY_S
    return killer


def every_task(world: ForkedWorld) -> dict[str, dict]:
    tasks: dict[str, dict] = {}
    while page := world.client.tasks(offset=len(tasks), limit=1000)["tasks"]:
        tasks |= {task["id"]: task for task in page}
    return tasks


def report(killer: Killer) -> None:
    ledger = killer.ledger
    print(f"{sum(killer.moments.values())} kills ({dict(killer.moments)}), acknowledged {dict(ledger.acknowledged)}, "
          f"0 lost, 0 unreadable")  # fmt: skip
    for what, starts in (("forked", killer.forked), ("the command", killer.whole)):
        ready_s, cpu_s = zip(*starts, strict=True)
        times = f"p50 {median(ready_s):.2f}, p99 {quantile(ready_s, 0.99):.2f}, max {max(ready_s):.2f} s"
        print(f"{what}: {len(starts)} starts, ready after {times}; CPU p50 {median(cpu_s):.2f}, max {max(cpu_s):.2f} s")
