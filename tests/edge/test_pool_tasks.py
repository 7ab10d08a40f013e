"""What a task in a worker can do and what ends it: events, the board, stops, limits; the worker is as warm after it."""

import asyncio
import sys
import threading
import time

import pytest
from wasmtime import wat2wasm

from edge.cpython import boardthread
from edge.cpython.pool import Pool
from hub.modules.prepare import prepare
from shared.errors import TaskFailure
from tests.edge import wasms
from tests.edge.test_pool import Runs, code, until
from tests.effort import effort


def prepared(wat):
    return prepare(bytes(wat2wasm(wat)))


class Board:
    """Pins of which one never answers, and one that is slow."""

    functions = ("gpio_read", "gpio_write")

    def __init__(self):
        self.let_go = threading.Event()
        self.threads = set()
        self.at_once = self.most_at_once = 0

    def gpio_read(self, pin):
        self.threads.add(threading.current_thread())
        if pin == 13:
            self.let_go.wait(30)
        if pin == 12:
            raise TaskFailure("pin 12 is not for tasks", "denied")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.01)
        self.at_once -= 1
        return 1

    def gpio_write(self, pin, value):
        raise OSError("the chip is gone")


@pytest.fixture
async def runs(tmp_path):
    board = Board()
    pool = Pool(idle_s=0.2, board=board)
    await pool.open()
    runs = Runs(pool, tmp_path)
    runs.board = board
    yield runs
    board.let_go.set()
    await pool.close()


READ = '(import "edge" "gpio_read" (func $read (param i32) (result i32)))'
READING = prepared(f'(module {READ} (func (export "main") (param i32) (result i32) (call $read (local.get 0))))')
WRITING = prepared("""(module (import "edge" "gpio_write" (func $write (param i32 i32)))
  (func (export "main") (call $write (i32.const 1) (i32.const 1))))""")
LOOP = prepared('(module (func (export "main") (loop $l (br $l))))')
UNTIL_CANCELLED = prepared("""(module (import "edge" "cancelled" (func $cancelled (result i32)))
  (func (export "main") (result i32) (loop $l (br_if $l (i32.eqz (call $cancelled)))) (i32.const 7)))""")
LOGGING = prepared("""(module (import "edge" "log" (func $log (param i32 i32 i32)))
  (import "edge" "progress" (func $progress (param i32))) (memory 1) (data (i32.const 0) "hello")
  (func (export "main") (call $log (i32.const 2) (i32.const 0) (i32.const 5)) (call $progress (i32.const 500))))""")
EXAMPLE = prepared('(module (func (export "main") (result i32) (i32.const 30)))')

ALLOW = ["gpio_read", "gpio_write"]


async def test_fuel_and_time_come_with_the_result(runs):
    result = await runs.run(EXAMPLE)
    assert result["outputs"] == [30]
    assert result["fuel"] > 0
    assert result["duration_ms"] >= 0


async def test_events_come_before_the_result(runs):
    task, _, ended = runs.start(LOGGING)
    assert (await ended)["ok"]
    assert runs.events == [
        (task, "log", {"level": "warning", "text": "hello"}),
        (task, "progress", {"permille": 500}),
    ]


# Ends


async def test_a_metered_loop_ends_itself_at_the_limit_and_its_worker_lives(runs):
    before = await runs.worker()
    begun = time.monotonic()
    result = await runs.run(LOOP, limits={"timeout_ms": 100})
    assert code(result) == "timeout"
    assert result["fuel"] > 0
    assert 0.1 <= time.monotonic() - begun < 0.4
    assert runs.workers() == [before]


@pytest.mark.parametrize(
    ("data", "inputs"),
    [(LOOP, []), (wasms.LOOP, []), (READING, [13]), (UNTIL_CANCELLED, [])],
    ids=["metered", "not metered", "a call that blocks", "politely"],
)
async def test_a_stop_ends_whatever_runs_within_half_a_second(runs, data, inputs):
    task, started, ended = runs.start(data, inputs, allow=ALLOW)
    await started.wait()
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    runs.pool.stop(task, 1, 0)
    assert code(await ended) == "cancelled"
    assert time.monotonic() - begun < 0.5
    assert (await runs.run(EXAMPLE))["ok"]


