"""The journal: every change is appended to a file and is durable before anyone is told that it happened.

    journal = Journal("data")
    lsn = journal.append([Put("tasks", "t1", {"state": "running"})])    # memory and a buffer, microseconds
    await asyncio.to_thread(journal.flush)                             # one fdatasync for all that was appended

Two locks keep them apart. `_memory` guards what append touches and is never held over input or output, so append
waits for the disk at no time; `_disk` guards the file and is held by flush. Who needs both takes `_disk` first.
"""

import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hub.core.counts import Histogram
from hub.core.model import Put
from hub.store.disk import NoRoom, StoreBusy, StoreFailed, lock_directory, make_directory, write_failure
from hub.store.records import Tables, apply_ops, make_record
from hub.store.recovery import StoreDamaged, load
from hub.store.snapshot import begin_journal, discard_journal, remove_older, snapshot_path, write_snapshot

__all__ = ["Journal", "StoreBusy", "StoreDamaged", "StoreFailed"]

log = logging.getLogger(__name__)

# Between two steps of a snapshot, so that commits come through: with it a commit took 3 ms (p99) meanwhile.
SNAPSHOT_PAUSE_S = 0.002


class Journal:
    """The documents of one directory, in memory and on the disk.

    tables      {table: {id: document}}, in order of creation. Documents are replaced, never mutated, and a table's
                dict is the same object as long as the journal is open
    lsn         number of the last change that was appended; 0 when there was none
    durable     number up to which every change is on the disk
    failed      the error that ended writing for good; the disk then holds what was durable, maybe more
    recovered   names of the files that `recover` set aside

    `recover` keeps everything before a damage instead of raising StoreDamaged. A snapshot is begun when the journal
    has outgrown both `compact_min_bytes` and `compact_ratio` times the last snapshot.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        compact_min_bytes: int = 4 << 20,
        compact_ratio: float = 2.0,
        recover: bool = False,
    ) -> None:
        """Raises StoreBusy, StoreDamaged, or OSError when the directory cannot be used at all."""
        self.directory = Path(directory)
        make_directory(self.directory)
        self._lock_fd = lock_directory(self.directory)
        try:
            state = load(self.directory, recover=recover)
        except BaseException:
            os.close(self._lock_fd)
            raise
        self.tables: Tables = defaultdict(dict, state.tables)
        self.lsn = self.durable = state.lsn
        self.failed: BaseException | None = None
        self.recovered = state.recovered
        self._memory = threading.Lock()
        self._disk = threading.Lock()
        self._pending: list[bytes] = []
        self._file = state.journal
        self._generation = state.generation
        self._compact_min_bytes = compact_min_bytes
        self._compact_ratio = compact_ratio
        self._snapshot_bytes = state.snapshot_bytes
        self._postponed_bytes = 0
        self._compact_asked = False
        self._compaction: threading.Thread | None = None
        self._closed = False
        # The same for the thread that writes a snapshot.
        self._closing = threading.Event()
        # Seconds of each write with its fdatasync, and all bytes so written, since the start.
        self.syncs = Histogram(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
        self.written_bytes = 0

    def append(self, ops: Sequence[Put]) -> int:
        """Apply the changes as one, in memory and in the buffer for the disk; returns the lsn to wait for.

        Nothing is on the disk before `durable` has reached that lsn. What is journalled is what the documents say
        now. Raises StoreFailed, or what the JSON encoder says of a document that is none; then nothing has changed.
        """
        with self._memory:
            if self.failed is not None or self._closed:
                self._check()
            if ops:
                self._pending.append(make_record(self.tables, self.lsn + 1, self.durable, ops))
                self.lsn += 1
                apply_ops(self.tables, ops)
            return self.lsn

    def flush(self) -> int:
        """Write and fdatasync what was appended, returns the lsn up to which all is on the disk.

        Blocks for the disk: call it in a thread. Raises StoreFailed. When only room was wanting, `failed` is None, all
        is kept for the next flush, and that may succeed. Else it is so ever after: what the kernel holds after a
        failed fsync is unknown, so that trying again could acknowledge what is lost.
        """
        with self._disk:
            self._check()
            try:
                self._write_pending()
            except NoRoom as error:
                raise write_failure(error, "the journal", "the hub goes on by itself") from error
            except BaseException as error:
                self.failed = error
                if isinstance(error, Exception):
                    raise _failure(error) from error
                raise
            return self.durable

    @property
    def generation(self) -> int:
        """It grows with each snapshot that is begun."""
        return self._generation

    def compact(self) -> None:
        """Has the next flush begin a snapshot: the last one holds much that has gone."""
        self._compact_asked = True

    @property
    def size_bytes(self) -> tuple[int, int]:
        """Of the journal in use and of the last snapshot."""
        return self._file.used, self._snapshot_bytes

    def close(self) -> None:
        """Flush, wait for a snapshot that is being written, let the directory go. A second call does nothing."""
        try:
            if self.failed is None and not self._closed:
                self.flush()
        finally:
            self._release()

    def _release(self) -> None:
        with self._disk:
            if self._closed:
                return
            self._closed = True
        self._closing.set()
        self._file.close()
        if self._compaction:
            self._compaction.join()
        os.close(self._lock_fd)

    def _check(self) -> None:
        if self.failed is not None:
            raise _failure(self.failed) from self.failed
        if self._closed:
            raise StoreFailed("the store is closed", "store_closed")

    def _write_pending(self) -> None:
        with self._memory:
            pending, self._pending = self._pending, []
            upto = self.lsn
            # Taken here, the snapshot holds exactly what this flush makes durable before it begins to write it:
            # a change that is only in memory can never reach the disk by way of a snapshot.
            snapshot = {name: dict(table) for name, table in self.tables.items()} if self._must_compact() else None
        if pending:
            try:
                self._append(b"".join(pending))
            except NoRoom:
                with self._memory:
                    self._pending[:0] = pending
                raise
            self.durable = upto
        if snapshot is not None:
            self._begin_compaction(upto, snapshot)

    def _append(self, data: bytes) -> None:
        began = time.perf_counter()
        self._file.append(data)
        self.syncs.add(time.perf_counter() - began)
        self.written_bytes += len(data)

    def _must_compact(self) -> bool:
        if self._compaction and self._compaction.is_alive():
            return False
        if self._compact_asked:
            return True
        enough = max(self._compact_min_bytes, self._compact_ratio * self._snapshot_bytes)
        return self._file.used > enough + self._postponed_bytes

    def _begin_compaction(self, lsn: int, snapshot: Tables) -> None:
        """Turn to the next generation's journal and let a thread write the snapshot that this generation begins with.

        Until that is complete the older files stay, and they are enough.
        """
        self._compact_asked = False
        generation = self._generation + 1
        try:
            file = begin_journal(self.directory, generation, lsn)
        except OSError:
            discard_journal(self.directory, generation)
            self._postponed_bytes = self._file.used
            log.exception("no new journal could be begun; the old one goes on growing")
            return
        self._file.close()
        self._file, self._generation, self._postponed_bytes = file, generation, 0
        thread = threading.Thread(target=self._compact, args=(generation, lsn, snapshot), name="journal-snapshot")
        try:
            thread.start()
        except RuntimeError:
            log.exception("no thread for a snapshot; the journals keep everything until the next try")
        else:
            self._compaction = thread

    def _compact(self, generation: int, lsn: int, snapshot: Tables) -> None:
        try:
            self._snapshot_bytes = write_snapshot(
                self.directory, generation, lsn, snapshot, lambda: self._closing.wait(SNAPSHOT_PAUSE_S)
            )
            remove_older(self.directory, generation)
        except Exception:
            path = snapshot_path(self.directory, generation)
            log.exception("%s was not written; the journals keep everything until the next try", path)


def _failure(error: BaseException) -> StoreFailed:
    return write_failure(error, "the journal", "restart the hub")
