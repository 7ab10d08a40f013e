"""What a hub and an edge take while nothing happens, and how soon a hub is ready."""

import signal
import time
from collections.abc import Iterator

from hub.core.model import Policy
from tests.bench.filled import fill, fill_ended
from tests.bench.proc import cpu_s, family, pss_mb, rss_mb
from tests.bench.report import Figure, median
from tests.bench.stage import Stage
from tests.bench.wire import ADDITION
from tests.e2e.world import World

STARTS = 5
RECOVERED = 10_000
ENDED = 100_000
SETTLE_S = 1.0


def memory(stage: Stage) -> Iterator[Figure]:
    """Of a hub just started, and of an edge that has run one task."""
    with stage.world() as world:
        time.sleep(SETTLE_S)
        hub = world.hub.child.pid
        yield Figure("hub.rss_mb", "hub's memory, idle (RSS)", rss_mb(hub), "MB", most=60,
                     note=f"PSS {pss_mb(hub):.1f} MB")  # fmt: skip
        world.start_edges("a")
        world.run("t", "main", "addition", ADDITION)
        time.sleep(SETTLE_S)
        members = family(world.edges["a"].child.pid)
        each = " + ".join(f"{rss_mb(pid):.1f}" for pid in members)
        yield Figure("edge.rss_mb", "edge's memory with its children (RSS)", rss_mb(*members), "MB", most=40,
                     note=f"{each}: edge, template, worker")  # fmt: skip
        yield Figure("edge.pss_mb", "the same, shared pages once (PSS)", pss_mb(*members), "MB")
        yield Figure("hub.rss_one_edge_mb", "hub's memory after one task (RSS)", rss_mb(hub), "MB")


def start(stage: Stage) -> Iterator[Figure]:
    """From the spawn of `motet hub` to the line that says it is ready, with an empty store."""
    took = []
    for _ in range(STARTS):
        begin = time.perf_counter()
        with stage.world():
            took.append(time.perf_counter() - begin)
    yield Figure("hub.ready_s", "hub, from spawn to ready", median(took), "s", most=1.5,
                 note=f"longest {max(took):.2f} of {STARTS}")  # fmt: skip


def recovery(stage: Stage) -> Iterator[Figure]:
    """The same with 10,000 tasks in the store, which the hub that was killed has left."""
    for folded, where in ((False, "in the journal"), (True, "most in a snapshot")):
        took, cpu = [], []
        folder = stage.folder()
        fill(folder / "hub", RECOVERED, folded=folded)
        for _ in range(STARTS):
            begin = time.perf_counter()
            world = World(folder)
            took.append(time.perf_counter() - begin)
            cpu.append(cpu_s(world.hub.child.pid))
            world.hub.stop(signal.SIGKILL)
            world.close()
        name = "recovery.snapshot_s" if folded else "recovery.journal_s"
        yield Figure(name, f"hub, from spawn to ready with {RECOVERED:,} tasks, {where}", median(took), "s", most=1,
                     note=f"longest {max(took):.2f} of {STARTS}; CPU {median(cpu):.2f} s")  # fmt: skip


def ended(stage: Stage) -> Iterator[Figure]:
    """A hub with 100,000 tasks that have ended: its start and its memory, when it has moved most to the history."""
    folder = stage.folder()
    fill_ended(folder / "hub", ENDED)
    young = ("--keep-days", "36500")  # they ended when the bench's clock said so
    begin = time.perf_counter()
    world = World(folder, *young)
    first_s = time.perf_counter() - begin
    while f'motet_history{{kind="task"}} {float(ENDED - Policy().keep_tasks)}' not in world.http.get("/metrics").text:
        time.sleep(SETTLE_S)
    world.hub.stop()
    world.close()
    took, memory_mb = [], []
    for _ in range(STARTS):
        begin = time.perf_counter()
        world = World(folder, *young)
        took.append(time.perf_counter() - begin)
        time.sleep(SETTLE_S)
        memory_mb.append(rss_mb(world.hub.child.pid))
        world.hub.stop()
        world.close()
    yield Figure("ended.ready_s", f"hub, from spawn to ready with {ENDED:,} ended tasks", median(took), "s", most=3,
                 note=f"longest {max(took):.2f} of {STARTS}")  # fmt: skip
    yield Figure("ended.rss_mb", "its memory, idle (RSS)", median(memory_mb), "MB", most=120)
    yield Figure("ended.first_s", "from spawn to ready with all of them still in the store", first_s, "s")
