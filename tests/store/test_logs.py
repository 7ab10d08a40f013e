"""Log lines in bounded memory and a file beside it."""

import os
import random

import pytest

from hub.store.logs import Logs
from hub.store.rings import LINE_BYTES, Bounds, Rings

BOUNDS = Bounds(lines=5, bytes_each=10_000, bytes_all=20_000)


def line(text: str) -> dict[str, str]:
    return {"text": text}


def texts(logs: Logs, key: str) -> list[str]:
    return [one["text"] for one in logs.page(key, 0, 1000)]


@pytest.fixture
def logs(tmp_path):
    logs = Logs(tmp_path, BOUNDS)
    yield logs
    logs.close()


# --- memory


def test_a_key_keeps_its_latest_lines_and_counts_those_that_went():
    rings = Rings(BOUNDS)
    for at in range(8):
        rings.add("a", b"%d" % at)
    assert rings.read("a") == [b"3", b"4", b"5", b"6", b"7"]
    assert rings.read("a", 1, 2) == [b"4", b"5"]
    assert rings.count("a") == (5, 3)
    assert rings.count("b") == (0, 0)


def test_a_key_is_bounded_in_bytes_and_a_line_that_is_too_long_leaves_nothing():
    rings = Rings(Bounds(lines=100, bytes_each=10 * LINE_BYTES + 100, bytes_all=10**6))
    for _ in range(50):
        rings.add("a", b"0123456789")
    assert 0 < len(rings.read("a")) < 50
    rings.add("a", b"x" * 5000)
    assert rings.read("a") == []


def test_together_they_are_bounded_and_who_has_been_silent_for_longest_makes_room():
    rings = Rings(Bounds(lines=100, bytes_each=2000, bytes_all=3000))
    for key in ("quiet", "busy", "busy", "busy", "new", "new"):
        rings.add(key, b"x" * 500)
    assert rings.read("quiet") == []
    assert (len(rings.read("busy")), len(rings.read("new"))) == (3, 2)


def test_the_bounds_hold_whatever_is_added_and_forgotten():
    chance = random.Random(1)
    bounds = Bounds(lines=7, bytes_each=3000, bytes_all=8000)
    rings = Rings(bounds)
    for _ in range(3000):
        key = f"k{chance.randrange(12)}"
        if chance.random() < 0.05:
            rings.forget(key)
        else:
            rings.add(key, b"x" * chance.randrange(1500))
        sizes: dict[str, list[int]] = {}
        for one, content in rings.items():
            sizes.setdefault(one, []).append(len(content) + LINE_BYTES)
        assert all(len(one) <= bounds.lines and sum(one) <= bounds.bytes_each for one in sizes.values())
        assert sum(map(sum, sizes.values())) == rings._size <= bounds.bytes_all


# --- the file


def test_lines_survive_a_restart_in_their_order(tmp_path, logs):
    for at in range(3):
        logs.add("a", line(f"a{at}"))
        logs.add("b", line("ünïcode \u2028 and\nlines"))
    logs.flush()
    again = Logs(tmp_path, BOUNDS)
    assert texts(again, "a") == ["a0", "a1", "a2"]
    assert texts(again, "b") == ["ünïcode \u2028 and\nlines"] * 3
    again.close()


def test_what_was_forgotten_stays_forgotten_and_the_name_can_be_used_again(tmp_path, logs):
    logs.add("a", line("old"))
    logs.forget("a")
    logs.forget("never")
    logs.add("a", line("new"))
    logs.flush()
    again = Logs(tmp_path, BOUNDS)
    assert texts(again, "a") == ["new"]
    again.close()


def test_the_file_is_bounded_and_the_next_one_begins_with_what_memory_holds(tmp_path, logs):
    for at in range(2000):
        logs.add(f"k{at % 4}", line(f"{at} " + "x" * 100))
        if at % 10 == 0:
            logs.flush()
    logs.flush()
    (file,) = tmp_path.iterdir()
    assert file.name != "lines-00000001.jsonl"
    assert file.stat().st_size < 3 * BOUNDS.bytes_all
    again = Logs(tmp_path, BOUNDS)
    for key in ("k0", "k1", "k2", "k3"):
        assert texts(again, key) == texts(logs, key)
    again.close()


def test_a_crash_while_the_next_file_begins_leaves_one_of_the_two(tmp_path):
    first = Logs(tmp_path, BOUNDS)
    first.add("a", line("kept"))
    first.close()
    (tmp_path / "lines-00000002.tmp").write_bytes(b'["a",{"text":"unfinished')
    second = Logs(tmp_path, BOUNDS)
    assert texts(second, "a") == ["kept"]
    second.close()
    (tmp_path / "lines-00000002.jsonl").write_bytes(b'["a",{"text":"newer"}]\n')
    third = Logs(tmp_path, BOUNDS)
    assert texts(third, "a") == ["newer"]
    third.close()
    assert not (tmp_path / "lines-00000001.jsonl").exists()


@pytest.mark.parametrize(
    "damage", [b"", b"\0\0\0\n", b"[]\n", b'["a",5]\n', b'{"a": 1}\n', b"\xff\xfe\n", b'["a",{"te']
)
def test_what_is_damaged_is_passed_over_and_takes_nothing_with_it(tmp_path, damage):
    path = tmp_path / "lines-00000001.jsonl"
    path.write_bytes(b'["a",{"text":"before"}]\n' + damage)
    logs = Logs(tmp_path, BOUNDS)
    logs.add("a", line("after"))
    logs.close()
    again = Logs(tmp_path, BOUNDS)
    assert texts(again, "a") == ["before", "after"]
    again.close()


def test_a_disk_that_fails_costs_the_lines_on_it_and_says_so_once(tmp_path, logs, monkeypatch, caplog):
    def full(fd: int, data: bytes, offset: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hub.store.logs.write_all", full)
        for at in range(3):
            logs.add("a", line(str(at)))
            logs.flush()
    assert texts(logs, "a") == ["0", "1", "2"]
    assert caplog.text.count("are not kept") == 1
    logs.add("a", line("3"))
    logs.flush()
    again = Logs(tmp_path, BOUNDS)
    assert texts(again, "a") == ["3"]
    again.close()


def test_what_waits_for_a_disk_that_hangs_is_bounded(logs, monkeypatch):
    monkeypatch.setattr("hub.store.logs.PENDING_BYTES", 1000)
    for at in range(1000):
        logs.add("a", line(str(at)))
    assert sum(map(len, logs._pending)) < 1100


def test_only_the_hubs_user_can_read_them(tmp_path, logs):
    logs.add("a", line("x"))
    logs.flush()
    assert os.stat(tmp_path / "lines-00000001.jsonl").st_mode & 0o777 == 0o600
