"""Updates of a board's edge over the air: one that works, ones that do not, and a cut at each step."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.boot import motet_slots
from hub import mpy
from shared import VERSION
from tests.board.machine import needs_micropython
from tests.board.program import Program, until
from tests.certificates import make
from tests.e2e.world import ROOT, World

pytestmark = needs_micropython
OLD = "0.0.9"
SILENT = "await edge.link.serve(", "await asyncio.sleep(9999)\n        await edge.link.serve("
# The hub's package with a fault in it: run by every Python before anything else.
_SPOIL = """
from hub import mpy
real = mpy.texts
def spoilt():
    texts = dict(real())
    texts["edge/main.py"] = texts["edge/main.py"].replace(%r, %r)
    return texts
mpy.texts = spoilt
"""


@pytest.fixture
def old(lib: Path, tmp_path: Path) -> Path:
    """A library folder as an older version of Motet has put it on boards."""
    folder = tmp_path / "old"
    shutil.copytree(lib, folder)
    text = mpy.texts()["shared/__init__.py"]
    assert f"'{VERSION}'" in text
    mpy._compile(text.replace(VERSION, OLD), folder / "shared" / "__init__.mpy", ())
    return folder


BEATS = "--beat-s", "0.5", "--lease-s", "30"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, *BEATS)
    yield made
    made.close()


class Boards:
    def __init__(self, old: Path) -> None:
        self._old = old
        self.made: list[Program] = []

    def start(self, world: World, **config: Any) -> Program:
        board = Program(world, self._old, "roof", **{"trial": 8, **config})
        self.made.append(board)
        board.start()
        until(lambda: proplet(world).get("agent") == OLD)
        return board


@pytest.fixture
def boards(old: Path) -> Iterator[Boards]:
    made = Boards(old)
    yield made
    for board in made.made:
        board.kill()


@pytest.fixture
def spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Hubs that are started from now on have an edge in which a text stands in place of another."""

    def spoil(text: str, other: str) -> None:
        assert text in mpy.texts()["edge/main.py"]
        folder = tmp_path / "spoilt"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(_SPOIL % (text, other))
        monkeypatch.setenv("PYTHONPATH", f"{folder}:{ROOT}")

    return spoil


def proplet(world: World) -> Any:
    found = {one["id"]: one for one in world.call("GET", "/proplets")["proplets"]}
    return found.get("roof", {})


def state(world: World) -> Any:
    return proplet(world).get("update", {}).get("state")


def update(world: World) -> Any:
    return world.call("POST", "/proplets/roof/update", status=202)["update"]


def test_a_board_runs_the_edge_of_its_hub(world: World, boards: Boards) -> None:
    board = boards.start(world)
    assert "update" not in proplet(world)
    command = [sys.executable, "-m", "motet", "update", "roof", "--url", world.url, "--wait", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), board.said
    lines = done.stdout.splitlines()
    assert lines[-1] == "it runs the new edge"
    now = proplet(world)
    assert (now["agent"], now["slot"]["slot"], now["slot"]["state"]) == (VERSION, 1, "")
    assert now["update"]["left"] == 0
    assert board.resets == 1
    # And stays: also after a power cut.
    board.kill()
    board.start()
    until(lambda: proplet(world)["boot"] != now["boot"])
    assert proplet(world)["slot"] == now["slot"]
    # Once more there is nothing to do.
    assert update(world)["state"] == "done"


def test_in_the_heap_of_a_small_board(world: World, boards: Boards) -> None:
    """1.8 times 64 KiB, for these words are of 8 bytes: what modules without a memory need."""
    boards.start(world, heap_kib=115)
    update(world)
    until(lambda: state(world) == "done")


def test_over_tls(tmp_path: Path, old: Path, boards: Boards, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = make(tmp_path / "keys")
    monkeypatch.setenv("SSL_CERT_FILE", keys.ca)
    world = World(tmp_path / "tls", *keys.hub, *BEATS)
    try:
        boards.start(world, host="localhost", ca=keys.ca_der)
        update(world)
        until(lambda: state(world) == "done")
    finally:
        world.close()


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("import asyncio\n", "import asyncio\nraise ValueError('a fault')\n"),
        ("self.greeted = True", "raise ValueError('a fault')"),
        SILENT,
    ],
    ids=["fails at its import", "fails at the hub's word", "never says a word"],
)
def test_an_edge_that_does_not_work_there_goes_back_by_itself(
    tmp_path: Path, boards: Boards, spoilt: Callable[[str, str], None], text: str, other: str
) -> None:
    spoilt(text, other)
    world = World(tmp_path, *BEATS)
    try:
        board = boards.start(world)
        update(world)
        until(lambda: state(world) == "failed", 60)
        now = proplet(world)
        assert (now["agent"], now["slot"]["slot"], now["slot"]["state"]) == (OLD, 0, "failed")
        assert "the edge before runs again" in now["update"]["error"]
        assert board.resets == 2
    finally:
        world.close()


def test_a_power_cut_at_each_step(world: World, boards: Boards) -> None:
    board = boards.start(world)
    update(world)
    slot = board.folder / "lib2"
    for count in range(1, len(mpy.sources()), 4):
        if state(world) in ("ready", "on_trial", "done"):
            break
        until(lambda count=count: len(list(slot.rglob("*.mpy"))) >= count or state(world) in ("on_trial", "done"))  # type: ignore[misc]
        board.kill()
        board.start()
    until(lambda: state(world) in ("done", "failed"))
    if state(world) == "failed":  # the last cut was in its trial
        assert proplet(world)["agent"] == OLD
        update(world)
        until(lambda: state(world) == "done")
    assert proplet(world)["agent"] == VERSION


def test_a_hub_that_was_killed_meanwhile_goes_on(world: World, boards: Boards) -> None:
    board = boards.start(world)
    update(world)
    until(lambda: len(list((board.folder / "lib2").rglob("*.mpy"))) > 3)
    world.hub.stop(signal.SIGKILL)
    world.start_hub()
    until(lambda: state(world) in ("done", "failed"), 60)
    assert (state(world), proplet(world)["agent"]) == ("done", VERSION), proplet(world)


def test_a_reset_on_trial_ends_it(tmp_path: Path, boards: Boards, spoilt: Callable[[str, str], None]) -> None:
    spoilt(*SILENT)
    world = World(tmp_path, *BEATS)
    try:
        board = boards.start(world, trial=300)
        update(world)
        until(lambda: motet_slots.read(f"{board.folder}/")[2] == motet_slots.TRIED)
        board.kill()
        board.start()
        until(lambda: state(world) == "failed")
        assert proplet(world)["agent"] == OLD
    finally:
        world.close()


def test_what_cannot_be_updated_is_told_why(world: World) -> None:
    world.start_edge("linux")
    until(lambda: "caps" in world.call("GET", "/proplets/linux"))
    answer = world.call("POST", "/proplets/linux/update", status=409)
    assert answer["code"] == "not_updatable"
    assert "is no board" in answer["error"]
    assert world.call("POST", "/proplets/none/update", status=404)["code"] == "unknown_proplet"
