"""A board that installs the edge from its hub, with MicroPython's own mip."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.board.machine import MICROPYTHON, needs_micropython
from tests.e2e.world import World

pytestmark = needs_micropython


def micropython(folder: Path, code: str) -> str:
    environ = {**os.environ, "MICROPYPATH": f"{folder}:.frozen"}
    command = [str(MICROPYTHON), "-X", "heapsize=128k", "-c", code]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("index", [False, True])
def test_mip_installs_the_edge_from_the_hub(world: World, tmp_path: Path, index: bool) -> None:
    what = f'"edge", index="{world.url}/mip"' if index else f'"{world.url}/mip/edge"'
    said = micropython(tmp_path, f'import mip; mip.install({what}, target="{tmp_path}")')
    assert "Done" in said
    assert micropython(tmp_path, "import edge.main; print(edge.main.Edge.__name__)").strip() == "Edge"
    assert not list(tmp_path.rglob("*.py"))
    assert micropython(tmp_path, "from motet_slots import choose; print(choose())").strip() == "lib"
