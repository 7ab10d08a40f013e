"""An edge that is frozen in the firmware lies in no slot: a hub does not offer it an update."""

import subprocess
from pathlib import Path

from hub.mpy import compile_to

ASK = "from motet_slots import choose; choose(); from edge import board; print(board.slots())"


def said(interpreter: Path, folder: Path, path: str) -> str:
    done = subprocess.run([str(interpreter), "-c", ASK], cwd=folder, env={"MICROPYPATH": path}, capture_output=True,
                          text=True, timeout=60)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_frozen_edge_is_not_updated_and_one_from_files_is(interpreter: Path, tmp_path: Path) -> None:
    compile_to(tmp_path / "lib")
    assert said(interpreter, tmp_path, ".frozen:lib") == "None"
    assert "motet_slots" in said(interpreter, tmp_path, "lib:.frozen")
