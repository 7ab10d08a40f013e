"""The demo without its processes: modules, progress, table and the check of the results."""

import io
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from motet import demo_modules
from motet.client import Client, WaitTimeout
from motet.demo import ACTS, play
from motet.report import Progress, table
from tests.motet.stub_hub import stub_hub

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["ADDITION", "TOO_HOT", "TRAP"])
def test_modules_are_those_of_the_examples(name: str) -> None:
    assert getattr(demo_modules, name) == (EXAMPLES / f"{name.lower()}.wasm").read_bytes()


def test_all_acts_as_expected() -> None:
    out = io.StringIO()
    with Client(transport=httpx2.MockTransport(stub_hub())) as client:
        assert play(client, out, time.monotonic() + 10) == []
    text = out.getvalue()
    assert [text.count(f"\n{act.title}\n") for act in ACTS] == [2] * 5
    assert "  task-003       Completed   on edge-1  -> 300\n" in text
    assert "  payment        Failed      on edge-1  unreachable executed\n" in text
    assert "  cool           Completed   on edge-1  -> 21\n" in text
    assert re.search(r"^  seq-task-003  edge-1 +Completed  11 +0\.0 +250\.0$", text, re.MULTILINE)
    assert re.search(r"^  confirmation  - +Skipped +- +- +-$", text, re.MULTILINE)


def test_what_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ACTS[0].expected, "task-002", ("Completed", "21"))
    monkeypatch.setitem(ACTS[-1].expected, "seq-task-004", ("Completed", "1"))
    with Client(transport=httpx2.MockTransport(stub_hub())) as client:
        assert play(client, io.StringIO(), time.monotonic() + 10) == [
            "task-002: Completed 20 instead of Completed 21",
            "seq-task-004: missing instead of Completed 1",
        ]


def test_no_time_left() -> None:
    with Client(transport=httpx2.MockTransport(stub_hub())) as client, pytest.raises(WaitTimeout):
        play(client, io.StringIO(), time.monotonic())


def task(id_: str, state: str, updated_at: str, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "state_name": state, "updated_at": updated_at, **fields}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_where_no_terminal_is() -> None:
    out = io.StringIO()
    progress = Progress(out)
    progress.begin("act", [task("a", "Pending", "0001-01-01T00:00:00Z")])
    for state, moment in (("Running", "01Z"), ("Completed", "01.5Z"), ("Running", "01Z"), ("Completed", "02Z")):
        progress.update(task("a", state, f"2026-01-01T00:00:{moment}"))
    assert out.getvalue().split() == ["act", "a", "Pending", "a", "Running", "a", "Completed"]


def test_a_terminal_is_redrawn() -> None:
    out = Terminal()
    progress = Progress(out)
    progress.begin("act", [task("a", "Pending", "0001-01-01T00:00:00Z"), task("b", "Pending", "0001-01-01T00:00:00Z")])
    before = len(out.getvalue())
    progress.update(task("b", "Failed", "2026-01-01T00:00:00Z", error="no " * 100))
    redrawn = out.getvalue()[before:]
    assert redrawn.startswith("\x1b[2F\x1b[2K  a              Pending\n\x1b[2K  b              Failed")
    assert all(len(line) < 90 for line in redrawn.splitlines())


def test_the_table() -> None:
    never = "0001-01-01T00:00:00Z"
    rows = [
        task("second", "Completed", never, proplet_id="e", results="1\n2\n",
             start_time="2026-01-01T00:00:01.001Z", finish_time="2026-01-01T00:00:01.2515Z"),
        task("first", "Interrupted", never, proplet_id="e", start_time="2026-01-01T00:00:01Z", finish_time=never),
    ]  # fmt: skip
    assert table(rows).splitlines() == [
        "  task    proplet  state        result  start ms  took ms",
        "  ------  -------  -----------  ------  --------  -------",
        "  second  e        Completed    1 2          1.0    250.5",
        "  first   e        Interrupted  -            0.0        -",
    ]
