"""The runner of a Linux edge: warm child processes with limits. The port is described in edge.wasm.

One worker is kept warm, others are forked when tasks arrive together and end after 30 s without work, or after 1,000
tasks. A worker ends its task itself at the time limit or after a stop; one that does not is killed a moment later, and
gone before its result is reported. The caller starts no more tasks at a time than it has slots, so there are never more
workers than slots.
"""

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from edge.caps import offers
from edge.cpython.template import Template
from edge.limits import limit
from shared.errors import TaskFailure, Unavailable
from shared.faults import failure

ADDRESS_SPACE = 512 * 1024 * 1024
IDLE_S = 30.0
# After so many tasks a worker is replaced: what leaks in C or Python has an end.
RUNS = 1000
# How long a worker may take to end its task itself: without metering, in a call that blocks, it does not at all.
FALLBACK_S = 0.2

OnStarted = Callable[[str, int], None]
OnFinished = Callable[[str, int, dict[str, Any]], None]
OnEvent = Callable[[str, int, str, dict[str, Any]], None]


def wasm3_file() -> str:
    """The extension that pywasm3 installed; Unavailable without it."""
    spec = importlib.util.find_spec("wasm3")
    if spec is None or spec.origin is None:
        raise Unavailable("this edge needs wasm3 to run tasks: pip install 'motet[edge]'")
    return spec.origin


