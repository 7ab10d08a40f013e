"""The engine without devices, sockets or a process: what one transition and one task of a chain cost."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hub.core import commands
from hub.core.engine import Engine
from hub.core.model import Doc, Now, Outcome
from hub.main import COLLECTION
from hub.store.journal import Journal
from tests.bench.report import Figure, median
from tests.bench.stage import Stage

MODULE = "a" * 64
# What the device answers; to make it is not what is measured.
RESULT = {"ok": True, "outputs": [5], "text": "5\n", "duration_ms": 0.1}
TASKS = 3000
# Pending to Scheduled to Running to Completed.
TRANSITIONS = 3
ROUNDS = 5
# length of a chain: how many of it in one round, so that short ones are timed as long as long ones
CHAINS = {100: 20, 1000: 4, 10_000: 1}


class Play:
    """An engine, a clock that goes on, and one device that does what it is told."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.engine = Engine()
        self.journal = journal
        self._mono = 1000.0
        exports = [{"name": "main", "kind": "func", "params": ["i32", "i32"], "results": ["i32"]}]
        self.do(commands.AddModule({"id": MODULE, "size_bytes": 41, "exports": exports,
                                     "prepared": MODULE, "prepared_size": 41}))  # fmt: skip
        self.do(commands.Connected("device"))
        self.do(commands.Hello("device", {"boot": "boot", "agent": "0", "runtime": "bench", "caps": {}, "mem_free": 1,
                                          "mem_total": 1, "slots": 4, "running": [], "outbox": []}))  # fmt: skip

    def do(self, command: Any) -> Outcome:
        self._mono += 0.0001
        outcome = self.engine.apply(Now(self._mono, 1.7e9 + self._mono), command)
        if self.journal is not None and outcome.puts:
            # As hub.runtime does it.
            self.journal.append(outcome.puts)
        return outcome

    def run(self, outcome: Outcome) -> None:
        """Does what the outcome starts, and what that starts, to the end."""
        starts = list(outcome.sends)
        while starts:
            fields = starts.pop().fields
            task, attempt = fields["task"], fields["attempt"]
            self.do(commands.Started("device", task, attempt))
            ended = self.do(commands.Result("device", task, attempt, RESULT))
            starts += [send for send in ended.sends if send.kind == "start"]


def transitions(stage: Stage) -> Iterator[Figure]:
    """State changes a second, from the start of a task to its end, one task after the other."""
    rates = []
    for _ in range(ROUNDS):
        play = Play()
        for at in range(TASKS):
            play.do(commands.CreateTask(_spec(at), f"t{at}"))
        with frozen():
            begin = time.perf_counter()
            for at in range(TASKS):
                play.run(play.do(commands.Start("task", f"t{at}")))
            rates.append(TASKS * TRANSITIONS / (time.perf_counter() - begin))
    yield Figure("core.transitions", "core, state transitions", median(rates), "/s", least=50_000,
                 note=f"{1e6 / median(rates) * TRANSITIONS:.0f} us a task")  # fmt: skip


def chains(stage: Stage) -> Iterator[Figure]:
    """A chain through engine and journal. The disk comes after it: it would be the same for every length."""
    made: dict[int, list[float]] = {length: [] for length in CHAINS}
    ran: dict[int, list[float]] = {length: [] for length in CHAINS}
    for _ in range(ROUNDS):
        for length, times in CHAINS.items():
            costs = [_chain(stage, length) for _ in range(times)]
            made[length].append(sum(cost[0] for cost in costs) / times)
            ran[length].append(sum(cost[1] for cost in costs) / times)
    for length in CHAINS:
        yield Figure(f"chain.{length}_us", f"chain of {length:,}, one task", median(ran[length]), "us",
                     note=f"and {median(made[length]):.0f} us to create it")  # fmt: skip
    longest, shortest = max(CHAINS), min(CHAINS)
    ratios = [long / short for long, short in zip(ran[longest], ran[shortest], strict=True)]
    yield Figure("chain.ratio", f"chain of {longest:,} to one of {shortest}", median(ratios), "x", most=1.5)


def _chain(stage: Stage, length: int) -> tuple[float, float]:
    """us a task: to create it, to run it."""
    journal = Journal(stage.folder())
    play = Play(journal)
    specs = [_spec(at) | ({"depends_on": [f"t{at - 1}"]} if at else {}) for at in range(length)]
    with frozen():
        begin = time.perf_counter()
        play.do(commands.CreateWorkflow("wf", "wf", specs, [f"t{at}" for at in range(length)]))
        middle = time.perf_counter()
        play.run(play.do(commands.Start("workflow", "wf")))
        end = time.perf_counter()
    if any(task.doc.get("results") != "5\n" for task in play.engine.world.tasks.values()):
        raise RuntimeError("a chain did not run to its end")
    journal.close()
    return (middle - begin) / length * 1e6, (end - middle) / length * 1e6


def _spec(at: int) -> Doc:
    return {"id": f"t{at}", "name": "main", "module": MODULE, "inputs": [2, 3]}


@contextmanager
def frozen() -> Iterator[None]:
    """The collector as the hub has it: rare, and what was there at the start is out of its sight."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
