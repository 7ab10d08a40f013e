"""What the edge takes of a board's memory, held to its limits; `-s` shows the figures, docs/performance.md has them.

Objects of this 64-bit MicroPython are 1.8 times those of a board's 32-bit one, so its limits are 1.8 times a board's.
"""

import signal
import subprocess
from pathlib import Path

import pytest

from hub.mpy import compile_to
from shared.errors import MotetError
from tests.board.machine import MICROPYTHON, machines, needs_micropython
from tests.e2e.world import Child
from tests.effort import effort

pytestmark = needs_micropython

FILES = 40 * 1024
IMPORT = int(24 * 1.8 * 1024)
IDLE = int(30 * 1.8 * 1024)
TASKS_KIB = int(64 * 1.8)
PAGE_KIB = int(128 * 1.8)
# What wasm3 itself has in the firmware's flash, the stand-in has in the heap.
STAND_IN_KIB = 4
NAMES = {"addition": "main", "sha256": "sha256"}


def figure(what: str, measured: int, limit: int) -> None:
    print(f"{what}: {measured:,}, at most {limit:,}")
    assert measured <= limit, what


def lines(board: Child, count: int) -> list[int]:
    """So many lines on the heap in use: after the import, then one a second."""
    found = board.line(rf"(?s)(memory: \d+\b.*?){{{count}}}\n")[0]
    return [int(line.rpartition(" ")[2]) for line in found.splitlines() if line.startswith("memory: ")][:count]


def test_the_files(tmp_path: Path) -> None:
    figure("bytes of .mpy files", sum(file.stat().st_size for file in compile_to(tmp_path)), FILES)


def test_the_heap_at_rest(tmp_path: Path, lib: Path) -> None:
    with machines(tmp_path, lib) as made:
        at_import, *seconds = lines(made.start("board"), 4)
        figure("heap after the import", at_import, IMPORT)
        figure("heap when connected and idle", seconds[-1], IDLE)


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


@pytest.mark.parametrize(("example", "inputs", "kib"), [("addition", [10, 20], TASKS_KIB), ("sha256", [1], PAGE_KIB)])
def test_tasks_in_a_row(tmp_path: Path, lib: Path, example: str, inputs: list[int], kib: int) -> None:
    """One after the other in a small heap: none fails for want of memory, which a heap in pieces would end in, and none
    waits for it."""
    with machines(tmp_path, lib) as made:
        board = made.start("board", heap_kib=kib + STAND_IN_KIB, quiet=True)
        count = effort(1000)
        try:
            ended = [made.world.run(f"t{at}", NAMES[example], example, inputs) for at in range(count)]
        except MotetError as error:
            board.stop(signal.SIGKILL)
            raise AssertionError(board.text) from error
        assert [task.get("error_info") for task in ended] == [None] * count
