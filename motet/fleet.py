"""A hub and edges as child processes, with the promise that none of them outlives this one's stop."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from shared.errors import MotetError

READY_S = 10.0
# What a child gets to end by itself before it is killed.
GRACE_S = 4.0
_READY = re.compile(r"motet hub is ready: (http://\S+) \(MQTT on (\S+), data in .*\)")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asks this process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP raise Stopped in the main thread, but never inside `held`."""

    def __init__(self) -> None:
        self._held = False
        self._pending: int | None = None

    def __enter__(self) -> "Signals":
        self._before = {signum: signal.signal(signum, self._caught) for signum in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """What must not be left half done: a signal in it raises behind it."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending is not None:
            signum, self._pending = self._pending, None
            raise Stopped(signum)

    def _caught(self, signum: int, _: FrameType | None) -> None:
        if not self._held:
            raise Stopped(signum)
        self._pending = signum


class Fleet:
    """One hub and its edges, each in a session of its own with its log in folder. Leaving it ends them all.

    command: what starts `motet`. MOTET_* variables and ./motet.toml of the caller do not reach the children.
    """

    def __init__(
        self, folder: Path, signals: Signals, command: Sequence[str] = (sys.executable, "-m", "motet")
    ) -> None:
        self.folder = folder
        self.url = ""
        self._broker = ""
        self._signals = signals
        self._command = command
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        with self._signals.held():
            self._end()

    def start_hub(self) -> None:
        """Starts the hub on free ports and waits for its ready line; then `url` is known. MotetError without one."""
        child = self._spawn("hub", "--port", "0", "--mqtt-port", "0", stdout=subprocess.PIPE)
        assert child.stdout is not None
        line = _first_line(child.stdout.fileno(), READY_S)
        found = _READY.fullmatch(line)
        if not found:
            raise MotetError(f"the hub did not start: {line or self._last_words('hub')}", "demo_failed")
        self.url, self._broker = found.groups()

    def start_edge(self, name: str, *options: str) -> None:
        self._spawn("edge", "--broker", self._broker, "--id", name, *options, name=name)

    def ended(self) -> list[str]:
        """One sentence for each child that has ended."""
        return [
            f"{name} has ended: {self._last_words(name)}" for name, child in self._children.items() if _is_over(child)
        ]

    def _spawn(
        self, command: str, *options: str, name: str | None = None, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        name = name or command
        environ = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
        arguments = [*self._command, command, *options, "--data", str(self.folder / name), "--config", os.devnull]
        with self._signals.held(), self._log(name).open("wb") as log:
            # A session of its own: the terminal's Ctrl-C reaches this process only, which ends the children in order.
            self._children[name] = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env=environ,
                start_new_session=True,
            )
        return self._children[name]

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _end(self) -> None:
        """Edges first, so that they do not see their hub vanish; then what is left of every session is killed."""
        deadline = time.monotonic() + GRACE_S
        for name, child in reversed(self._children.items()):
            if name == "hub":
                _wait_over(list(self._children.values())[1:], deadline)
            os.kill(child.pid, signal.SIGTERM)
        _wait_over(list(self._children.values()), deadline)
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with child:  # closes its pipe and waits for it
                pass
        self._children.clear()


def _first_line(descriptor: int, timeout: float) -> str:
    """The first line from a pipe, or what there was of it at the end of the file or of the time."""
    deadline = time.monotonic() + timeout
    text = b""
    while b"\n" not in text:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        chunk = os.read(descriptor, 4096) if readable else b""
        if not chunk:
            break
        text += chunk
    return text.partition(b"\n")[0].decode(errors="replace")


def _is_over(child: subprocess.Popen[bytes]) -> bool:
    # WNOWAIT leaves it a zombie: its number, and that of its session, cannot become another's before we kill by it.
    return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _wait_over(children: list[subprocess.Popen[bytes]], deadline: float) -> None:
    while time.monotonic() < deadline and not all(_is_over(child) for child in children):
        time.sleep(0.01)
