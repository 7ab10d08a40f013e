"""edge.tick: fuel is counted exactly, the deadline and a stop end what is metered, in the start function too."""

import threading
import time

import pytest

from edge import call, engine
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from edge.port import Port
from tests.edge import wasms
from tests.edge.wasms import I32, charge, const, function, metered


@pytest.fixture(params=["pywasm3", "ctypes"])
def load(request):
    return engine.Instance if request.param == "pywasm3" else Library(wasm3_file()).load


def run(load, data, *inputs, port=None, **fields):
    start = {"task": "t", "attempt": 1, "name": "main", "inputs": list(inputs), "limits": {}, **fields}
    return call.run(load, start, data, port or Port(lambda *event: None), lambda: None)


# (local 0 counts down) loop: charge 7; if (--n) br 0
COUNTDOWN = metered(
    function(
        "main",
        charge(3) + b"\x03\x40" + charge(7) + b"\x20\x00" + const(1) + b"\x6b\x22\x00\x0d\x00\x0b",
        (I32,),
    )
)


@pytest.mark.parametrize("turns", [1, 2, 1000, 1_000_000])
def test_fuel_is_exact(load, turns):
    assert run(load, COUNTDOWN, turns)["fuel"] == 3 + 7 * turns


def test_fuel_is_exact_when_it_traps(load):
    data = metered(function("main", charge(11) + b"\x00"))
    result = run(load, data)
    assert (result["error"]["code"], result["fuel"]) == ("trap_unreachable", 11)


def test_more_fuel_than_a_tick_gives(load):
    assert run(load, metered(function("main", charge(2**30))))["fuel"] == 2**30


def test_no_fuel_without_metering(load):
    assert "fuel" not in run(load, wasms.ADDER, 1, 2)


@pytest.mark.parametrize(
    "data",
    [
        wasms.METERED_LOOP,
        metered(function("main", b"\x01"), function("", b"\x03\x40" + charge(5) + b"\x0c\x00\x0b"), start=2),
        metered(function("main", b"\x01"), function("_initialize", b"\x03\x40" + charge(5) + b"\x0c\x00\x0b")),
    ],
    ids=["loop", "start", "_initialize"],
)
def test_the_deadline_ends_it(load, data):
    begun = time.monotonic()
    result = run(load, data, limits={"timeout_ms": 100})
    assert result["error"] == {"code": "timeout", "message": "still running after its 100 ms"}
    assert 0.1 <= time.monotonic() - begun < 0.4
    assert result["duration_ms"] >= 99
    assert result["fuel"] > 1000


def test_a_daemon_has_no_deadline(load):
    assert run(load, COUNTDOWN, 3_000_000, limits={"timeout_ms": 1}, daemon=True)["ok"]


def test_a_stop_ends_it_after_its_grace(load):
    port = Port(lambda *event: None)
    begun = time.monotonic()
    port.stop(50)
    result = run(load, wasms.METERED_LOOP, port=port, limits={"timeout_ms": 5000})
    assert result["error"] == {"code": "cancelled", "message": "stopped"}
    assert 0.05 <= time.monotonic() - begun < 0.4


def test_other_threads_run_meanwhile():
    """ctypes lets the lock go: a heartbeat in another thread is not held up."""
    beats = []
    over = threading.Event()

    def beat():
        while not over.wait(0.005):
            beats.append(time.monotonic())

    thread = threading.Thread(target=beat)
    thread.start()
    run(Library(wasm3_file()).load, wasms.METERED_LOOP, limits={"timeout_ms": 300})
    over.set()
    thread.join()
    assert len(beats) > 10
