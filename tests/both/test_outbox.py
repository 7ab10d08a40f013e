"""Results outlive everything but the hub's acknowledgement."""

import json
import os

import pytest

from edge import files
from edge.outbox import Outbox, encode


def payload(task, attempt):
    return encode({"task": task, "attempt": attempt, "ok": True, "outputs": [1], "text": "1\n"})


def fill(folder, *keys):
    outbox = Outbox(str(folder))
    for key in keys:
        assert outbox.put(*key, payload(*key))
    return outbox


def test_results_stay_until_they_are_dropped(tmp_path):
    outbox = fill(tmp_path / "a" / "b", ("t/1", 1), ("é", 2))
    assert outbox.keys() == [("t/1", 1), ("é", 2)]
    outbox.drop("t/1", 1)
    assert outbox.get("t/1", 1) is None
    assert json.loads(outbox.get("é", 2))["outputs"] == [1]


def test_a_restart_keeps_them_in_their_order(tmp_path):
    fill(tmp_path, ("c", 1), ("a", 1), ("b", 1)).drop("a", 1)
    again = Outbox(str(tmp_path))
    assert again.keys() == [("c", 1), ("b", 1)]
    assert again.get("b", 1) == payload("b", 1)
    again.put("d", 1, payload("d", 1))
    assert Outbox(str(tmp_path)).keys() == [("c", 1), ("b", 1), ("d", 1)]


def test_what_is_no_result_is_removed_at_boot(tmp_path):
    fill(tmp_path, ("a", 1))
    for name, content in (("00000009", b'{"task"'), ("zzz", b"{}"), ("0000000a", b"[]"), ("00000001.new", b"")):
        (tmp_path / name).write_bytes(content)
    assert Outbox(str(tmp_path)).keys() == [("a", 1)]
    assert os.listdir(str(tmp_path)) == ["00000001"]


def test_a_disk_that_refuses_loses_nothing(tmp_path, monkeypatch):
    outbox = fill(tmp_path)

    def refuse(path, data, sync=True):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write", refuse)
    assert outbox.put("a", 1, payload("a", 1)) is False
    assert outbox.keys() == [("a", 1)]
    assert outbox.get("a", 1) == payload("a", 1)
    outbox.drop("a", 1)
    assert outbox.get("a", 1) is None
    assert outbox.keys() == []


@pytest.mark.parametrize("fields", [{"text": "x" * 49152}, {"text": "é" * 30000}, {"outputs": [1] * 5000}])
def test_a_result_that_fits_no_message_is_a_failure(fields):
    short = json.loads(encode(dict(fields, task="t", attempt=3, ok=True)))
    assert (short["task"], short["attempt"], short["ok"]) == ("t", 3, False)
    assert short["error"]["code"] == "output_limit"


def test_a_board_has_a_smaller_limit():
    fields = {"task": "t", "attempt": 3, "ok": True, "text": "x" * 9000}
    assert json.loads(encode(fields))["ok"] is True
    assert json.loads(encode(fields, 8192))["error"]["code"] == "output_limit"


def test_a_file_is_old_or_new(tmp_path, monkeypatch):
    path = str(tmp_path / "f")
    files.write(path, b"old")
    with monkeypatch.context() as patch:

        class System:
            @staticmethod
            def rename(old, new):
                raise OSError("power cut")

        patch.setattr(files, "os", System)
        with pytest.raises(OSError, match="power cut"):
            files.write(path, b"newer")
    assert files.read(path) == b"old"
    assert files.names(str(tmp_path)) == ["f"]
    files.write(path, b"new", sync=False)
    assert (files.read(path), files.size(path)) == (b"new", 3)
    files.remove(path)
    files.remove(path)
    assert (files.read(path), files.size(path)) == (None, 0)


def test_a_file_that_FAT_removed_and_did_not_yet_rename_is_found(tmp_path):
    (tmp_path / "f.new").write_bytes(b"new")
    assert files.read(str(tmp_path / "f")) == b"new"
    files.write(str(tmp_path / "f"), b"newer")
    assert files.read(str(tmp_path / "f")) == b"newer"


def test_two_names_of_one_file_go_together(tmp_path):
    """FAT leaves them when its rename is cut off. Before, nothing was said of that file to anyone."""
    for name in ("00000001", "00000002", "00000002.new", "00000003.new"):
        (tmp_path / name).write_bytes(b"x")
    assert files.names(str(tmp_path)) == ["00000001"]
    assert os.listdir(str(tmp_path)) == ["00000001"]
