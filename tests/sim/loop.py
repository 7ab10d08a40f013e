"""An event loop with a clock of its own, and processes on it that can be killed and frozen between any two callbacks.

asyncio's tasks, futures, events and time-outs run on it unchanged. Nothing waits: when there is nothing to do until a
moment, it is that moment; a callback takes a microsecond. Callbacks come in the order of their times, then of their
making, and so their order is a matter of the program alone.
"""

import asyncio
import heapq
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any

# Time goes on, so that who looks at the clock again and again comes to an end.
CALLBACK_S = 1e-6

OWNER: ContextVar["Process"] = ContextVar("OWNER")


class PowerCut(BaseException):
    """Raised within a call to a disk at which its machine dies. No `except Exception` is to survive it."""


class Process:
    """All callbacks that are made in its context: what a kill ends and a freeze delays."""

    def __init__(self, name: str, machine: Any) -> None:
        self.name = name
        self.machine = machine
        self.dead = False
        self.thaws = 0.0
        self.context = copy_context()
        self.context.run(OWNER.set, self)

    @staticmethod
    def current() -> "Process":
        return OWNER.get()


class _Handle:
    __slots__ = ("_args", "_callback", "_context", "_when", "gone", "owner")

    def __init__(self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context) -> None:
        self._when = when
        self._callback = callback
        self._args = args
        self._context = context
        self.owner = context.get(OWNER)
        self.gone = False

    def cancel(self) -> None:
        self.gone = True

    def cancelled(self) -> bool:
        return self.gone

    def when(self) -> float:
        return self._when

    def run(self) -> None:
        self._context.run(self._callback, *self._args)


class Worker:
    """Stands in for a thread of a process: one job after the other, each done at some moment within its time."""

    def __init__(self, loop: "Loop", seconds: Callable[[], float]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._free_at = 0.0

    def work(self, done: "asyncio.Future[Any]", job: Callable[[], Any]) -> None:
        """Who dies before that moment has not done it; who dies behind it does not know that it is done."""
        begin = max(self._loop.now, self._free_at)
        at = begin + self._seconds()
        self._free_at = at + self._seconds()
        self._loop.call_at(at, self._do, done, job, self._free_at)

    def _do(self, done: "asyncio.Future[Any]", job: Callable[[], Any], end: float) -> None:
        try:
            answer = job()
        except Exception as error:
            self._loop.call_at(end, _tell, done.set_exception, done, error)
        else:
            self._loop.call_at(end, _tell, done.set_result, done, answer)

    def shutdown(self) -> None:
        pass


def _tell(setter: Callable[[Any], None], done: "asyncio.Future[Any]", what: Any) -> None:
    if not done.done():
        setter(what)


class Loop(asyncio.AbstractEventLoop):
    """on_error hears what a callback raised, with the process it belongs to."""

    def __init__(self, on_error: Callable[[Process | None, BaseException], None]) -> None:
        self.now = 0.0
        self.stopped = False
        self.on_error = on_error
        self._heap: list[tuple[float, int, _Handle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []

    # --- what asyncio asks for

    def time(self) -> float:
        return self.now

    def call_soon(self, callback, *args, context=None):  # type: ignore[no-untyped-def]
        return self.call_at(self.now, callback, *args, context=context)

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def]
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):  # type: ignore[no-untyped-def]
        # An empty context is false.
        handle = _Handle(max(when, self.now), callback, args, copy_context() if context is None else context)
        self._count += 1
        heapq.heappush(self._heap, (handle.when(), self._count, handle))
        return handle

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):  # type: ignore[no-untyped-def]
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        # Those of a process that was killed stay unfinished.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        return task

    def run_in_executor(self, executor, func, *args):  # type: ignore[no-untyped-def]
        """The work of another thread is the business of the machine whose process asks for it."""
        done = self.create_future()
        work = executor.work if isinstance(executor, Worker) else Process.current().machine.work
        work(done, lambda: func(*args))
        return done

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception") or RuntimeError(context["message"])
        owner = OWNER.get(None)
        if owner is None or not owner.dead:
            self.on_error(owner, error)

    # --- running

    def run_until(self, when: float) -> None:
        """Everything that is due until then."""
        asyncio._set_running_loop(self)
        try:
            while self._heap and self._heap[0][0] <= when and not self.stopped:
                self._step()
            self.now = max(self.now, when)
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        at, count, handle = heapq.heappop(self._heap)
        self.now = at = max(at, self.now + CALLBACK_S)
        owner = handle.owner
        if handle.gone or (owner is not None and owner.dead):
            return
        if owner is not None and owner.thaws > at:
            heapq.heappush(self._heap, (owner.thaws, count, handle))
            return
        try:
            handle.run()
        except PowerCut:
            assert owner is not None
            owner.machine.crash()
        except Exception as error:
            self.on_error(owner, error)

    def close(self) -> None:
        """Lets go of every coroutine that never ended; nothing that is said on this occasion matters."""
        self.on_error = lambda owner, error: None
        asyncio._set_running_loop(self)
        try:
            for task in self._tasks:
                if not task.done():
                    with suppress(RuntimeError):  # it wanted to await something on its way out
                        task.get_coro().close()
        finally:
            asyncio._set_running_loop(None)
        self._tasks.clear()
        self._heap.clear()
