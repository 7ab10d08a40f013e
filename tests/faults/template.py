"""Hubs that are forked from a process which has imported everything: processes of their own, without that second."""

import importlib
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.bench.proc import cpu_s
from tests.e2e.world import READY, ROOT, Child, World, clean_environ

# What a hub imports only when it starts.
_LATE = ("motet.config", "motet.logs", "hub.main", "uvloop", "uvicorn.loops.auto", "uvicorn.protocols.http.auto")
OFFSET = struct.Struct("d")


class Template(Child):
    """Forks one hub at a time. Its lines and those of its hubs come out of one pipe."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.template"]
        super().__init__(command, ROOT, clean_environ(), subprocess.PIPE)

    def fork(self, arguments: tuple[str, ...], snapshot_bytes: int | None, wall: str) -> "Forked":
        self.text = ""
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps([arguments, snapshot_bytes, wall]).encode() + b"\n")
        self.child.stdin.flush()
        return Forked(self, int(self.line(r"forked (\d+)\n")[1]))


class Forked:
    """One hub, with what tests need of a Child."""

    def __init__(self, template: Template, pid: int) -> None:
        self.pid = pid
        self._code: int | None = None
        self.line = template.line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and waits until nothing of the process is left; the exit code."""
        if self._code is None:
            # The template says that it has ended before it forks again: the number is nobody else's.
            os.kill(self.pid, number)
            self._code = int(self.line(rf"ended {self.pid} (-?\d+)\n")[1])
        return self._code


class ForkedWorld(World):
    """A world whose hub is forked, or started by its command where `forks` is False.

    snapshot_bytes: a hub begins a snapshot whenever its journal has so many; None for as many as it does by itself.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.template = Template()
        self.forks = True
        self.snapshot_bytes: int | None = None
        self._wall = folder / "wall"
        self._wall.write_bytes(OFFSET.pack(0.0))
        super().__init__(folder, *options)

    def set_clock(self, offset_s: float) -> None:
        """Sets the clock on the wall of the hub, and of those that are forked after it, to so much beside ours."""
        with self._wall.open("r+b") as file:
            file.write(OFFSET.pack(offset_s))

    def await_ready(self) -> float:
        """Seconds of CPU that the hub has taken by then."""
        self.hub.line(READY.pattern)
        return cpu_s(self.hub.pid if isinstance(self.hub, Forked) else self.hub.child.pid)

    def close(self) -> None:
        if isinstance(self.hub, Forked):
            self.hub.stop()
        super().close()
        self.template.stop()

    def _start(self, *arguments: str) -> Any:
        if not self.forks or arguments[0] != "hub":
            return super()._start(*arguments)
        return self.template.fork((*arguments, "--config", os.devnull), self.snapshot_bytes, str(self._wall))


def main() -> None:
    for name in _LATE:
        importlib.import_module(name)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_run(*order))
        print(f"forked {pid}", flush=True)
        _, status = os.waitpid(pid, 0)
        print(f"ended {pid} {os.waitstatus_to_exitcode(status)}", flush=True)


def _run(arguments: list[str], snapshot_bytes: int | None, wall: str) -> int:
    from hub.store.journal import Journal
    from motet.cli import main as command

    _follow(wall)
    if snapshot_bytes is not None:
        Journal.__init__.__kwdefaults__.update(compact_min_bytes=snapshot_bytes, compact_ratio=0.0)
    try:
        return command(arguments)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()


def _follow(wall: str) -> None:
    """From here on, time.time() is beside the real one by what stands in the file."""
    real = time.time
    with open(wall, "rb") as file:
        offset = mmap.mmap(file.fileno(), OFFSET.size, prot=mmap.PROT_READ)
    time.time = lambda: real() + OFFSET.unpack_from(offset)[0]


if __name__ == "__main__":
    main()
