"""What boards have and MicroPython for Linux lacks: a name, and a reset, which ends this process."""

import sys


def unique_id():
    return b"\x00\x01greenhouse"


def reset():
    sys.exit(5)
