"""The process that runs tasks, and the template process that forks it: no asyncio, few imports.

A cold Python starts in 20 to 25 ms, a fork of the small template in 1 ms. The template reads commands from the pool on
a SEQPACKET socket at fd 0, and it alone forks and reaps, so that a number can never mean another process:

    b"F<number>" and one fd    fork a worker that serves the channel fd
    b"K<number>"               kill it, wait for its end; answer b"<number> <wait status>" (-1: it never was)

edge.cpython.channel says what goes over a channel. A worker ends when its channel does; worker and template are killed
by the kernel when their parent dies, in the middle of an endless loop too.
"""

import _socket  # `socket` adds 0.3 MB, mostly enums
import ctypes
import gc
import os
import resource
import sys

from edge import call, files
from edge.cpython import abis
from edge.cpython.channel import Channel, Port
from edge.cpython.m3 import Library
from shared.faults import failure

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a worker memory
    from typing import Any

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9
_OPEN_FILES = 16
_FD_BYTES = 4


def main() -> None:
    """python -c "...; main()" <parent's pid> <file of wasm3> <bytes of address space a process>"""
    parent, library, address_space = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    _die_with(parent)
    _set_limits(address_space)
    engine = Library(library, _native_stack())
    # What exists now is shared with every worker as long as the collector does not touch it.
    gc.disable()
    gc.freeze()
    _serve_pool(_socket.socket(fileno=0), engine)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # it was gone before the kernel knew
        os._exit(1)


def _set_limits(address_space: int) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(kind, (most, most))


def _native_stack() -> int:
    soft = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


def _serve_pool(pool: _socket.socket, engine: Library) -> None:
    pids: dict[int, int] = {}
    while True:
        command, passed, _, _ = pool.recvmsg(32, _socket.CMSG_LEN(_FD_BYTES))
        if not command:
            return
        number = int(command[1:])
        if command[:1] == b"F":
            pids[number] = _fork(pool, int.from_bytes(passed[0][2][:_FD_BYTES], sys.byteorder), engine)
        else:
            pool.send(b"%d %d" % (number, _reap(pids.pop(number, 0))))


def _fork(pool: _socket.socket, channel: int, engine: Library) -> int:
    template = os.getpid()
    try:
        pid = os.fork()
    except OSError:  # no process to be had: the pool sees the channel end
        pid = 0
    else:
        if pid == 0:
            try:
                pool.close()
                _die_with(template)
                _silence()
                _serve_channel(channel, engine)
            finally:
                os._exit(0)
    os.close(channel)
    return pid


def _reap(pid: int) -> int:
    if not pid:
        return -1
    os.kill(pid, _SIGKILL)  # not reaped yet, so the number is still its own, dead or alive
    return os.waitpid(pid, 0)[1]


def _silence() -> None:
    """wasm3 prints a backtrace at every trap."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _serve_channel(fd: int, engine: Library) -> None:
    channel = Channel(fd)
    while True:
        kind, *rest = channel.receive()
        if kind == "run":
            channel.send("result", _run(engine, channel, *rest))


def _run(
    engine: Library, channel: Channel, path: str, start: "dict[str, Any]", offers: "list[str]"
) -> "dict[str, Any]":
    data = files.load(path)
    if data is None:
        return failure("bad_module", "the module's file is gone")
    port = Port(channel, [start["task"], start["attempt"]], offers)
    return call.run(engine.load, start, data, port, lambda: channel.send("started"), abis.find)
