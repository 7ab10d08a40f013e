"""What the edge takes of the memory of a board: with 4-byte words, from .mpy files, wasm3 in the firmware.

`-s` shows the figures. tests/board/test_memory.py holds the MicroPython of PyPI, with 8-byte words, to its gates.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware.build import Missing, build
from hub.mpy import compile_to
from tests.board import gates, machine
from tests.board.gates import figure
from tests.board.machine import needs_micropython
from tests.board.test_memory import lines
from tests.e2e.world import Child, World
from tests.effort import effort

pytestmark = needs_micropython  # whose mpy-cross compiles

# Where the edge's code is: in the firmware's flash as ours has it, or in files.
FROZEN, FILES = ".frozen", "lib:.frozen"
TASKS = {
    "addition": ("main", [10, 20], {FROZEN: gates.TASKS, FILES: gates.TASKS_FILES}),
    "sha256": ("sha256", [1], {FROZEN: gates.PAGE, FILES: gates.PAGE_FILES}),
}


@pytest.fixture(scope="module")
def interpreter() -> Path:
    try:
        return build(32)
    except Missing as error:
        pytest.skip(f"THE MEMORY OF A BOARD WAS NOT MEASURED: {error}")


class Boards:
    def __init__(self, world: World, interpreter: Path) -> None:
        self.world = world
        self._interpreter = interpreter
        self._started: list[Child] = []
        compile_to(world.folder / "lib")

    def start(self, heap_kib: int, quiet: bool, path: str) -> Child:
        options = {"host": self.world.mqtt_host, "port": int(self.world.mqtt_port), "device": "board",
                   "data": "board", "base_s": 0.2, "quiet": quiet}  # fmt: skip
        script = str(Path(machine.__file__).parent / "start.py")
        command = [str(self._interpreter), "-X", f"heapsize={heap_kib}k", script, json.dumps(options)]
        board = Child(command, self.world.folder, {"MICROPYPATH": path})
        self._started.append(board)
        board.line("edge board connected")
        return board

    def close(self) -> None:
        for board in self._started:
            board.stop(9)


@pytest.fixture
def boards(world: World, interpreter: Path) -> Iterator[Boards]:
    made = Boards(world, interpreter)
    yield made
    made.close()


def test_the_heap_at_rest(boards: Boards) -> None:
    at_import, *seconds = lines(boards.start(128, quiet=False, path=FILES), 4)
    figure(gates.IMPORT, at_import, wide=False)
    figure(gates.IDLE, seconds[-1], wide=False)


@pytest.mark.parametrize("example", ["addition", "sha256"])
@pytest.mark.parametrize("path", [FROZEN, FILES])
def test_tasks_in_a_row(boards: Boards, example: str, path: str) -> None:
    """One after the other, loaded into a small heap and freed: none fails, and the board lives on."""
    name, inputs, heaps = TASKS[example]
    board = boards.start(heaps[path].most // 1024, quiet=True, path=path)
    count = effort(1000)
    ended = [boards.world.run(f"t{at}", name, example, inputs) for at in range(count)]
    assert [task.get("error_info") for task in ended] == [None] * count
    assert board.child.poll() is None
