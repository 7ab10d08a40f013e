"""One line on this device, for a person at its REPL."""

from edge import main
from edge.clock import now_ms
from shared import VERSION


def line() -> str:
    """For example "edge roof 0.1.0: connected to the hub, 1 of 1 tasks run, 0 results wait, 61 KiB free, up 93 s"."""
    free = "%d KiB free" % (main.platform.memory()[0] // 1024)  # type: ignore[attr-defined]
    edge = main.current
    if edge is None:
        return "edge %s: not started, %s" % (VERSION, free)
    agent = edge.agent
    return "edge %s %s: %s the hub, %d of %d tasks run, %d results wait, %s, up %d s" % (
        edge.link.device,
        VERSION,
        "connected to" if agent.welcomed else "looking for",
        len(agent.running()),
        agent.slots,
        len(agent.outbox),
        free,
        (now_ms() - edge.booted_ms) // 1000,
    )
