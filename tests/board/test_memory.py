"""What the edge takes of a board's memory, held to its gates, with 8-byte words; `-s` shows the figures."""

import signal
import subprocess
from pathlib import Path

import pytest

from hub.mpy import compile_to
from shared.errors import MotetError
from tests.board import gates
from tests.board.gates import Gate, figure
from tests.board.machine import MICROPYTHON, machines, needs_micropython
from tests.e2e.world import Child
from tests.effort import effort

pytestmark = needs_micropython

# What wasm3 itself has in the firmware's flash, the stand-in has in the heap.
STAND_IN_KIB = 4


def lines(board: Child, count: int) -> list[int]:
    """So many lines on the heap in use: after the import, then one a second."""
    found = board.line(rf"(?s)(memory: \d+\b.*?){{{count}}}\n")[0]
    return [int(line.rpartition(" ")[2]) for line in found.splitlines() if line.startswith("memory: ")][:count]


def test_the_files(tmp_path: Path) -> None:
    figure(gates.FILES, sum(file.stat().st_size for file in compile_to(tmp_path)), wide=True)


def test_the_heap_at_rest(tmp_path: Path, lib: Path) -> None:
    with machines(tmp_path, lib) as made:
        at_import, *seconds = lines(made.start("board"), 4)
        figure(gates.IMPORT, at_import, wide=True)
        figure(gates.IDLE, seconds[-1], wide=True)


def test_the_stand_in(tmp_path: Path, lib: Path) -> None:
    """It takes no less than it is allowed for: else the limits below would be too large."""
    code = "import gc, socket, json, os, struct; gc.collect(); before = gc.mem_alloc(); import wasm3; gc.collect()"
    done = subprocess.run(
        [str(MICROPYTHON), "-c", code + "; print(gc.mem_alloc() - before)"],
        env={"MICROPYPATH": f"{lib}:.frozen"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert int(done.stdout) >= STAND_IN_KIB * 1024, done.stderr


@pytest.mark.parametrize(
    ("example", "name", "inputs", "gate"),
    [("addition", "main", [10, 20], gates.TASKS_FILES), ("sha256", "sha256", [1], gates.PAGE_FILES)],
)
def test_tasks_in_a_row(tmp_path: Path, lib: Path, example: str, name: str, inputs: list[int], gate: Gate) -> None:
    """One after the other in a small heap: none fails for want of memory, which a heap in pieces would end in, and none
    waits for it."""
    with machines(tmp_path, lib) as made:
        board = made.start("board", heap_kib=gate.most_wide // 1024 + STAND_IN_KIB, quiet=True)
        count = effort(1000)
        try:
            ended = [made.world.run(f"t{at}", name, example, inputs) for at in range(count)]
        except MotetError as error:
            board.stop(signal.SIGKILL)
            raise AssertionError(board.text) from error
        assert [task.get("error_info") for task in ended] == [None] * count