async def test_grace_lets_a_task_end_with_its_result(runs):
    task, started, ended = runs.start(UNTIL_CANCELLED)
    await started.wait()
    runs.pool.stop(task, 1, 10_000)
    result = await asyncio.wait_for(ended, 2)
    assert result["outputs"] == [7]


async def test_grace_ends(runs):
    before = await runs.worker()
    task, started, ended = runs.start(LOOP)
    await started.wait()
    begun = time.monotonic()
    runs.pool.stop(task, 1, 100)
    assert code(await ended) == "cancelled"
    assert 0.1 <= time.monotonic() - begun < 0.5
    assert runs.workers() == [before]


async def test_a_stop_that_comes_too_late_does_not_hit_the_next(runs):
    for _ in range(20):
        task, started, ended = runs.start(EXAMPLE)
        await started.wait()
        runs.pool.stop(task, 1, 0)  # it has ended, or is about to
        await ended
        assert (await runs.run(EXAMPLE))["ok"]


async def test_a_call_that_blocks_ends_at_the_limit(runs):
    before = await runs.worker()
    result = await runs.run(READING, [13], allow=ALLOW, limits={"timeout_ms": 100})
    assert code(result) == "timeout"
    assert runs.workers() == [before]


# The board


async def test_the_board(runs):
    assert (await runs.run(READING, [3], allow=ALLOW))["outputs"] == [1]


async def test_a_board_hears_one_call_at_a_time_and_never_in_the_loop(runs):
    results = await asyncio.gather(*[runs.run(READING, [i], allow=ALLOW) for i in range(4)])
    assert all(result["ok"] for result in results)
    assert runs.board.most_at_once == 1
    assert threading.main_thread() not in runs.board.threads


async def test_a_call_that_never_returns_holds_up_nobody_for_good(runs, monkeypatch):
    monkeypatch.setattr(boardthread, "PATIENCE_S", 0.2)
    stuck, started, ended = runs.start(READING, [13], allow=ALLOW)
    await started.wait()
    waiting = runs.start(READING, [1], allow=ALLOW)[2]
    await asyncio.sleep(0.05)
    assert not waiting.done()
    runs.pool.stop(stuck, 1, 0)
    assert code(await ended) == "cancelled"
    assert not waiting.done()  # the board has time to come to its end: it hears one call at a time
    assert (await asyncio.wait_for(waiting, 2))["outputs"] == [1]
    assert (await runs.run(READING, [1], allow=ALLOW))["outputs"] == [1]


async def test_the_edge_goes_on_while_the_board_is_asked(runs):
    _, started, ended = runs.start(READING, [13], allow=ALLOW)
    await started.wait()
    for _ in range(10):
        await asyncio.sleep(0.005)
        assert not ended.done()
    runs.board.let_go.set()
    assert (await ended)["outputs"] == [1]


async def test_what_the_board_refuses_and_where_it_fails(runs):
    assert code(await runs.run(READING, [12], allow=ALLOW)) == "denied"
    result = await runs.run(WRITING, allow=ALLOW)
    assert code(result) == "device_error"
    assert "the chip is gone" in result["error"]["message"]


async def test_without_a_board_there_are_no_pins(tmp_path):
    pool = Pool()
    await pool.open()
    result = await Runs(pool, tmp_path).run(READING, [1], allow=ALLOW)
    assert code(result) == "missing_import"
    await pool.close()


# Limits


async def test_the_limit_of_memory_is_the_tasks(runs):
    grow = prepared("""(module (memory 1) (func (export "main") (param i32) (result i32)
      (memory.grow (local.get 0))))""")
    limits = {"memory_pages": 10}
    assert (await runs.run(grow, [9], limits=limits))["outputs"] == [1]
    assert (await runs.run(grow, [10], limits=limits))["outputs"] == [-1]
    assert (await runs.run(grow, [255]))["outputs"] == [1]
    assert (await runs.run(grow, [256]))["outputs"] == [-1]


