"""What a board gets, compiled once for all tests."""

from pathlib import Path

import pytest

from tests.board.machine import build
from tests.e2e.conftest import make_world, world

__all__ = ["make_world", "world"]


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("board") / "lib")
