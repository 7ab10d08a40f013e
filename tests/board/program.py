"""A board that runs what `motet flash` puts on it: main.py, motet.json, the edge below lib. A reset starts it anew."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from motet import board_main
from tests.board.machine import MICROPYTHON
from tests.board.serial import RESET, STUBS
from tests.e2e.world import World


def until(holds: Callable[[], Any], timeout_s: float = 30) -> Any:
    """What it says as soon as that is true; files and output of a board tell nobody when they change."""
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


class Program:
    """`folder` is the board's file system, `said` what it has printed. It does not start by itself."""

    def __init__(self, world: World, lib: Path, id: str, heap_kib: int = 256, **config: Any) -> None:
        self.folder = world.folder / id
        shutil.copytree(lib, self.folder / "lib")
        shutil.copy(board_main.__file__, self.folder / "main.py")
        told = {"host": world.mqtt_host, "port": int(world.mqtt_port), "id": id, **config}
        (self.folder / "motet.json").write_text(json.dumps(told))
        self._log = self.folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None
        self._life: threading.Thread | None = None
        self._heap = f"heapsize={heap_kib}k"
        self.resets = 0

    @property
    def said(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def start(self, **environ: str) -> None:
        self._process = self._boot(environ)
        self._life = threading.Thread(target=self._live, args=(environ,))
        self._life.start()

    def _boot(self, environ: dict[str, str]) -> "subprocess.Popen[bytes]":
        environ = {**os.environ, "MICROPYPATH": f"lib:{STUBS}:.frozen", **environ}
        with self._log.open("ab") as log:
            return subprocess.Popen([str(MICROPYTHON), "-X", self._heap, "main.py"], cwd=self.folder,
                                    env=environ, stdout=log, stderr=log)  # fmt: skip

    def _live(self, environ: dict[str, str]) -> None:
        while self._process is not None and self._process.wait() == RESET:
            self.resets += 1
            self._process = self._boot(environ)

    def kill(self) -> None:
        """As a power cut, but that files are as they were written."""
        while self._life is not None and self._life.is_alive():  # it may be about to start another
            if self._process is not None:
                self._process.send_signal(signal.SIGKILL)
            self._life.join(0.1)
