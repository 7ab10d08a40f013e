"""A store and its history as of one moment, for those who only look: backup, export, check."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hub.store.history import NAME, History, was_moved_to
from hub.store.records import Tables
from hub.store.recovery import look as look_at_store
from hub.store.sqlite import HistoryDamaged


@contextlib.contextmanager
def look(store: Path) -> Iterator[tuple[Tables, int, History | None]]:
    """The documents of a store, the number of its last change, and its history as it stood at the same moment; None
    when there is none. The hub may run. Raises what recovery.look and History raise.

    What moves is in the history before it leaves the store, and in the store before it leaves the history. So nothing
    is missing when the history stands still while the store is read.
    """
    path = store / NAME
    if not path.exists():
        tables, lsn = look_at_store(store)
        if was_moved_to(tables):
            raise HistoryDamaged(path, "it is missing, and runs have moved to it")
        yield tables, lsn, None
        return
    with contextlib.closing(History(path, read_only=True)) as history:
        before = history.moment()
        tables, lsn = look_at_store(store)
        history.stay()
        if history.moment() != before:
            # A hub moves something: it has to wait for us.
            with contextlib.closing(History(path, may_be_new=False)) as holder, holder.still():
                tables, lsn = look_at_store(store)
                history.stay()
        yield tables, lsn, history
