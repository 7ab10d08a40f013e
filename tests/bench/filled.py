"""A store as a hub leaves it after a while: tasks in every state, alone, in chains and in jobs."""

from hashlib import sha256
from itertools import count
from pathlib import Path

from hub.core import commands
from hub.core.model import Doc, Outcome
from hub.library import document
from hub.modules.accept import accept
from hub.store.blobs import Blobs
from hub.store.journal import Journal
from motet.testing.edge import MODULE
from tests.bench.core import Play

NEVER = 1 << 40
SHA = sha256(MODULE).hexdigest()
CHAIN, JOB = 10, 100


def fill(data: Path, tasks: int, *, folded: bool) -> None:
    """So many tasks in a hub's folder: 60 % are completed, 5 % failed, 20 % not started, 15 % wait for a proplet.

    tasks: a multiple of 1,000. folded: the first 80 % are in a snapshot, the rest in the journal after it; or else
    every change is in one journal.
    """
    Store(data, Journal(data / "store", compact_min_bytes=NEVER)).fill(tasks, folded)


def fill_ended(data: Path, tasks: int) -> None:
    """So many completed tasks, each alone, all in the store."""
    Store(data, Journal(data / "store")).fill_ended(tasks)


class Store:
    def __init__(self, data: Path, journal: Journal) -> None:
        self._journal = journal
        self._play = Play(journal)
        self._numbers = count()
        accepted = accept(MODULE)
        blobs = Blobs(data / "blobs")
        blobs.put(MODULE)
        blobs.put(accepted.prepared)
        self._play.do(commands.AddModule(document(SHA, accepted)))

    def fill(self, tasks: int, folded: bool) -> None:
        for at in range(tasks // 5 // JOB):
            ids = self._ids(JOB)
            self._play.do(commands.CreateJob(f"job-{at}", "later", "parallel", [spec(id) for id in ids], ids))
        for at in range(tasks * 2 // 5 // CHAIN):
            ids = self._ids(CHAIN)
            specs = [spec(id) | ({"depends_on": [ids[at - 1]]} if at else {}) for at, id in enumerate(ids)]
            self._play.do(commands.CreateWorkflow(f"chain-{at}", "chain", specs, ids))
            self._play.run(self._play.do(commands.Start("workflow", f"chain-{at}")))
            self._journal.flush()
        for _ in range(tasks // 5):
            self._play.run(self._started())
        if folded:
            self._journal.compact()
        for _ in range(tasks // 20):
            self._fail(self._started())
        for _ in range(tasks * 3 // 20):
            self._started(placement={"labels": {"site": "nowhere"}})
        self._journal.close()

    def fill_ended(self, tasks: int) -> None:
        for id in self._ids(tasks):
            self._play.do(commands.CreateTask(spec(id), id))
            self._play.run(self._play.do(commands.Start("task", id)))
            if id.endswith("000"):
                self._journal.flush()
        self._journal.close()

    def _ids(self, size: int) -> list[str]:
        return [f"t{next(self._numbers)}" for _ in range(size)]

    def _started(self, **more: object) -> Outcome:
        (id,) = self._ids(1)
        self._play.do(commands.CreateTask(spec(id) | more, id))
        outcome = self._play.do(commands.Start("task", id))
        self._journal.flush()
        return outcome

    def _fail(self, outcome: Outcome) -> None:
        (fields,) = [send.fields for send in outcome.sends if send.kind == "start"]
        error = {"ok": False, "error": {"code": "trap_unreachable", "message": "no"}, "duration_ms": 0.1}
        self._play.do(commands.Result("device", fields["task"], fields["attempt"], error))


def spec(id: str) -> Doc:
    return {"id": id, "name": "main", "module": SHA, "inputs": []}
