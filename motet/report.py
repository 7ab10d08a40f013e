"""What the demo shows: its progress while it runs, and a table of results behind it."""

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from motet.results import moment

Document = dict[str, Any]

_HEAD = ("task", "proplet", "state", "result", "start ms", "took ms")
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Progress:
    """One line a task: redrawn in place on a terminal, else one more line at each change of a state."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown: dict[str, str] = {}
        self._as_of: dict[str, datetime] = {}

    def begin(self, title: str, tasks: Iterable[Document]) -> None:
        """A new block below what is there."""
        self._shown = {}
        self._print(f"\n{title}")
        for task in tasks:
            self.update(task)

    def update(self, task: Document) -> None:
        """Shows a task as it stands now; one that is older than what is shown, or looks the same, is not shown."""
        as_of = moment(task["updated_at"]) or _EARLIEST
        if as_of < self._as_of.get(task["id"], _EARLIEST):
            return
        self._as_of[task["id"]] = as_of
        line = _progress_line(task)
        if self._live:
            # A line that wraps would take two of the terminal's, and the way up would be too short.
            line = line[: shutil.get_terminal_size().columns - 1]
        before = self._shown.get(task["id"])
        if line == before:
            return
        self._shown[task["id"]] = line
        if not self._live or before is None:
            self._print(line)
        else:
            lines = self._shown.values()
            self._print(f"\x1b[{len(lines)}F" + "\n".join(f"\x1b[2K{text}" for text in lines))

    def _print(self, text: str) -> None:
        print(text, file=self._out, flush=True)


def table(tasks: list[Document]) -> str:
    """Task, proplet, state, result, milliseconds from the first start to its own, milliseconds it took."""
    starts = [start for task in tasks if (start := moment(task["start_time"]))]
    first = min(starts, default=None)
    rows = [_HEAD, *(_row(task, first) for task in tasks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_table_line(row, widths) for row in rows)


def result_text(task: Document) -> str:
    """The results on one line."""
    return " ".join((task.get("results") or "").split())


def _progress_line(task: Document) -> str:
    where = f"on {task['proplet_id']}" if task.get("proplet_id") else ""
    result = f"-> {result_text(task)}" if result_text(task) else task.get("error", "")
    return f"  {task['id']:14} {task['state_name']:11} {where:10} {result}".rstrip()


def _row(task: Document, first: datetime | None) -> tuple[str, ...]:
    start, finish = moment(task["start_time"]), moment(task["finish_time"])
    return (
        task["id"],
        task.get("proplet_id", "-"),
        task["state_name"],
        result_text(task) or "-",
        _milliseconds(first, start),
        _milliseconds(start, finish),
    )


def _table_line(row: tuple[str, ...], widths: list[int]) -> str:
    # Words to the left, numbers to the right.
    words = [cell.ljust(width) for cell, width in zip(row[:4], widths[:4], strict=True)]
    numbers = [cell.rjust(width) for cell, width in zip(row[4:], widths[4:], strict=True)]
    return "  " + "  ".join(words + numbers).rstrip()


def _milliseconds(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "-"
    return f"{(end - start).total_seconds() * 1000:.1f}"
