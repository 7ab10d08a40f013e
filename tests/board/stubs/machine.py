"""What boards have and MicroPython for Linux lacks: a name, a reset, which ends this process, and a watchdog."""

import os
import sys

PWRON_RESET = 1
WDT_RESET = 3


def unique_id():
    return b"\x00\x01greenhouse"


def reset():
    sys.exit(5)


def reset_cause():
    return int(os.getenv("MOTET_TEST_CAUSE") or PWRON_RESET)


class WDT:
    """Says how often it was fed; biting is the test's."""

    def __init__(self, timeout):
        self._fed = 0
        print("watchdog of %d ms" % timeout)

    def feed(self):
        self._fed += 1
        print("fed %d" % self._fed)
