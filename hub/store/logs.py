"""Log lines that survive a restart of the hub: in bounded memory, and in a file that is appended to without syncing.

The file, `lines-<n>.jsonl`, holds one JSON list a line: [key, line], or [key, null] where a key was forgotten. When it
has grown to twice what memory may hold, the next one begins with what memory holds. A power cut may cost the lines of
the last half minute, a kill -9 those of the last half second; a line that is damaged is passed over.
"""

import logging
import os
import re
import threading
from pathlib import Path
from typing import Any

import msgspec

from hub.store.disk import FILE_MODE, make_directory, write_all
from hub.store.rings import Bounds, Rings

log = logging.getLogger(__name__)

BOUNDS = Bounds(lines=1000, bytes_each=256 << 10, bytes_all=8 << 20)
# What may wait for the disk; beyond it lines are in memory only, until the next file begins.
PENDING_BYTES = 1 << 20
_NAME = re.compile(r"lines-(\d{8})\.jsonl")

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_record = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode


class Logs:
    """Lines by key; a line is a JSON object. flush() and close() block and may be called from a thread of their own."""

    def __init__(self, directory: str | os.PathLike[str], bounds: Bounds = BOUNDS) -> None:
        self._directory = Path(directory)
        self._rings = Rings(bounds)
        self._most_bytes = 2 * bounds.bytes_all
        make_directory(self._directory)
        # Guards rings and pending: they are touched by the loop, and by a flush that begins a new file.
        self._memory = threading.Lock()
        self._disk = threading.Lock()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._complained = False
        self._number = self._load()
        self._fd, self._size = self._open(self._path(self._number))

    def add(self, key: str, line: dict[str, Any]) -> None:
        encoded = _encode(line)
        with self._memory:
            self._rings.add(key, encoded)
            self._write_later(_record(key, encoded))

    def page(self, key: str, offset: int, limit: int) -> list[dict[str, Any]]:
        """The oldest first."""
        with self._memory:
            lines = self._rings.read(key, offset, limit)
        return [_decode(line) for line in lines]

    def count(self, key: str) -> tuple[int, int]:
        """How many lines there are, and how many went before them since the hub's start."""
        with self._memory:
            return self._rings.count(key)

    def forget(self, key: str) -> None:
        with self._memory:
            if self._rings.forget(key):
                self._write_later(_record(key, b"null"))

    def keys(self) -> list[str]:
        with self._memory:
            return self._rings.keys()

    def _write_later(self, record: bytes) -> None:
        if self._pending_bytes < PENDING_BYTES:
            self._pending.append(record)
            self._pending_bytes += len(record)

    def flush(self) -> None:
        """Writes what waits. A disk that does not take it costs the lines on it, not those in memory."""
        with self._disk:
            with self._memory:
                pending, self._pending, self._pending_bytes = self._pending, [], 0
                full = self._size > self._most_bytes
                whole = [_record(key, line) for key, line in self._rings.items()] if full else []
            try:
                if full:
                    self._begin_next(b"".join(whole))
                else:
                    self._append(b"".join(pending))
            except OSError as error:
                if not self._complained:
                    log.warning("log lines are not kept beyond a restart: %s", error)
                self._complained = True

    def close(self) -> None:
        self.flush()
        os.close(self._fd)

    # --- the file

    def _path(self, number: int) -> Path:
        return self._directory / f"lines-{number:08d}.jsonl"

    def _open(self, path: Path) -> tuple[int, int]:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE)
        size = os.fstat(fd).st_size
        if size and os.pread(fd, 1, size - 1) != b"\n":
            # A line that a crash has cut off must not take the next one with it.
            write_all(fd, b"\n", size)
            size += 1
        return fd, size

    def _append(self, data: bytes) -> None:
        # Of a write that fails in the middle the rest is overwritten by the next.
        write_all(self._fd, data, self._size)
        self._size += len(data)

    def _begin_next(self, data: bytes) -> None:
        old, path = self._path(self._number), self._path(self._number + 1)
        unfinished = path.with_suffix(".tmp")
        unfinished.unlink(missing_ok=True)
        fd, _ = self._open(unfinished)
        try:
            write_all(fd, data, 0)
            unfinished.rename(path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._size, self._number = fd, len(data), self._number + 1
        old.unlink(missing_ok=True)

    def _load(self) -> int:
        """Reads the newest file; its number. Older ones are what a crash has left while it began."""
        matches = (_NAME.fullmatch(name) for name in os.listdir(self._directory))
        numbers = sorted(int(match[1]) for match in matches if match)
        for number in numbers[:-1]:
            self._path(number).unlink()
        if not numbers:
            return 1
        damaged = 0
        with open(self._path(numbers[-1]), "rb") as file:
            for record in file:
                damaged += not self._take(record)
        if damaged:
            log.info("%d damaged log lines were passed over", damaged)
        return numbers[-1]

    def _take(self, record: bytes) -> bool:
        try:
            key, line = _decode_record(record)
            value = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if value is None:
            self._rings.forget(key)
        elif isinstance(value, dict):
            self._rings.add(key, bytes(line))
        else:
            return False
        return True


def _record(key: str, line: bytes) -> bytes:
    return b"[%b,%b]\n" % (_encode(key), line)
