"""The steps that a store asks of the disk, each of which may be the last one, or fail."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STEPS = [(os, "open"), (os, "pwrite"), (os, "fdatasync"), (os, "fsync"), (os, "ftruncate"), (os, "close")]
STEPS += [(Path, "rename"), (Path, "unlink")]


# Of what renames by `os`, on which Path's own rename is built.
PLAIN_STEPS = [(os, name) for name in ("open", "pwrite", "fdatasync", "fsync", "close", "rename", "mkdir")]


@contextmanager
def replaced(
    replace: Callable[[str, Callable[..., Any]], Callable[..., Any]], steps: list[tuple[Any, str]] = STEPS
) -> Iterator[None]:
    """While it lasts, each step is what `replace` makes of its name and the real one."""
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in steps:
            patched.setattr(owner, name, replace(name, getattr(owner, name)))
        yield


class Fault:
    """Has the n-th step fail with this error: before it is done, after half of it, or when it is done."""

    def __init__(self, n: int, number: int, when: str) -> None:
        self.left = n
        self._error = OSError(number, os.strerror(number))
        self._when = when
        self._lock = threading.Lock()

    def replace(self, name: str, step: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            with self._lock:
                # A descriptor that cannot be closed is gone all the same.
                self.left -= name != "close"
                due = self.left == 0 and name != "close"
            if due and self._when == "half" and name == "pwrite":
                fd, data, offset = args
                step(fd, data[: len(data) // 2], offset)
            done = step(*args, **options) if not due or self._when == "after" else None
            if due:
                if name == "open" and done is not None:
                    os.close(done)
                raise self._error
            return done

        return call
