"""The power cuts of tests/board/test_power.py with our firmware, whose file systems are of another MicroPython."""

from pathlib import Path

import pytest

from tests.board.test_power import KEPT, SYSTEMS, power_cuts


@pytest.mark.parametrize("interpreter", [32], indirect=True, ids=["32 bits"])
@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_power_cut_leaves_the_old_or_the_new(interpreter: Path, system: str, kept: str) -> None:
    assert power_cuts(interpreter, system, kept)["faults"] == []
