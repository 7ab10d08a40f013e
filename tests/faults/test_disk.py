"""A hub whose disk takes no more: it says so, goes on reading, loses nothing, and comes back when there is room."""

import asyncio
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hub.archivist import AGAIN_S
from motet.client import Client
from shared.errors import Unavailable
from tests.e2e.world import ROOT, Child, World
from tests.faults.fleet import FILE, Fleet

EDGES = 4
OPTIONS = ("--beat-s", "1", "--log-level", "error")
SIZE = 3 << 20
ROOM = 1 << 20
# A file system of its own, as anybody may have one where the kernel lets users have name spaces.
MOUNT = ["unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size={SIZE} none "$0" && exec "$@"']


class Limited(World):
    """No file of the hub may grow beyond a size: this needs no rights, and no file system."""

    def fill(self) -> None:
        journals = (self.folder / "hub").rglob("journal*")
        self._limit(max(path.stat().st_size for path in journals))

    def make_room(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        resource.prlimit(self.hub.child.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


class Small(World):
    """The hub's folder is a file system of 3 MiB, a third of which somebody else takes."""

    def _start(self, *arguments: str) -> Child:  # type: ignore[override]
        data = self.folder / "hub"
        data.mkdir(parents=True, exist_ok=True)
        command = [*MOUNT, str(data), sys.executable, "-m", "motet", *arguments, "--config", os.devnull]
        process = Child(command, ROOT, {**os.environ, "PYTHONUNBUFFERED": "1"})
        self.processes.append(process)  # type: ignore[arg-type]
        return process

    def fill(self) -> None:
        self._others.write_bytes(bytes(ROOM))

    def fill_up(self) -> None:
        """To the last byte; what the hub has reserved ahead stays its own."""
        with pytest.raises(OSError), self._others.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def make_room(self) -> None:
        self._others.unlink()

    @property
    def _others(self) -> Path:
        return Path(f"/proc/{self.hub.child.pid}/root/{self.folder}/hub/others")


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*MOUNT, "/mnt", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", [Limited, Small])
async def test_a_full_disk_makes_it_read_only_until_there_is_room_and_loses_nothing(kind, tmp_path):
    if kind is Small and not can_mount():
        pytest.skip("this kernel lets users mount nothing")
    world = kind(tmp_path / "world", *OPTIONS)
    try:
        await play(world, tmp_path)
    finally:
        world.close()


async def test_ended_runs_that_find_no_room_to_move_stay_and_move_when_there_is_some(tmp_path):
    if not can_mount():
        pytest.skip("this kernel lets users mount nothing")
    world = Small(tmp_path / "world", *OPTIONS, "--keep-tasks", "0")
    try:
        await move(world, tmp_path)
    finally:
        world.close()


async def move(world, tmp_path):
    ids = [f"m{at}" for at in range(90)]

    async def run(some):
        for id in some:
            await asyncio.to_thread(world.client.create_task, "main", id=id, inputs=[1], file=FILE)
            await asyncio.to_thread(world.client.start_task, id)
        await fleet.until(lambda: set(some) <= {task for task, _ in fleet.released})

    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 14, 0.01) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        await run(ids[:30])
        await until(lambda: history(world) == 30)
        world.fill_up()
        await run(ids[30:60])
        # The journal has room ahead: the hub goes on. Longer than it waits before it tries again.
        await asyncio.sleep(AGAIN_S + 1)
        assert world.call("GET", "/health")["status"] == "pass"
        assert history(world) < 60
        assert world.client.tasks(limit=1000)["total"] == 60
        await check(world, ids[:60])
        refused = await asyncio.to_thread(load, world.client, [])
        assert refused.code == "disk_full"
        assert {task["id"] for task in world.client.tasks(limit=1000)["tasks"]} >= set(ids[:60])
        await check(world, ids[:60])
        world.make_room()
        await until(lambda: world.http.get("/health").status_code == 200)
        await run(ids[60:])
        await until(lambda: history(world) == len(fleet.runs))
        await check(world, ids)
    tasks = [task["id"] for task in world.client.tasks(limit=1000)["tasks"]]
    assert len(tasks) == len(set(tasks))


def history(world):
    """How many tasks are in it."""
    return float(re.search(r'^motet_history{kind="task"} (\S+)$', world.http.get("/metrics").text, re.MULTILINE)[1])


async def until(condition):
    """Looks again and again: nothing tells of it."""

    def wait():
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.05)

    await asyncio.to_thread(wait)


async def play(world, tmp_path):
    acknowledged = []
    async with Fleet(tmp_path, int(world.mqtt_port), EDGES, 10, 0.1) as fleet:
        await fleet.until(lambda: fleet.welcomed == EDGES)
        world.fill()
        refused = await asyncio.to_thread(load, world.client, acknowledged)
        assert refused.code == "disk_full" and "free some space" in refused.message
        # What runs ends, and what edges report waits with them; as long as it takes to fall silent.
        await asyncio.sleep(3)
        released, runs = set(fleet.released), len(fleet.runs)
        assert world.call("GET", "/health", status=503)["status"] == "fail"
        assert world.client.tasks(limit=1)["total"] >= len(acknowledged) > 0
        for id in acknowledged[::50]:
            assert world.client.task(id)["id"] == id
        for method, path, body in (("POST", "/tasks", {"name": "main"}), ("POST", "/stop", {"all": True})):
            assert world.call(method, path, body, status=507)["code"] == "disk_full"
        assert world.http.delete(f"/tasks/{acknowledged[0]}").status_code == 507
        assert (fleet.released, len(fleet.runs)) == (released, runs)
        began = time.perf_counter()
        world.make_room()
        await fleet.until(lambda: set(acknowledged) <= {task for task, _ in fleet.released})
        took_s = time.perf_counter() - began
        assert world.call("GET", "/health")["status"] == "pass"
        world.client.create_task("main", id="after", inputs=[1], file=FILE)
        world.client.start_task("after")
        acknowledged.append("after")
        await asyncio.to_thread(world.client.wait_task, "after", 20)
        await check(world, acknowledged)
        assert max(fleet.runs.values()) == 1 and {attempt for _, attempt in fleet.runs} == {1}
        if isinstance(world, Limited):  # the other's disk ends with it
            await asyncio.to_thread(world.hub.stop, signal.SIGKILL)
            await asyncio.to_thread(world.start_hub)
            await check(world, acknowledged)
    print(f"{len(acknowledged)} tasks acknowledged, 0 lost; all ended {took_s:.1f} s after there was room")


async def check(world, acknowledged):
    for id in acknowledged:
        task = await asyncio.to_thread(world.client.task, id)
        assert task["state"] == 3 and len(task["attempts"]) == 1, task


def load(client: Client, acknowledged: list[str]) -> Unavailable:
    """Starts tasks until the hub refuses; those whose start it took, and why it took no more."""
    try:
        for at in range(100_000):
            client.create_task("main", id=f"t{at}", inputs=[at], file=FILE, env={"x": "x" * 1000})
            client.start_task(f"t{at}")
            acknowledged.append(f"t{at}")
    except Unavailable as refused:
        return refused
    raise AssertionError("the disk did not fill up")
