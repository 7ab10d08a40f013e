"""What hub and edge both speak. MicroPython subset, no dependency."""

VERSION = "0.1.0"
# Raised when a message changes its meaning; a hub and an edge of different numbers refuse each other.
PROTOCOL = 1
