"""Files that are either old or new, never half: written beside, then renamed over. No path is ever removed first.

On littlefs a power cut at any of the measured points left the old or the new file when it was renamed over; removing
first left none, and overwriting in place left a torn one.
"""

import os
import sys

from shared import const

if sys.implementation.name == "cpython":
    from os import fsync

_NEW = const(".new")


def write(path: str, data: bytes, sync: bool = True) -> None:
    """Put data in the file. sync=False may lose the newest write in a power cut, never mix old and new."""
    with open(path + _NEW, "wb") as file:
        file.write(data)
        if sync:
            flush(file)
    os.rename(path + _NEW, path)
    if sync:
        _flush_name(path)


def _flush_name(path: str) -> None:
    """Have a file's new name on the disk: on Linux a synced file can still lose it in a power cut."""
    if sys.implementation.name == "cpython":  # MicroPython has no descriptors of folders, and no need of them
        folder = os.open(path.rpartition("/")[0] or ".", os.O_RDONLY)
        try:
            fsync(folder)
        finally:
            os.close(folder)


def flush(file: "object") -> None:
    """Have an open file's content on the disk, where the system can."""
    file.flush()  # type: ignore[attr-defined]
    if sys.implementation.name == "cpython":  # closing a file on a board's file systems writes it out
        fsync(file.fileno())  # type: ignore[attr-defined]


def read(path: str) -> "bytes | None":
    """The file's content, None when there is no such file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        try:  # FAT removes the old one before it renames: a power cut in between left the new one beside
            os.rename(path + _NEW, path)
        except OSError:
            return None
        return read(path)


def load(path: str) -> "bytearray | None":
    """The same, to be changed in place."""
    data = bytearray(size(path))
    try:
        with open(path, "rb") as file:
            read = file.readinto(data)
    except OSError:
        return None
    return data if read == len(data) else None


def size(path: str) -> int:
    """The file's bytes, 0 when there is no such file."""
    try:
        return os.stat(path)[6]
    except OSError:
        return 0


def remove(path: str) -> None:
    """Remove the file if it is there."""
    try:
        os.remove(path)
    except OSError:
        pass


def names(folder: str) -> "list[str]":
    """The folder's files in order, without what an interrupted write left behind (that is removed).

    For a folder whose files are never written over: there a file and one of its size beside it are two names of the
    same blocks, which FAT gives it in a rename. One that is removed later takes the other's blocks.
    """
    found: list[str] = []
    for name in sorted(os.listdir(folder)):
        path = folder + "/" + name
        twin = found and name.startswith(found[-1] + ".") and size(path) == size(folder + "/" + found[-1])
        if twin:
            remove(folder + "/" + found.pop())
        if twin or name.endswith(_NEW):
            remove(path)
        else:
            found.append(name)
    return found


def by_age(folder: str) -> "list[str]":
    """The same, the oldest first."""
    return sorted(names(folder), key=lambda name: os.stat(folder + "/" + name)[8])


def make_folder(path: str) -> None:
    """Make the folder and those above it."""
    built = ""
    for part in path.split("/"):
        built = built + part + "/"
        if part:
            try:
                os.mkdir(built[:-1])
            except OSError:  # it is there; if not, the first write says so
                pass
