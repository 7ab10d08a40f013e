"""Reads modules from the one folder of the hub that file:// may name."""

import os
import stat
from pathlib import Path

from hub.modules.header import MAX_MODULE
from hub.modules.reader import refuse

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
# A FIFO must not hold us.
_FILE = _FLAGS | os.O_NONBLOCK


def read(folder: str, path: str) -> bytes:
    """The bytes of a file whose path, with all links resolved, lies in the folder; else `bad_module`.

    Opened step by step without following links: one that is put there after the check leads nowhere.
    """
    if not folder:
        refuse("this hub gives out no files of its own: whoever runs it can name a folder with --image-dir")
    root = Path(folder).resolve()
    try:
        steps = Path(path).resolve().relative_to(root).parts
    except (ValueError, OSError, RuntimeError):
        refuse(f"{path} does not lie in the folder that the hub may read (--image-dir)")
    try:
        return _read(root, steps)
    except OSError as error:
        refuse(f"{path} cannot be read: {error.strerror}")


def _read(root: Path, steps: tuple[str, ...]) -> bytes:
    at = os.open(root, _FLAGS | os.O_DIRECTORY)
    try:
        for step in steps[:-1]:
            at = _replace(at, os.open(step, _FLAGS | os.O_DIRECTORY, dir_fd=at))
        at = _replace(at, os.open(steps[-1] if steps else ".", _FILE, dir_fd=at))
        if not stat.S_ISREG(os.fstat(at).st_mode):
            refuse("it is no regular file")
        with open(at, "rb", closefd=False) as file:
            data = file.read(MAX_MODULE + 1)
    finally:
        os.close(at)
    if len(data) > MAX_MODULE:
        refuse(f"the file is over {MAX_MODULE} bytes (8 MiB)")
    return data


def _replace(old: int, new: int) -> int:
    os.close(old)
    return new
