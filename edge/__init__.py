"""The edge: runs WebAssembly tasks for a hub. MicroPython subset, all but edge.cpython."""


def status() -> None:
    """Print one line on this device, for a person at its REPL: `import edge; edge.status()`."""
    from edge.describe import line

    print(line())  # noqa: T201