async def test_the_most_memory_a_task_may_ask_for(runs):
    data = prepared("""(module (memory 1) (func (export "main") (result i32) (drop (memory.grow (i32.const 4095)))
      (i32.store (i32.const 0x0ffffffc) (i32.const 5)) (i32.load (i32.const 0x0ffffffc))))""")
    assert (await runs.run(data, limits={"memory_pages": 4096}))["outputs"] == [5]


async def test_recursion_traps(runs):
    data = prepared('(module (func $f (export "main") (call $f)))')
    for stack_bytes in (1024, 65536, 2**30):
        assert code(await runs.run(data, limits={"stack_bytes": stack_bytes})) == "trap_stack"
    assert (await runs.run(EXAMPLE))["ok"]


async def test_inputs_nested_too_deeply(runs):
    inputs = []
    for _ in range(100_000):
        inputs = [inputs]
    assert code(await runs.run(EXAMPLE, inputs)) == "bad_inputs"
    assert (await runs.run(EXAMPLE))["ok"]


# Workers


async def test_a_worker_that_has_done_its_share_is_replaced_before_the_next_task(tmp_path):
    pool = Pool(runs=3)
    await pool.open()
    runs = Runs(pool, tmp_path)
    seen = []
    for _ in range(9):
        assert (await runs.run(EXAMPLE))["ok"]
        await until(lambda: pool._idle)
        seen.append(runs.workers()[0])
    assert len(set(seen)) == 4  # a worker that is new has run none: 3, 3, 3, and the one that stands ready
    await pool.close()


async def test_memory_of_a_worker_stays_flat(tmp_path):
    """10,000 runs of all kinds, whole or failed, without a replacement: at most 2 MB more."""
    pool = Pool(runs=10**9)
    await pool.open()
    runs = Runs(pool, tmp_path)

    async def some(count):
        for _ in range(count // 5):
            assert (await runs.run(EXAMPLE))["ok"]
            assert (await runs.run(LOGGING))["ok"]
            assert code(await runs.run(wasms.one(wasms.UNREACHABLE))) == "trap_unreachable"
            assert code(await runs.run(EXAMPLE, [1])) == "bad_inputs"
            assert code(await runs.run(LOOP, limits={"timeout_ms": 1})) == "timeout"

    await some(100)
    (worker,) = runs.workers()
    before = resident(worker)
    await some(effort(10_000))
    assert runs.workers() == [worker]
    assert resident(worker) - before < 2 * 1024 * 1024
    await pool.close()


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


PRINTING = """
import asyncio, sys
from edge.cpython.pool import Pool

async def main():
    pool = Pool()
    await pool.open()
    ended = asyncio.get_running_loop().create_future()
    start = {"task": "t", "attempt": 1, "name": "main", "limits": {"stack_bytes": 65536}}
    nothing = lambda *_: None
    pool.start(start, sys.argv[1], nothing, lambda *result: ended.set_result(result[2]), nothing)
    print((await ended)["error"]["code"])
    await pool.close()

asyncio.run(main())
"""


async def printed(path, data, before=""):
    """What an edge of its own prints about a task, after a command of a shell."""
    path.write_bytes(data)
    line = f'{before} exec "$0" -c "$1" "$2"'
    edge = await asyncio.create_subprocess_exec(
        "sh", "-c", line, sys.executable, PRINTING, str(path), stdout=-1, stderr=asyncio.subprocess.PIPE
    )
    return await edge.communicate()


async def test_nothing_of_wasm3_reaches_the_terminal(tmp_path):
    assert await printed(tmp_path / "trap", wasms.one(wasms.UNREACHABLE)) == (b"trap_unreachable\n", b"")


@pytest.mark.parametrize("native_kib", [256, 512])
async def test_recursion_traps_on_a_small_native_stack(tmp_path, native_kib):
    data = prepared('(module (func $f (export "main") (call $f)))')
    out, err = await printed(tmp_path / "deep", data, f"ulimit -s {native_kib};")
    assert (out, err) == (b"trap_stack\n", b"")
