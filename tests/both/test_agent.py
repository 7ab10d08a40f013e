"""The device's state machine: what it hears goes in, what is to be done comes out. No clock, no I/O."""

import pytest

from edge.agent import Agent
from shared.faults import failure

# Constants with _ in front: MicroPython has no names for them once it has compiled them.
BEAT_MS = 10_000
SEEN = 16
LOGS = 10
ASK_AGAIN_MS = 5_000
MAX_ASKS = 12

MODULE = "a" * 64
OK = {"ok": True, "outputs": [30], "text": "30\n"}


def start(task="t", attempt=1, module=MODULE, **fields):
    return dict(fields, task=task, attempt=attempt, module=module, size=1, name="main", limits={})


def welcome(epoch=1, beat_s=10):
    return {"epoch": epoch, "time_ms": 0, "beat_s": beat_s, "lease_s": 30, "max_chunk": 1024}


def key(task="t", attempt=1, **more):
    return dict(more, task=task, attempt=attempt)


def agent(slots=2, capacity=16, outbox=(), seen=(), online=True):
    made = Agent(slots, capacity, list(outbox), list(seen))
    if online:
        made.connected(0)
        made.message("welcome", welcome(), 0)
    return made


def accept(machine, *args, **fields):
    """A start whose module is here: all its actions."""
    message = start(*args, **fields)
    return machine.message("start", message, 0) + machine.module_ready(message["module"])


def of(actions, kind):
    return [action for action in actions if action[0] == kind]


def published(actions, kind):
    return [fields for _, k, fields, _ in of(actions, "publish") if k == kind]


# Connection


def test_hello_after_every_connect_names_what_runs_and_what_waits():
    machine = agent(outbox=[("old", 3)], online=False)
    assert machine.connected(0) == [("publish", "hello", {"running": [], "outbox": [["old", 3]]}, 1)]
    machine.message("welcome", welcome(), 0)
    accept(machine)
    machine.disconnected()
    assert published(machine.connected(5), "hello") == [{"running": [["t", 1]], "outbox": [["old", 3]]}]


def test_hello_again_until_somebody_welcomes():
    machine = agent(online=False)
    machine.connected(0)
    assert machine.tick(BEAT_MS - 1) == []
    assert published(machine.tick(BEAT_MS), "hello")
    assert published(machine.tick(2 * BEAT_MS), "hello")


def test_beats_come_as_the_hub_wants_them():
    machine = agent(online=False)
    machine.connected(0)
    machine.message("welcome", welcome(beat_s=2.5), 0)
    accept(machine)
    assert machine.tick(2499) == []
    assert machine.tick(2500) == [("publish", "beat", {"seq": 1, "running": [["t", 1]]}, 0)]
    assert published(machine.tick(5000), "beat")[0]["seq"] == 2
    machine.disconnected()
    assert machine.tick(99999) == []


@pytest.mark.parametrize("beat_s", [0, -1, float("nan"), 1e9])
def test_a_beat_that_makes_no_sense_is_not_taken(beat_s):
    machine = agent()
    machine.message("welcome", welcome(beat_s=beat_s), 0)
    assert machine.beat_ms == BEAT_MS


def test_results_and_starts_are_said_again_at_every_welcome():
    machine = agent(outbox=[("old", 1)])
    accept(machine)
    machine.started("t", 1)
    machine.disconnected()
    machine.connected(0)
    actions = machine.message("welcome", welcome(), 0)
    assert published(actions, "started") == [key()]
    assert of(actions, "report") == [("report", "old", 1)]


def test_another_hub_behind_the_same_broker_gets_a_hello():
    machine = agent(outbox=[("old", 1)])
    actions = machine.message("welcome", welcome(epoch=2), 0)
    assert published(actions, "hello")
    assert not of(actions, "report")
    assert of(machine.message("welcome", welcome(epoch=2), 0), "report")


# One task's way


def test_one_task():
    machine = agent()
    assert machine.message("start", start(), 0) == [("remember", [["t", 1]]), ("look", MODULE)]
    assert machine.module_ready(MODULE) == [("run", start())]
    assert machine.started("t", 1) == [("publish", "started", key(), 1)]
    assert machine.finished("t", 1, OK) == [("store", key(**OK)), ("report", "t", 1)]
    assert machine.message("ack", key(), 0) == [("drop", "t", 1)]
    assert machine.message("ack", key(), 0) == []


def test_a_result_without_a_connection_waits_in_the_outbox():
    machine = agent()
    accept(machine)
    machine.disconnected()
    assert machine.finished("t", 1, OK) == [("store", key(**OK))]
    machine.connected(0)
    assert of(machine.message("welcome", welcome(), 0), "report") == [("report", "t", 1)]


