"""The pool's end of the template process: start it, ask it to fork or kill a worker, notice its end."""

import asyncio
import os
import signal
import socket
import sys

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_CODE = "import sys; sys.path.insert(0, sys.argv[4]); from edge.cpython.worker import main; main()"


class Template:
    """One template process. It dies with this process, and its workers with it."""

    def __init__(self, library: str, address_space: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._kills: dict[int, asyncio.Future[int]] = {}
        self.alive = True
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.pid = _spawn(theirs, library, address_space)
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._on_reply)

    def fork(self, number: int, channel: socket.socket) -> None:
        """A new worker that serves the channel. OSError: the template is gone."""
        socket.send_fds(self._socket, [b"F%d" % number], [channel.fileno()])

    def kill(self, number: int) -> "asyncio.Future[int]":
        """Kill the worker if it lives still; the wait status follows when it is reaped, -1 if it never was."""
        ended = self._kills[number] = self._loop.create_future()
        try:
            self._socket.send(b"K%d" % number)
        except OSError:  # the template's end was the worker's
            self.close()
            self._settle()
        return ended

    def _on_reply(self) -> None:
        try:
            reply = self._socket.recv(64)
        except BlockingIOError:
            return
        except OSError:
            reply = b""
        if not reply:
            self.close()
            return
        number, status = reply.split()
        ended = self._kills.pop(int(number))
        if not ended.done():
            ended.set_result(int(status))

    def close(self) -> None:
        """Kill the template, and by that its workers."""
        if self.alive:
            self.alive = False
            self._loop.remove_reader(self._socket)
            self._socket.close()
            os.kill(self.pid, signal.SIGKILL)  # our child and not reaped yet: the number is its own
            os.waitpid(self.pid, 0)
            self._settle()

    def _settle(self) -> None:
        """Nobody answers any more: the kernel has killed every worker."""
        for ended in self._kills.values():
            if not ended.done():
                ended.set_result(signal.SIGKILL)


def _spawn(control: socket.socket, library: str, address_space: int) -> int:
    arguments = [sys.executable, "-I", "-S", "-c", _CODE, str(os.getpid()), library, str(address_space), _ROOT]
    # A group of its own: Ctrl-C in a terminal is for the edge, which ends its tasks in order.
    return os.posix_spawn(
        sys.executable,
        arguments,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, control.fileno(), 0)],
        setpgroup=0,
    )
