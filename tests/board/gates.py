"""The gates of a board's memory: the tests hold the edge to them, and the README's table is made of them.

Objects of a MicroPython with 8-byte words are 1.8 times those of a board's, so its gates are, too.
"""

from typing import NamedTuple

KIB = 1024
WIDE = 1.8


class Gate(NamedTuple):
    """Bytes, at most and measured when this was written, with 4-byte and with 8-byte words; 0: not tested there."""

    what: str
    most: int
    measured: int
    most_wide: int = 0
    measured_wide: int = 0


FILES = Gate("bytecode of the edge, all files", 40 * KIB, 40_424, 40 * KIB, 40_424)
IMPORT = Gate("heap after the import, the edge from files", 24 * KIB, 19_872, int(24 * WIDE * KIB), 34_496)
IDLE = Gate("heap when connected and idle, from files", 30 * KIB, 25_728, int(30 * WIDE * KIB), 47_104)
# Heaps in which a thousand tasks run one after the other and none fails for want of memory; measured: the least in
# which forty did. From files the edge's code takes 21 KB of the heap.
TASKS = Gate("a heap for modules without a memory, the edge in the firmware", 64 * KIB, 44 * KIB)
TASKS_FILES = Gate("the same, the edge from files", 80 * KIB, 80 * KIB, int(64 * WIDE) * KIB, 111 * KIB)
PAGE = Gate("a heap for modules with a page of 64 KiB, the edge in the firmware", 128 * KIB, 120 * KIB)
PAGE_FILES = Gate("the same, the edge from files", 160 * KIB, 152 * KIB, int(128 * WIDE) * KIB, 180 * KIB)

GATES = (FILES, IMPORT, IDLE, TASKS, TASKS_FILES, PAGE, PAGE_FILES)


def figure(gate: Gate, measured: int, wide: bool) -> None:
    """Prints a figure, and fails when it is over its gate."""
    most = gate.most_wide if wide else gate.most
    print(f"{gate.what}: {measured:,} bytes with {8 if wide else 4}-byte words, at most {most:,}")
    assert measured <= most, gate.what
