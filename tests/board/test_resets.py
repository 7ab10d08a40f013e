"""Hubs that are restarted and boards that are reset, again and again and at any moment of their work, lose nothing."""

import random
import signal
from collections import Counter
from pathlib import Path
from time import sleep
from typing import Any

from shared import states
from tests.board.machine import Machines, around, needs_micropython
from tests.e2e.world import Child, module
from tests.effort import effort
from tests.faults.template import ForkedWorld

pytestmark = needs_micropython

EACH = effort(200)
BOARDS = ["a", "b", "c"]
# Iterations of a loop; a fifth of the tasks have ten times as many: resets come while they run.
SHORT = 500_000
AT_ONCE = 12
OPTIONS = ("--beat-s", "0.5", "--lease-s", "30", "--log-level", "error")


class Siege:
    """Restarts and resets, with tasks for the boards all the while."""

    def __init__(self, made: Machines) -> None:
        self.made = made
        self.world = made.world
        self.chance = random.Random(5)
        self.jobs: list[str] = []
        self.boards: dict[str, Child] = {}
        self.noted = self.world.folder / "noted"

    def launch(self, name: str) -> None:
        self.boards[name] = self.made.launch(name, quiet=True, noted=str(self.noted))

    def reset(self) -> None:
        name = self.chance.choice(BOARDS)
        self.boards[name].stop(signal.SIGKILL)
        self._wait(0.05)
        self.launch(name)

    def restart(self) -> None:
        self.world.hub.stop(signal.SIGKILL)
        self._wait(0.2)
        self.world.start_hub()

    def load(self) -> None:
        at = len(self.jobs)
        tasks = [{"id": f"{at}-{task}", "name": "spin", "file": module("spin"),
                  "inputs": [SHORT * (10 if task % 5 == 0 else 1) + task]} for task in range(AT_ONCE)]  # fmt: skip
        job = self.world.client.create_job(f"job-{at}", tasks, execution_mode="parallel")["job_id"]
        self.world.client.start_job(job)
        self.jobs.append(job)

    def _wait(self, most_s: float) -> None:
        sleep(self.chance.uniform(0, most_s))

    def run(self) -> None:
        for name in BOARDS:
            self.launch(name)
        deeds = [self.reset, self.restart] * EACH
        self.chance.shuffle(deeds)
        for at, deed in enumerate(deeds):
            if at % 2 == 0:
                self.load()
            self._wait(0.3)
            deed()

    def tasks(self) -> "dict[str, dict[str, Any]]":
        """All of them, when all have ended."""
        found = {}
        for job in self.jobs:
            self.world.client.wait_job(job, 120)
            found |= {task["id"]: task for task in self.world.client.job(job)["tasks"]}
        return found

    def notes(self) -> "Counter[tuple[str, str, int]]":
        """("kept" or "let go", task, attempt)."""
        lines = [line.rsplit(" ", 2) for line in self.noted.read_text().splitlines()]
        return Counter((what, task, int(attempt)) for what, task, attempt in lines)


def test_restarts_and_resets_lose_no_result_and_record_none_twice(tmp_path: Path, lib: Path) -> None:
    with around(ForkedWorld(tmp_path, *OPTIONS), lib) as made:
        siege = Siege(made)
        siege.run()
        tasks = siege.tasks()
        notes = siege.notes()
    assert len(tasks) == len(siege.jobs) * AT_ONCE
    assert {task["state"] for task in tasks.values()} == {states.COMPLETED}
    outcomes = {(id, attempt["number"]): attempt["outcome"] for id, task in tasks.items()
                for attempt in task["attempts"]}  # fmt: skip
    for id, task in tasks.items():
        assert task["results"] == f"{task['inputs'][0]}\n"
        # Once, as the last of its attempts.
        assert [outcomes[id, attempt["number"]] == "completed" for attempt in task["attempts"]] == [
            attempt is task["attempts"][-1] for attempt in task["attempts"]
        ]
    kept = {(task, attempt) for what, task, attempt in notes if what == "kept"}
    assert {outcomes[key] for key in kept} == {"completed"}, "a result that a board had kept was lost"
    assert max(notes.values()) == 1, "a result came twice"
    lost = Counter(outcomes.values())["lost"]
    assert lost  # of the attempts that a reset broke off: there was work all the time
    print(f"{EACH} restarts, {EACH} resets, {len(tasks)} tasks: {lost} attempts broken off, {len(kept)} results kept, "
          "0 lost, 0 twice")  # fmt: skip
