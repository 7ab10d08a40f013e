"""What a journal promises while nothing goes wrong."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hub.core.model import Put
from hub.store.journal import Journal, StoreBusy, StoreFailed
from hub.store.records import Tables
from shared.errors import Unavailable


def contents(directory: Path) -> Tables:
    journal = Journal(directory)
    journal.close()
    return dict(journal.tables)


def patch(id: str, document: dict, *changed: str) -> Put:
    return Put("tasks", id, document, {name: document[name] for name in changed})


def test_changes_are_there_after_reopening(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("tasks", "a", {"n": 1}), Put("jobs", "j", {"tasks": ["a"]})])
    journal.append([Put("tasks", "b", {"n": 2})])
    journal.append([Put("tasks", "a", None)])
    journal.close()
    reopened = Journal(directory)
    assert reopened.tables == {"tasks": {"b": {"n": 2}}, "jobs": {"j": {"tasks": ["a"]}}}
    assert reopened.lsn == reopened.durable == 3
    reopened.close()


def test_append_changes_memory_at_once_and_the_disk_at_flush(directory: Path, crashed) -> None:
    journal = Journal(directory)
    assert journal.append([Put("tasks", "a", {"n": 1})]) == 1
    assert journal.tables["tasks"]["a"] == {"n": 1}
    assert (journal.lsn, journal.durable) == (1, 0)
    before = Journal(crashed(journal))
    assert before.tables == {}
    assert journal.flush() == 1 == journal.durable
    after = Journal(crashed(journal))
    assert after.tables == {"tasks": {"a": {"n": 1}}}
    for opened in (journal, before, after):
        opened.close()


def test_one_append_is_one_number_and_nothing_is_none(directory: Path) -> None:
    journal = Journal(directory)
    assert journal.append([Put("t", str(n), {}) for n in range(5)]) == 1
    assert journal.append([]) == 1
    assert journal.append([Put("t", "unknown", None)]) == 2
    journal.close()


def test_what_is_journalled_is_what_the_document_said_at_append(directory: Path) -> None:
    journal = Journal(directory)
    document = {"list": [1]}
    journal.append([Put("t", "a", document)])
    document["list"].append(2)
    journal.close()
    assert contents(directory)["t"]["a"] == {"list": [1]}


def test_a_patch_writes_the_changed_fields_only(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("tasks", "a", {"state": "pending", "spec": "x" * 1000})])
    journal.flush()
    before = journal._file.used
    journal.append([patch("a", {"state": "running", "spec": "x" * 1000, "proplet": "p"}, "state", "proplet")])
    journal.flush()
    assert journal._file.used - before < 120
    journal.close()
    assert contents(directory)["tasks"]["a"] == {"state": "running", "spec": "x" * 1000, "proplet": "p"}


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ([Put("tasks", "a", {"x": 1, "y": 2})], [Put("tasks", "a", {"x": 1})]),
        ([], [patch("a", {"x": 1, "y": 2}, "x")]),
        ([Put("tasks", "a", {"x": 1})], [Put("tasks", "a", None), patch("a", {"x": 5, "y": 6}, "y")]),
        ([Put("tasks", "a", {"x": 1})], [patch("a", {"x": 2}, "x"), patch("a", {"x": 2, "y": 3}, "y")]),
        ([], [Put("tasks", "a", {"x": 1}), patch("a", {"x": 1, "y": 3}, "y"), Put("tasks", "b", {})]),
    ],
    ids=["removes a field", "of an unknown document", "of one just deleted", "twice", "of one just created"],
)
def test_a_patch_that_would_not_say_all_is_written_whole(directory: Path, first: list[Put], then: list[Put]) -> None:
    journal = Journal(directory)
    journal.append(first)
    journal.append(then)
    expected = {name: dict(table) for name, table in journal.tables.items()}
    journal.close()
    assert contents(directory) == expected


def test_documents_keep_their_order_of_creation(directory: Path) -> None:
    journal = Journal(directory, compact_min_bytes=0, compact_ratio=0)
    for id in ("c", "a", "b"):
        journal.append([Put("t", id, {"n": 0})])
    journal.append([Put("t", "c", {"n": 1}, {"n": 1})])
    journal.close()
    assert list(contents(directory)["t"]) == ["c", "a", "b"]


def test_a_table_stays_the_same_object(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "a", {})])
    table = journal.tables["t"]
    journal.append([Put("t", "a", None)])
    journal.append([Put("t", "b", {})])
    assert journal.tables["t"] is table
    journal.close()


@pytest.mark.parametrize("bad", [object(), "\ud800", {1, (2, 3j)}], ids=["object", "surrogate", "complex"])
def test_what_is_not_json_is_refused_and_changes_nothing(directory: Path, bad: object) -> None:
    journal = Journal(directory)
    with pytest.raises((TypeError, ValueError)):
        journal.append([Put("t", "good", {"x": 1}), Put("t", "bad", {"x": bad})])
    assert journal.tables == {} and journal.lsn == 0
    journal.append([Put("t", "a", {})])
    journal.close()
    assert contents(directory) == {"t": {"a": {}}}


def test_values_survive_exactly(directory: Path) -> None:
    document = {
        "int": [0, -1, 2**63, 2**64 - 1, -(2**63), 2**70],
        "float": [0.1, -0.0, 1e308, 5e-324, 1.0],
        "text": "grüße \x00\x1f\n\u2028\U0001f600",
        "nested": {"": [[], {}, None, True, False]},
    }
    journal = Journal(directory)
    journal.append([Put("t\n", "ä", document)])
    journal.close()
    assert repr(contents(directory)) == repr({"t\n": {"ä": document}})


def test_the_file_is_lines_that_people_can_read(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("tasks", "a", {"n": 1}), Put("tasks", "b", None)])
    journal.close()
    text = (directory / "journal-00000000.jsonl").read_text().rstrip("\0")
    header, record = (json.loads(line[18:]) for line in text.splitlines())
    assert header == {"format": "motet-journal/1", "lsn": 0}
    assert record == [1, 0, [["tasks", "a", "set", {"n": 1}], ["tasks", "b", "delete"]]]


def test_compaction_leaves_one_snapshot_and_one_journal(directory: Path) -> None:
    journal = Journal(directory, compact_min_bytes=2000, compact_ratio=0.5)
    for n in range(200):
        journal.append([Put("t", str(n % 20), {"n": n, "text": "x" * 50})])
        journal.flush()
    journal.close()
    names = sorted(path.name.partition("-")[0] for path in directory.iterdir())
    assert names == ["LOCK", "journal", "snapshot"]
    assert sum(path.stat().st_size for path in directory.glob("snapshot-*")) < 5000
    reopened = Journal(directory)
    assert reopened.lsn == 200
    assert reopened.tables["t"] == {str(n % 20): {"n": n, "text": "x" * 50} for n in range(180, 200)}
    reopened.close()


def test_no_descriptor_is_left_open(directory: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    journal = Journal(directory, compact_min_bytes=0, compact_ratio=0)
    for n in range(9):
        journal.append([Put("t", str(n), {})])
        journal.flush()
        if journal._compaction:
            journal._compaction.join()
    assert journal._generation > 5
    journal.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_snapshot_that_a_crash_left_unfinished_is_removed(directory: Path) -> None:
    Journal(directory).close()
    unfinished = directory / "snapshot-00000001.tmp"
    unfinished.write_bytes(b"half")
    Journal(directory).close()
    assert not unfinished.exists()


def test_no_other_user_can_read_it(directory: Path) -> None:
    journal = Journal(directory / "deep", compact_min_bytes=0, compact_ratio=0)
    journal.append([Put("t", "a", {})])
    journal.flush()
    journal.close()
    for path in (directory, directory / "deep", *(directory / "deep").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_directory_has_one_owner(directory: Path) -> None:
    journal = Journal(directory)
    with pytest.raises(StoreBusy, match=r"in use by another hub \(process \d+\)") as caught:
        Journal(directory)
    assert caught.value.code == "store_busy" and isinstance(caught.value, Unavailable)
    script = "import sys; from hub.store.journal import *; Journal(sys.argv[1])"
    other = subprocess.run([sys.executable, "-c", script, directory], capture_output=True, text=True)
    assert other.returncode == 1 and "StoreBusy" in other.stderr
    journal.close()
    Journal(directory).close()


def test_close_can_be_called_twice_and_ends_writing(directory: Path) -> None:
    journal = Journal(directory)
    journal.append([Put("t", "a", {})])
    journal.close()
    journal.close()
    with pytest.raises(StoreFailed) as caught:
        journal.append([Put("t", "b", {})])
    assert caught.value.code == "store_closed"
    with pytest.raises(StoreFailed):
        journal.flush()
    assert contents(directory) == {"t": {"a": {}}}


def test_a_snapshot_that_is_asked_for_is_begun_by_the_next_flush_once(directory):
    journal = Journal(directory)
    journal.append([Put("t", "a", {"x": 1})])
    journal.compact()
    journal.flush()
    assert journal.generation == 1
    journal.append([Put("t", "b", {"x": 1})])
    journal.flush()
    assert journal.generation == 1
    journal.close()
    assert Journal(directory).tables["t"] == {"a": {"x": 1}, "b": {"x": 1}}
