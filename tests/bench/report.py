"""A measured figure beside what is asked for, and the table of them."""

import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """name is for machines (`latency.p50`), what for people. most or least is what is asked for, if anything is."""

    name: str
    what: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def asked(self) -> str:
        if self.most is not None:
            return f"≤ {_short(self.most)} {self.unit}"
        return "" if self.least is None else f"≥ {_short(self.least)} {self.unit}"

    @property
    def verdict(self) -> str:
        if self.most is None and self.least is None:
            return ""
        met = (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)
        return "ok" if met else "NOT MET"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so great a share of them does not exceed."""
    return sorted(values)[math.ceil(len(values) * share) - 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def _short(value: float) -> str:
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def say(line: str = "") -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def machine(folder: Path) -> dict[str, Any]:
    """What the figures depend on."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())  # fmt: skip
    return {
        "cores": os.cpu_count(),
        "cpu": model,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": find_spec("uvloop") is not None,
        "httptools": find_spec("httptools") is not None,
        "fdatasync_us": round(_fdatasync_us(folder)),
        "load": os.getloadavg()[0],
    }


def _fdatasync_us(folder: Path) -> float:
    """The median commit of 200 bytes into a file that has the room: the floor under every durable change."""
    took = []
    descriptor = os.open(folder / "probe", os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(descriptor, bytes(1 << 20), 0)
        os.fsync(descriptor)
        for at in range(200):
            start = time.perf_counter()
            os.pwrite(descriptor, b"x" * 200, at * 200)
            os.fdatasync(descriptor)
            took.append(time.perf_counter() - start)
    finally:
        os.close(descriptor)
    return median(took) * 1e6


def show_machine(facts: dict[str, Any]) -> None:
    fast = [name for name in ("uvloop", "httptools") if facts[name]]
    say(f"{facts['cores']} cores, {facts['cpu']}, Linux {facts['kernel']}")
    say(f"Python {facts['python']}, {' and '.join(fast) or 'without uvloop and httptools'}; "
        f"a commit to the disk takes {facts['fdatasync_us']} us; load {facts['load']:.2f}")  # fmt: skip


def show(figures: Sequence[Figure]) -> None:
    rows = [("what", "measured", "asked for", "", "")]
    rows += [(f.what, f"{_short(f.value)} {f.unit}", f.asked, f.verdict, f.note) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        what, measured, asked, verdict = (text.ljust(width) for text, width in zip(row, widths, strict=False))
        say(f"{what}  {measured}  {asked}  {verdict}  {row[4]}".rstrip())
