"""What a journal promises about files that are not what was written: a torn tail is repaired, damage is refused.

Never is a store opened that silently lacks what was acknowledged, or says something else.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.core.model import Put
from hub.store.journal import Journal, StoreDamaged
from hub.store.records import Tables, frame
from shared.errors import Damaged
from tests.effort import SOAK

ZEROS = bytes(1500)


def contents(directory: Path, **options: bool) -> Tables:
    journal = Journal(directory, **options)
    journal.close()
    return {name: table for name, table in journal.tables.items() if table}


def write_small_store(directory: Path, **options: float) -> list[Tables]:
    """A journal of several records of all kinds; returns the state after each."""
    journal = Journal(directory, **options)
    states: list[Tables] = [{}]
    for ops in (
        [Put("t", "a", {"s": "x @ü", "n": 1}), Put("t", "b", {})],
        [Put("t", "a", {"s": "x @ü", "n": 3}, {"n": 3})],
        [Put("t", "b", None)],
        [Put("u", "c", {})],
    ):
        journal.append(ops)
        journal.flush()
        if journal._compaction:
            journal._compaction.join()
        states.append({name: dict(table) for name, table in journal.tables.items() if table})
    journal.close()
    return states


def journal_file(directory: Path) -> Path:
    return sorted(directory.glob("journal-*.jsonl"))[-1]


@pytest.mark.parametrize("behind", [b"", ZEROS], ids=["nothing behind", "zeros behind"])
def test_a_journal_cut_at_any_byte_has_every_whole_record_and_nothing_else(directory: Path, behind: bytes) -> None:
    states = write_small_store(directory)
    path = journal_file(directory)
    whole = path.read_bytes().rstrip(b"\0")
    ends = [match.end() for match in re.finditer(rb"\n", whole)]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut] + behind)
        # A record without its newline is whole.
        records = sum(end - 1 <= cut for end in ends[1:])
        assert contents(directory) == states[records], cut


def test_a_journal_goes_on_after_a_torn_tail(directory: Path) -> None:
    states = write_small_store(directory)
    path = journal_file(directory)
    whole = path.read_bytes().rstrip(b"\0")
    for cut in range(len(whole) - 30, len(whole)):
        path.write_bytes(whole[:cut] + ZEROS)
        journal = Journal(directory)
        journal.append([Put("new", "n", {"n": cut})])
        journal.flush()
        journal.close()
        expected = states[-1] if cut == len(whole) - 1 else states[-2]
        assert contents(directory) == {**expected, "new": {"n": {"n": cut}}}


def test_whatever_sectors_of_an_unacknowledged_write_are_missing_the_rest_is_there(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "acknowledged", {})])
    journal.flush()
    start = journal._file.used
    for n in range(9):
        journal.append([Put("t", str(n), {"text": "x" * (100 * n)})])
    journal.flush()
    journal.close()
    path = journal_file(directory)
    whole = path.read_bytes().rstrip(b"\0") + ZEROS
    sectors = range(start // 512, (len(whole) - len(ZEROS)) // 512 + 1)
    assert len(sectors) > 6
    for written in itertools.product([True, False], repeat=len(sectors)):
        data = bytearray(whole)
        for sector, is_written in zip(sectors, written, strict=True):
            if not is_written:
                first = max(sector * 512, start)
                data[first : sector * 512 + 512] = bytes(sector * 512 + 512 - first)
        path.write_bytes(data)
        ids = list(contents(directory)["t"])
        assert ids == ["acknowledged", *map(str, range(len(ids) - 1))]


def flips(data: bytes) -> Iterator[tuple[int, bytes]]:
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bit, bytes(flipped)


def assert_every_flip_is_refused_or_harmless(directory: Path, path: Path, data: bytes, expected: Tables) -> None:
    refused = 0
    for bit, flipped in flips(data):
        path.write_bytes(flipped)
        try:
            assert contents(directory) == expected, bit
        except StoreDamaged:
            refused += 1
        for file in directory.iterdir():
            assert not file.name.endswith(".damaged")
    assert refused > len(data) * 8 * 0.8


def test_every_flipped_bit_of_a_journal_is_refused_or_harmless(directory: Path) -> None:
    states = write_small_store(directory)
    path = journal_file(directory)
    used = path.read_bytes().rstrip(b"\0")
    assert_every_flip_is_refused_or_harmless(directory, path, used + bytes(9), states[-1])


def test_every_flipped_bit_of_a_snapshot_is_refused_or_harmless(directory: Path) -> None:
    states = write_small_store(directory, compact_min_bytes=200, compact_ratio=0)
    (path,) = directory.glob("snapshot-*")
    assert_every_flip_is_refused_or_harmless(directory, path, path.read_bytes(), states[-1])


@pytest.mark.parametrize("kind", ["journal", "snapshot"])
def test_no_bit_of_a_thousand_bytes_changes_what_is_read(directory: Path, kind: str) -> None:
    """In scripts/soak each, otherwise every eleventh: at each place in a byte."""
    journal = Journal(directory, compact_min_bytes=100 if kind == "snapshot" else 1 << 20, compact_ratio=0)
    journal.append([Put("t", str(n), {"n": n, "text": "x" * n}) for n in range(30)])
    for n in range(5):
        journal.append([Put("t", str(n), {"n": n, "text": "y"}, {"text": "y"}), Put("t", str(29 - n), None)])
    journal.flush()
    journal.close()
    (path,) = [path for path in directory.glob(f"{kind}-*") if path.stat().st_size > 1000]
    data = path.read_bytes().rstrip(b"\0")
    assert len(data) >= 1000
    refused = 0
    for bit in range(0, 8000, 1 if SOAK else 11):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            assert contents(directory) == {"t": journal.tables["t"]}, bit
        except StoreDamaged:
            refused += 1
    assert refused > 0.8 * 8000 / (1 if SOAK else 11)


def test_damage_is_refused_with_the_place_and_the_remedy(directory: Path) -> None:
    write_small_store(directory)
    path = journal_file(directory)
    data = path.read_bytes()
    byte = data.index(b'[2,1,[["t","a"') - 18
    path.write_bytes(data.replace(b'"n":3', b'"n":4', 1))
    with pytest.raises(StoreDamaged, match="--recover") as caught:
        Journal(directory)
    assert isinstance(caught.value, Damaged) and caught.value.code == "store_damaged"
    assert caught.value.detail == {"file": str(path), "byte": byte}
    assert str(path) in caught.value.message and f"byte {byte}" in caught.value.message
    # Refusing touches nothing and lets the directory go.
    assert path.read_bytes() == data.replace(b'"n":3', b'"n":4', 1)


def test_a_hole_before_what_was_acknowledged_later_is_damage_and_no_torn_tail(directory: Path) -> None:
    journal = Journal(directory)
    for n in range(20):
        journal.append([Put("t", str(n), {"text": "x" * 100})])
        journal.flush()
    journal.close()
    path = journal_file(directory)
    data = path.read_bytes()
    for sector in (0, 512, 1024):
        path.write_bytes(data[:sector] + bytes(512) + data[sector + 512 :])
        with pytest.raises(StoreDamaged):
            Journal(directory)


def test_a_hole_in_the_header_is_damage_when_a_record_is_there(directory: Path) -> None:
    journal = Journal(directory)
    for n in range(3):
        journal.append([Put("t", str(n), {"text": "x" * 400})])
    journal.close()
    path = journal_file(directory)
    path.write_bytes(bytes(512) + path.read_bytes()[512:])
    with pytest.raises(StoreDamaged):
        Journal(directory)


@pytest.mark.parametrize("change", ["nothing left", "torn", "a record less"])
def test_an_older_journal_must_be_complete(directory: Path, monkeypatch, change: str) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", _no_rename)
        write_small_store(directory, compact_min_bytes=0, compact_ratio=0)
    older, newer = directory / "journal-00000001.jsonl", directory / "journal-00000002.jsonl"
    data = older.read_bytes()
    keep = {"nothing left": 0, "torn": data.rindex(b"\n") - 9, "a record less": data.index(b"\n") + 1}[change]
    older.write_bytes(data[:keep] + ZEROS)
    with pytest.raises(StoreDamaged) as caught:
        Journal(directory)
    assert caught.value.detail["file"] == str(newer if change == "a record less" else older)


def test_what_was_torn_is_gone_from_the_file(directory: Path) -> None:
    write_small_store(directory)
    path = journal_file(directory)
    good = path.read_bytes().rstrip(b"\0")
    path.write_bytes(good + b"00000000 00100000 " + b"x" * 500_000)
    contents(directory)
    assert path.read_bytes() == good


def test_a_missing_file_is_damage(directory: Path, tmp_path: Path) -> None:
    write_small_store(directory, compact_min_bytes=200, compact_ratio=0)
    for path in [*directory.glob("journal-*"), *directory.glob("snapshot-*")]:
        aside = tmp_path / "aside"
        path.rename(aside)
        with pytest.raises(StoreDamaged):
            Journal(directory)
        aside.rename(path)
    contents(directory)


def test_a_record_that_skips_a_number_is_damage(directory: Path) -> None:
    write_small_store(directory)
    path = journal_file(directory)
    path.write_bytes(path.read_bytes().rstrip(b"\0") + frame([9, 4, []]))
    with pytest.raises(StoreDamaged, match="does not follow change 4"):
        Journal(directory)


def test_recover_keeps_everything_before_the_damage(directory: Path) -> None:
    states = write_small_store(directory)
    path = journal_file(directory)
    data = path.read_bytes().replace(b'"delete"', b'"deleto"', 1)
    path.write_bytes(data)
    journal = Journal(directory, recover=True)
    assert journal.tables == states[2]
    assert journal.recovered == [path.name + ".damaged"]
    assert (directory / journal.recovered[0]).read_bytes() == data
    journal.append([Put("t", "after", {})])
    journal.close()
    assert contents(directory) == {"t": {**states[2]["t"], "after": {}}}
    assert (directory / journal.recovered[0]).exists()


def test_recover_sets_aside_what_comes_after_the_damaged_journal(directory: Path, monkeypatch) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", _no_rename)
        states = write_small_store(directory, compact_min_bytes=0, compact_ratio=0)
    second = directory / "journal-00000001.jsonl"
    second.write_bytes(second.read_bytes().replace(b'"n":3', b'"n":4', 1))
    with pytest.raises(StoreDamaged):
        Journal(directory)
    journal = Journal(directory, recover=True)
    assert journal.tables == states[1]
    assert journal.recovered == [f"journal-0000000{n}.jsonl.damaged" for n in (1, 2, 3, 4, 5)]
    journal.close()
    assert contents(directory) == states[1]


def _no_rename(self: Path, target: Path) -> Path:
    raise OSError("no snapshot, please")


@pytest.mark.parametrize("lost", ["motet-snapshot", '"kept"', '"lost"', "documents"])
def test_recover_takes_what_can_be_read_of_a_damaged_snapshot(directory: Path, lost: str) -> None:
    journal = Journal(directory, compact_min_bytes=100, compact_ratio=0)
    journal.append([Put("t", "kept", {"n": 1}), Put("t", "lost", {"n": 1, "m": 1})])
    journal.flush()
    journal.flush()
    journal._compaction.join()
    journal.append([Put("t", "lost", {"n": 2, "m": 1}, {"n": 2}), Put("t", "new", {})])
    journal.close()
    (path,) = directory.glob("snapshot-*")
    path.write_bytes(path.read_bytes().replace(lost.encode(), lost.upper().encode()))
    with pytest.raises(StoreDamaged):
        Journal(directory)
    expected = {"kept": {"n": 1}, "lost": {"n": 2, "m": 1}, "new": {}}
    expected.pop(lost.strip('"'), None)
    recovered = Journal(directory, recover=True)
    assert recovered.tables == {"t": expected}
    assert recovered.recovered == [path.name + ".damaged"]
    assert recovered.lsn == 2
    recovered.close()
    assert contents(directory) == {"t": expected}


def test_recover_of_a_journal_that_is_gone_keeps_the_snapshot(directory: Path) -> None:
    states = write_small_store(directory, compact_min_bytes=200, compact_ratio=0)
    journal_file(directory).unlink()
    recovered = contents(directory, recover=True)
    assert recovered in states and recovered
    assert contents(directory) == recovered


def test_recover_changes_nothing_where_nothing_is_damaged(directory: Path) -> None:
    states = write_small_store(directory)
    journal = Journal(directory, recover=True)
    assert journal.recovered == [] and journal.tables == states[-1]
    journal.close()
    assert not list(directory.glob("*.damaged"))
