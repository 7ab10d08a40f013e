"""Which task goes next, and which proplet takes it."""

from hub.core import commands
from tests.core.play import Play, spec

WASI = [{"module": "wasi_snapshot_preview1", "name": "fd_write", "kind": "func"}]
LOG = [{"module": "edge", "name": "log", "kind": "func"}]


def test_the_round_goes_over_all_proplets_in_turn():
    play = Play()
    for device in ("a", "b", "c"):
        play.join(device)
    for at in range(6):
        play.task(f"t{at}")
    assert [send.device for send in play.take("start")] == ["a", "b", "c", "a", "b", "c"]


def test_a_higher_priority_goes_first_and_equals_go_in_the_order_of_creation():
    play = Play()
    for name, priority in (("low", 10), ("first", 50), ("second", 50), ("urgent", 90)):
        play.task(name, priority=priority)
    play.join("d1", slots=1)
    order = play.starts()
    for _ in range(3):
        play.end(order[-1])
        order += play.starts()
    assert order == ["urgent", "first", "second", "low"]


def test_priority_never_beats_a_dependency():
    play = Play()
    play.workflow(spec("a", priority=10), spec("b", ["a"], priority=100))
    play.join("d1", slots=1)
    assert play.starts() == ["a"]


def test_a_start_without_a_proplet_waits_until_one_appears():
    play = Play()
    play.task("a")
    assert play.engine.pending_reason(play.at("a")) == "no proplet is alive"
    play.join("d1")
    assert play.starts() == ["a"]


def test_a_pinned_task_waits_for_its_proplet_and_keeps_nobody_else_waiting():
    play = Play()
    play.join("d1", slots=1)
    play.task("pinned", pinned_to="d2", priority=100)
    play.task("free")
    assert play.starts() == ["free"]
    assert play.engine.pending_reason(play.at("pinned")) == "proplet d2 has never been seen"
    play.join("d2")
    assert [(send.device, send.fields["task"]) for send in play.take("start")] == [("d2", "pinned")]


def test_a_pinned_task_of_higher_priority_gets_the_slot_of_its_proplet_first():
    play = Play()
    play.task("free", priority=50)
    play.task("pinned", pinned_to="d1", priority=60)
    play.join("d1", slots=1)
    assert play.starts() == ["pinned"]
    assert play.engine.pending_reason(play.at("free")) == "every proplet is busy"
    play.end("pinned")
    assert play.starts() == ["free"]


def test_no_more_tasks_than_slots_run_on_a_proplet():
    play = Play()
    play.join("d1", slots=2)
    for at in range(3):
        play.task(f"t{at}")
    assert play.starts() == ["t0", "t1"]
    play.end("t1")
    assert play.starts() == ["t2"]


def test_nothing_goes_to_a_proplet_that_has_left_or_has_not_said_hello():
    play = Play()
    play.do(commands.Connected("new"))
    play.join("gone")
    play.do(commands.Disconnected("gone"))
    play.task("a")
    assert play.starts() == []


def test_a_proplet_that_is_connected_and_silent_gets_nothing_after_its_lease():
    play = Play()
    play.join("d1")
    play.pass_time(31)
    play.task("a")
    assert play.starts() == []
    play.beat("d1")
    assert play.starts() == ["a"]


def test_stopping_a_queued_task_takes_it_out_of_the_queue():
    play = Play()
    play.task("a")
    play.do(commands.Stop("task", "a"))
    play.join("d1")
    assert play.starts() == []
    assert play.states("a") == ["Interrupted"]


def hello(play: Play, device: str, **more) -> None:
    play.do(commands.Connected(device))
    fields = {"proto": 1, "boot": "b", "agent": "0", "runtime": "t", "caps": {}, "mem_free": 1 << 20}
    fields |= {"mem_total": 1 << 20, "slots": 2, "running": [], "outbox": []}
    play.do(commands.Hello(device, {**fields, **more}))


def test_labels_capabilities_memory_and_forbid_decide_who_may_take_a_task():
    play = Play()
    hello(play, "a", labels={"site": "north"}, caps={"host": ["gpio"], "wasi": True})
    hello(play, "b", labels={"site": "south"}, mem_free=1 << 30, mem_total=1 << 30)
    play.task("north", placement={"labels": {"site": "north"}})
    play.task("gpio", placement={"capabilities": ["gpio", "wasi"]})
    play.task("big", resources={"memory_kb": 100_000})
    play.task("not-b", placement={"forbid": ["b"]})
    placed = {send.fields["task"]: send.device for send in play.take("start")}
    assert placed == {"north": "a", "gpio": "a", "big": "b"}
    assert play.engine.pending_reason(play.at("not-b")) == "every proplet is busy"
    play.end("north")
    assert play.starts() == ["not-b"]


def test_what_no_known_proplet_can_ever_do_says_so():
    play = Play()
    hello(play, "a")
    play.task("label", placement={"labels": {"site": "north"}})
    play.task("memory", resources={"memory_kb": 4096})
    assert play.engine.pending_reason(play.at("label")) == "no known proplet has the label site=north"
    assert play.engine.pending_reason(play.at("memory")) == "no known proplet has 4096 KiB of memory"
    hello(play, "b", labels={"site": "north"}, mem_free=1 << 20, mem_total=1 << 30)
    assert play.starts() == ["label"]
    assert play.engine.pending_reason(play.at("memory")) == "no alive proplet has 4096 KiB of memory free"
    fields = {"boot": "b", "seq": 1, "mem_free": 1 << 29, "uptime_s": 1, "running": [("label", 1)]}
    play.do(commands.Beat("b", fields))
    assert play.starts() == ["memory"]


