"""The edge: runs WebAssembly tasks for a hub. MicroPython subset, all but edge.cpython."""


def status() -> None:
    """Print one line on this device, for a person at its REPL: `import edge; edge.status()`."""
    from edge import main
    from edge.hello import line

    print(line(main.current, main.platform))  # type: ignore[attr-defined]  # noqa: T201
    main.platform.forget()  # type: ignore[attr-defined]
