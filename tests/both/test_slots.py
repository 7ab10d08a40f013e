"""Which slot of a board starts, and when the other one becomes the good one."""

import pytest

from edge.boot import motet_slots as slots


def boot(root):
    """The slot that a start has chosen."""
    return slots.choose(300, root)[len(root) :]


def folder(path):
    return str(path) + "/"


def test_without_a_note_the_first_one_starts(tmp_path):
    root = folder(tmp_path)
    assert boot(root) == "lib"
    assert slots.state(root) == ("", "")


def test_an_update_is_tried_once_and_stays_when_it_is_confirmed(tmp_path):
    root = folder(tmp_path)
    boot(root)
    assert slots.begin(root) == root + "lib2"
    slots.try_next("one", root)
    assert slots.state(root) == ("ready", "one")
    assert boot(root) == "lib2"
    assert slots.state(root) == ("on_trial", "one")
    slots.confirm(root)
    assert slots.state(root) == ("", "one")
    assert [boot(root), boot(root)] == ["lib2", "lib2"]
    # The next goes into the first slot.
    assert slots.begin(root) == root + "lib"
    slots.try_next("two", root)
    assert boot(root) == "lib"
    slots.confirm(root)
    assert boot(root) == "lib"


def test_one_that_was_not_confirmed_was_tried_for_the_last_time(tmp_path):
    root = folder(tmp_path)
    boot(root)
    slots.try_next("one", root)
    assert [boot(root), boot(root), boot(root)] == ["lib2", "lib", "lib"]
    assert slots.state(root) == ("failed", "one")
    slots.confirm(root)  # there is nothing to confirm
    assert slots.state(root) == ("failed", "one")
    slots.try_next("two", root)
    assert boot(root) == "lib2"


def test_a_slot_that_is_being_filled_does_not_start(tmp_path):
    root = folder(tmp_path)
    boot(root)
    slots.try_next("one", root)
    slots.begin(root)
    assert boot(root) == "lib"


def test_an_edge_on_trial_has_no_other_slot_to_fill(tmp_path):
    root = folder(tmp_path)
    boot(root)
    slots.try_next("one", root)
    boot(root)
    with pytest.raises(OSError):
        slots.begin(root)


def test_of_two_notes_a_damaged_one_does_not_count(tmp_path):
    root = folder(tmp_path)
    boot(root)
    slots.try_next("one", root)
    boot(root)
    slots.confirm(root)
    good = slots.read(root)
    for name in slots.NOTES:
        with open(root + name, "rb") as file:
            whole = file.read()
        for damage in (b"", whole[:-1], b"\0" * slots.SIZE, whole[:9] + b"9" + whole[10:]):
            with open(root + name, "wb") as file:
                file.write(damage)
            number, _, _, _ = slots.read(root)
            assert number in (good[0], good[0] - 1)
        with open(root + name, "wb") as file:
            file.write(whole)
    assert slots.read(root) == good


def test_a_note_that_cannot_be_written_tries_nothing(tmp_path, monkeypatch):
    root = folder(tmp_path)
    boot(root)
    slots.try_next("one", root)

    def full(*what):
        raise OSError(28)

    monkeypatch.setattr(slots, "write", full)
    assert boot(root) == "lib"
