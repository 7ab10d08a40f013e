"""A real hub and real edges, each a process of its own, on free ports and in a folder of the test."""

import contextlib
import os
import re
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil

from motet.client import Client

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
READY = re.compile(r"motet hub is ready: (https?://\S+) \(MQTT on ([^:]+):(\d+)")


def module(name: str) -> bytes:
    return (EXAMPLES / f"{name}.wasm").read_bytes()


class Child:
    """A process whose lines can be awaited."""

    def __init__(
        self, command: list[str], folder: Path, environ: dict[str, str], stdin: int = subprocess.DEVNULL
    ) -> None:
        self.child = subprocess.Popen(
            command,
            cwd=folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environ,
        )
        self.text = ""

    def line(self, pattern: str, timeout: float = 20) -> "re.Match[str]":
        """Waits until what it has printed matches."""
        deadline = time.monotonic() + timeout
        expression = re.compile(pattern)
        while not (found := expression.search(self.text)):
            assert self.child.stdout is not None
            descriptor = self.child.stdout.fileno()
            readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(descriptor, 65536) if readable else b""
            if not chunk:
                raise AssertionError(f"no {pattern!r} in:\n{self.text}")
            self.text += chunk.decode(errors="replace")
        return found

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15) -> int:
        """Sends a signal and waits for the end; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(number)
        try:
            rest, _ = self.child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            what = "did not end" if self.child.poll() is None else "has ended, but a child of it holds its output,"
            raise AssertionError(f"{what} after signal {number}:\n{self.text}{self._killed()!r}") from None
        except ValueError:  # was stopped before
            return self.child.returncode
        self.text += rest.decode(errors="replace")
        return self.child.returncode

    def _killed(self) -> bytes:
        """What it has printed still. A child of its own that lives on holds the pipe."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.child.pid).children(recursive=True):
                child.kill()
        self.child.kill()
        try:
            return self.child.communicate(timeout=2)[0]
        except subprocess.TimeoutExpired as expired:
            assert self.child.stdout is not None
            self.child.stdout.close()
            return expired.output or b""


class Process(Child):
    """The command motet."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        super().__init__([sys.executable, "-m", "motet", *arguments], ROOT, {**clean_environ(), **environ})


def clean_environ() -> dict[str, str]:
    """Ours without options of Motet; and modules stay compiled, as after an installation."""
    ours = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**ours, "PYTHONUNBUFFERED": "1"}


class World:
    """One hub and any number of edges; everything is ended with the test."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.options = options
        self.processes: list[Process] = []
        self.edges: dict[str, Process] = {}
        self.port = self.mqtt_port = "0"
        self.start_hub()

    def start_hub(self) -> None:
        """The first time on free ports, then on the same again."""
        self._let_go()
        self.launch_hub()
        self.url, self.mqtt_host, self.mqtt_port = self.hub.line(READY.pattern).groups()
        self.port = self.url.rpartition(":")[2]
        self.http = httpx2.Client(base_url=self.url, timeout=30, verify=ssl.create_default_context())
        self.client = Client(self.url)

    def launch_hub(self) -> None:
        """Starts its process, and waits for nothing."""
        self.hub = self._start("hub", "--port", self.port, "--mqtt-port", self.mqtt_port, "--data",
                               str(self.folder / "hub"), *self.options)  # fmt: skip

    def start_edge(self, name: str, *options: str) -> Process:
        """An edge that has connected."""
        broker = f"{self.mqtt_host}:{self.mqtt_port}"
        edge = self._start("edge", "--broker", broker, "--id", name, "--data", str(self.folder / name), *options)
        self.edges[name] = edge
        edge.line(f"edge {name} connected")
        return edge

    def start_edges(self, *names: str) -> None:
        for name in names:
            self.start_edge(name)
        self.client.wait_proplets(len(self.edges), 10)

    def _start(self, *arguments: str) -> Process:
        process = Process(*arguments, "--config", os.devnull)
        self.processes.append(process)
        return process

    def _let_go(self) -> None:
        if hasattr(self, "http"):
            self.http.close()
            self.client.close()

    def close(self) -> None:
        self._let_go()
        for process in reversed(self.processes):
            if process.child.poll() is None:
                process.child.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.stop()

    # --- shorthand

    def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self.http.request(method, path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def until(self, holds: Callable[[], Any], timeout: float = 30, **scope: str) -> Any:
        """What holds() answers when that is true; asked when the stream is open, and at each event of the scope."""
        deadline = time.monotonic() + timeout
        with self.http.stream("GET", "/events", params=scope) as stream:
            for line in stream.iter_lines():
                if line.startswith((": motet", "data:")) and (found := holds()):
                    return found
                assert time.monotonic() < deadline, "it did not come to hold in time"
        raise AssertionError("the stream ended before it held")

    def wait_state(self, task: str, *states: int) -> None:
        """Waits until the task is in one of these states, in which it stays for a while."""
        self.until(lambda: self.client.task(task)["state"] in states, task_id=task)

    def run(self, id: str, name: str, example: str, inputs: Any = (), timeout: float = 20, **fields: Any) -> Any:
        """A task of an example, from its creation to its end."""
        self.client.create_task(name, id=id, file=module(example), inputs=list(inputs), **fields)
        self.client.start_task(id)
        return self.client.wait_task(id, timeout)
