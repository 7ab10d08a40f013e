"""The steps that a store asks of the disk, each of which may be the last one, or fail."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

STEPS = [(os, "open"), (os, "pwrite"), (os, "fdatasync"), (os, "fsync"), (os, "ftruncate"), (os, "close")]
STEPS += [(Path, "rename"), (Path, "unlink")]


@contextmanager
def replaced(replace: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """While it lasts, each step is what `replace` makes of its name and the real one."""
    with pytest.MonkeyPatch.context() as patched:
        for owner, name in STEPS:
            patched.setattr(owner, name, replace(name, getattr(owner, name)))
        yield
