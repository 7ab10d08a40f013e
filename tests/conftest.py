"""A test that does not end takes its process along, and says where every thread and every task of asyncio stood."""

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Iterator
from typing import TextIO

import psutil
import pytest

from tests.effort import SOAK

# The longest takes 40 s on a machine that does nothing else.
LIMIT_S = 600.0

stderr: TextIO


def pytest_configure() -> None:
    global stderr
    stderr = os.fdopen(os.dup(2), "w")  # as it is before tests' output is captured


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """It would hang the run: of that nobody learns which test it was. Setting up and tearing down are part of it."""
    if SOAK:
        return (yield)
    timer = threading.Timer(LIMIT_S, give_up, (item.nodeid,))
    timer.daemon = True
    timer.start()
    # For code in C that lets nothing of Python run.
    faulthandler.dump_traceback_later(LIMIT_S + 30, exit=True, file=stderr)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()
        timer.cancel()


def give_up(test: str) -> None:
    print(f"\n{test} has not ended within {LIMIT_S:.0f} s", file=stderr, flush=True)
    faulthandler.dump_traceback(stderr)
    for task in [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]:
        task.print_stack(file=stderr)
    children = psutil.Process().children(recursive=True)
    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=5)
    stderr.flush()
    os._exit(1)
