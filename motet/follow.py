"""Follows what happens at a hub over as many connections as it takes."""
# ruff: noqa: ASYNC109  for blocking callers too, a limit is kept by the reading time of the stream

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from typing import Any

from motet.calls import Call
from motet.port import Port
from motet.sse import Event, EventParser
from shared.backoff import delay
from shared.errors import MotetError, Unavailable

# Reads the state of what is followed.
Read = Callable[[], Awaitable[Any]]

# The hub pings every 15 s; a stream silent for three pings is broken.
SILENCE_S = 45.0
# How long a stream that was open once waits for its hub to come back.
PATIENCE_S = 30.0


async def follow(
    port: Port, call: Call, timeout: float | None, read: Read | None = None, at: Collection[str] = ("state", "done")
) -> AsyncGenerator[Event, None]:
    """Events up to `done` or the timeout (seconds), and at each connection one named `state`, before its first.

    read: awaited at each event with a name of `at`, which carries its answer; with that of `state` and the events
    behind it nothing is left out. A broken stream is opened again behind its last event; Unavailable when its
    hub stays away for 30 s, or was never there.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    last_id = ""
    failures = 0
    patient_until = 0.0
    while _left(deadline) > 0:
        try:
            async with aclosing(_connection(port, call, last_id, deadline)) as events:
                async for event in events:
                    patient_until, failures = float("inf"), 0
                    last_id = event["id"] or last_id
                    if read is not None and event["event"] in at:
                        event = Event(id="", event=event["event"], data=await read())
                    yield event
                    if event["event"] == "done":
                        return
        except Unavailable:
            patient_until = min(patient_until, time.monotonic() + PATIENCE_S)
            if time.monotonic() > patient_until:
                raise
        failures += 1
        await port.sleep(max(0.0, min(delay(failures, random.random(), 0.2, 5.0), _left(deadline))))


async def _connection(port: Port, call: Call, last_id: str, deadline: float | None) -> AsyncGenerator[Event, None]:
    """The events of one connection, `state` first. Ends when the hub closes it, or for a shorter reading time."""
    silence = min(SILENCE_S, _left(deadline))
    parser = EventParser()
    async with port.stream(call, last_id, silence) as pieces:
        yield Event(id="", event="state", data=None)
        async for piece in pieces:
            try:
                events = parser.feed(piece)
            except ValueError:
                raise MotetError(f"{port.url} sends events that are not JSON", "not_a_hub") from None
            for event in events:
                yield event
            # The socket's time limit starts anew with every piece, so near the deadline it must be a shorter one.
            if silence > _left(deadline) + 1:
                return


def _left(deadline: float | None) -> float:
    return float("inf") if deadline is None else deadline - time.monotonic()
