"""The thread that asks the board for the tasks, one call at a time, so that a slow sensor holds up nobody else."""

import asyncio
import contextlib
import queue
import threading
from typing import Any

from edge.port import ask

Answer = tuple[int | float | None, list[str] | None]
_Call = tuple["asyncio.Future[Answer]", str, list[int]]


# A call whose task has ended may take so much longer, before it is taken for stuck.
PATIENCE_S = 5.0


class BoardThread:
    """Starts with the first call. One that never returns is left behind with its thread, some time after its task."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._loop = asyncio.get_running_loop()
        self._calls: queue.SimpleQueue[_Call | None] | None = None
        self._current: asyncio.Future[Answer] | None = None

    async def ask(self, name: str, arguments: list[int]) -> Answer:
        """(value, None) or (None, [code, message]). Cancelled, it gives the call up."""
        if self._calls is None:
            self._calls = queue.SimpleQueue()
            threading.Thread(target=self._serve, args=(self._calls,), name="motet-board", daemon=True).start()
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._calls.put((future, name, arguments))
        try:
            return await future
        finally:
            if future.cancelled():
                self._loop.call_later(PATIENCE_S, self._leave, future)

    def close(self) -> None:
        if self._calls is not None:
            self._calls.put(None)

    def _leave(self, future: "asyncio.Future[Answer]") -> None:
        """If the thread is in this call still, it is stuck: those that wait behind get another."""
        if future is not self._current:
            return
        stuck, self._calls = self._calls, queue.SimpleQueue()
        assert stuck is not None
        with contextlib.suppress(queue.Empty):  # not empty(): the thread may have come loose, and take one
            while True:
                self._calls.put(stuck.get_nowait())
        stuck.put(None)
        threading.Thread(target=self._serve, args=(self._calls,), name="motet-board", daemon=True).start()

    def _serve(self, calls: "queue.SimpleQueue[_Call | None]") -> None:
        while (call := calls.get()) is not None:
            future, name, arguments = call
            if not future.cancelled():
                self._current = future
                answer = ask(self._board, name, arguments)
                if self._current is future:  # if not, this thread was left behind
                    self._current = None
                try:
                    self._loop.call_soon_threadsafe(_settle, future, answer)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    return


def _settle(future: "asyncio.Future[Answer]", answer: Answer) -> None:
    if not future.done():
        future.set_result(answer)
