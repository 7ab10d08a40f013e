"""The runner on MicroPython itself: what CPython's tests cannot show, for there a loop takes no turn within a call."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.host import PRIVILEGED, functions
from tests.edge import wasms

HERE = Path(__file__).parent / "micropython"
ROOT = Path(__file__).parents[2]
# Beside the interpreter of this environment, where pip puts it.
MICROPYTHON = shutil.which("micropython", path=os.path.dirname(sys.executable))

pytestmark = pytest.mark.skipif(MICROPYTHON is None, reason="there is no wheel of MicroPython for this machine")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    module = tmp_path_factory.mktemp("micropython") / "module"
    module.write_bytes(wasms.METERED_LOOP)
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=512k", HERE / "runner.py", module],
        env={"MICROPYPATH": f"{HERE}:{ROOT}:.frozen"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout.splitlines()[-1])


def test_tasks_run_one_after_the_other(found):
    assert found["in_turn"] == [[7], [30]]


def test_the_rest_of_the_edge_lives_while_a_module_runs(found):
    assert found["longest_gap_ms"] < 200  # 20 to 30 on an idle machine; without turns it is 400


def test_a_stop_ends_what_runs(found):
    assert found["stopped"] == "cancelled"
    assert found["stop_ms"] < 200


def test_the_deadline_ends_what_runs(found):
    assert found["late"] == "timeout"


def test_a_function_that_is_not_there(found):
    assert found["nothing"] == "missing_export"


def test_close_ends_everything_without_a_word(found):
    assert found["after_close"] == []


def test_what_a_board_without_hardware_offers(found):
    assert found["caps"]["abi"] == ["call", "edge"]
    assert found["caps"]["host"] == sorted(name for name in functions() if name not in PRIVILEGED or name == "publish")
