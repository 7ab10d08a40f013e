"""Run by MicroPython: the runner in one process, with a module's file as its argument. Prints a JSON object."""

import asyncio
import json
import sys
import time

from edge.caps import caps_of
from edge.main import platform
from edge.wasm import InProcessRunner


class Runs:
    def __init__(self, path):
        self.runner = InProcessRunner()
        self._path = path
        self.results = {}

    def start(self, task, function, **limits):
        start = {"task": task, "attempt": 1, "name": "n", "function": function, "limits": limits}
        self.runner.start(start, self._path, lambda *key: None, self._on_finished, lambda *event: None)

    def _on_finished(self, task, attempt, result):
        self.results[task] = result

    async def end(self, task):
        while task not in self.results:
            await asyncio.sleep_ms(5)
        result = self.results[task]
        return result.get("outputs") or result["error"]["code"]


async def beat(beats):
    while True:
        beats.append(time.ticks_ms())
        await asyncio.sleep_ms(10)


async def main():
    found = {"caps": caps_of(platform.ABIS, None)}
    runs = Runs(sys.argv[1])
    await runs.runner.open()

    beats = []
    beating = asyncio.create_task(beat(beats))
    runs.start("busy", "busy")
    runs.start("behind", "quick")
    found["in_turn"] = [await runs.end("busy"), await runs.end("behind")]
    found["longest_gap_ms"] = max([beats[i] - beats[i - 1] for i in range(1, len(beats))])

    runs.start("stopped", "busy")
    await asyncio.sleep_ms(50)
    begun = time.ticks_ms()
    runs.runner.stop("stopped", 1, 0)
    found["stopped"] = await runs.end("stopped")
    found["stop_ms"] = time.ticks_diff(time.ticks_ms(), begun)

    runs.start("late", "busy", timeout_ms=100)
    found["late"] = await runs.end("late")
    runs.start("nothing", "nothing")
    found["nothing"] = await runs.end("nothing")

    runs.start("open", "busy")
    runs.start("never", "quick")
    await asyncio.sleep_ms(30)
    await runs.runner.close()
    beating.cancel()
    await asyncio.sleep_ms(20)
    found["after_close"] = sorted(task for task in ("open", "never") if task in runs.results)
    sys.stdout.write(json.dumps(found))


asyncio.run(main())
