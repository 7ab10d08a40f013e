"""An instance gives back what it took, after a trap too."""

import os

from edge import call
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from tests.bench.modules import Port
from tests.bench.proc import rss_mb
from tests.edge import wasms

RUNS = 600
# What a process may allocate besides; 600 traps at the end of the stack have left 6 MB.
GROWTH_MB = 2.0
RECURSE = wasms.module(wasms.function("main", b"\x20\x00\x10\x00", (wasms.I32,), (wasms.I32,)), pages=1)


def test_a_recursion_that_traps_leaves_nothing_behind(capfd):
    engine = Library(wasm3_file())
    start = {"task": "t", "attempt": 1, "name": "main", "inputs": [0], "limits": {}}

    def grown(runs: int) -> float:
        before = rss_mb(os.getpid())
        for _ in range(runs):
            result = call.run(engine.load, start, RECURSE, Port(), lambda: None)
            assert result["error"]["code"] == "trap_stack"
        return rss_mb(os.getpid()) - before

    grown(RUNS // 4)
    assert grown(RUNS) < GROWTH_MB
