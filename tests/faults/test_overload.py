"""Clients that ask ten times as much as a hub gets done: it stays small, hears its devices, and says when to come."""

import asyncio
import json
import sys
import time
from itertools import count

import httpx2

from shared import states
from tests.bench.report import quantile
from tests.e2e.world import ROOT
from tests.effort import effort
from tests.faults.fleet import FILE, Fleet
from tests.faults.test_forged import HELLO
from tests.faults.test_kills import every_task
from tests.link.rawclient import PUBACK, RawClient, publish_packet

PENDING = effort(5000)
EDGES, CLIENTS, FLOODERS = 1, 16, 32
PHASE_S = effort(50)
BEAT_S = 0.5


class Memory:
    """The most that the hub has had (RSS) while it was looked at."""

    def __init__(self, pid: int) -> None:
        self._path = f"/proc/{pid}/status"
        self.most = 0.0

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self.now())
            await asyncio.sleep(0.1)

    def now(self) -> float:
        with open(self._path) as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


async def during(what, *others):
    """The answer of what, with the others beside it."""
    beside = [asyncio.create_task(one) for one in others]
    try:
        return await what
    finally:
        for one in beside:
            assert not one.done() or one.exception() is None, one
            one.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def sustain(world, fleet, for_s):
    """Clients that wait for each of their tasks; tasks a second."""
    end, ended = time.monotonic() + for_s, 0

    async def one(http, id):
        body = {"id": id, "name": "main", "inputs": [1], "file": FILE, "placement": {"forbid": ["probe"]}}
        assert (await http.post("/tasks", json=body)).status_code == 201
        assert (await http.post(f"/tasks/{id}/start")).status_code == 200
        await fleet.until(lambda: (id, 1) in fleet.released)

    async def client(http, name):
        nonlocal ended
        while time.monotonic() < end:
            ended += 1
            await one(http, f"{name}-{ended}")

    async with httpx2.AsyncClient(base_url=world.url, timeout=30) as http:
        await asyncio.gather(*(client(http, f"s{at}") for at in range(CLIENTS)))
    return ended / for_s


async def flood(world, for_s):
    command = [sys.executable, "-m", "tests.faults.flood", world.url, str(FLOODERS), str(for_s)]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    assert child.returncode == 0
    return json.loads(said)


async def beat(probe, took_s):
    """Beats as a device does, but tells how long each waits: its PUBACK comes when the hub has dealt with it."""
    fields = {"boot": "1", "seq": 1, "mem_free": 1, "uptime_s": 1, "running": []}
    for number in count(8):
        began = time.perf_counter()
        probe.write(publish_packet("motet/v1/d/probe/up/beat", json.dumps(fields).encode(), 1, number))
        while True:
            answer = await probe.read(60)
            if (answer.kind, answer.packet_id) == (PUBACK, number):
                break
        took_s.append(time.perf_counter() - began)
        await asyncio.sleep(0.3)


async def test_ten_times_too_much_costs_neither_memory_nor_devices(make_world, tmp_path):
    world = make_world("--beat-s", str(BEAT_S), "--max-pending", str(PENDING), "--log-level", "error")
    memory = Memory(world.hub.child.pid)
    took_s = []
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 3, 0.1) as fleet:
        probe = await RawClient.device((world.mqtt_host, int(world.mqtt_port)), "probe", keep_alive=600)
        probe.write(publish_packet("motet/v1/d/probe/up/hello",
                                   json.dumps({**HELLO, "boot": "1", "running": []}).encode(), 1, 7))  # fmt: skip
        await fleet.until(lambda: fleet.welcomed == EDGES)
        rate = await during(sustain(world, fleet, PHASE_S), memory.watch(), beat(probe, []))
        sustained, memory.most = memory.most, 0.0
        before = len(fleet.released)
        told = await during(flood(world, PHASE_S), memory.watch(), beat(probe, took_s))
        completed = len(fleet.released) - before
        proplets = (await asyncio.to_thread(world.client.proplets))["proplets"]
        started = set(told["started"])
        await fleet.until(lambda: started <= {task for task, _ in fleet.released}, 300)
        tasks = await asyncio.to_thread(every_task, world)
        await probe.die()
    asked = sum(told["answers"].values())
    refused = told["answers"].get("429", 0)
    print(f"{rate:.0f} tasks/s with {sustained:.0f} MB; {asked / told['took_s']:.0f} requests/s, {refused} refused, "
          f"{completed / told['took_s']:.0f} tasks/s with {memory.most:.0f} MB, "
          f"a beat p99 {quantile(took_s, 0.99) * 1000:.0f} ms")  # fmt: skip
    assert asked > 10 * completed and refused > asked / 3
    assert set(told["answers"]) == {"201", "200", "429"} and not told["untold"]
    assert memory.most <= 1.5 * sustained
    assert quantile(took_s, 0.99) <= 1.0
    # Nobody was given up, and what was taken has been done, once.
    assert {proplet["alive"] for proplet in proplets} == {True}
    assert {(task["state"], len(task["attempts"])) for task in tasks.values()} == {(states.COMPLETED, 1)}
    assert started <= tasks.keys() and max(fleet.runs.values()) == 1
