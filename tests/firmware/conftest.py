"""The interpreters with our firmware's module: built once, or a skip that says why they cannot be."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware.build import Missing, build
from tests.e2e.conftest import make_world, world

__all__ = ["make_world", "world"]

ROOT = Path(__file__).parents[2]
Run = Callable[..., str]


@pytest.fixture(scope="session", params=[64, 32], ids=["64 bits", "32 bits"])
def interpreter(request: pytest.FixtureRequest) -> Path:
    try:
        return build(request.param)
    except Missing as error:
        pytest.skip(f"NO FIRMWARE WITH {request.param} BITS WAS BUILT OR TESTED: {error}")


@pytest.fixture
def micropython(interpreter: Path) -> Run:
    """Runs a file of this folder in the firmware, the edge frozen in it; gives what it printed."""

    def run(script: str, *arguments: Any, heap: str = "1m", path: str = ".frozen") -> str:
        command = [interpreter, "-X", f"heapsize={heap}", Path(__file__).parent / script, *arguments]
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, "MICROPYPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout[-1000:] + done.stderr
        return done.stdout

    return run
