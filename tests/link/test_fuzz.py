"""Whatever a device says: no fault of the hub, no change by what is not valid, and nothing that JSON cannot say."""

import asyncio
import json
from collections import Counter

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from hub.core.checks import violations
from hub.core.commands import Start
from hub.link.messages import UP, read_up
from shared import states
from shared.errors import MotetError
from tests.api.stage import FILE, Stage
from tests.effort import effort
from tests.fuzz import CURRENT, fields, messages

DEVICES = ("d1", "d2", "stranger")
TASKS = "abc"
# Every fourth is the result of a current attempt: of all kinds alike too few would be, and how few changes with the
# numbers in the hub's code, which Hypothesis tries.
RESULTS = fields(UP, "result").map(lambda said: ("result", json.dumps({**said, "attempt": CURRENT}).encode()))
SAID = st.integers(0, 3).flatmap(lambda number: messages(UP) if number else RESULTS)
TASK = {"name": "main", "file": FILE, "inputs": [1, 2], "retries": 3, "on_device_lost": "retry"}


async def play(stage, device, kind, payload, counts):
    """One message and what comes of it. There are always tasks that run."""
    world = stage.runtime.engine.world
    for id in TASKS:
        if world.tasks[id].state in states.ENDED:
            await stage.runtime.do(Start("task", id))
    payload = payload.replace(b"%d" % CURRENT, b"%d" % world.tasks["a"].attempt)
    try:
        read_up(kind, payload)
        valid = True
    except MotetError:
        valid = False
    counts["valid" if valid else "not valid"] += 1
    engine, journal = stage.runtime.engine, stage.runtime.journal
    before, dropped = journal.lsn, stage.bridge.dropped.total()
    stage.bridge.message(device, kind, payload)
    if not valid:
        assert (journal.lsn, stage.bridge.dropped.total()) == (before, dropped + 1)
    await stage.runtime.settled()
    assert violations(engine) == []
    counts["recorded"] = engine.world.counts.recorded


def check(put):
    # What is not finite, or half a UTF-16 pair, could be told to nobody.
    json.dumps(put.doc, allow_nan=False, ensure_ascii=False).encode()


@pytest.mark.parametrize("number", range(2))
def test_no_message_of_a_device_is_a_fault_and_one_that_is_not_valid_changes_nothing(tmp_path, number, caplog):
    counts = Counter()
    caplog.set_level("ERROR")
    with asyncio.Runner() as runner:
        stage = runner.run(enter(tmp_path))
        stage.runtime.on_changed = check

        @seed(number)
        @settings(max_examples=effort(20_000), deadline=None, database=None)
        @given(st.sampled_from(DEVICES), SAID)
        def say(device, message):
            runner.run(play(stage, device, *message, counts))
            # What effects break is in the log only, that of check() too.
            assert not caplog.records, caplog.text

        say()
        runner.run(leave(stage))
    assert min(counts["valid"], counts["not valid"]) > counts.total() / 10 and counts["recorded"] > 10, counts
    # What was kept is what a hub reads at its next start.
    with asyncio.Runner() as runner:
        stage = runner.run(enter(tmp_path, new=False))
        assert violations(stage.runtime.engine) == []
        runner.run(leave(stage))


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999", "-1e999", "[" * 70 + "]" * 70, "9" * 5000])
@pytest.mark.parametrize("field", ["outputs", "duration_ms", "permille", "rssi", "labels"])
async def test_a_number_that_is_none_and_what_is_nested_too_deep_is_refused_wherever_it_stands(tmp_path, field, value):
    stage = await enter(tmp_path)
    name = {"outputs": "result", "duration_ms": "result", "permille": "progress", "rssi": "beat", "labels": "hello"}
    value = {"outputs": f"[[{value}]]", "labels": f'{{{{"a": {value}}}}}'}.get(field, value)
    said = {"task": "a", "attempt": 1, "ok": True, "boot": "b", "seq": 1, "mem_free": 1, "uptime_s": 1, "running": [],
            "proto": 1, "agent": "x", "runtime": "x", "caps": {}, "mem_total": 1, "slots": 1, "outbox": []}  # fmt: skip
    before = stage.runtime.journal.lsn
    stage.bridge.message("d1", name[field], json.dumps({**said, field: "@"}).replace('"@"', value).encode())
    assert (stage.runtime.journal.lsn, stage.bridge.dropped) == (before, {name[field]: 1})
    await leave(stage)


async def enter(directory, new=True):
    """Tasks that run on two devices, and one that waits."""
    stage = Stage(directory)
    await stage.__aenter__()
    if new:
        for id in TASKS:
            assert (await stage.call("POST", "/tasks", {"id": id, **TASK})).status_code == 201
            assert (await stage.call("POST", f"/tasks/{id}/start")).status_code == 200
        for device in DEVICES[:2]:
            stage.join(device, answers=False, slots=1)
    return stage


async def leave(stage):
    """It answers still, with what it knows."""
    for path in ("/tasks", "/proplets", "/proplets/d1", "/tasks/a", "/tasks/a/logs", "/proplets/d1/logs", "/metrics",
                 "/proplets/d1/messages", "/proplets/d1/metrics", "/health", "/modules"):  # fmt: skip
        answer = await stage.call("GET", path)
        assert answer.status_code == 200, (path, answer.text)
    await stage.__aexit__()
