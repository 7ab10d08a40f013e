"""Time for the edge: milliseconds that only grow, on CPython and MicroPython alike."""

import sys

if sys.implementation.name == "cpython":
    from time import monotonic_ns

    def now_ms() -> int:
        """Milliseconds since some moment in the past."""
        return monotonic_ns() // 1_000_000

    def precise_ms() -> float:
        """The same with fractions, to measure short durations."""
        return monotonic_ns() / 1e6

else:  # a counter that wraps every 12 days on a 32-bit board
    from time import ticks_diff, ticks_ms  # type: ignore[attr-defined]

    _last: list[int] = [ticks_ms(), 0]

    def now_ms() -> int:
        """Milliseconds since the import; right as long as it is asked at least every 6 days."""
        ticks = ticks_ms()
        _last[1] += ticks_diff(ticks, _last[0])
        _last[0] = ticks
        return _last[1]

    def precise_ms() -> float:
        return float(now_ms())
