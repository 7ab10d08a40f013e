"""The runner port: what edge.wasm promises holds for the pool of workers and for the runner in this process."""

import asyncio

import pytest
from wasmtime import wat2wasm

from edge.cpython.pool import Pool
from edge.wasm import InProcessRunner
from hub.modules.prepare import prepare
from tests.edge import wasms

PIN = 17
SPEAKING = prepare(
    bytes(
        wat2wasm("""(module (import "edge" "log" (func $log (param i32 i32 i32)))
          (import "edge" "gpio_read" (func $read (param i32) (result i32)))
          (memory 1) (data (i32.const 0) "hello")
          (func (export "main") (result i32) (call $log (i32.const 1) (i32.const 0) (i32.const 5))
            (call $read (i32.const 17))))""")
    )
)


class Board:
    functions = ("gpio_read",)

    def gpio_read(self, pin):
        return int(pin == PIN)


class Told:
    """A runner, and all it says, in order."""

    def __init__(self, runner, folder):
        self.runner = runner
        self.said = []
        self._folder = folder
        self._changed = asyncio.Event()

    def start(self, task, data=wasms.ADDER, limits=None, **fields):
        path = self._folder / task
        if data is not None:
            path.write_bytes(data)
        start = {"task": task, "attempt": 1, "name": "main", "limits": limits or {}, **fields}
        self.runner.start(start, str(path), self._tell("started"), self._tell("finished"), self._tell("event"))

    def _tell(self, what):
        def tell(task, attempt, *more):
            self.said.append((what, task, *more))
            self._changed.set()

        return tell

    async def finished(self, task):
        while True:
            for what, whose, *more in self.said:
                if (what, whose) == ("finished", task):
                    return more[0]
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 5)

    def of(self, task):
        return [(what, *more) for what, whose, *more in self.said if whose == task]


@pytest.fixture(params=[Pool, InProcessRunner])
async def told(request, tmp_path):
    runner = request.param(board=Board())
    await runner.open()
    yield Told(runner, tmp_path)
    await runner.close()


async def test_started_events_finished_each_in_its_time(told):
    told.start("t", SPEAKING, allow=["gpio_read:17"], abi="edge")
    result = await told.finished("t")
    assert result["outputs"] == [1]
    assert told.of("t") == [
        ("started",),
        ("event", "log", {"level": "info", "text": "hello"}),
        ("finished", result),
    ]


@pytest.mark.parametrize(
    ("data", "fields", "code"),
    [
        (None, {}, "bad_module"),
        (b"", {}, "bad_module"),
        (wasms.ADDER, {"inputs": [1]}, "bad_inputs"),
        (wasms.ADDER, {"inputs": [1, 2], "function": "other"}, "missing_export"),
        (wasms.ADDER, {"inputs": [1, 2], "abi": "other"}, "bad_module"),
        (wasms.ADDER, {"inputs": [1, 2], "limits": {"timeout_ms": "x"}}, "bad_inputs"),
        (SPEAKING, {"abi": "edge"}, "denied"),
    ],
)
async def test_what_is_refused_has_not_started(told, data, fields, code):
    told.start("t", data, **fields)
    result = await told.finished("t")
    assert (result["ok"], result["error"]["code"]) == (False, code)
    assert told.of("t") == [("finished", result)]


async def test_the_deadline(told):
    told.start("t", wasms.METERED_LOOP, limits={"timeout_ms": 50})
    assert (await told.finished("t"))["error"]["code"] == "timeout"


async def test_a_stop_before_it_runs(told):
    told.start("t", wasms.METERED_LOOP)
    told.runner.stop("t", 1, 0)
    assert (await told.finished("t"))["error"]["code"] == "cancelled"
    assert [what for what, *_ in told.of("t")] == ["finished"]


async def test_a_stop_of_what_does_not_run(told):
    told.runner.stop("t", 1, 0)
    told.start("t", inputs=[1, 2])
    assert (await told.finished("t"))["outputs"] == [3]
    told.runner.stop("t", 1, 0)


async def test_many_at_once_all_finish(told):
    for number in range(5):
        told.start(f"t{number}", inputs=[number, 1])
    assert [(await told.finished(f"t{number}"))["outputs"] for number in range(5)] == [[1], [2], [3], [4], [5]]


async def test_nothing_is_said_after_close(told):
    told.start("t", wasms.METERED_LOOP, limits={"timeout_ms": 200})
    told.start("u", inputs=[1, 2])
    await told.runner.close()
    said = list(told.said)
    await asyncio.sleep(0.05)
    assert told.said == said
    assert not [what for what, *_ in said if what == "finished"]