def test_a_result_that_was_lost_on_a_living_connection_goes_again_with_the_second_beat():
    machine = agent()
    accept(machine)
    machine.finished("t", 1, OK)
    assert not of(machine.tick(BEAT_MS), "report")  # it has not had a whole beat yet
    assert of(machine.tick(2 * BEAT_MS), "report") == [("report", "t", 1)]
    assert of(machine.tick(3 * BEAT_MS), "report") == [("report", "t", 1)]
    machine.message("ack", key(), 0)
    assert not of(machine.tick(4 * BEAT_MS), "report")


def test_a_start_again_never_runs_again():
    machine = agent()
    accept(machine)
    assert machine.message("start", start(), 0) == []
    machine.started("t", 1)
    assert machine.message("start", start(), 0) == [("publish", "started", key(), 1)]
    machine.finished("t", 1, OK)
    assert machine.message("start", start(), 0) == [("report", "t", 1)]
    machine.message("ack", key(), 0)
    assert machine.message("start", start(), 0) == []
    assert of(accept(machine, attempt=2), "run")


def test_what_ran_before_a_reboot_does_not_run_again():
    machine = agent(seen=[("t", 1)])
    assert machine.message("start", start(), 0) == []


def test_what_is_remembered_is_bounded():
    machine = agent(slots=1, capacity=1)
    for i in range(2 * SEEN):
        (remember, *_) = accept(machine, str(i))
        machine.finished(str(i), 1, OK)
        machine.message("ack", key(str(i)), 0)
    assert remember[0] == "remember"
    assert len(remember[1]) == SEEN


# Room


def test_beyond_the_slots_starts_wait_and_are_named():
    machine = agent(slots=1)
    assert of(accept(machine, "a"), "run")
    assert not of(accept(machine, "b"), "run")
    assert machine.running() == [["a", 1], ["b", 1]]
    assert of(machine.finished("a", 1, OK), "run") == [("run", start("b"))]


def test_the_queue_is_bounded():
    machine = agent(slots=1, capacity=99)
    for i in range(5):
        accept(machine, str(i))
    assert accept(machine, "one too many") == []
    assert len(machine.running()) == 5


def test_a_full_outbox_refuses_work_visibly():
    machine = agent(slots=1, capacity=2, outbox=[("old", 1)])
    accept(machine, "a")
    actions = machine.message("start", start("b"), 0)
    assert published(actions, "log")[0]["task"] == "b"
    assert not of(actions, "look")
    machine.message("ack", key("old"), 0)
    assert of(machine.message("start", start("b"), 0), "look")


def test_logs_are_limited():
    machine = agent(capacity=1, outbox=[("old", 1)])
    told = [published(machine.message("start", start(str(i)), 0), "log") for i in range(2 * LOGS)]
    assert len([log for log in told if log]) == LOGS


def test_a_missing_module_does_not_hold_the_others_up():
    machine = agent(slots=1)
    machine.message("start", start("a", module="b" * 64), 0)
    machine.module_part("b" * 64, 0, 0)
    assert of(accept(machine, "c"), "run") == [("run", start("c"))]


# Stop


def test_stop_before_it_runs():
    machine = agent(slots=1)
    accept(machine, "a")
    accept(machine, "b")
    stored = of(machine.message("stop", key("b"), 0), "store")[0][1]
    assert (stored["task"], stored["ok"], stored["error"]["code"]) == ("b", False, "cancelled")
    assert machine.running() == [["a", 1]]


def test_stop_while_it_runs_is_passed_on_once():
    machine = agent()
    accept(machine)
    assert machine.message("stop", key(grace_ms=50), 0) == [("stop", "t", 1, 50)]
    assert machine.message("stop", key(), 0) == []
    assert of(machine.finished("t", 1, failure("cancelled", "stopped")), "store")


def test_stop_after_its_end_is_answered_with_the_result():
    machine = agent()
    accept(machine)
    machine.finished("t", 1, OK)
    assert machine.message("stop", key(), 0) == [("report", "t", 1)]


def test_stop_before_the_start_arrives():
    machine = agent()
    actions = machine.message("stop", key(), 0)
    assert of(actions, "store")[0][1]["error"]["code"] == "cancelled"
    assert machine.message("start", start(), 0) == [("report", "t", 1)]
    machine.message("ack", key(), 0)
    assert machine.message("stop", key(), 0) == []
    assert machine.message("start", start(), 0) == []


