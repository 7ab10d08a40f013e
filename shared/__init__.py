"""What hub and edge both speak. MicroPython subset, no dependency."""

VERSION = "0.1.0"
# Raised when a message changes its meaning; a hub and an edge of different numbers refuse each other.
PROTOCOL = 1


def const(value: "T") -> "T":
    """MicroPython's compiler puts the constant where its name stands: with _ in front it costs a board nothing else."""
    return value


TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")
