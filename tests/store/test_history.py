"""The history of ended runs: units are written, found, listed and removed as a whole, whatever comes in between."""

import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hub.core.model import ATTEMPTS, JOBS, MOVES, TASKS, WORKFLOWS, Put
from hub.store.disk import StoreFailed
from hub.store.history import NAME, History, hidden_in
from hub.store.journal import Journal
from hub.store.moment import look
from hub.store.recovery import look as look_at_store
from hub.store.sqlite import HistoryDamaged, set_aside
from tests.effort import effort


def task(seq: int, **more: Any) -> dict[str, Any]:
    return {"id": f"t{seq}", "seq": seq, "state": 3, "name": "main", **more}


def one(seq: int, **more: Any) -> dict[str, dict[str, Any]]:
    return {TASKS: {f"t{seq}": task(seq, **more)}}


def workflow(seq: int, *tasks: dict[str, Any]) -> dict[str, dict[str, Any]]:
    group = {"id": f"w{seq}", "seq": seq, "state": 3, "name": "wf"}
    return {WORKFLOWS: {group["id"]: group}, TASKS: {doc["id"]: doc for doc in tasks}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
def history(path: Path):
    history = History(path)
    yield history
    history.close()


def test_a_unit_is_found_whole_by_any_of_its_ids(history):
    unit = workflow(1, task(2), task(3, attempt=11)) | {ATTEMPTS: {"t3/1": {"id": "t3/1", "number": 1}}}
    history.add({7: unit, 8: one(4)}, 1.0)
    assert history.find({TASKS: ["t3"]}) == {7: unit}
    assert history.find({WORKFLOWS: ["w1"]}) == {7: unit}
    assert history.find({TASKS: ["t4", "t2", "t3", "none"]}) == {7: unit, 8: one(4)}
    assert history.find({JOBS: ["w1"], TASKS: ["none"]}) == {}


def test_what_was_added_is_there_after_a_new_start_and_is_counted(history, path):
    history.add({7: workflow(1, task(2)), 8: one(4)}, 1.0)
    history.add({9: {JOBS: {"j": {"id": "j", "seq": 9, "state": 4}}, TASKS: {"t10": task(10)}}}, 1.0)
    history.close()
    again = History(path)
    assert (again.tasks, again.workflows, again.jobs) == (3, 1, 1) == (history.tasks, history.workflows, history.jobs)
    assert [number for number, _ in again.units()] == [7, 8, 9]
    again.close()


def test_a_unit_that_is_written_again_is_there_once(history):
    history.add({7: one(2)}, 1.0)
    history.add({7: one(2, name="changed"), 8: one(3)}, 1.0)
    assert history.find({TASKS: ["t2"]}) == {7: one(2, name="changed")}
    assert history.tasks == 2


def test_units_are_removed_by_their_numbers_with_all_that_belongs_to_them(history):
    history.add({number: workflow(10 * number, task(10 * number + 1)) for number in range(1, 6)}, 1.0)
    history.remove({2: 3, 5: 5, 9: 12})
    assert [number for number, _ in history.units()] == [1, 4]
    assert (history.tasks, history.workflows) == (2, 2)
    assert list(history.seqs(TASKS, {}, {})) == [11, 41]
    assert len(history.docs(range(100))) == 4


def test_tasks_are_listed_by_creation_and_by_what_they_are(history):
    history.add({1: one(5, state=4, user_id="u"), 2: one(3, name="other"), 3: one(9, metadata={"site": "north"})}, 1.0)
    history.add({4: one(7, metadata={"site": "south"})}, 1.0)
    assert list(history.seqs(TASKS, {}, {})) == [3, 5, 7, 9]
    assert list(history.seqs(TASKS, {"state": 4}, {})) == [5]
    assert list(history.seqs(TASKS, {"state": (4, 3), "name": "main"}, {})) == [5, 7, 9]
    assert list(history.seqs(TASKS, {"user_id": "u"}, {})) == [5]
    assert list(history.seqs(TASKS, {}, {2: 3})) == [5, 7]
    assert list(history.seqs(TASKS, {}, {}, lambda metadata: metadata["site"] == "north")) == [9]
    assert [doc["id"] for doc in history.docs([9, 3])] == ["t9", "t3"]


def test_a_list_is_of_what_there_is_now(history):
    history.add({1: one(1), 2: one(2)}, 1.0)
    assert list(history.seqs(TASKS, {}, {})) == list(history.seqs(TASKS, {}, {})) == [1, 2]
    assert list(history.seqs(TASKS, {}, {2: 2})) == [1]
    history.add({3: one(3)}, 1.0)
    assert list(history.seqs(TASKS, {}, {})) == [1, 2, 3]
    history.remove({1: 1})
    assert list(history.seqs(TASKS, {}, {})) == [2, 3]


def test_groups_are_listed_by_their_state(history):
    history.add({1: workflow(1, task(2)), 2: {JOBS: {"j": {"id": "j", "seq": 3, "state": 6}}}}, 1.0)
    assert list(history.seqs(WORKFLOWS, {}, {})) == [1]
    assert list(history.seqs(JOBS, {"state": (4, 6)}, {})) == [3]
    assert list(history.seqs(JOBS, {"state": (3,)}, {})) == []


def test_the_oldest_units_are_those_that_came_first_with_what_their_end_needs(history):
    history.add({1: one(9, module="m", attempt=2), 2: one(3)}, 10.0)
    history.add({3: one(4, origin={"type": "schedule", "id": "x"}, attempt=1)}, 20.0)
    first, second = history.oldest(2)
    assert (first.number, first.modules, first.attempts, second.number) == (1, ["m"], [("t9", 2)], 2)
    assert [kept.number for kept in history.oldest(9, before=15.0)] == [1, 2]
    assert history.oldest(9)[2].attempts == [], "no firing comes again under its id"
    assert history.modules() == {"m": 1}


def test_room_that_was_freed_is_used_again(history):
    for number in range(1, 20):
        history.add({number: one(number, results="x" * 20_000)}, 1.0)
    full = history.size_bytes
    history.remove({1: 15})
    assert history.size_bytes < full / 2
    for number in range(20, 35):
        history.add({number: one(number, results="x" * 20_000)}, 1.0)
    assert history.size_bytes < 1.1 * full
    assert history.path.stat().st_size <= 1.1 * full + 65536


def test_a_write_that_fails_leaves_all_as_it_was(history):
    history.add({1: one(1)}, 1.0)
    with pytest.raises(TypeError):
        history.add({2: one(2), 3: {TASKS: {"t3": task(3, results=object())}}}, 1.0)
    assert [number for number, _ in history.units()] == [1]
    assert history.tasks == 1
    history.add({2: one(2)}, 1.0)
    assert history.tasks == 2


def test_a_full_disk_is_said_to_be_one_and_passes(history):
    history.add({1: one(1)}, 1.0)
    pages = history._one("PRAGMA page_count")
    history._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreFailed) as caught:
        history.add({2: one(2, results="x" * 100_000)}, 1.0)
    assert caught.value.code == "disk_full"
    history._db.execute("PRAGMA max_page_count = 1000000")
    history.add({2: one(2, results="x" * 100_000)}, 1.0)
    assert history.tasks == 2


