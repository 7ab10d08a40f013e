"""The edge, wired: connection, agent, outbox, modules, runner. Importing it starts nothing."""

import asyncio
import os
import sys
from binascii import hexlify

from edge import files
from edge.clock import now_ms
from edge.link import Link
from edge.presence import Presence
from shared import const
from shared.faults import BadRequest, MotetError
from shared.messages import make_up, read_down
from shared.topics import valid_device

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

if sys.implementation.name == "cpython":
    from edge.cpython import host as platform
else:
    from edge import board as platform  # type: ignore[no-redef]


current: "Edge | None" = None  # that runs here, or ran last


async def run(
    host: str,
    port: int,
    device: str,
    data: str,
    slots: int = platform.SLOTS,
    password: "str | None" = None,
    ssl: "Any" = None,
    labels: "dict[str, str] | None" = None,
    log: "Callable[[str], None]" = lambda line: None,
    runner: "Any" = None,
    base_s: float = 1.0,
    board: "Any" = None,
    watchdog: "Any" = None,
    trial_s: float = 300,
) -> None:
    """Be an edge until cancelled: then the hub hears DISCONNECT and everything that runs is ended.

    device: its id, also its username when there is a password. data: the folder for modules, results and what ran
    here. ssl: an SSLContext. log is called with one sentence at a time. runner: see edge.wasm; the device's own when
    None. base_s: the backoff's unit. board: whom the host functions of hardware ask, see edge.wasm. watchdog: its
    feed() is called at least every second, as long as the loop turns. trial_s: how long an update of the edge may
    take to be confirmed. BadRequest: the id is none, or slots is not 1 to 64.
    """
    if not valid_device(device):
        raise BadRequest("a device's id is 1 to 64 of A-Za-z0-9._-, not %r" % device)
    if not 1 <= slots <= 64:
        raise BadRequest("slots must be 1 to 64, not %r" % slots)
    if runner is None and platform.WARM:
        runner = platform.make_runner(board)
    global current
    edge = current = Edge(device, data, slots, labels or {}, log, runner, board)
    edge.trial_ms = int(trial_s * 1000)
    ticking = asyncio.create_task(edge.tick(watchdog))
    try:
        if runner is not None:
            await runner.open()
        await edge.link.serve(host, port, password, ssl, base_s)
    finally:
        ticking.cancel()
        if edge.runner is not None:
            await edge.runner.close()


class Edge:
    """Does what the agent decides, and tells it what happens."""

    def __init__(
        self,
        device: str,
        data: str,
        slots: int,
        labels: "dict[str, str]",
        log: "Callable[[str], None]",
        runner: "Any",
        board: "Any",
    ) -> None:
        self.data = data
        self.labels = labels
        self.board = board
        self._log = log
        self.runner = runner
        self.tasks: Any = None  # edge.tasks.Tasks: a board that has nothing to do has none of it in memory
        files.make_folder(data + "/modules")
        files.make_folder(data + "/outbox")
        self.agent: Any = Presence(slots)  # an edge.agent.Agent from the first work on
        if platform.WARM or files.names(data + "/outbox"):
            self._work()
        self.boot = hexlify(os.urandom(8)).decode()
        self.booted_ms = now_ms()
        self.trial_ms = 0
        self.update: Any = None  # edge.update.Update
        where = platform.slots()
        if where is not None and where.state()[0] == "on_trial":
            self._start_update()
        self.greeted = False  # by the hub since the boot: it has heard the last words
        self.link = Link(device, self, 64 + platform.OUTBOX, _unit, log)
        self.dropped = 0

    # What the link asks and tells

    def online(self) -> None:
        self.do(self.agent.connected(now_ms()))

    def offline(self) -> None:
        self.agent.disconnected()

    def heard(self, payload: bytes) -> None:
        try:
            kind, fields = read_down(payload)
        except MotetError as error:
            self.drop("a message of the hub was dropped: " + error.message)
            return
        if kind == "welcome":
            self.link.welcomed(fields["lease_s"])
            if not self.greeted:
                self.greeted = True
                files.remove(self.data + "/fault")
        elif self._updating(kind, fields):
            return
        else:
            self._work()
        self.do(self.agent.message(kind, fields, now_ms()))

    def _updating(self, kind: str, fields: "Any") -> bool:
        """Whether a message is for an update of the edge itself, which is in memory only as long as there is one."""
        if self.update is None and kind in ("update", "keep"):
            self._start_update()
        return self.update is not None and self.update.heard(kind, fields)

    def _start_update(self) -> None:
        slots = platform.slots()
        if slots is not None:
            from edge.update import Update

            self.update = Update(self, slots, platform.restart)

    def payload(self, kind: str, fields: "Any") -> "bytes | None":
        if kind == "result":
            return self._work().outbox.get(*fields)  # type: ignore[no-any-return]  # None: acknowledged meanwhile
        if kind in ("hello", "beat"):
            fields["boot"] = self.boot
            fields["mem_free"], fields["mem_total"] = platform.memory()
        if kind == "hello":
            from edge.hello import hello

            fields.update(hello(self, platform))
            platform.forget()
        elif kind == "beat":
            fields["uptime_s"] = (now_ms() - self.booted_ms) // 1000
            if self.update is not None:
                fields["on_trial"] = self.update.on_trial
        return make_up(kind, fields)

    def drop(self, why: str) -> None:
        self.dropped += 1
        self._log(why)

    async def tick(self, watchdog: "Any") -> None:
        """Let the agent and the watchdog know that time passes, for ever."""
        while True:
            if watchdog is not None:
                watchdog.feed()
            await asyncio.sleep(min(1000, self.agent.beat_ms // 4) / 1000)
            try:
                self.do(self.agent.tick(now_ms()))
                if self.update is not None:
                    self.update.tick(now_ms())
            except Exception as error:  # a fault of ours: the beats must go on
                self._log("a tick failed: %r" % error)

    def do(self, actions: "list[tuple[Any, ...]]") -> None:
        """What the agent wants done."""
        for action in actions:
            if action[0] == "publish":
                if action[1] == "log" and "attempt" not in action[2]:  # the device's own, not a task's
                    self._log(action[2]["text"])
                self.link.post(*action[1:])
            elif action[0] == "report":
                self.link.post("result", action[1:], 1)
            else:
                self._work().do(*action)

    def _work(self) -> "Any":
        if self.tasks is None:
            from edge.agent import Agent
            from edge.tasks import Tasks, seen

            if self.runner is None:
                self.runner = platform.make_runner(self.board)
            self.tasks = tasks = Tasks(self, self.data, platform, self._log)
            ran = seen(self.data + "/seen")
            self.agent = Agent(self.agent.slots, platform.OUTBOX, tasks.outbox.keys(), ran, self.agent)
        return self.tasks


def _unit() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(3), "big") / (1 << 24)
