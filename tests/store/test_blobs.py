"""What the blobs promise: named by content, whole or not there, verified, and never outside their directory."""

import contextlib
import errno
import hashlib
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hub.store.blobs import Blobs
from hub.store.disk import StoreFailed
from shared.errors import BadRequest, Damaged, NotFound
from tests.store.steps import PLAIN_STEPS, Fault, replaced

MODULE = b"\0asm\1\0\0\0" + bytes(range(256))
UNKNOWN = "0" * 64


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def uncached(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs", cached_blob_bytes=-1)


def test_a_blob_is_found_by_the_hash_of_its_content(blobs: Blobs, tmp_path: Path) -> None:
    sha = blobs.put(MODULE)
    assert sha == hashlib.sha256(MODULE).hexdigest()
    assert blobs.path(sha) == tmp_path / "blobs" / "sha256" / sha[:2] / sha
    assert blobs.path(sha).read_bytes() == MODULE == blobs.get(sha) == uncached(tmp_path).get(sha)
    assert blobs.has(sha) and blobs.size(sha) == len(MODULE)
    assert stat.S_IMODE(blobs.path(sha).stat().st_mode) == 0o600


def test_parts_are_read_by_offset(blobs: Blobs, tmp_path: Path) -> None:
    sha = blobs.put(MODULE)
    for store in (blobs, uncached(tmp_path)):
        assert store.read(sha, 0, 4) == b"\0asm"
        assert store.read(sha, 260, 100) == MODULE[260:]
        assert store.read(sha, len(MODULE), 1) == store.read(sha, 10**9, 10**15) == b""
        for offset, count in ((-1, 1), (0, -1)):
            with pytest.raises(BadRequest):
                store.read(sha, offset, count)


def test_an_empty_blob_is_a_blob(blobs: Blobs, tmp_path: Path) -> None:
    sha = blobs.put(b"")
    assert blobs.get(sha) == uncached(tmp_path).get(sha) == blobs.read(sha, 0, 9) == b""


def test_putting_twice_is_putting_once(blobs: Blobs) -> None:
    sha = blobs.put(MODULE)
    inode = blobs.path(sha).stat().st_ino
    assert blobs.put(MODULE) == sha
    assert blobs.path(sha).stat().st_ino == inode
    assert list(blobs) == [sha]


def test_hashes_are_listed_sorted_and_alien_files_are_not(blobs: Blobs, tmp_path: Path) -> None:
    shas = sorted(blobs.put(bytes([n])) for n in range(20))
    (tmp_path / "blobs" / "sha256" / ".directory").touch()
    (blobs.path(shas[0]).parent / "notes.txt").touch()
    assert list(blobs) == shas


@pytest.mark.parametrize(
    "call",
    [Blobs.get, Blobs.size, Blobs.delete, lambda blobs, sha: blobs.read(sha, 0, 1)],
    ids=["get", "size", "delete", "read"],
)
def test_an_unknown_hash_is_not_found(blobs: Blobs, call: Callable[[Blobs, str], object]) -> None:
    assert not blobs.has(UNKNOWN)
    with pytest.raises(NotFound) as caught:
        call(blobs, UNKNOWN)
    assert caught.value.code == "unknown_module"


@pytest.mark.parametrize("sha", ["", "..", "../" * 20 + "etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "/" * 64])
def test_what_is_no_hash_is_refused(blobs: Blobs, sha: str) -> None:
    for call in (blobs.get, blobs.has, blobs.size, blobs.delete, blobs.path, lambda sha: blobs.read(sha, 0, 1)):
        with pytest.raises(BadRequest) as caught:
            call(sha)
        assert caught.value.code == "bad_hash"


def test_a_deleted_blob_is_gone(blobs: Blobs) -> None:
    sha = blobs.put(MODULE)
    blobs.delete(sha)
    assert not blobs.has(sha) and list(blobs) == []
    with pytest.raises(NotFound):
        blobs.get(sha)
    assert blobs.get(blobs.put(MODULE)) == MODULE


def test_damage_is_noticed_and_putting_again_repairs_it(tmp_path: Path) -> None:
    blobs = uncached(tmp_path)
    sha = blobs.put(MODULE)
    for damage in (MODULE[:-1], MODULE[:-1] + b"\0", b""):
        blobs.path(sha).write_bytes(damage)
        with pytest.raises(Damaged) as caught:
            blobs.get(sha)
        assert caught.value.code == "blob_damaged"
        blobs.put(MODULE)
        assert blobs.get(sha) == MODULE


def test_small_blobs_stay_in_memory_up_to_a_limit(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, cache_bytes=100, cached_blob_bytes=40)
    first, second, third, large = (blobs.put(bytes([n]) * size) for n, size in enumerate([40, 40, 40, 41]))
    for sha in (first, second, third, large):
        blobs.path(sha).unlink()
    # 120 bytes do not fit: the first went out.
    assert blobs.get(second) and blobs.get(third)
    for sha in (first, large):
        with pytest.raises(NotFound):
            blobs.get(sha)
    blobs.get(second)
    blobs.put(b"new" * 10)
    assert blobs.get(second)
    with pytest.raises(NotFound):
        blobs.get(third)


def test_leftovers_of_a_crash_are_removed(blobs: Blobs, tmp_path: Path) -> None:
    sha = blobs.put(MODULE)
    (tmp_path / "blobs" / "tmp" / "half").write_bytes(b"half")
    reopened = Blobs(tmp_path / "blobs")
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []
    assert reopened.get(sha) == MODULE


def test_a_full_disk_leaves_nothing_half_and_the_rest_readable(blobs: Blobs, disk, tmp_path: Path) -> None:
    kept = blobs.put(b"kept")

    def full(fd: int, data: bytes, offset: int) -> int:
        if offset:
            raise OSError(errno.ENOSPC, "No space left on device")
        return disk.real_pwrite(fd, data[:7], offset)

    disk.pwrite = full
    with pytest.raises(StoreFailed) as caught:
        blobs.put(MODULE)
    assert caught.value.code == "disk_full"
    assert list(blobs) == [kept] and blobs.get(kept) == b"kept"
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []
    disk.repair()
    assert blobs.get(blobs.put(MODULE)) == MODULE


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_whatever_step_fails_a_blob_is_there_whole_or_not_at_all(tmp_path: Path, when: str) -> None:
    n, left = 0, 0
    while left <= 0:
        n += 1
        blobs = Blobs(tmp_path / str(n))
        kept = blobs.put(b"kept")
        fault = Fault(n, errno.EIO, when)
        stored = None
        with replaced(fault.replace, PLAIN_STEPS), contextlib.suppress(StoreFailed):
            stored = blobs.put(b"new" * 5000)
        left = fault.left
        # What a hub that starts again finds.
        blobs = Blobs(tmp_path / str(n))
        assert {blobs.get(sha) for sha in blobs} <= {b"kept", b"new" * 5000} and blobs.has(kept)
        assert stored is None or blobs.has(stored)
        assert not list((tmp_path / str(n) / "tmp").iterdir())
        assert blobs.get(blobs.put(b"new" * 5000)) == b"new" * 5000
    assert n > 5 and stored


def test_short_writes_are_continued(blobs: Blobs, disk, tmp_path: Path) -> None:
    disk.pwrite = lambda fd, data, offset: disk.real_pwrite(fd, data[:7], offset)
    assert uncached(tmp_path).get(blobs.put(MODULE)) == MODULE


def test_it_is_durable_before_it_has_its_name(blobs: Blobs, disk) -> None:
    synced = []

    def sync(fd: int) -> None:
        synced.append(list(blobs))
        disk.real_fdatasync(fd)

    disk.fdatasync = sync
    blobs.put(MODULE)
    assert synced == [[]]


def test_many_threads_may_put_and_get(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, cache_bytes=2000, cached_blob_bytes=600)
    contents = [bytes([n]) * (100 * n) for n in range(10)] * 5
    with ThreadPoolExecutor(8) as pool:
        shas = list(pool.map(blobs.put, contents))
        assert list(pool.map(blobs.get, shas)) == contents
    assert len(list(blobs)) == 10
