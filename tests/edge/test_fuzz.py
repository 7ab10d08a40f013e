"""Whatever comes down: no fault of the edge, no action upon what is not valid, and it does its work afterwards."""

import json
from base64 import b64encode
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, seed, settings

from edge.main import Edge
from motet.testing.edge import MODULE
from shared.errors import MotetError
from shared.messages import DOWN, read_down
from tests.edge.test_edge import OK, StandIn
from tests.effort import effort
from tests.fuzz import messages


class Runner(StandIn):
    """Ends what it runs when the next one begins, so that there is always room."""

    def start(self, start, path, on_started, on_finished, on_event):
        for task in list(self.runs):
            self.end(task, OK)
        super().start(start, path, on_started, on_finished, on_event)

    def end(self, task, result):
        start, on_finished = self.runs.pop(task)
        on_finished(start["task"], start["attempt"], result)


def make(folder):
    log = []
    edge = Edge("dev", str(folder), 2, {}, log.append, Runner(), None)
    edge.online()
    return edge, log


def state(edge):
    return edge.agent.running(), list(edge.agent.outbox), list(edge.agent.seen), list(edge.link._outgoing)


@pytest.mark.parametrize("number", range(2))
def test_no_message_of_the_hub_is_a_fault_and_one_that_is_not_valid_is_dropped(tmp_path, number):
    edge, _ = make(tmp_path)
    counts = Counter()

    @seed(number)
    @settings(max_examples=effort(20_000), deadline=None, database=None)
    @given(messages(DOWN))
    def hear(message):
        _, payload = message
        try:
            kind, _ = read_down(payload)
        except MotetError:
            kind = None
        before, dropped = state(edge), edge.dropped
        edge.heard(payload)
        counts[kind] += 1
        if kind is None:
            assert (state(edge), edge.dropped) == (before, dropped + 1)
        edge.link._outgoing.clear()

    hear()
    assert set(counts) == {None, *DOWN} and counts[None] > 100, counts
    work(edge)


def work(edge):
    """One task from its start to its acknowledgement."""
    for task, attempt in list(edge.agent.outbox):
        edge.heard(down("ack", task=task, attempt=attempt))
    for task in list(edge.runner.runs):
        edge.runner.end(task, OK)
    for task, attempt in edge.agent.running():  # that waits for its module
        edge.heard(down("stop", task=task, attempt=attempt))
    module = sha256(MODULE).hexdigest()
    edge.heard(down("welcome", epoch=1, time_ms=0, beat_s=1, lease_s=3, max_chunk=65536))
    edge.heard(down("start", task="last", attempt=7, module=module, size=len(MODULE), name="main", limits={}))
    edge.heard(down("chunk", module=module, offset=0, total=len(MODULE), data=b64encode(MODULE).decode()))
    edge.runner.end("last", OK)
    assert ("last", 7) in edge.agent.outbox
    edge.heard(down("ack", task="last", attempt=7))
    assert ("last", 7) not in edge.agent.outbox and edge.agent.running() == []


def down(kind, **fields):
    return json.dumps({**fields, "type": kind}).encode()
