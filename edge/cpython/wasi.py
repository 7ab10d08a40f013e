"""WASI preview1 for wasm3, and the preview0 before it: what a program needs that has no files and no sockets.

Arguments, environment, standard input, output and error, clocks, random bytes, sleeping, the exit code. Every other
function answers ENOSYS. Layouts and numbers are those of wasi_snapshot_preview1.witx and wasi_unstable.witx. Nothing
that a module passes is trusted: a pointer outside its memory answers EFAULT, and nothing is written then.
"""

import os
import struct
import time

from edge.abi import Exit, Output
from shared.errors import TaskFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

STDERR_BYTES = 4096

BADF = 8
FAULT = 21
INVAL = 28
NOSYS = 52
SPIPE = 70

# As Linux has it: more vectors or subscriptions than this at once are EINVAL.
_MOST = 1024
_MASK = 0xFFFFFFFF
_RIGHT_READ = 1 << 1
_RIGHT_WRITE = 1 << 6
_RIGHT_POLL = 1 << 27
_CLOCK = 0
_FD_READ = 1
_FD_WRITE = 2
_ABSOLUTE = 1
_HANGUP = 1

# result(parameters), as wasm3 writes it; preview0 lacks sock_accept
SIGNATURES = {
    "args_get": "i(ii)",
    "args_sizes_get": "i(ii)",
    "clock_res_get": "i(ii)",
    "clock_time_get": "i(iIi)",
    "environ_get": "i(ii)",
    "environ_sizes_get": "i(ii)",
    "fd_advise": "i(iIIi)",
    "fd_allocate": "i(iII)",
    "fd_close": "i(i)",
    "fd_datasync": "i(i)",
    "fd_fdstat_get": "i(ii)",
    "fd_fdstat_set_flags": "i(ii)",
    "fd_fdstat_set_rights": "i(iII)",
    "fd_filestat_get": "i(ii)",
    "fd_filestat_set_size": "i(iI)",
    "fd_filestat_set_times": "i(iIIi)",
    "fd_pread": "i(iiiIi)",
    "fd_prestat_dir_name": "i(iii)",
    "fd_prestat_get": "i(ii)",
    "fd_pwrite": "i(iiiIi)",
    "fd_read": "i(iiii)",
    "fd_readdir": "i(iiiIi)",
    "fd_renumber": "i(ii)",
    "fd_seek": "i(iIii)",
    "fd_sync": "i(i)",
    "fd_tell": "i(ii)",
    "fd_write": "i(iiii)",
    "path_create_directory": "i(iii)",
    "path_filestat_get": "i(iiiii)",
    "path_filestat_set_times": "i(iiiiIIi)",
    "path_link": "i(iiiiiii)",
    "path_open": "i(iiiiiIIii)",
    "path_readlink": "i(iiiiii)",
    "path_remove_directory": "i(iii)",
    "path_rename": "i(iiiiii)",
    "path_symlink": "i(iiiii)",
    "path_unlink_file": "i(iii)",
    "poll_oneoff": "i(iiii)",
    "proc_exit": "v(i)",
    "proc_raise": "i(i)",
    "random_get": "i(ii)",
    "sched_yield": "i()",
    "sock_accept": "i(iii)",
    "sock_recv": "i(iiiiii)",
    "sock_send": "i(iiiii)",
    "sock_shutdown": "i(ii)",
}


class _Errno(Exception):
    def __init__(self, number: int) -> None:
        Exception.__init__(self, number)
        self.number = number