@pytest.mark.parametrize("content", [b"this is no database" * 400, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_history_is_refused_and_can_be_set_aside(path, content):
    path.write_bytes(content)
    with pytest.raises(HistoryDamaged) as caught:
        History(path)
    assert caught.value.code == "history_damaged" and "--recover" in caught.value.message
    assert set_aside(path) == "history.sqlite.damaged"
    History(path).close()


def test_a_page_that_was_changed_is_found_by_a_look(history, path):
    history.add({number: one(number, results="x" * 500) for number in range(1, 200)}, 1.0)
    assert history.faults() == []
    history.close()
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 3 * 4096 + 64] = b"\xff" * 64
    path.write_bytes(data)
    try:
        found = History(path).faults()
    except HistoryDamaged as damage:
        found = [damage.message]
    assert found


def test_a_newer_form_is_not_touched(path):
    History(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StoreFailed) as caught:
        History(path)
    assert caught.value.code == "newer_history"


def test_a_look_sees_the_store_and_the_history_of_one_moment_while_both_are_written(tmp_path):
    store = tmp_path / "store"
    journal, history = Journal(store), History(store / NAME)
    stop = threading.Event()

    def move_about() -> None:
        """A task goes to the history and comes back, again and again, as the archivist has it."""
        journal.append([Put(TASKS, "t1", task(1))])
        journal.flush()
        for number in itertools.count(2):
            if stop.is_set():
                return
            for puts in ([Put(MOVES, str(number), {"id": str(number), "seq": number})],
                         [Put(MOVES, str(number), None), Put(TASKS, "t1", None)]):  # fmt: skip
                journal.append(puts)
                journal.flush()
                if puts[0].doc is not None:
                    history.add({number: one(1)}, 1.0)
            mark = {"id": str(number), "seq": number}
            journal.append([Put(TASKS, "t1", task(1)), Put(MOVES, str(number), mark)])
            journal.flush()
            history.remove({number: number})
            journal.append([Put(MOVES, str(number), None)])
            journal.flush()

    mover = threading.Thread(target=move_about)
    mover.start()
    try:
        while not journal.durable:
            pass
        for _ in range(effort(300)):
            with look(store) as (tables, _, past):
                assert past is not None
                hidden = hidden_in(tables)
                copies = [number for number, _ in past.units(hidden)]
                assert ("t1" in tables[TASKS]) + len(copies) == 1, (tables, copies)
    finally:
        stop.set()
        mover.join()
    history.close()
    journal.close()


def test_what_moves_while_the_store_is_read_is_seen_once(tmp_path, monkeypatch):
    store = tmp_path / "store"
    journal, history = Journal(store), History(store / NAME)
    journal.append([Put(TASKS, "t1", task(1))])
    journal.flush()
    looks = 0

    def look_and_move(folder):
        """The task is in what was read of the store, and in the history before that is looked at."""
        nonlocal looks
        looks += 1
        found = look_at_store(folder)
        if looks == 1:
            history.add({2: one(1)}, 1.0)
            journal.append([Put(TASKS, "t1", None)])
            journal.flush()
        return found

    monkeypatch.setattr("hub.store.moment.look_at_store", look_and_move)
    with look(store) as (tables, _, past):
        assert (looks, TASKS in tables and "t1" in tables[TASKS], past.known(["t1"])) == (2, False, {"t1"})
    history.close()
    journal.close()


def test_a_copy_is_a_history_of_its_own(history, tmp_path):
    history.add({1: one(1)}, 1.0)
    history.copy_to(tmp_path / "copy.sqlite")
    history.remove({1: 1})
    copy = History(tmp_path / "copy.sqlite")
    assert copy.find({TASKS: ["t1"]}) == {1: one(1)}
    copy.close()
    assert sorted(file.name for file in tmp_path.glob("copy*")) == ["copy.sqlite"]


def test_only_the_owner_may_read_it(history, path):
    history.add({1: one(1)}, 1.0)
    for file in path.parent.glob("history*"):
        assert file.stat().st_mode & 0o077 == 0, file


_WRITER = """
import sys
from pathlib import Path
from hub.store.history import History
history = History(Path(sys.argv[1]))
for number in range(1, 100_000):
    unit = {"tasks": {f"t{number}-{at}": {"id": f"t{number}-{at}", "seq": 10 * number + at, "state": 3,
                                          "results": "x" * 700} for at in range(5)}}
    history.add({number: unit}, 1.0)
    if number > 50:
        history.remove({number - 50: number - 50})
    print(number, flush=True)
"""


@pytest.mark.parametrize("after_s", [0.02, 0.05, 0.11, 0.2])
def test_after_kill_9_every_unit_is_whole_and_what_was_acknowledged_is_there(path, after_s):
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    time.sleep(after_s)
    os.kill(child.pid, signal.SIGKILL)
    said = [int(line) for line in child.stdout.read().split()]
    child.wait()
    child.stdout.close()
    history = History(path)
    assert history.faults() == []
    found = dict(history.units())
    assert all(len(tables[TASKS]) == 5 for tables in found.values())
    if said:
        assert set(range(max(1, said[-1] - 48), said[-1] + 1)) <= set(found)
        assert len(found) <= 52
    history.close()
