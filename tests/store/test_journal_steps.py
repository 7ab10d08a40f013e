"""Whatever one step of the disk fails, the first, the second, any: what a journal acknowledged is there afterwards."""

import errno
from pathlib import Path
from typing import Any

import pytest

from hub.core.model import Put
from hub.store.journal import Journal, StoreFailed
from hub.store.recovery import look
from tests.store.steps import Fault, replaced

CHANGES = 8


def work(directory: Path, states: list[dict[str, Any]]) -> int:
    """Opens, writes, compacts and closes as long as the journal takes it; what it has acknowledged at last.

    Each time it acknowledges something, that is on the disk: a crash would leave it.
    """
    durable = 0
    try:
        journal = Journal(directory, compact_min_bytes=700, compact_ratio=0)
        for n in range(CHANGES):
            if journal._compaction:
                journal._compaction.join()
            document = {"n": n, "text": "x" * 80}
            try:
                journal.append([Put("t", str(n % 5), document), Put("twin", str(n % 5), document)])
                states.append({name: dict(table) for name, table in journal.tables.items()})
                durable = journal.flush()
            except StoreFailed:
                if journal.failed is not None:
                    break
            else:
                tables, lsn = look(directory)
                assert lsn >= durable and tables == states[lsn]
        try:
            journal.close()
        except StoreFailed:
            journal.close()
    except OSError:  # it could not be opened at all
        pass
    return durable


@pytest.mark.parametrize(
    ("number", "when"),
    [(errno.ENOSPC, "before"), (errno.ENOSPC, "half"), (errno.EIO, "before"), (errno.EIO, "after")],
)
def test_whatever_step_fails_nothing_acknowledged_is_lost(tmp_path: Path, number: int, when: str) -> None:
    n, left = 0, 0
    while left <= 0:
        n += 1
        directory, states = tmp_path / str(n), [{}]
        fault = Fault(n, number, when)
        with replaced(fault.replace):
            durable = work(directory, states)
        left = fault.left
        journal = Journal(directory)
        assert journal.lsn >= durable, n
        assert journal.tables == states[journal.lsn], n
        journal.append([Put("t", "more", {})])
        journal.close()
        reopened = Journal(directory)
        assert "more" in reopened.tables["t"], n
        reopened.close()
    assert n > 50, "too few steps to mean anything"
    assert durable == CHANGES, "the last round, in which nothing failed, did not come to its end"