class _Worker:
    """One worker process and the channel to it; edge.cpython.channel lists the frames."""

    def __init__(self, template: Template, number: int, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self._template = template
        self._number = number
        self._reader, self._writer = streams
        self._death: asyncio.Future[int] | None = None
        self.trim: asyncio.TimerHandle | None = None
        self.runs = 0

    def usable(self) -> bool:
        return self._template.alive and not self._reader.at_eof()

    def send(self, frame: bytes) -> None:
        self._writer.write(frame)

    async def receive(self) -> list[Any] | None:
        """The next frame, None when the worker has ended."""
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            frame: list[Any] = json.loads(await self._reader.readexactly(size))
        except (EOFError, OSError):
            return None
        return frame

    def kill(self) -> asyncio.Future[int]:
        """Kill it; `receive` returns and the wait status follows."""
        if self._death is None:
            self._death = self._template.kill(self._number)
        return self._death

    async def end(self) -> int:
        """Kill it if it lives, forget its channel: its wait status."""
        if self.trim is not None:
            self.trim.cancel()
        self._writer.close()
        # Whoever waits here may be cancelled while others wait too.
        return await asyncio.shield(self.kill())


class _Job:
    """A task that runs, or is about to."""

    def __init__(
        self, start: dict[str, Any], path: str, on_started: OnStarted, on_finished: OnFinished, on_event: OnEvent
    ) -> None:
        self.start = start
        self.path = path
        self.key = (start["task"], start["attempt"])
        self.on_started = on_started
        self.on_finished = on_finished
        self.on_event = on_event
        self.worker: _Worker | None = None
        self.asking: asyncio.Task[None] | None = None
        self.timers: list[asyncio.TimerHandle] = []
        # Why we ended it, as a result; None as long as we did not.
        self.verdict: dict[str, Any] | None = None

    def stop(self, grace_ms: int) -> None:
        if self.worker is None:
            self.end("cancelled", "stopped before it ran")
        else:
            self.worker.send(_frame("stop", *self.key, grace_ms))
            self.end_after(grace_ms / 1000, "cancelled", "stopped")

    def end_after(self, delay_s: float, code: str, message: str) -> None:
        """Kill its worker if it still runs when it should have ended."""
        delay_s += FALLBACK_S
        self.timers.append(asyncio.get_running_loop().call_later(delay_s, self.end, code, message))

    def end(self, code: str, message: str) -> None:
        if self.verdict is None:
            self.verdict = failure(code, message)
            if self.worker is not None:
                self.worker.kill()

    def close(self) -> None:
        for timer in self.timers:
            timer.cancel()
        if self.asking is not None:
            self.asking.cancel()


class Pool:
    """board: see edge.wasm; without one the device has no privileged function but publish."""

    def __init__(
        self, address_space: int = ADDRESS_SPACE, idle_s: float = IDLE_S, board: Any = None, runs: int = RUNS
    ) -> None:
        self._library = wasm3_file()
        self._board = board
        self._board_thread: Any = None
        self._runs = runs
        self._address_space = address_space
        self._idle_s = idle_s
        self._template: Template | None = None
        self._numbers = itertools.count(1)
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Start the template and the first worker."""
        self._rest(await self._fork())

    def start(
        self, start: dict[str, Any], path: str, on_started: OnStarted, on_finished: OnFinished, on_event: OnEvent
    ) -> None:
        job = _Job(start, path, on_started, on_finished, on_event)
        self._jobs[job.key] = job
        self._spawn(self._run(job))

    def stop(self, task: str, attempt: int, grace_ms: int) -> None:
        job = self._jobs.get((task, attempt))
        if job is not None:
            job.stop(grace_ms)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in self._jobs.values():
            job.close()
        if self._board_thread is not None:
            self._board_thread.close()
        await asyncio.gather(*[worker.end() for worker in self._workers])
        if self._template is not None:
            self._template.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, job: _Job) -> None:
        try:
            result = await self._attempt(job)
        except TaskFailure as error:
            result = failure(error.code, error.message)
        except OSError as error:
            result = failure("worker_died", "no worker process could be started: %s" % error)
        job.close()
        del self._jobs[job.key]
        job.on_finished(*job.key, result)

    async def _attempt(self, job: _Job) -> dict[str, Any]:
        timeout_ms = limit(job.start, "timeout_ms", 0)
        request = self._request(job)
        worker = job.worker = await self._take()
        if timeout_ms and not job.start.get("daemon"):
            job.end_after(timeout_ms / 1000, "timeout", "still running after its %d ms" % timeout_ms)
        result = await self._converse(job, worker, request) if job.verdict is None else None
        if result is not None and job.verdict is None:
            self._rest(worker)
            return result
        status = await self._discard(worker)
        return result or job.verdict or failure("worker_died", _cause(status))

    def _request(self, job: _Job) -> bytes:
        try:
            return _frame("run", job.path, job.start, offers(self._board))
        except RecursionError:
            raise TaskFailure("the inputs are nested too deeply", "bad_inputs") from None

    async def _converse(self, job: _Job, worker: _Worker, request: bytes) -> dict[str, Any] | None:
        """The result, None when the worker ended instead."""
        worker.send(request)
        while (frame := await worker.receive()) is not None:
            kind, *rest = frame
            if kind == "result":
                result: dict[str, Any] = rest[0]
                return result
            if kind == "started":
                job.on_started(*job.key)
            elif kind == "event":
                job.on_event(*job.key, *rest)
            else:
                job.asking = self._spawn(self._ask_board(worker, *rest))
        return None

    async def _ask_board(self, worker: _Worker, number: int, name: str, arguments: list[int]) -> None:
        if self._board_thread is None:
            from edge.cpython.boardthread import BoardThread  # an edge without a board has no use for it

            self._board_thread = BoardThread(self._board)
        worker.send(_frame("answer", number, *await self._board_thread.ask(name, arguments)))

    async def _take(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.trim is not None:
                worker.trim.cancel()
            if worker.usable():
                return worker
            self._spawn(self._end(worker))
        return await self._fork()

    def _rest(self, worker: _Worker) -> None:
        worker.runs += 1
        if worker.runs > self._runs:
            self._spawn(self._replace(worker))
            return
        self._idle.append(worker)
        worker.trim = asyncio.get_running_loop().call_later(self._idle_s, self._trim, worker)

    def _trim(self, worker: _Worker) -> None:
        if len(self._idle) > 1:
            self._idle.remove(worker)
            self._spawn(self._end(worker))

    async def _fork(self) -> _Worker:
        ours, theirs = socket.socketpair()
        with theirs:
            number = next(self._numbers)
            try:
                template = self._living_template()
                template.fork(number, theirs)
            except OSError:  # it died a moment ago
                template.close()
                template = self._living_template()
                template.fork(number, theirs)
        worker = _Worker(template, number, await asyncio.open_unix_connection(sock=ours))
        self._workers.add(worker)
        return worker

    def _living_template(self) -> Template:
        if self._template is None or not self._template.alive:
            self._template = Template(self._library, self._address_space)
        return self._template

    async def _replace(self, worker: _Worker) -> None:
        """A worker has done its share: another stands ready, as warm as it was."""
        await self._discard(worker)
        if not self._idle:
            with contextlib.suppress(OSError):  # the next task tries again, and says so
                self._rest(await self._fork())

    async def _discard(self, worker: _Worker) -> int:
        status = await worker.end()
        self._workers.discard(worker)
        return status

    async def _end(self, worker: _Worker) -> None:
        await self._discard(worker)


def _frame(*items: Any) -> bytes:
    payload = json.dumps(items).encode()
    return len(payload).to_bytes(4, "big") + payload


def _cause(status: int) -> str:
    """A wait status as a sentence."""
    if status == -1:
        return "the worker process could not be started"
    if os.WIFSIGNALED(status):
        return "the worker process was ended by " + signal.Signals(os.WTERMSIG(status)).name
    return "the worker process ended with exit code %d" % os.WEXITSTATUS(status)
