"""What modules cost on an edge: a task's overhead, a cold start, metering, many runs; wasmtime beside it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import wasmtime

from edge import call, files
from edge.cpython.m3 import Library
from edge.cpython.pool import Pool, wasm3_file
from hub.modules.accept import accept
from tests.bench.proc import family, rss_mb
from tests.bench.report import Figure, median
from tests.bench.stage import Stage
from tests.bench.wire import ADDITION
from tests.differential.generate import large
from tests.e2e.world import module

ROUNDS = 7
TASKS = 500
RUNS = 10_000
# Some runs come first: what a process allocates once is no growth.
WARM_UP = 500
# size in bytes: how often it is started cold, another module each time
SIZES = {1_000: 9, 100_000: 5, 1_000_000: 1}
FIB, FIB_OF = "fib(30)", 30
SHA, SHA_OF = "SHA-256 of 1 MiB", 16_384
FIB_WAT = """(module (func $fib (export "main") (param i32) (result i32)
    (if (i32.lt_s (local.get 0) (i32.const 2)) (then (return (local.get 0))))
    (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1))) (call $fib (i32.sub (local.get 0) (i32.const 2))))))"""
MEMORY_WAT = """(module (memory 2) (func (export "main") (param i32 i32) (result i32)
    (i32.store (i32.const 100000) (local.get 0)) (i32.add (i32.load (i32.const 100000)) (local.get 1))))"""


class Port:
    """The runner's end of a task that asks for nothing."""

    offers: tuple[str, ...] = ()

    def emit(self, kind: str, fields: dict[str, Any]) -> bool:
        return True

    def grace_ms(self) -> float | None:
        return None

    def wait(self, ms: float) -> None:
        pass


def _message(function: str, inputs: list[int], **fields: Any) -> dict[str, Any]:
    return {"task": "t", "attempt": 1, "name": function, "function": function, "inputs": inputs, "abi": "call",
            "limits": {"timeout_ms": 60_000}, **fields}  # fmt: skip


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    if not result["ok"]:
        raise RuntimeError(str(result["error"]))
    return result


class Runner:
    """The worker processes of an edge, one task at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # No worker is replaced in the middle of a bench.
        self.pool = Pool(runs=2 * RUNS)
        self._numbers = count(1)

    async def run(self, path: Path, inputs: list[int]) -> float:
        """Seconds from the pool's start to the result."""
        ended: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        message = _message("main", inputs, task=f"t{next(self._numbers)}")
        begin = time.perf_counter()
        self.pool.start(message, str(path), lambda *_: None, lambda *end: ended.set_result(end[2]), lambda *_: None)
        _checked(await ended)
        return time.perf_counter() - begin


def _with_runner(stage: Stage, measure: "Callable[[Runner, Path], Any]") -> Any:
    folder = stage.folder()
    path = folder / "addition"
    path.write_bytes(accept(module("addition")).prepared)

    async def run() -> Any:
        runner = Runner(folder)
        await runner.pool.open()
        try:
            return await measure(runner, path)
        finally:
            await runner.pool.close()

    return asyncio.run(run())


def overhead(stage: Stage) -> Iterator[Figure]:
    """An addition, whose own time is nothing."""

    async def measure(runner: Runner, path: Path) -> tuple[list[float], list[float]]:
        engine, inside = Library(wasm3_file()), []
        for _ in range(TASKS):
            begin = time.perf_counter()
            data = files.load(str(path))
            assert data is not None
            _checked(call.run(engine.load, _message("main", ADDITION), data, Port(), lambda: None))
            inside.append(time.perf_counter() - begin)
        return inside, [await runner.run(path, ADDITION) for _ in range(TASKS)]

    inside, whole = _with_runner(stage, measure)
    yield Figure("module.overhead_ms", "a task in a warm worker, what is not its own code", median(inside) * 1000,
                 "ms", most=0.5, note="module read, loaded, linked, called and freed")  # fmt: skip
    yield Figure("module.pool_ms", "the same from the edge's side", median(whole) * 1000, "ms",
                 note="with the way to the worker and back")  # fmt: skip


