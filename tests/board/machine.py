"""Boards for tests: the edge on MicroPython itself, a process with a hard limit of its heap, against a real hub."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.mpy import compile_file, compile_to
from tests.e2e.world import ROOT, Child, World

HERE = Path(__file__).parent
# Beside the interpreter of this environment, where pip puts it.
MICROPYTHON = shutil.which("micropython", path=os.path.dirname(sys.executable))

needs_micropython = pytest.mark.skipif(
    MICROPYTHON is None, reason="NOT TESTED: MicroPython has no wheel for this machine (x86-64 Linux has one)"
)


def build(folder: Path) -> Path:
    """A board's library folder: the edge, and the stand-in for the firmware's wasm3."""
    compile_to(folder)
    compile_file(HERE / "stand_in" / "wasm3.py", folder / "wasm3.mpy")
    return folder


class Machines:
    """Boards of one test. `path` is where they find their code: a folder of build(), or None for the sources."""

    def __init__(self, world: World, path: Path | None) -> None:
        self.world = world
        self.path = f"{ROOT}:{HERE / 'stand_in'}" if path is None else str(path)
        self.boards: list[Child] = []
        command = [sys.executable, "-m", "tests.board.proxied"]
        self._wasm3 = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._wasm3.stdout is not None
        self._port = self._wasm3.stdout.readline().strip()

    def start(self, name: str, heap_kib: int = 128, **options: Any) -> Child:
        """A board that has connected; options as edge.main.run has them, and those of start.py."""
        board = self.launch(name, heap_kib, **options)
        board.line(f"edge {name} connected")
        return board

    def launch(self, name: str, heap_kib: int = 128, **options: Any) -> Child:
        """The same without waiting."""
        options = {"host": self.world.mqtt_host, "port": int(self.world.mqtt_port), "device": name,
                   "data": name, "base_s": 0.2, **options}  # fmt: skip
        command = [str(MICROPYTHON), "-X", f"heapsize={heap_kib}k", str(HERE / "start.py"), json.dumps(options)]
        # Short, as on a board: every path of a file that is imported stays in its memory.
        (self.world.folder / "lib").exists() or os.symlink(self.path, self.world.folder / "lib")
        path = self.path if ":" in self.path else "lib"
        environ = {"MICROPYPATH": f"{path}:.frozen", "MOTET_TEST_WASM3": self._port}
        board = Child(command, self.world.folder, environ)
        self.boards.append(board)
        return board

    def close(self) -> None:
        for board in self.boards:
            board.stop(signal.SIGKILL)
        self._wasm3.communicate("")


@contextmanager
def machines(folder: Path, path: Path | None, *options: str) -> Iterator[Machines]:
    """A hub with these options, and boards."""
    with around(World(folder, *options), path) as made:
        yield made


@contextmanager
def around(world: World, path: Path | None) -> Iterator[Machines]:
    """Boards of a hub, which is ended with them."""
    try:
        made = Machines(world, path)
        try:
            yield made
        finally:
            made.close()
    finally:
        world.close()
