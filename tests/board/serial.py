"""A board at a serial port: MicroPython behind a pair of pseudoterminals, that starts main.py after a reset."""

import os
import select
import subprocess
import threading
import tty
from pathlib import Path

from tests.board.machine import MICROPYTHON

STUBS = Path(__file__).parent / "stubs"
RESET = 5


class SerialBoard:
    """`port` is what mpremote connects to, `folder` the board's file system, `said` what main.py has printed."""

    def __init__(self, folder: Path, *path: Path) -> None:
        self.folder = folder
        self.said = b""
        self._environ = {"MICROPYPATH": ":".join(["lib", *map(str, path), str(STUBS), ".frozen"])}
        self._inner, self._terminal = os.openpty()
        self._outer, outside = os.openpty()
        tty.setraw(self._terminal)
        tty.setraw(outside)
        self.port = os.ttyname(outside)
        self._kept = outside
        self._end, self._ended = os.pipe()
        self._process = self._start("-i")
        self._bridge = threading.Thread(target=self._carry)
        self._bridge.start()
        self._life = threading.Thread(target=self._live)
        self._life.start()

    def _start(self, what: str) -> "subprocess.Popen[bytes]":
        command = [str(MICROPYTHON), "-X", "heapsize=256k", what]
        return subprocess.Popen(command, cwd=self.folder, env=self._environ, stdin=self._terminal,
                                stdout=self._terminal, stderr=self._terminal)  # fmt: skip

    def _live(self) -> None:
        while self._process.wait() == RESET:
            self._process = self._start("main.py")

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._inner, self._outer, self._end], [], [])
            if self._end in ready:
                return
            if self._inner in ready:
                data = os.read(self._inner, 4096)
                self.said += data
                os.write(self._outer, data)
            if self._outer in ready:
                os.write(self._inner, os.read(self._outer, 4096))

    def close(self) -> None:
        while self._life.is_alive():  # it may be about to start another
            self._process.kill()
            self._life.join(0.1)
        os.write(self._ended, b"x")
        self._bridge.join()
        for descriptor in (self._inner, self._terminal, self._outer, self._kept, self._end, self._ended):
            os.close(descriptor)
