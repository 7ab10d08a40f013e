"""What the store asks of the operating system: whole writes, durable directories, one owner, files with room ahead."""

import errno
import fcntl
import os
from pathlib import Path

from shared.errors import Unavailable

DIRECTORY_MODE = 0o700
FILE_MODE = 0o600
# How a system says that there is no room: on the disk, in a quota, or for a file of this size (RLIMIT_FSIZE, FAT).
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A commit into space that is already there changes no metadata: 4.3 KB reach the device instead of 8.3 KB.
AHEAD_BYTES = 256 << 10


class StoreFailed(Unavailable):
    """The store cannot write. Code `disk_full` when space or quota is exhausted, `store_closed` after close()."""

    code = "store_failed"


class NoRoom(OSError):
    """A write was refused for want of room, and the file is what it was before: writing it again is no risk."""


class StoreBusy(Unavailable):
    """Another process, or another Journal of this one, holds the directory."""

    code = "store_busy"


def write_failure(error: BaseException, what: str, remedy: str) -> StoreFailed:
    """The error to raise when writing `what` failed with `error`; `remedy` is what to do after looking at the disk."""
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        full = f"{what} was not written, the disk is full ({error.strerror}): free some space and {remedy}"
        return StoreFailed(full, "disk_full")
    return StoreFailed(f"{what} was not written ({error}): check the disk and {remedy}")


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write every byte or raise OSError: a full disk makes pwrite return short, without an error."""
    rest = memoryview(data)
    while rest:
        count = os.pwrite(fd, rest, offset)
        if count <= 0:
            raise OSError(errno.EIO, "the disk took no byte of a write")
        rest, offset = rest[count:], offset + count


def sync_directory(path: Path) -> None:
    """Make the names in a directory (what was created, renamed or removed) durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directory(path: Path) -> None:
    """Create a directory and its parents for this user only, durably: files in it are no safer than its own name."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        sync_directory(path.parent)


def lock_directory(path: Path) -> int:
    """Take the directory for this process and return the lock's descriptor; close it to let go.

    Raises StoreBusy. The kernel lets go when the process dies, so a stale LOCK file never blocks a start.
    """
    fd = os.open(path / "LOCK", os.O_RDWR | os.O_CREAT, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise StoreBusy(
            f"{path} is in use by another hub (process {owner}): stop that one or choose another directory"
        ) from error
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    except OSError:
        os.close(fd)
        raise
    return fd


class AheadFile:
    """A file that is only appended to, kept zero-filled ahead of what is written.

    `used` is the size of what was written, in bytes. Opening cuts off everything behind `used`: after a crash that
    is the zeros and the unfinished write.
    """

    def __init__(self, path: Path, used: int) -> None:
        self.path = path
        self.used = self._reserved = used
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        os.ftruncate(self._fd, used)

    def append(self, data: bytes) -> None:
        """Write and fdatasync. NoRoom: nothing was appended. After any other OSError, that of a sync above all, the
        file's tail is unknown: do not write to it again."""
        if self.used + len(data) > self._reserved:
            self._reserve(len(data))
        self._write(data, self.used)
        os.fdatasync(self._fd)
        self.used += len(data)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def _reserve(self, size: int) -> None:
        zeros = bytes(max(AHEAD_BYTES, size))
        self._write(zeros, self._reserved)
        os.fdatasync(self._fd)
        self._reserved += len(zeros)

    def _write(self, data: bytes, offset: int) -> None:
        try:
            write_all(self._fd, data, offset)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # Takes back what was written of it. That this sync goes well is what makes another try safe.
            os.ftruncate(self._fd, self.used)
            os.fdatasync(self._fd)
            self._reserved = self.used
            raise NoRoom(error.errno, error.strerror) from error

    def close(self) -> None:
        os.close(self._fd)
