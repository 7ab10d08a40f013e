"""For tests of one's own: a hub and an edge in process, without ports, processes or waiting.

def test_sums():
    with Hub() as hub:
        hub.on("a", lambda x, y: x + y)
        wf = Workflow()
        wf.task("a", module=MODULE, inputs=[1, 2])
        assert hub.client().run(wf).node_results["a"].result == 3
"""

from motet.testing.clock import Clock
from motet.testing.edge import MODULE, Gate
from motet.testing.hub import AsyncHub, Hub
from shared.errors import TaskFailure

__all__ = ["MODULE", "AsyncHub", "Clock", "Gate", "Hub", "TaskFailure"]
