"""What a board says of the end of its boot before, its watchdog, and a line for its REPL."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.board.machine import MICROPYTHON, machines, needs_micropython
from tests.board.program import Program, until
from tests.e2e.world import World, module

pytestmark = needs_micropython


@pytest.fixture
def program(world: World, lib: Path) -> Iterator[Callable[..., Program]]:
    made: list[Program] = []

    def make(**config: Any) -> Program:
        made.append(Program(world, lib, "roof", **config))
        return made[-1]

    yield make
    for one in made:
        one.kill()


def words(world: World) -> Any:
    found = {one["id"]: one for one in world.call("GET", "/proplets")["proplets"]}
    return found["roof"].get("last_words") if "roof" in found else None


def test_a_board_that_was_reset_says_why_and_what_ran(tmp_path: Path, lib: Path) -> None:
    with machines(tmp_path, lib, "--beat-s", "0.5", "--lease-s", "30") as made:
        board = made.start("roof")
        assert words(made.world) is None  # this MicroPython knows no cause, and nothing ran before
        made.world.client.create_task("spin", id="t", file=module("spin"), inputs=[10**9], max_retries=0)
        made.world.client.start_task("t")
        made.world.wait_state("t", 2)
        board.stop(9)
        made.start("roof")
        until(lambda: words(made.world))
        said = words(made.world)
        assert said.pop("at").endswith("Z")
        assert said == {"task": "t", "attempt": 1}


def test_the_cause_of_the_reset(world: World, program: Callable[..., Program]) -> None:
    board = program()
    board.start(MOTET_TEST_CAUSE="3")
    until(lambda: words(world))
    assert words(world)["cause"] == "watchdog"


def test_a_fault_of_the_program_is_told_once(world: World, program: Callable[..., Program]) -> None:
    board = program()
    (board.folder / "motet").mkdir()
    (board.folder / "motet" / "fault").write_text("OSError('the Wi-Fi garden cannot be joined')")
    board.start()
    until(lambda: words(world))
    assert words(world)["text"] == "OSError('the Wi-Fi garden cannot be joined')"
    until(lambda: not (board.folder / "motet" / "fault").exists())


def test_the_program_keeps_why_it_starts_anew(program: Callable[..., Program]) -> None:
    board = program(ca="none.der")
    board.start()
    fault = board.folder / "motet" / "fault"
    until(lambda: fault.exists() and "none.der" in fault.read_text())


def test_a_watchdog_is_fed(world: World, program: Callable[..., Program]) -> None:
    board = program(watchdog=8)
    board.start()
    until(lambda: "fed 3" in board.said)
    assert "watchdog of 8000 ms" in board.said


def test_without_a_word_in_the_configuration_there_is_none(world: World, program: Callable[..., Program]) -> None:
    board = program()
    board.start()
    until(lambda: "edge roof connected" in board.said)
    assert "watchdog" not in board.said


def test_status_is_one_line(lib: Path) -> None:
    command = [str(MICROPYTHON), "-c", "import edge; edge.status(); edge.status()"]
    environ = {**os.environ, "MICROPYPATH": f"{lib}:.frozen"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("edge 0.1.0: not started, ")
    assert second.endswith(" KiB free")
