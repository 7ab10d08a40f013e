"""Files that are there whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkstemp
from typing import IO

from hub.store.disk import sync_directory, write_failure
from shared.errors import Conflict


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, which appears under its name, durable, when all went well; without a trace when not.

    Only a kill leaves something: a file beside it, `.<name>.….tmp`. Conflict (`file_exists`) when there is one of that
    name, StoreFailed (`disk_full`, `store_failed`) when it cannot be written.
    """
    if path.exists():
        raise Conflict(f"{path} exists: choose another name, or remove it", "file_exists")
    remedy = "try again, or choose another place"
    try:
        fd, name = mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise write_failure(error, str(path), remedy) from error
    temporary = Path(name)
    try:
        with open(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise write_failure(error, str(path), remedy) from error
    finally:
        temporary.unlink(missing_ok=True)
