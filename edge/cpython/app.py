"""The command `motet edge`: one Linux edge, from its start to a signal."""

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from shared.errors import MotetError, Unavailable


def main(
    host: str,
    port: int,
    device: str,
    data_dir: str,
    slots: int,
    log: Callable[[str], None],
    complain: Callable[[str], None],
    password: str | None = None,
    ssl: Any = None,
    labels: dict[str, str] | None = None,
    board: Any = None,
) -> int:
    """Run an edge until SIGINT or SIGTERM; the process's exit code: 0, or 1 when it could not start.

    The parameters are those of edge.main.run. log gets one sentence at a time, complain the one why it cannot start.
    """
    try:
        lock = _lock(data_dir)
        if ssl is None:
            _do_without_openssl()
        with lock:
            return _run(
                host, port, device, data_dir, slots, log, password=password, ssl=ssl, labels=labels, board=board
            )
    except MotetError as error:
        complain(error.message)
        return 1


def _lock(data_dir: str) -> Any:
    """The open lock file of a data folder; Unavailable when another edge has it, or there can be no such folder."""
    try:
        os.makedirs(data_dir, exist_ok=True)
        lock = open(os.path.join(data_dir, "lock"), "w")  # noqa: SIM115 (it is open as long as the edge runs)
    except OSError as error:
        raise Unavailable("the data folder %s cannot be used: %s" % (data_dir, error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise Unavailable("another edge uses the data folder %s: give this one its own" % data_dir) from None
    return lock


def _do_without_openssl() -> None:
    """Let asyncio and hashlib come without OpenSSL, which costs 5 of 20 MB and this edge does not use."""
    blocked = [name for name in ("ssl", "_hashlib") if name not in sys.modules]
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import asyncio  # noqa: F401
        import hashlib  # noqa: F401
    finally:
        for name in blocked:
            del sys.modules[name]


def _run(host: str, port: int, device: str, data: str, slots: int, log: Callable[[str], None], **options: Any) -> int:
    import asyncio

    from edge.main import run

    async def until_signal() -> None:
        serving = asyncio.ensure_future(run(host, port, device, data, slots, log=log, **options))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            log("edge %s stopped" % device)

    asyncio.run(until_signal())
    return 0
