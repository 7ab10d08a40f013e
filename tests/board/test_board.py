"""The edge on real MicroPython, within a heap of 128 KiB, against a real hub."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.board.machine import Machines, machines, needs_micropython
from tests.board.program import until
from tests.e2e.world import module

pytestmark = needs_micropython
WORKFLOW = [
    {"id": "task-001", "name": "main", "inputs": [10, 20]},
    {"id": "task-002", "name": "main", "inputs": [5, 15], "depends_on": ["task-001"]},
    {"id": "task-003", "name": "main", "inputs": [100, 200], "depends_on": ["task-001"]},
]


@pytest.fixture
def made(tmp_path: Path, lib: Path) -> Iterator[Machines]:
    with machines(tmp_path, lib, "--beat-s", "0.5", "--lease-s", "30") as made:
        yield made


def seeds(made: Machines) -> list[str]:
    """The results of the seeds' workflow."""
    tasks = [{**task, "file": module("addition")} for task in WORKFLOW]
    made.world.client.create_workflow(tasks, workflow_id="w")
    made.world.client.start_workflow("w")
    made.world.client.wait_workflow("w", 30)
    return [made.world.client.task(str(task["id"]))["results"] for task in WORKFLOW]


def test_the_workflow_of_the_seeds(made: Machines) -> None:
    made.start("board")
    assert seeds(made) == ["30\n", "20\n", "300\n"]


def test_it_runs_from_its_sources_too(tmp_path: Path) -> None:
    with machines(tmp_path, None) as made:
        made.start("board", heap_kib=256)  # where a source is compiled, which takes twice its size
        assert seeds(made) == ["30\n", "20\n", "300\n"]


def test_what_it_says_of_itself(made: Machines) -> None:
    made.start("board")
    proplet = until(
        lambda: next((one for one in made.world.call("GET", "/proplets")["proplets"] if "caps" in one), None)
    )
    assert proplet["runtime"].startswith("micropython 1.")
    assert (proplet["slots"], proplet["mem_total"]) == (1, 128 * 1024 - 1536)
    assert 32_000 < proplet["mem_free"] < 128 * 1024
    assert proplet["caps"]["abi"] == ["call", "edge"]


def test_results_wait_for_a_hub_that_was_killed(made: Machines) -> None:
    board = made.start("board")
    made.world.client.create_task("spin", id="t", file=module("spin"), inputs=[100_000_000], timeout=60)
    made.world.client.start_task("t")
    made.world.wait_state("t", 2)
    made.world.hub.stop(signal.SIGKILL)
    board.line("lost .*trying again")
    outbox = made.world.folder / "board" / "outbox"
    while not list(outbox.iterdir()):
        assert board.child.poll() is None
    made.world.start_hub()
    assert made.world.client.wait_task("t", 30)["results"] == "100000000\n"
    assert made.world.client.task("t")["attempts"][0]["outcome"] == "completed"


def test_a_reset_loses_no_result_and_the_cache_stays(made: Machines) -> None:
    board = made.start("board")
    assert made.world.run("t", "main", "addition", [1, 2])["results"] == "3\n"
    made.world.hub.stop(signal.SIGKILL)
    board.stop(signal.SIGKILL)
    made.world.start_hub()
    made.start("board")
    assert made.world.run("u", "main", "addition", [3, 4])["results"] == "7\n"
    assert made.world.client.task("t")["results"] == "3\n"


def test_a_module_comes_in_chunks(made: Machines) -> None:
    made.start("board", heap_kib=256)  # for a page of memory
    ended = made.world.run("t", "sha256", "sha256", [1])  # 1.5 KB prepared, a chunk is 1 KiB
    assert ended["results"] == "-34948692\n"


def test_a_module_speaks_with_its_host(made: Machines) -> None:
    made.start("board", heap_kib=256)
    assert made.world.run("t", "upper", "upper", ["ångström"])["results"].upper() == "ÅNGSTRÖM"
    ended = made.world.run("u", "primes", "progress", [100])
    assert ended["state"] == 3, ended


def test_failures_have_their_codes(made: Machines) -> None:
    made.start("board")
    ended = made.world.run("t", "main", "trap", [0])
    assert ended["error_info"]["code"] == "memory_limit"  # it has a page, for which there is no room
    ended = made.world.run("u", "main", "addition", [1])
    assert ended["error_info"]["code"] == "bad_inputs"
    made.world.client.create_task("main", id="v", file=module("endless"), timeout=1)
    made.world.client.start_task("v")
    ended = made.world.client.wait_task("v", 20)
    assert ended["error_info"]["code"] == "timeout"


def test_a_stop_ends_an_endless_task(made: Machines) -> None:
    made.start("board")
    made.world.client.create_task("main", id="t", file=module("endless"))
    made.world.client.start_task("t")
    made.world.wait_state("t", 2)
    made.world.client.stop_task("t")
    assert made.world.client.wait_task("t", 20)["state"] == 6
    assert made.world.run("u", "main", "addition", [1, 2])["results"] == "3\n"