# Modules


def test_a_module_comes_in_chunks():
    machine = agent()
    machine.message("start", start(), 0)
    assert machine.module_part(MODULE, 100, 0) == [("publish", "need", {"module": MODULE, "offset": 100}, 1)]
    chunk = {"module": MODULE, "offset": 100, "total": 300, "data": ""}
    assert machine.message("chunk", dict(chunk, offset=0), 0) == []
    assert machine.message("chunk", dict(chunk, module="b" * 64), 0) == []
    assert machine.message("chunk", chunk, 0) == [("chunk", chunk)]
    assert published(machine.module_part(MODULE, 200, 0), "need")[0]["offset"] == 200
    assert of(machine.module_ready(MODULE), "run")


def test_a_lost_chunk_is_asked_for_again_for_a_minute():
    machine = agent()
    machine.message("start", start(), 0)
    machine.module_part(MODULE, 0, 0)
    now = 0
    for _ in range(MAX_ASKS - 1):
        now += ASK_AGAIN_MS
        assert published(machine.tick(now - 1), "need") == []
        assert len(published(machine.tick(now), "need")) == 1
    stored = of(machine.tick(now + ASK_AGAIN_MS), "store")[0][1]
    assert stored["error"]["code"] == "bad_module"
    assert machine.running() == []


def test_a_damaged_module_is_fetched_once_more():
    machine = agent()
    machine.message("start", start(), 0)
    machine.module_part(MODULE, 100, 0)
    assert published(machine.module_damaged(MODULE, 0), "need")[0]["offset"] == 0
    machine.module_part(MODULE, 100, 0)
    assert of(machine.module_damaged(MODULE, 0), "store")[0][1]["error"]["code"] == "bad_module"


def test_a_module_without_room_ends_its_tasks():
    machine = agent()
    machine.message("start", start("a"), 0)
    machine.message("start", start("b"), 0)
    stored = of(machine.module_failed(MODULE, "too_large", "no room"), "store")
    assert [fields["error"]["code"] for _, fields in stored] == ["too_large"] * 2


def test_a_module_nobody_waits_for_is_not_asked_for():
    machine = agent()
    machine.message("start", start(), 0)
    machine.module_part(MODULE, 0, 0)
    machine.message("stop", key(), 0)
    assert published(machine.tick(ASK_AGAIN_MS), "need") == []


# What a task says


def test_what_a_task_says_goes_up_under_its_name():
    machine = agent()
    accept(machine)
    line = {"level": "info", "text": "x"}
    assert machine.event("t", 1, "log", line, 0) == [("publish", "log", key(**line), 0)]
    message = {"topic": "a/b", "text": "x"}
    assert machine.event("t", 1, "publish", message, 0) == [("publish", "publish", key(**message), 1)]
    assert machine.event("t", 1, "progress", {"permille": 5}, 0) == [("publish", "progress", key(permille=5), 0)]
    assert machine.event("t", 1, "progress", {"permille": 6}, 999) == []
    assert machine.tick(1000) == [("publish", "progress", key(permille=6), 0)]
    assert machine.event("t", 2, "log", line, 1000) == []  # that does not run here


def test_tasks_together_keep_to_the_rates_of_the_device():
    machine = agent()
    accept(machine, "a")
    accept(machine, "b")
    line = {"level": "info", "text": "x"}
    said = [machine.event(task, 1, "log", line, 0) for _ in range(15) for task in ("a", "b")]
    assert len([actions for actions in said if actions]) == 20
    (lost,) = published(machine.tick(1000), "log")
    assert "10 log lines" in lost["text"]


def test_what_is_said_without_a_connection_is_counted():
    machine = agent()
    accept(machine)
    machine.disconnected()
    for _ in range(3):
        assert machine.event("t", 1, "publish", {"topic": "a", "text": "x"}, 0) == []
    machine.event("t", 1, "progress", {"permille": 7}, 0)
    assert machine.tick(1) == []
    machine.connected(2)
    machine.message("welcome", welcome(), 2)
    actions = machine.tick(3)
    assert published(actions, "progress") == [key(permille=7)]
    assert "3 messages" in published(actions, "log")[0]["text"]


def test_what_was_dropped_is_said_before_the_result():
    machine = agent()
    accept(machine)
    for _ in range(30):
        machine.event("t", 1, "log", {"level": "info", "text": "x"}, 0)
    actions = machine.finished("t", 1, OK)
    assert [action[1] for action in of(actions, "publish")] == ["log"]
    assert [action[0] for action in actions] == ["publish", "store", "report"]
