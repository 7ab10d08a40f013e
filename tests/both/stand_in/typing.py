"""For MicroPython, which has no such module and does not evaluate annotations."""

Any = None
