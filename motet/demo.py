"""`motet demo`: a hub and three edges on this machine that play three workflows and two jobs."""

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from motet.client import Client
from motet.demo_modules import ADDITION, TOO_HOT, TRAP
from motet.extras import need
from motet.fleet import Fleet, Signals, Stopped
from motet.report import Document, Progress, result_text, table
from motet.sse import Event

EDGES = ("edge-1", "edge-2", "edge-3")
# From the first child's start to the last result.
TIME_S = 15.0


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to play. kind: "workflow" or "job"; expected: {task id: (state, result)}."""

    title: str
    kind: str
    tasks: tuple[Document, ...]
    expected: dict[str, tuple[str, str]]
    fields: Document = field(default_factory=dict)


def _add(id_: str, a: int, b: int, **fields: Any) -> Document:
    return {"id": id_, "name": "main", "file": ADDITION, "inputs": [a, b], **fields}


ACTS = (
    Act(
        "A workflow fans out: task-002 and task-003 wait for task-001",
        "workflow",
        (
            _add("task-001", 10, 20),
            _add("task-002", 5, 15, depends_on=["task-001"]),
            _add("task-003", 100, 200, depends_on=["task-001"]),
        ),
        {
            "task-001": ("Completed", "30"),
            "task-002": ("Completed", "20"),
            "task-003": ("Completed", "300"),
        },
        {"name": "fan-out"},
    ),
    Act(
        "A workflow whose payment fails: the confirmation is skipped, the alert runs",
        "workflow",
        (
            {"id": "payment", "name": "main", "file": TRAP},
            _add("confirmation", 1, 1, depends_on=["payment"], run_if="success"),
            _add("alert", 40, 2, depends_on=["payment"], run_if="failure"),
        ),
        {
            "payment": ("Failed", ""),
            "confirmation": ("Skipped", ""),
            "alert": ("Completed", "42"),
        },
        {"name": "failure-branch"},
    ),
    Act(
        "A workflow that asks a sensor (of a simulated board): above 10 degrees it cools, else it heats",
        "workflow",
        (
            {"id": "hot", "name": "too_hot", "file": TOO_HOT, "inputs": [10_000], "allow": ["sensor:0"]},
            _add("cool", 20, 1, depends_on=["hot"], when="hot.result == 1"),
            _add("heat", 20, 2, depends_on=["hot"], when="hot.result == 0"),
        ),
        {
            "hot": ("Completed", "1"),
            "cool": ("Completed", "21"),
            "heat": ("Skipped", ""),
        },
        {"name": "sensor"},
    ),
    Act(
        "A parallel job: all three start at once",
        "job",
        (_add("job-task-001", 100, 50), _add("job-task-002", 25, 75), _add("job-task-003", 200, 300)),
        {
            "job-task-001": ("Completed", "150"),
            "job-task-002": ("Completed", "100"),
            "job-task-003": ("Completed", "500"),
        },
        {"name": "addition-pipeline", "execution_mode": "parallel"},
    ),
    Act(
        "A sequential job: one after another",
        "job",
        (_add("seq-task-001", 1, 2), _add("seq-task-002", 3, 4), _add("seq-task-003", 5, 6)),
        {
            "seq-task-001": ("Completed", "3"),
            "seq-task-002": ("Completed", "7"),
            "seq-task-003": ("Completed", "11"),
        },
        {"name": "sequential-pipeline", "execution_mode": "sequential"},
    ),
)

TRY = """Hub and edges run until Ctrl-C. Try:
  curl {url}/proplets
  curl {url}/tasks/task-001
  curl -X POST {url}/tasks/task-001/start
  curl -N "{url}/events?task_id=task-001"
  curl {url}/jobs"""


def main(keep: bool, out: TextIO | None = None, command: Sequence[str] = (sys.executable, "-m", "motet")) -> int:
    """Plays the demo; 0 when all results are as expected, 1 when not, 128 + the signal that ended it.

    keep: leaves hub and edges running until a signal. command: what starts `motet`. MotetError when it cannot run.
    """
    for extra in ("hub", "edge"):
        need(extra, "motet demo needs hub and edge")
    try:
        with (
            Signals() as signals,
            tempfile.TemporaryDirectory(prefix="motet-demo-", ignore_cleanup_errors=True) as folder,
            Fleet(Path(folder), signals, command) as fleet,
        ):
            return _run(fleet, keep, out or sys.stdout)
    except Stopped as stopped:
        return 0 if keep else 128 + stopped.signum


def _run(fleet: Fleet, keep: bool, out: TextIO) -> int:
    deadline = time.monotonic() + TIME_S
    _start(fleet, out)
    with Client(fleet.url) as client:
        try:
            client.wait_proplets(len(EDGES), timeout=deadline - time.monotonic())
            differences = play(client, out, deadline)
        finally:
            for sentence in fleet.ended():
                print(sentence, file=out)
    print("\nNot as expected:" if differences else "\nAll results are as expected.", *differences, sep="\n  ", file=out)
    print(f"The hub: {fleet.url}", file=out)
    if keep:
        print(TRY.format(url=fleet.url), file=out, flush=True)
        while not fleet.ended():
            time.sleep(0.5)
        print(*fleet.ended(), sep="\n", file=out)
    return 1 if differences or keep else 0


def _start(fleet: Fleet, out: TextIO) -> None:
    fleet.start_hub()
    print(f"The hub: {fleet.url}, its edges: {', '.join(EDGES)}", file=out, flush=True)
    for name in EDGES:
        fleet.start_edge(name, "--board", "simulated")


def play(client: Client, out: TextIO, deadline: float) -> list[str]:
    """Plays every act and prints its progress, then the table; one sentence for each result that is not the expected.

    deadline: of time.monotonic; WaitTimeout behind it.
    """
    progress = Progress(out)
    played = [(act, _play_act(client, act, progress, deadline)) for act in ACTS]
    for act, tasks in played:
        print(f"\n{act.title}\n{table(tasks)}", file=out)
    return [difference for act, tasks in played for difference in _differences(act, tasks)]


def _play_act(client: Client, act: Act, progress: Progress, deadline: float) -> list[Document]:
    """The tasks of an act when it has ended."""

    def show(event: Event) -> None:
        data = event["data"]
        for task in [data] if event["event"] == "task" else data.get("tasks", ()):
            progress.update(task)

    left = deadline - time.monotonic()
    if act.kind == "workflow":
        created = client.create_workflow(act.tasks, **act.fields)
        progress.begin(act.title, created["tasks"])
        client.start_workflow(created["workflow_id"])
        ended = client.wait_workflow(created["workflow_id"], left, show)
    else:
        created = client.create_job(tasks=act.tasks, **act.fields)
        progress.begin(act.title, created["tasks"])
        client.start_job(created["job_id"])
        ended = client.wait_job(created["job_id"], left, show)
    for task in ended["tasks"]:
        progress.update(task)
    tasks: list[Document] = ended["tasks"]
    return tasks


def _differences(act: Act, tasks: list[Document]) -> list[str]:
    found = {task["id"]: (task["state_name"], result_text(task)) for task in tasks}
    return [
        f"{id_}: {' '.join(found.get(id_, ('missing',)))} instead of {' '.join(expected)}"
        for id_, expected in act.expected.items()
        if found.get(id_) != expected
    ]
