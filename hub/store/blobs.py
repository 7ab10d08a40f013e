"""Wasm modules and artifacts: files named by the SHA-256 of their content, `<directory>/sha256/ab/<64 hex digits>`."""

import hashlib
import math
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkstemp

from hub.store.disk import make_directory, sync_directory, write_all, write_failure
from shared.errors import BadRequest, Damaged, NotFound

_HASH = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """A directory of blobs. A blob that put() has returned from survives a power cut.

    All methods block for the disk and may be called from any thread. `sha` is a SHA-256 in 64 lower case hex digits;
    anything else raises BadRequest (bad_hash), and a blob that is not here NotFound (unknown_module).
    """

    def __init__(
        self, directory: str | os.PathLike[str], *, cache_bytes: int = 4 << 20, cached_blob_bytes: int = 64 << 10
    ) -> None:
        """Blobs of up to `cached_blob_bytes` stay in memory, the last used ones, `cache_bytes` in all."""
        self._root = _root(directory)
        self._unfinished = Path(directory) / "tmp"
        self._cache = _Cache(cache_bytes, cached_blob_bytes)
        make_directory(self._root)
        make_directory(self._unfinished)
        for leftover in self._unfinished.iterdir():
            leftover.unlink()

    def put(self, data: bytes) -> str:
        """Store durably and return the hash. Storing what is here already repairs it, if need be.

        Raises StoreFailed (store_failed, disk_full); the blobs that are here remain readable.
        """
        sha = hashlib.sha256(data).hexdigest()
        path = self.path(sha)
        try:
            make_directory(path.parent)
            if not _holds(path, data):
                self._write(path, data)
            # Of a blob that was here already too: the one who wrote it may have died just before this.
            sync_directory(path.parent)
        except OSError as error:
            raise write_failure(error, f"module {sha}", "send it again") from error
        self._cache.put(sha, data)
        return sha

    def get(self, sha: str) -> bytes:
        """The content. Raises Damaged (blob_damaged) when it no longer has this hash."""
        cached = self._cache.get(sha)
        if cached is not None:
            return cached
        data = _verified(self.path(sha), sha)
        self._cache.put(sha, data)
        return data

    def read(self, sha: str, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`, fewer at the end. Not verified: the receiver of all parts does that."""
        if offset < 0 or count < 0:
            raise BadRequest("offset and count must not be negative")
        cached = self._cache.get(sha)
        if cached is not None:
            return cached[offset : offset + count]
        try:
            with open(self.path(sha), "rb") as file:
                return os.pread(file.fileno(), min(count, os.fstat(file.fileno()).st_size), offset)
        except FileNotFoundError:
            raise _unknown(sha) from None

    def has(self, sha: str) -> bool:
        return self.path(sha).exists()

    def size(self, sha: str) -> int:
        """In bytes."""
        try:
            return self.path(sha).stat().st_size
        except FileNotFoundError:
            raise _unknown(sha) from None

    def delete(self, sha: str) -> None:
        path = self.path(sha)
        self._cache.drop(sha)
        try:
            path.unlink()
        except FileNotFoundError:
            raise _unknown(sha) from None
        sync_directory(path.parent)

    def older_than(self, seconds: float) -> list[str]:
        """The hashes of blobs that were written so long ago."""
        latest = time.time() - seconds
        return [sha for sha in self if self._written(sha) <= latest]

    def _written(self, sha: str) -> float:
        try:
            return self.path(sha).stat().st_mtime
        except FileNotFoundError:  # deleted since it was listed
            return math.inf

    def path(self, sha: str) -> Path:
        """Where the blob is, or would be."""
        return _path(self._root, sha)

    def __iter__(self) -> Iterator[str]:
        """The hashes, sorted."""
        return iter(sorted(path.name for path in self._root.glob("??/*") if _HASH.fullmatch(path.name)))

    def _write(self, path: Path, data: bytes) -> None:
        fd, name = mkstemp(dir=self._unfinished)
        try:
            try:
                write_all(fd, data, 0)
                os.fdatasync(fd)
            finally:
                os.close(fd)
            os.rename(name, path)
        except BaseException:
            os.unlink(name)
            raise


class _Cache:
    """The blobs used last. One lock, since requests read from several threads."""

    def __init__(self, limit_bytes: int, blob_limit_bytes: int) -> None:
        self._limit, self._blob_limit = limit_bytes, blob_limit_bytes
        self._blobs: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, sha: str) -> bytes | None:
        with self._lock:
            data = self._blobs.get(sha)
            if data is not None:
                self._blobs.move_to_end(sha)
            return data

    def put(self, sha: str, data: bytes) -> None:
        if len(data) > self._blob_limit:
            return
        with self._lock:
            if sha not in self._blobs:
                self._blobs[sha] = data
                self._size += len(data)
            while self._size > self._limit:
                self._size -= len(self._blobs.popitem(last=False)[1])

    def drop(self, sha: str) -> None:
        with self._lock:
            self._size -= len(self._blobs.pop(sha, b""))


def look(directory: str | os.PathLike[str], sha: str) -> bytes:
    """A blob of a directory that is not to be changed, a running hub's for example; the errors are those of get()."""
    return _verified(_path(_root(directory), sha), sha)


def _root(directory: str | os.PathLike[str]) -> Path:
    return Path(directory) / "sha256"


def _path(root: Path, sha: str) -> Path:
    if not _HASH.fullmatch(sha):
        raise BadRequest(f"{sha[:80]!r} is not a SHA-256 in 64 lower case hex digits", "bad_hash")
    return root / sha[:2] / sha


def _verified(path: Path, sha: str) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise _unknown(sha) from None
    except OSError as error:
        raise Damaged(f"{path} cannot be read ({error.strerror})", "blob_damaged") from error
    if hashlib.sha256(data).hexdigest() != sha:
        raise Damaged(f"{path} is damaged: upload the module again to repair it", "blob_damaged")
    return data


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:  # not there, or not readable and to be written anew
        return False


def _unknown(sha: str) -> NotFound:
    return NotFound(f"there is no module {sha}", "unknown_module")
