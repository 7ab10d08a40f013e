"""A result on the disk of Linux. Other tests of the outbox are in tests/both."""

import os

from edge import files
from tests.both.test_outbox import fill


def test_a_result_is_on_the_disk_under_its_name_before_put_returns(tmp_path, monkeypatch):
    steps = []
    rename = os.rename

    def note(fd):
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")

    monkeypatch.setattr(files, "fsync", note)
    monkeypatch.setattr(os, "rename", lambda old, new: (steps.append("rename"), rename(old, new)))
    fill(tmp_path, ("a", 1))
    assert steps == ["file", "rename", "folder"]
