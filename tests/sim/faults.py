"""What goes wrong, and what mends it: each fault ends by itself, and all end when the calm begins."""

import random
from typing import TYPE_CHECKING

from hub.core.entries import listed
from hub.core.model import TASKS
from shared.messages import make_up
from tests.sim.ledger import FORGED
from tests.sim.loop import Process

if TYPE_CHECKING:
    from tests.sim.simulation import Simulation


class Faults:
    def __init__(self, world: "Simulation") -> None:
        self.world = world
        self.chance = random.Random(f"{world.plan.seed}/faults")

    def calm(self) -> None:
        """From here on nothing goes wrong."""
        world = self.world
        hub, disk = world.hub, world.hub.disk
        disk.full, disk.cut_in, disk.file_cut, hub.snapshot_cut = False, 0, 0, 0
        hub.slow, hub.down_s, hub.again = 0.0, 0.1, None
        world.network.blocked.clear()
        self._restart_failed()
        hub.boot()
        for device in world.devices.values():
            device.boot()

    # --- the hub

    def do_crash(self, seconds: float, again: float | None) -> None:
        """again: see Hub."""
        self.world.hub.down_s, self.world.hub.again = seconds, again
        self.world.hub.crash()

    def do_restart(self, seconds: float) -> None:
        """Somebody stops it as one should."""
        self.world.hub.down_s = seconds
        self.world.hub.stop()

    def do_flush_cut(self, after: int, seconds: float, again: float | None) -> None:
        """It dies within a write, so many steps of the disk from now."""
        self.world.hub.disk.cut_in = after
        self.world.hub.down_s, self.world.hub.again = seconds, again

    def do_journal_cut(self, after: int, seconds: float, again: float | None) -> None:
        """The same from the moment when the next journal is begun."""
        self.world.hub.disk.file_cut = after
        self.world.hub.down_s, self.world.hub.again = seconds, again

    def do_snapshot_cut(self, after: int, seconds: float, again: float | None) -> None:
        """The same within the next snapshot."""
        self.world.hub.snapshot_cut = after
        self.world.hub.down_s, self.world.hub.again = seconds, again

    def do_disk_full(self, seconds: float) -> None:
        """It is read-only from the next change on, until there is room, or where a sync failed until its restart."""
        self.world.hub.disk.full = True
        self.world.later(seconds, self._room)

    def _room(self) -> None:
        self.world.hub.disk.full = False
        self._restart_failed()

    def _restart_failed(self) -> None:
        hub = self.world.hub
        if hub.journal is not None and hub.journal.failed is not None:
            hub.down_s = 0.1
            hub.crash()

    def do_slow_disk(self, seconds: float, flush_s: float) -> None:
        self.world.hub.slow = flush_s
        self.world.later(seconds, lambda: setattr(self.world.hub, "slow", 0.0))

    def do_freeze_hub(self, seconds: float) -> None:
        self._freeze(self.world.hub.process, seconds)

    def do_wall(self, seconds: float) -> None:
        self.world.hub.wall += seconds

    # --- devices

    def do_cut(self, device: str, seconds: float, device_after: float, hub_after: float) -> None:
        network = self.world.network
        network.blocked[device] = network.loop.now + seconds
        for connection in network.of(device):
            connection.cut(device_after, hub_after)

    def do_reboot(self, device: str, power_cut: bool, seconds: float) -> None:
        self.world.devices[device].die(power_cut)
        self.world.later(seconds, self.world.devices[device].boot)

    def do_freeze(self, device: str, seconds: float) -> None:
        self._freeze(self.world.devices[device].process, seconds)

    def _freeze(self, process: Process | None, seconds: float) -> None:
        if process is not None:
            process.thaws = min(self.world.loop.now + seconds, self.world.plan.calm)

    def do_forge(self, device: str, ok: bool) -> None:
        """A device reports what another one was given, or what never was."""
        docs = self.world.ledger.tables.get(TASKS, {}).values()
        given = [(doc["id"], one["number"]) for doc in docs for one in listed(doc)
                 if one["proplet_id"] != device and one.get("outcome") is None]  # fmt: skip
        task, attempt = self.chance.choice(given or [("t1", 10_000)])
        fields = {"task": task, "attempt": attempt, "ok": ok, "outputs": [-1], "text": FORGED}
        if not ok:
            fields["error"] = {"code": "trap_div0", "message": FORGED}
        for connection in self.world.network.of(device):
            connection.up("result", make_up("result", fields))