class System:
    """What one program finds.

    arguments: argv, its first the program's name. memory and the functions' form: as edge.abi describes them. sleep(ms)
    returns when that much time is over, or raises to end the module. Afterwards `stdout` and `stderr` (its last 4 KiB)
    hold what was written; more than output_bytes on standard output ends the module with output_limit. TaskFailure
    bad_inputs: an argument or a variable that C has no way to hold.
    """

    def __init__(
        self,
        arguments: "list[str]",
        environment: "dict[str, str]",
        stdin: bytes,
        output_bytes: int,
        memory: "Callable[[], memoryview | None]",
        sleep: "Callable[[float], None]",
    ) -> None:
        self._arguments = [_c_string(one, "argument %d" % i) for i, one in enumerate(arguments)]
        self._environment = [_variable(name, value) for name, value in environment.items()]
        self._stdin = memoryview(stdin)
        self._output = Output(output_bytes)
        self._output_bytes = output_bytes
        self._memory = memory
        self._sleep = sleep
        self._open = {0, 1, 2}
        self._begun_ns = time.process_time_ns()
        self.stdout = self._output.data
        self.stderr = bytearray()

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        """Of both versions."""
        found: dict[tuple[str, str], tuple[str, Callable[..., Any]]] = {}
        for name, signature in SIGNATURES.items():
            function = _answering(getattr(self, name, _not_offered))
            found["wasi_snapshot_preview1", name] = (signature, function)
            if name != "sock_accept":
                found["wasi_unstable", name] = (signature, function)
        # The two whose structures preview1 changed.
        found["wasi_unstable", "poll_oneoff"] = ("i(iiii)", _answering(self.poll_oneoff_0))
        found["wasi_unstable", "fd_filestat_get"] = ("i(ii)", _answering(self.fd_filestat_get_0))
        return found

    # Memory

    def _span(self, pointer: int, size: int) -> "tuple[memoryview, int]":
        """The memory and the place in it that a pointer means, so many bytes of which are there."""
        memory = self._memory()
        start = pointer & _MASK
        if memory is None or start + size > len(memory):
            raise _Errno(FAULT)
        return memory, start

    def _put(self, pointer: int, layout: str, *values: int) -> None:
        memory, start = self._span(pointer, struct.calcsize(layout))
        struct.pack_into(layout, memory, start, *values)

    def _strings(self, strings: "list[bytes]", pointers: int, buffer: int) -> int:
        data = b"".join(strings)
        memory, at = self._span(buffer, len(data))
        self._span(pointers, 4 * len(strings))
        memory[at : at + len(data)] = data
        ends = _running([len(one) for one in strings], at)
        self._put(pointers, "<%dI" % len(strings), *ends)
        return 0

    def _vectors(self, pointer: int, count: int) -> "Iterator[memoryview]":
        """The pieces of memory that an array of (pointer, length) names, checked before the first is given."""
        count &= _MASK
        if count > _MOST:
            raise _Errno(INVAL)
        memory, start = self._span(pointer, 8 * count)
        pairs = [struct.unpack_from("<II", memory, start + 8 * i) for i in range(count)]
        pieces = [(self._span(*pair)[1], pair[1]) for pair in pairs]
        return (memory[at : at + size] for at, size in pieces)

    # Arguments and environment

    def args_sizes_get(self, count: int, size: int) -> int:
        return self._sizes(self._arguments, count, size)

    def args_get(self, pointers: int, buffer: int) -> int:
        return self._strings(self._arguments, pointers, buffer)

    def environ_sizes_get(self, count: int, size: int) -> int:
        return self._sizes(self._environment, count, size)

    def environ_get(self, pointers: int, buffer: int) -> int:
        return self._strings(self._environment, pointers, buffer)

    def _sizes(self, strings: "list[bytes]", count: int, size: int) -> int:
        self._span(size, 4)
        self._put(count, "<I", len(strings))
        self._put(size, "<I", sum([len(one) for one in strings]))
        return 0

    # The three streams; the structures of preview0 (..._0) differ in two places

    def _check(self, fd: int, *allowed: int) -> None:
        if fd not in self._open or (allowed and fd not in allowed):
            raise _Errno(BADF)

    def fd_read(self, fd: int, vectors: int, count: int, read: int) -> int:
        self._check(fd, 0)
        self._span(read, 4)
        total = 0
        for piece in self._vectors(vectors, count):
            size = min(len(piece), len(self._stdin))
            piece[:size] = self._stdin[:size]
            self._stdin = self._stdin[size:]
            total += size
        self._put(read, "<I", total)
        return 0

    def fd_write(self, fd: int, vectors: int, count: int, written: int) -> int:
        self._check(fd, 1, 2)
        self._span(written, 4)
        total = 0
        for piece in self._vectors(vectors, count):
            total += len(piece)
            if fd == 2:
                self.stderr += piece[-STDERR_BYTES:]
                del self.stderr[:-STDERR_BYTES]
            else:
                self._output.add(piece)
        self._put(written, "<I", total & _MASK)
        return 0

    def fd_fdstat_get(self, fd: int, stat: int) -> int:
        self._check(fd)
        # Type unknown, as of a pipe: a program that took it for a terminal would send colours.
        rights = _RIGHT_POLL | (_RIGHT_READ if fd == 0 else _RIGHT_WRITE)
        self._put(stat, "<BxHxxxxQQ", 0, 0, rights, 0)
        return 0

    def fd_filestat_get(self, fd: int, stat: int) -> int:
        self._check(fd)
        self._put(stat, "<8Q", 0, 0, 0, 1, 0, 0, 0, 0)
        return 0

    def fd_filestat_get_0(self, fd: int, stat: int) -> int:
        self._check(fd)
        self._put(stat, "<QQB3xI4Q", 0, 0, 0, 1, 0, 0, 0, 0)
        return 0

    def fd_close(self, fd: int) -> int:
        self._check(fd)
        self._open.remove(fd)
        return 0

    def fd_seek(self, fd: int, offset: int, whence: int, place: int) -> int:
        self._check(fd)
        return SPIPE

    def fd_tell(self, fd: int, place: int) -> int:
        self._check(fd)
        return SPIPE

    def fd_prestat_get(self, fd: int, stat: int) -> int:
        return BADF  # C libraries ask for 3, 4, ... until this answer

    def fd_prestat_dir_name(self, fd: int, path: int, size: int) -> int:
        return BADF

    # Time

    def _now_ns(self, clock: int) -> int:
        if clock == 0:
            return time.time_ns()
        if clock == 1:
            return time.monotonic_ns()
        if clock in (2, 3):  # CPU time of the process and of the thread: there is one thread
            return time.process_time_ns() - self._begun_ns
        raise _Errno(INVAL)

    def clock_res_get(self, clock: int, resolution: int) -> int:
        self._now_ns(clock)
        self._put(resolution, "<Q", 1)
        return 0

    def clock_time_get(self, clock: int, precision: int, now: int) -> int:
        self._put(now, "<Q", self._now_ns(clock))
        return 0

    def sched_yield(self) -> int:
        self._sleep(0)
        return 0

    def poll_oneoff(self, subscriptions: int, events: int, count: int, ready: int) -> int:
        return self._poll(subscriptions, events, count, ready, 48, "<I4xQQH")

    def poll_oneoff_0(self, subscriptions: int, events: int, count: int, ready: int) -> int:
        return self._poll(subscriptions, events, count, ready, 56, "<8xI4xQQH")

    def _poll(self, subscriptions: int, events: int, count: int, ready: int, size: int, clock: str) -> int:
        """Sleep until the first clock is due; a stream is always ready, so with one among them do not sleep."""
        count &= _MASK
        if not 0 < count <= _MOST:
            raise _Errno(INVAL)
        memory, at = self._span(subscriptions, size * count)
        self._span(events, 32 * count)
        self._span(ready, 4)
        found = []
        clocks = []
        for start in range(at, at + size * count, size):
            userdata, kind = struct.unpack_from("<QB", memory, start)
            if kind == _CLOCK:
                number, timeout, _, flags = struct.unpack_from(clock, memory, start + 16)
                try:
                    now = self._now_ns(number)
                except _Errno as error:
                    found.append((userdata, error.number, kind, 0, 0))
                else:
                    clocks.append((max(0, timeout - now) if flags & _ABSOLUTE else timeout, userdata))
            else:
                found.append(self._stream_event(userdata, kind, *struct.unpack_from("<I", memory, start + 16)))
        passed = 0
        if clocks and not found:
            passed = min(clocks)[0]
            begun = time.monotonic_ns()
            self._sleep(passed / 1e6)
            passed = max(passed, time.monotonic_ns() - begun)
        found += [(userdata, 0, _CLOCK, 0, 0) for delay, userdata in clocks if delay <= passed]
        for i, event in enumerate(found):
            self._put(events + 32 * i, "<QHB5xQH6x", *event)
        self._put(ready, "<I", len(found))
        return 0

    def _stream_event(self, userdata: int, kind: int, fd: int) -> "tuple[int, int, int, int, int]":
        if kind == _FD_READ and fd == 0 and fd in self._open:
            return userdata, 0, kind, len(self._stdin), 0 if len(self._stdin) else _HANGUP
        if kind == _FD_WRITE and fd in (1, 2) and fd in self._open:
            return userdata, 0, kind, self._output_bytes, 0
        return userdata, BADF if kind in (_FD_READ, _FD_WRITE) else INVAL, kind, 0, 0

    # The rest

    def random_get(self, pointer: int, size: int) -> int:
        size &= _MASK
        memory, at = self._span(pointer, size)
        for start in range(at, at + size, 65536):
            end = min(start + 65536, at + size)
            memory[start:end] = os.urandom(end - start)
        return 0

    def proc_exit(self, code: int) -> None:
        raise Exit(code & _MASK)


def _not_offered(*arguments: int) -> int:
    return NOSYS


def _answering(function: "Callable[..., Any]") -> "Callable[..., Any]":
    """The function with its error numbers as results."""

    def call(*arguments: int) -> "Any":
        try:
            return function(*arguments)
        except _Errno as error:
            return error.number

    return call


def _running(sizes: "list[int]", start: int) -> "list[int]":
    """Where each of several pieces begins that lie one behind the other."""
    places = []
    for size in sizes:
        places.append(start)
        start += size
    return places


def _c_string(text: object, what: str) -> bytes:
    if not isinstance(text, str) or "\0" in text:
        raise TaskFailure("%s must be text without a zero character" % what, "bad_inputs")
    return text.encode("utf-8", "surrogatepass") + b"\0"


def _variable(name: str, value: object) -> bytes:
    if not name or "=" in name:
        raise TaskFailure("%r is no name of a variable: it must have letters and no '='" % name, "bad_inputs")
    return _c_string(name, "a variable's name")[:-1] + b"=" + _c_string(value, "variable %s" % name)
