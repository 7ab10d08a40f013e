"""A test that does not end ends the run of its process, with its name, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.world import Child

ROOT = Path(__file__).parent.parent
# Nobody waits for what sleeps below: it is there to be killed, and outlives its parent unless it is.
HANGING = """
import asyncio, subprocess, tests.conftest

tests.conftest.LIMIT_S = 1.0

async def stays():
    while True:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass

async def test_running():
    child = subprocess.Popen(["sleep", "1000"])
    print("child:", child.pid, file=tests.conftest.stderr, flush=True)
    await asyncio.Event().wait()

async def test_torn_down():
    task = asyncio.create_task(stays())
    await asyncio.sleep(0)
    raise AssertionError
"""


@pytest.mark.parametrize(("name", "waits_in"), [("running", "asyncio.Event().wait()"), ("torn_down", "asyncio.sleep")])
def test_it_is_named_with_what_it_waits_for(name, waits_in, tmp_path):
    (tmp_path / "test_it.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:xdist", "-c", "pyproject.toml",
               str(tmp_path), "-k", name]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"test_{name} has not ended within 1 s" in done.stderr
    assert f"await {waits_in}" in done.stderr and "in _run_once" in done.stderr
    children = [line for line in done.stderr.splitlines() if line.startswith("child: ")]
    assert len(children) == (name == "running")
    assert not any(psutil.pid_exists(int(line.split()[1])) for line in children)


FAMILY = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
print(f"child {child.pid}.", flush=True)
time.sleep(%s)
"""


@pytest.mark.parametrize(("lives_s", "why"), [(1000, "did not end"), (0, "a child of it holds its output")])
def test_a_process_whose_output_does_not_end_fails_the_test_that_stops_it(lives_s, why, tmp_path):
    parent = Child([sys.executable, "-c", FAMILY % lives_s], tmp_path, {})
    child = psutil.Process(int(parent.line(r"child (\d+)\.")[1]))
    try:
        if not lives_s:
            parent.child.wait(timeout=10)
        with pytest.raises(AssertionError, match=why):
            parent.stop(timeout=0.2)
        assert parent.child.poll() is not None
        if lives_s:
            child.wait(timeout=5)
    finally:
        if child.is_running():
            child.kill()
