"""Schemathesis throws at a hub what its own description allows, and what it does not: no answer is a fault."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import SOAK

CHECKS = "not_a_server_error,response_schema_conformance,status_code_conformance,content_type_conformance"
EXAMPLES = 100


@pytest.mark.skipif(not SOAK, reason="takes minutes and 60 MB of libraries: scripts/soak")
def test_no_request_brings_a_fault_or_an_answer_that_is_not_described(world):
    """A 5xx with which a hub says that it stops or cannot write does not come here: its disk has room."""
    world.start_edges("a")
    command = Path(sys.executable).with_name("schemathesis")
    done = subprocess.run(
        [command, "run", f"{world.url}/openapi.json", "--checks", CHECKS, "--max-examples", str(EXAMPLES),
         "--seed", "1", "--request-timeout", "10", "--exclude-path-regex", "events$", "--no-color"],
        capture_output=True, text=True, timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "generated" in done.stdout
    assert world.call("GET", "/health")["status"] == "pass"
    world.run("after", "main", "addition", [1, 2])
