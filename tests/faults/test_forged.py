"""Results that are late, doubled or forged, over a real connection: nothing changes, and each is answered."""

import json
import random
from typing import Any

from shared import states
from shared.messages import make_up, read_down
from shared.topics import up
from tests.effort import effort
from tests.faults.fleet import FILE
from tests.link.rawclient import PUBACK, PUBLISH, RawClient, packet, publish_packet

RESULTS = effort(10_000)
# On the way at a time: the hub holds no more than 16 unacknowledged for a device.
WINDOW = 50
# A test that takes long on a busy machine must not lose its devices meanwhile.
PATIENT = ("--beat-s", "600", "--lease-s", "3600")
HELLO = {"proto": 1, "agent": "x", "runtime": "x", "caps": {}, "mem_free": 1 << 20, "mem_total": 1 << 20, "slots": 8,
         "outbox": []}  # fmt: skip


class Device:
    """One that says what it is told to."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.heard: list[tuple[str, dict[str, Any]]] = []

    @classmethod
    async def connect(cls, world: Any, name: str) -> "Device":
        address = (world.mqtt_host, int(world.mqtt_port))
        device = cls(await RawClient.device(address, name, keep_alive=600))
        await device.hello("1", [])
        return device

    async def hello(self, boot: str, running: list[list[Any]]) -> None:
        self.say("hello", {**HELLO, "boot": boot, "running": running})
        await self.until("welcome")

    def say(self, kind: str, fields: dict[str, Any]) -> None:
        self.client.write(publish_packet(up(self.client.id, kind), make_up(kind, fields), 1, 1))

    async def until(self, kind: str) -> dict[str, Any]:
        """The next message of the kind."""
        while True:
            one = await self.client.read(60)
            assert one.kind in (PUBACK, PUBLISH)
            if one.kind == PUBLISH:
                self.client.write(packet(0x40, one.packet_id.to_bytes(2, "big")))
                said, fields = read_down(one.payload)
                self.heard.append((said, fields))
                if said == kind:
                    return fields

    async def end(self, task: str, attempt: int, ok: bool = True) -> None:
        """The result of an attempt, and that of the hub's ack."""
        fields = {"ok": True, "outputs": [1]} if ok else {"ok": False, "error": {"code": "exit_code", "message": "x"}}
        self.say("result", {"task": task, "attempt": attempt, **fields})
        assert await self.until("ack") == {"task": task, "attempt": attempt}


async def test_late_doubled_and_forged_results_change_nothing_and_are_answered(make_world):
    world = make_world(*PATIENT)
    chance = random.Random(64)
    try:
        devices = {name: await Device.connect(world, name) for name in ("a", "b")}
        await set_the_stage(world, devices["a"])
        before = documents(world)
        current = {(name, id, task["attempts"][-1]["number"]) for id, task in before.items()
                   if task["state"] in states.ACTIVE for name in [task["proplet_id"]]}  # fmt: skip
        assert len(current) == 3 and {task["state"] for task in before.values()} == {0, 1, 2, 3, 4, 6}
        sent = 0
        while sent < RESULTS:
            name, device = chance.choice(list(devices.items()))
            forged = [(task, attempt) for task, attempt in (forge(chance, before) for _ in range(WINDOW))
                      if (name, task, attempt) not in current]  # fmt: skip
            for task, attempt in forged:
                device.say("result", {"task": task, "attempt": attempt, **said(chance)})
            answered = [await device.until("ack") for _ in forged]
            assert [(ack["task"], ack["attempt"]) for ack in answered] == forged
            sent += len(forged)
        assert documents(world) == before
        # The attempts that are current still count.
        for name, task, attempt in current:
            await devices[name].end(task, attempt)
            assert world.client.task(task)["state"] == states.COMPLETED
    finally:
        await RawClient.close_all()
    text = world.http.get("/metrics").text
    print(
        f"{sent} results, 0 changes, all answered\n" + "\n".join(line for line in text.splitlines() if "result" in line)
    )


async def set_the_stage(world: Any, a: Device) -> None:
    """Tasks in every state, with attempts that ended, failed, were lost, run and wait to run; all on device a."""
    for id in ("done", "failed", "retried", "lost", "running", "stopped", "waiting"):
        retries = {"retries": 3} if id == "retried" else {}
        world.client.create_task("main", id=id, file=FILE, inputs=[1], proplet_id="a", **retries)
    for id in ("done", "failed", "retried", "lost", "running", "stopped"):
        world.client.start_task(id)
        start = await a.until("start")
        a.say("started", {"task": start["task"], "attempt": start["attempt"]})
    await a.end("done", 1)
    await a.end("failed", 1, ok=False)
    await a.end("retried", 1, ok=False)
    world.client.stop_task("stopped")
    await a.until("stop")
    await a.end("stopped", 1)
    # The device restarts and knows one task no more: its first attempt is lost, the second one goes out.
    await a.hello("2", [["running", 1], ["retried", 2]])
    while ("lost", 2) not in {(fields["task"], fields["attempt"]) for kind, fields in a.heard if kind == "start"}:
        await a.until("start")
    await a.end("retried", 2, ok=False)
    while ("retried", 3) not in {(fields["task"], fields["attempt"]) for kind, fields in a.heard if kind == "start"}:
        await a.until("start")


def documents(world: Any) -> dict[str, dict[str, Any]]:
    """All tasks; a late result of a lost attempt is kept beside it, which is no change of the task."""
    tasks = {task["id"]: world.client.task(task["id"]) for task in world.client.tasks()["tasks"]}
    for task in tasks.values():
        for attempt in task.get("attempts", ()):
            attempt.pop("superseded", None)
        task.pop("updated_at", None)
    return json.loads(json.dumps(tasks))


def forge(chance: random.Random, tasks: dict[str, Any]) -> tuple[str, int]:
    """A task, known or not, and an attempt of it, past or still to come."""
    return chance.choice([*tasks, *tasks, "unknown", "w1"]), chance.choice([0, 1, 1, 2, 2, 3, 4, 1 << 52])


def said(chance: random.Random) -> dict[str, Any]:
    if chance.random() < 0.5:
        return {"ok": True, "outputs": [chance.random()], "text": "forged", "duration_ms": 1}
    return {
        "ok": False,
        "error": {"code": chance.choice(["trap_oob", "cancelled", "worker_died"]), "message": "forged"},
    }
