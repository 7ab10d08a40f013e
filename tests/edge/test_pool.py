"""The pool of worker processes: fast, exact at the limit, and nothing is left behind."""

import asyncio
import os
import signal
import sys
import time

import pytest

from edge.cpython.pool import Pool
from tests.edge import wasms


def alive(pid):
    """Whether a process runs; a zombie that nobody reaps yet does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


async def until(condition):
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come true within 5 s")


class Runs:
    """Tasks in a pool, as a test likes them."""

    def __init__(self, pool, folder):
        self.pool = pool
        self.folder = folder
        self.count = 0
        self.events = []

    def on_event(self, task, attempt, kind, fields):
        self.events.append((task, kind, fields))

    def start(self, data=wasms.ADDER, inputs=None, limits=None, **fields):
        """(name of the task, event of its start, future of its result)"""
        self.count += 1
        task = f"t{self.count}"
        path = self.folder / task
        path.write_bytes(data)
        begun = asyncio.Event()
        ended = asyncio.get_running_loop().create_future()
        message = {"task": task, "attempt": 1, "name": "main", "inputs": inputs, "limits": limits or {}, **fields}
        self.pool.start(
            message, str(path), lambda *key: begun.set(), lambda *result: ended.set_result(result[2]), self.on_event
        )
        return task, begun, ended

    async def run(self, *args, **fields):
        return await self.start(*args, **fields)[2]

    async def worker(self):
        """The one that is warm."""
        await self.run(inputs=[1, 2])
        (pid,) = self.workers()
        return pid

    def workers(self):
        return children(self.pool._template.pid)


@pytest.fixture
async def runs(tmp_path):
    pool = Pool(idle_s=0.2)
    await pool.open()
    yield Runs(pool, tmp_path)
    await pool.close()


def code(result):
    return result["error"]["code"]


async def test_a_task_runs(runs):
    result = await runs.run(inputs=[10, 20])
    assert (result["ok"], result["outputs"], result["text"]) == (True, [30], "30\n")


async def test_tasks_that_arrive_together_overlap(runs):
    await runs.run(inputs=[1, 2])
    begun = time.monotonic()
    three = [runs.start(wasms.LOOP) for _ in range(3)]
    for _, started, _ in three:
        await started.wait()
    assert time.monotonic() - begun < 0.3  # 3 ms on an idle machine
    assert not any(ended.done() for _, _, ended in three)
    for task, _, _ in three:
        runs.pool.stop(task, 1, 0)
    assert [code(await ended) for _, _, ended in three] == ["cancelled"] * 3


async def test_the_limit_kills_and_the_next_task_runs(runs):
    begun = time.monotonic()
    result = await runs.run(wasms.LOOP, limits={"timeout_ms": 200})
    assert code(result) == "timeout"
    assert 0.2 <= time.monotonic() - begun < 0.5
    assert (await runs.run(inputs=[1, 2]))["ok"]


async def test_a_daemon_has_no_limit(runs):
    task, started, ended = runs.start(wasms.LOOP, limits={"timeout_ms": 50}, daemon=True)
    await started.wait()
    done, _ = await asyncio.wait([ended], timeout=0.3)
    assert not done
    runs.pool.stop(task, 1, 0)
    assert code(await ended) == "cancelled"


async def test_grace_lets_a_task_end_by_itself(runs):
    task, started, ended = runs.start(wasms.LOOP)
    await started.wait()
    begun = time.monotonic()
    runs.pool.stop(task, 1, 100)
    assert code(await ended) == "cancelled"
    assert time.monotonic() - begun >= 0.1


async def test_a_stop_that_comes_at_once(runs):
    task, _, ended = runs.start(wasms.LOOP)
    runs.pool.stop(task, 1, 0)
    assert code(await ended) == "cancelled"


async def test_a_stop_for_nothing_is_ignored(runs):
    runs.pool.stop("nobody", 1, 0)


async def test_a_worker_that_dies_names_its_signal(runs):
    _, started, ended = runs.start(wasms.LOOP)
    await started.wait()
    for pid in runs.workers():
        os.kill(pid, signal.SIGKILL)
    result = await ended
    assert code(result) == "worker_died"
    assert "SIGKILL" in result["error"]["message"]
    assert (await runs.run(inputs=[1, 2]))["ok"]


async def test_an_idle_worker_that_died_is_replaced(runs):
    await runs.run(inputs=[1, 2])
    (pid,) = runs.workers()
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not runs.pool._idle[0].usable())
    assert (await runs.run(inputs=[1, 2]))["ok"]


async def test_a_template_that_died_is_replaced(runs):
    _, started, ended = runs.start(wasms.LOOP)
    await started.wait()
    os.kill(runs.pool._template.pid, signal.SIGKILL)
    assert code(await ended) == "worker_died"
    assert (await runs.run(inputs=[1, 2]))["ok"]


async def test_idle_workers_end_but_one(runs):
    await asyncio.gather(*[runs.run(inputs=[1, i]) for i in range(4)])
    assert len(runs.workers()) == 4
    await until(lambda: len(runs.workers()) == 1)


async def test_memory_is_limited_in_the_worker(runs):
    data = wasms.module(wasms.function("main", b"\x01"), pages=30000)
    result = await runs.run(data, limits={"memory_pages": 40000})
    assert code(result) == "memory_limit"


async def test_a_wrong_limit_is_a_result(runs):
    assert code(await runs.run(limits={"timeout_ms": "soon"})) == "bad_inputs"


async def test_large_inputs_pass(runs):
    assert (await runs.run(inputs=[1, 2], stdin="x" * 250_000))["ok"]


async def test_close_ends_everything(tmp_path):
    pool = Pool()
    await pool.open()
    runs = Runs(pool, tmp_path)
    _, started, ended = runs.start(wasms.LOOP)
    await started.wait()
    pids = [pool._template.pid, *runs.workers()]
    assert len(pids) == 2
    await pool.close()
    assert not any(alive(pid) for pid in pids)
    assert not ended.done()


async def test_close_while_a_worker_is_being_replaced(tmp_path):
    pool = Pool(runs=1)
    await pool.open()
    assert (await Runs(pool, tmp_path).run(inputs=[1, 2]))["ok"]
    await asyncio.sleep(0)  # the replacement has begun
    await pool.close()


ORPHAN = """
import asyncio, sys
from edge.cpython.pool import Pool

async def main():
    pool = Pool()
    await pool.open()
    start = {"task": "t", "attempt": 1, "name": "main", "limits": {}}
    nothing = lambda *_: None
    pool.start(start, sys.argv[1], lambda *key: print("started", flush=True), nothing, nothing)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_an_edge_killed_in_an_endless_loop_leaves_no_child(tmp_path):
    (tmp_path / "loop").write_bytes(wasms.LOOP)
    edge = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ORPHAN, str(tmp_path / "loop"), stdout=asyncio.subprocess.PIPE
    )
    assert await edge.stdout.readline() == b"started\n"
    (template,) = children(edge.pid)
    pids = [template, *children(template)]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    edge.kill()
    await edge.wait()
    await until(lambda: not any(alive(pid) for pid in pids))
