"""The port of edge.host for a task in this process."""

import sys

from edge.caps import offers
from edge.clock import now_ms
from shared import const
from shared.faults import TaskFailure

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

if sys.implementation.name == "cpython":
    from time import sleep

    def others_run(ms: int) -> None:
        """So much time passes: a loop does not run within itself."""
        sleep(ms / 1000)

else:
    from asyncio import core  # type: ignore[attr-defined]

    async def _nap(ms: int) -> None:
        await core.sleep_ms(ms)

    def others_run(ms: int) -> None:
        """Every other task that is ready runs; so much time passes at least."""
        current = core.cur_task
        try:
            core.run_until_complete(core.create_task(_nap(ms)))
        finally:
            core.cur_task = current


# How long the rest of the edge may have to wait for a task.
_TURN_MS = const(20)


class Port:
    """emit(kind, fields) takes the events; board as edge.wasm describes it."""

    def __init__(self, emit: "Callable[[str, dict[str, Any]], None]", board: "Any" = None) -> None:
        self.emit = emit
        self.board = board
        self.offers = offers(board)
        self._grace_ms: int | None = None
        self._answer: tuple[Any, list[str] | None] | None = None
        self._turned_ms = now_ms()

    def stop(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms

    def grace_ms(self) -> "int | None":
        if now_ms() - self._turned_ms >= _TURN_MS:
            self.wait(0)
        return self._grace_ms

    def wait(self, ms: float) -> None:
        others_run(int(min(ms, _TURN_MS)))
        self._turned_ms = now_ms()

    def ask(self, name: str, arguments: "tuple[int, ...]") -> None:
        self._answer = ask(self.board, name, arguments)

    def answer(self) -> "tuple[Any, list[str] | None] | None":
        return self._answer


def ask(board: "Any", name: str, arguments: "tuple[int, ...] | list[int]") -> "tuple[Any, list[str] | None]":
    """A board's answer: (value, None), or (None, [code, message])."""
    try:
        return getattr(board, name)(*arguments), None
    except TaskFailure as error:
        return None, [error.code, error.message]
    except Exception as error:
        return None, ["device_error", "%s of %r failed: %r" % (name, arguments[0], error)]
