"""What hub and edge both speak. MicroPython subset, no dependency."""

VERSION = "0.1.0"
# Raised when a message changes its meaning; a hub and an edge of different numbers refuse each other.
PROTOCOL = 1


def const(value: int) -> int:
    """MicroPython's compiler puts the number where the name stands: one with _ in front then costs a board nothing."""
    return value
