"""A power cut leaves what the edge keeps in files as it was or as it was to be, on LittleFS and on FAT.

tests.board.power has what is kept, tests.board.powercuts the cuts: at each operation of the device, half done or not.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.board.machine import MICROPYTHON, needs_micropython
from tests.e2e.world import ROOT
from tests.effort import SOAK

pytestmark = needs_micropython

SYSTEMS = ["lfs", "fat"]
KEPT = ["outbox", "seen", "config", "modules", "edge", "slots"]
# A fault of the edge: where it shows, and how.
FAULTS = [
    ("remove_first", "lfs", "seen", "-1, which is none of [0, 1]"),
    ("remove_first", "fat", "seen", "-1, which is none of [0, 1]"),
    ("half_written", "lfs", "seen", "-1, which is none of [0, 1]"),
    ("half_written", "fat", "seen", "-1, which is none of [0, 1]"),
    ("nothing_beside", "fat", "seen", "-1, which is none of [0, 1]"),
    ("second_name_removed", "fat", "outbox", "and when it has gone on ["),
    ("second_name_removed", "fat", "modules", "a module is another"),
    ("dropped_before_ack", "lfs", "edge", "is gone, and the hub has not written it down"),
    ("dropped_before_ack", "fat", "edge", "is gone, and the hub has not written it down"),
    ("filled_as_it_is", "lfs", "slots", "what starts is not whole"),
    ("filled_as_it_is", "fat", "slots", "what starts is not whole"),
    ("not_kept", "lfs", "edge", "is gone, and the hub has not written it down"),
]


def power_cuts(interpreter: str | Path, system: str, kept: str, mutation: str = "-", second: int = 0) -> Any:
    script = str(Path(__file__).parent / "power.py")
    done = subprocess.run(
        [str(interpreter), "-X", "heapsize=8m", script, system, kept, mutation, str(second)],
        env={"MICROPYPATH": f"{ROOT}:{ROOT / 'motet'}:{ROOT / 'edge' / 'boot'}:.frozen"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-1000:] + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_power_cut_leaves_the_old_or_the_new(system: str, kept: str) -> None:
    """After each tenth of the cuts, in scripts/soak after each, the power is cut again at each operation there."""
    found = power_cuts(str(MICROPYTHON), system, kept, second=1 if SOAK else 10)
    assert found["faults"] == []
    assert found["cuts"] > 50


@pytest.mark.parametrize(("mutation", "system", "kept", "words"), FAULTS)
def test_a_fault_of_the_edge_is_found(mutation: str, system: str, kept: str, words: str) -> None:
    found = power_cuts(str(MICROPYTHON), system, kept, mutation)
    assert any(words in fault for fault in found["faults"]), found["faults"]