def test_the_memory_that_a_task_has_is_there_for_the_next_on_a_device_with_one_slot():
    play = Play()
    hello(play, "board", slots=1, mem_free=100 << 10, mem_total=128 << 10)
    for name in ("one", "two", "three"):
        play.task(name, resources={"memory_kb": 64})
    assert play.starts() == ["one"]
    fields = {"boot": "boot", "seq": 1, "mem_free": 36 << 10, "uptime_s": 1, "running": [("one", 1)]}
    play.do(commands.Beat("board", fields))
    play.end("one")
    assert play.starts() == ["two"]
    play.end("two")
    assert play.starts() == ["three"]
    play.end("three")
    play.do(commands.Beat("board", {**fields, "running": []}))
    play.task("four", resources={"memory_kb": 64})
    assert play.engine.pending_reason(play.at("four")) == "no alive proplet has 64 KiB of memory free"


def test_wishes_that_are_met_one_by_one_but_by_nobody_together_are_all_named():
    play = Play()
    hello(play, "a", labels={"site": "north"})
    hello(play, "b", caps={"host": ["gpio"]})
    play.task("t", placement={"labels": {"site": "north"}, "capabilities": ["gpio"]})
    reason = "no known proplet offers gpio and has the label site=north"
    assert play.engine.pending_reason(play.at("t")) == reason


def test_a_module_goes_where_its_abi_imports_features_and_memory_are_had():
    play = Play()
    hello(play, "plain", slots=8)
    hello(play, "full", slots=8, caps={"abi": ["call", "wasi", "edge"], "host": ["log"], "features": ["sign-ext"]})
    hello(play, "big", slots=8, mem_free=1 << 30, mem_total=1 << 30)
    modules = {
        "wasi": {"imports": WASI},
        "logs": {"imports": LOG},
        "sign": {"features": ["sign-ext"]},
        "large": {"memory": {"min_pages": 100, "max_pages": None}},
    }
    for at, (name, doc) in enumerate(modules.items()):
        play.module(f"{at + 1}" * 64, "_start", **doc)
        play.task(name, module=f"{at + 1}" * 64)
    placed = {send.fields["task"]: send.device for send in play.take("start")}
    assert placed == {"wasi": "full", "logs": "full", "sign": "full", "large": "big"}


def test_what_no_known_proplet_offers_a_module_is_said_at_once():
    play = Play()
    play.join("d1")
    doc = {"wasi": {"imports": WASI}, "foreign": {"imports": [{"module": "env", "name": "foo", "kind": "func"}]},
           "memory": {"memory": {"min_pages": 2, "max_pages": None}}}  # fmt: skip
    for at, name in enumerate(doc):
        play.module(f"{at + 1}" * 64, "_start", **doc[name])
        play.task(name, module=f"{at + 1}" * 64)
    reasons = [play.engine.pending_reason(play.at(name)) for name in doc]
    assert reasons == [
        "no known proplet offers wasi",
        "no known proplet offers env.foo",
        "no known proplet has 128 KiB of memory",
    ]
    play.join("d2", caps={"abi": ["wasi"]})
    assert play.starts() == ["wasi"]


def test_a_plain_module_goes_to_a_proplet_that_says_nothing_of_itself():
    play = Play()
    play.join("d1", caps={})
    play.task("plain")
    play.task("wish", placement={"labels": {}, "capabilities": [], "forbid": []})
    assert play.starts() == ["plain", "wish"]


def test_a_pinned_task_waits_for_its_proplet_to_offer_what_it_needs():
    play = Play()
    play.module("1" * 64, "_start", imports=WASI)
    play.join("d1")
    play.task("pinned", module="1" * 64, pinned_to="d1", priority=90)
    play.task("free", pinned_to="d1")
    assert play.starts() == ["free"]
    assert play.engine.pending_reason(play.at("pinned")) == "proplet d1 is not one that offers wasi"
    play.join("d1", boot="updated", caps={"abi": ["wasi"]})
    assert play.starts() == ["pinned", "free"]


def test_what_proplets_offer_is_known_after_a_restart_of_the_hub():
    play = Play()
    play.module("1" * 64, "_start", imports=WASI)
    play.join("d1", caps={"abi": ["wasi"]})
    play.do(commands.Disconnected("d1"))
    play.task("t", module="1" * 64)
    play.task("never", placement={"capabilities": ["camera"]})
    play.restart()
    assert play.engine.pending_reason(play.at("t")) == "no proplet is alive"
    assert play.engine.pending_reason(play.at("never")) == "no known proplet offers camera"
    play.join("d1", caps={"abi": ["wasi"]})
    assert play.starts() == ["t"]


def test_a_task_with_needs_does_not_keep_others_waiting_and_its_priority_counts():
    play = Play()
    hello(play, "a", slots=1, labels={"x": "1"})
    play.task("busy")
    play.task("free", priority=50)
    play.task("needs", priority=60, placement={"labels": {"x": "1"}})
    play.task("never", priority=100, placement={"labels": {"x": "2"}})
    play.end("busy")
    assert play.starts()[-1] == "needs"
    play.end("needs")
    assert play.starts() == ["free"]


def test_among_equals_the_longest_remaining_path_goes_first_by_cost():
    play = Play()
    play.workflow(
        spec("short"), spec("long"), spec("behind", ["long"]), spec("heavy", cost=100.0), spec("after", ["behind"])
    )
    hello(play, "a", slots=1)
    order = play.starts()
    for _ in range(4):
        play.end(order[-1])
        order += play.starts()
    assert order == ["heavy", "long", "behind", "short", "after"]