def cold(stage: Stage) -> Iterator[Figure]:
    """From the bytes of a module that no process has seen to its first result, and what the hub did at its upload."""
    engine = Library(wasm3_file())
    for size, times in SIZES.items():
        accepting, ours, theirs = [], [], []
        for seed in range(times):
            data = large(seed, size)
            begin = time.perf_counter()
            prepared = accept(data).prepared
            accepting.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            call.run(engine.load, _message("main", []), bytearray(prepared), Port(), lambda: None)
            ours.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            _wasmtime(data)
            theirs.append(time.perf_counter() - begin)
        what = f"cold start, module of {size // 1000:,} kB"
        note = f"wasmtime {median(theirs) * 1000:.0f} ms; upload {median(accepting) * 1000:.0f} ms"
        yield Figure(f"module.cold_{size // 1000}_kb_ms", what, median(ours) * 1000, "ms", note=note)


def _wasmtime(data: bytes) -> None:
    """Compiles it and calls its main once, whatever comes of that."""
    store = wasmtime.Store(wasmtime.Engine())
    main = wasmtime.Instance(store, wasmtime.Module(store.engine, data), []).exports(store)["main"]
    with suppress(wasmtime.Trap):
        main(store)  # type: ignore[operator]


def metering(stage: Stage) -> Iterator[Figure]:
    """The same module as it was uploaded and as devices get it, in turns; and as wasmtime compiles it."""
    fib = bytes(wasmtime.wat2wasm(FIB_WAT))
    for key, what, data, function, of in (("fib", FIB, fib, "main", FIB_OF),
                                          ("sha256", SHA, module("sha256"), "sha256", SHA_OF)):  # fmt: skip
        prepared = accept(data).prepared
        plain, metered, theirs = [], [], []
        store = wasmtime.Store(wasmtime.Engine())
        rival: Any = wasmtime.Instance(store, wasmtime.Module(store.engine, data), []).exports(store)[function]
        for _ in range(ROUNDS):
            plain.append(_cpu_ms(data, function, of))
            metered.append(_cpu_ms(prepared, function, of))
            begin = time.process_time()
            rival(store, of)
            theirs.append((time.process_time() - begin) * 1000)
        # The fastest of each: what else runs adds to the others.
        yield Figure(f"module.{key}_ms", f"{what}, metered", min(metered), "ms",
                     note=f"unmetered {min(plain):.1f} ms, wasmtime {min(theirs):.1f} ms")  # fmt: skip
        yield Figure(f"module.{key}_slowdown", f"{what}, metered to unmetered", min(metered) / min(plain), "x",
                     most=1.5)  # fmt: skip


def _cpu_ms(data: bytes, function: str, of: int) -> float:
    """Of the processor, so that what else runs does not spoil the ratio."""
    engine = Library(wasm3_file())
    begin = time.process_time()
    _checked(call.run(engine.load, _message(function, [of]), bytearray(data), Port(), lambda: None))
    return (time.process_time() - begin) * 1000


def runs(stage: Stage) -> Iterator[Figure]:
    """Ten thousand tasks in one worker, every other one of a module with memory."""

    async def measure(runner: Runner, path: Path) -> tuple[float, float]:
        paths = path, runner.folder / "memory"
        paths[1].write_bytes(accept(bytes(wasmtime.wat2wasm(MEMORY_WAT))).prepared)
        for at in range(WARM_UP):
            await runner.run(paths[at % 2], ADDITION)
        workers = _workers(runner)
        before = rss_mb(*workers)
        for at in range(RUNS):
            await runner.run(paths[at % 2], ADDITION)
        if _workers(runner) != workers:
            raise RuntimeError("another worker took over")
        return before, rss_mb(*workers)

    before, after = _with_runner(stage, measure)
    yield Figure("module.growth_mb", f"a worker's memory, growth in {RUNS:,} tasks (RSS)", after - before, "MB", most=2,
                 note=f"from {before:.1f} to {after:.1f} MB")  # fmt: skip


def _workers(runner: Runner) -> list[int]:
    template = runner.pool._template
    assert template is not None
    return family(template.pid)[1:]
