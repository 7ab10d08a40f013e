"""Long work on the event loop in turns, so that devices and other clients are heard meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

# So long one request keeps the loop at a time.
TURN_S = 0.05

Item = TypeVar("Item")


async def in_turns(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items; before the first, and whenever a turn is over, others have theirs."""
    end = 0.0
    for item in items:
        if time.monotonic() >= end:
            await asyncio.sleep(0)
            end = time.monotonic() + TURN_S
        yield item
