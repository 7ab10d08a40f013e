"""The file of the history as SQLite's: how it is opened, what its errors mean, and how it is set aside."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec

from hub.store.disk import FILE_MODE, StoreFailed, write_failure
from shared.errors import Damaged

SIDE_FILES = ("-wal", "-shm")
BUSY_S = 10.0


class HistoryDamaged(Damaged):
    """The file is not what was written. `detail` has `file`."""

    code = "history_damaged"

    def __init__(self, path: Path, error: object) -> None:
        super().__init__(
            f"{path} is damaged ({error}): restore the directory from a backup, or start the hub with --recover to go "
            "on without the history of ended runs; the damaged file is set aside",
            detail={"file": str(path)},
        )


def connect(path: Path, read_only: bool) -> sqlite3.Connection:
    """Opens a file that is there. read_only: nothing that is in it, or left beside it by a crash, is changed."""
    uri = f"{path.absolute().as_uri()}?{_reading(path) if read_only else 'mode=rw'}"
    db = sqlite3.connect(uri, BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    try:
        # A commit is on the disk when it returns, and costs one sync.
        db.executescript(
            "PRAGMA query_only = ON" if read_only else "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"
        )
    except BaseException:
        db.close()
        raise
    return db


def _reading(path: Path) -> str:
    """How to open a file that is not to be changed.

    Beside a file that is in order SQLite makes its side files to read it, which `ro` would leave behind; where it
    cannot make them, there is nobody to write either.
    """
    if path.with_name(path.name + SIDE_FILES[0]).exists():
        return "mode=ro"
    return "mode=rw" if os.access(path.parent, os.W_OK) else "immutable=1"


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            what = f"{path} was not written, the disk is full: free some space"
            raise StoreFailed(what, "disk_full") from error
        raise StoreFailed(f"{path} cannot be used ({error}): check the disk", "store_failed") from error
    except (sqlite3.DatabaseError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HistoryDamaged(path, error) from error
    except OSError as error:
        raise write_failure(error, str(path), "try again") from error


def set_aside(path: Path) -> str:
    """Gives a damaged file another name; which. One that is missing leaves an empty one."""
    for side in SIDE_FILES:
        path.with_name(path.name + side).unlink(missing_ok=True)
    path.touch(FILE_MODE)
    return path.rename(path.with_name(path.name + ".damaged")).name
