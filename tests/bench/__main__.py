"""The command: runs the benches one after the other and prints what came out."""

import argparse
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import broker, core, footprint, latency, modules, rivals, storm, throughput
from tests.bench.proc import Others
from tests.bench.report import Figure, machine, say, show, show_machine
from tests.bench.stage import Stage

BENCHES: dict[str, Callable[[Stage], Iterator[Figure]]] = {
    "core": core.transitions,
    "chains": core.chains,
    "rivals": rivals.overhead,
    "dispatch": latency.dispatch,
    "graph": latency.graph,
    "job": throughput.job,
    "posts": throughput.posts,
    "memory": footprint.memory,
    "start": footprint.start,
    "recovery": footprint.recovery,
    "ended": footprint.ended,
    "overhead": modules.overhead,
    "cold": modules.cold,
    "metering": modules.metering,
    "runs": modules.runs,
    "storm": storm.storm,
    "messages": broker.messages_up,
    "idle": broker.idle,
}
# Above this share of the machine, what others do is felt in the figures.
BUSY_PERCENT = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, metavar="NAME",
                        help=f"one of {', '.join(BENCHES)}; may be given again")  # fmt: skip
    parser.add_argument("--devices", type=int, default=1000, metavar="N", help="idle devices (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="motet-bench-") as folder:
        facts = machine(Path(folder))
        show_machine(facts)
        say()
        figures, busy, broken = _measure(options.only or list(BENCHES), Stage(Path(folder), options.devices))
    say()
    show(figures)
    say()
    say(f"{time.monotonic() - begin:.0f} s, load at the end {os.getloadavg()[0]:.2f}")
    if busy:
        say(f"The machine was busy with something else during {', '.join(busy)}: run these again with --only.")
    if options.json:
        document = {"machine": facts, "figures": [figure.document() for figure in figures], "busy": busy,
                    "broken": broken}  # fmt: skip
        options.json.write_text(json.dumps(document, indent=2) + "\n")
    if broken:
        sys.exit(f"broken: {', '.join(broken)}")


def _measure(names: list[str], stage: Stage) -> tuple[list[Figure], list[str], list[str]]:
    """All figures, the benches that others disturbed, and those that broke: the rest goes on without them."""
    figures: list[Figure] = []
    busy, broken = [], []
    for name in names:
        begin, others = time.monotonic(), Others()
        try:
            for figure in BENCHES[name](stage):
                figures.append(figure)  # noqa: PERF402  what came before a break counts
        except Exception:
            traceback.print_exc()
            broken.append(name)
        percent = others.percent()
        if percent > BUSY_PERCENT:
            busy.append(name)
        say(f"{name}: {time.monotonic() - begin:.0f} s, others took {percent:.0f} % of the machine")
    return figures, busy, broken


if __name__ == "__main__":
    main()
