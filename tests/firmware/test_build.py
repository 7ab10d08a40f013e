"""Checkouts share a folder of builds, and each is tested with its own sources."""

import os
from pathlib import Path

from firmware.build import _key, copy_sources


def checkout(folder: Path, text: str) -> Path:
    for name in ("edge", "shared", "firmware"):
        (folder / name).mkdir(parents=True)
    (folder / "edge" / "main.py").write_text(text)
    os.utime(folder / "edge" / "main.py", (1, 1))  # as old as a checkout may be
    return folder


def test_a_change_reaches_the_build_however_old_its_file_is(tmp_path: Path) -> None:
    one, other = checkout(tmp_path / "one", "a = 1"), checkout(tmp_path / "other", "a = 2")
    built = tmp_path / "source" / "edge" / "main.py"
    copy_sources(tmp_path / "source", one)
    os.utime(built, (9, 9))
    copy_sources(tmp_path / "source", one)
    assert built.stat().st_mtime == 9  # nothing to build
    copy_sources(tmp_path / "source", other)
    assert built.read_text() == "a = 2"
    assert built.stat().st_mtime > 9


def test_a_file_that_is_gone_is_not_built(tmp_path: Path) -> None:
    one = checkout(tmp_path / "one", "a = 1")
    copy_sources(tmp_path / "source", one)
    (one / "edge" / "main.py").unlink()
    copy_sources(tmp_path / "source", one)
    assert not (tmp_path / "source" / "edge" / "main.py").exists()


def test_other_sources_are_another_build(tmp_path: Path) -> None:
    one, other = checkout(tmp_path / "one", "a = 1"), checkout(tmp_path / "other", "a = 1")
    assert _key(root=one) == _key(root=other)
    (other / "edge" / "main.py").rename(other / "edge" / "again.py")
    assert _key(root=one) != _key(root=other)
