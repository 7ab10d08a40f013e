"""The edge, wired: connection, agent, outbox, modules, runner. Importing it starts nothing."""

import asyncio
import json
import os
from binascii import a2b_base64, hexlify

try:
    from edge.cpython import host as platform
except ImportError:  # MicroPython: that folder is not on a board
    from edge import board as platform  # type: ignore[no-redef]

from edge import files
from edge.agent import Agent
from edge.clock import now_ms
from edge.link import Link
from edge.modules import Modules
from edge.outbox import Outbox, encode
from shared import PROTOCOL, VERSION, topics
from shared.errors import BadRequest, Damaged, MotetError, TooLarge
from shared.messages import MAX_RESULT, make_up, read_down

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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
) -> None:
    """Be an edge until cancelled: then the hub hears DISCONNECT and everything that runs is ended.

    device: its id, also its username when there is a password. data: the folder for modules, results and what ran
    here. ssl: an SSLContext. log is called with one sentence at a time. runner: see edge.wasm; the device's own when
    None. base_s: the backoff's unit. board: whom the host functions of hardware ask, see edge.wasm. BadRequest: the id
    is none, or slots is not 1 to 64.
    """
    if not topics.valid_device(device):
        raise BadRequest("a device's id is 1 to 64 of A-Za-z0-9._-, not %r" % device)
    if not 1 <= slots <= 64:
        raise BadRequest("slots must be 1 to 64, not %r" % slots)
    edge = Edge(device, data, slots, labels or {}, log, runner or platform.make_runner(board), platform.caps(board))
    await edge.runner.open()
    ticking = asyncio.create_task(edge.tick())
    try:
        await edge.link.serve(host, port, password, ssl, base_s)
    finally:
        ticking.cancel()
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
        caps: "dict[str, Any]",
    ) -> None:
        self._data = data
        self._log = log
        self.runner = runner
        self._outbox = Outbox(data + "/outbox")
        self._modules = Modules(data + "/modules", platform.MODULE_BYTES)
        self._agent = Agent(slots, platform.OUTBOX, self._outbox.keys(), _load_seen(data + "/seen"))
        self._boot = hexlify(os.urandom(8)).decode()
        self._booted_ms = now_ms()
        self._facts = {
            "proto": PROTOCOL,
            "agent": VERSION,
            "runtime": platform.runtime(),
            "caps": caps,
            "slots": slots,
            "labels": labels,
            "max_message": platform.MAX_MESSAGE,
            "max_chunk": platform.MAX_CHUNK,
        }
        self.link = Link(device, self, 64 + platform.OUTBOX, _unit, log)
        self.dropped = 0

    # What the link asks and tells

    def online(self) -> None:
        self._do(self._agent.connected(now_ms()))

    def offline(self) -> None:
        self._agent.disconnected()

    def heard(self, payload: bytes) -> None:
        try:
            kind, fields = read_down(payload)
        except MotetError as error:
            self._drop("a message of the hub was dropped: " + error.message)
            return
        if kind == "welcome":
            self.link.welcomed()
        self._do(self._agent.message(kind, fields, now_ms()))

    def payload(self, kind: str, fields: "Any") -> "bytes | None":
        if kind == "result":
            return self._outbox.get(*fields)  # None: acknowledged meanwhile
        if kind in ("hello", "beat"):
            fields["boot"] = self._boot
            fields["mem_free"], fields["mem_total"] = platform.memory()
        if kind == "hello":
            fields.update(self._facts)
            fields["flash_free"] = platform.flash_free(self._data)
            fields["modules"] = self._modules.names(platform.MAX_MODULES)
        elif kind == "beat":
            fields["uptime_s"] = (now_ms() - self._booted_ms) // 1000
        return make_up(kind, fields)

    def _drop(self, why: str) -> None:
        self.dropped += 1
        self._log(why)

    async def tick(self) -> None:
        """Let the agent know that time passes, for ever."""
        while True:
            await asyncio.sleep(min(1000, self._agent.beat_ms // 4) / 1000)
            try:
                self._do(self._agent.tick(now_ms()))
            except Exception as error:  # a fault of ours: the beats must go on
                self._log("a tick failed: %r" % error)

    # What the agent wants done

    def _do(self, actions: "list[tuple[Any, ...]]") -> None:
        for action in actions:
            kind = action[0]
            if kind == "publish":
                if action[1] == "log" and "attempt" not in action[2]:  # the device's own, not a task's
                    self._log(action[2]["text"])
                self.link.post(*action[1:])
            elif kind == "report":
                self.link.post("result", action[1:], 1)
            elif kind == "store":
                self._store(action[1])
            elif kind == "drop":
                self._outbox.drop(*action[1:])
            elif kind == "remember":
                self._remember(action[1])
            elif kind == "look":
                self._look(action[1])
            elif kind == "chunk":
                self._store_chunk(action[1])
            elif kind == "run":
                start = action[1]
                path = self._modules.path(start["module"]) or ""
                self.runner.start(start, path, self._on_started, self._on_finished, self._on_event)
            elif kind == "stop":
                self.runner.stop(*action[1:])

    def _store(self, fields: "dict[str, Any]") -> None:
        payload = encode(fields, min(MAX_RESULT, platform.MAX_MESSAGE))
        if not self._outbox.put(fields["task"], fields["attempt"], payload):
            self._log("the disk refused a result: it is held in memory until the hub has it")

    def _remember(self, pairs: "list[list[Any]]") -> None:
        try:
            # Not synced: after a power cut the hub ends by itself what this boot does not name.
            files.write(self._data + "/seen", json.dumps(pairs).encode(), sync=False)
        except OSError as error:
            self._log("the disk refused the list of what ran here: %s" % error)

    def _look(self, module: str) -> None:
        if self._modules.path(module) is None:
            self._do(self._agent.module_part(module, self._modules.part_size(module), now_ms()))
        else:
            self._do(self._agent.module_ready(module))

    def _store_chunk(self, fields: "dict[str, Any]") -> None:
        module = fields["module"]
        try:
            data = a2b_base64(fields["data"])
            whole = self._modules.append(module, fields["offset"], fields["total"], data, self._agent.modules())
        except Damaged:
            self._do(self._agent.module_damaged(module, now_ms()))
        except TooLarge as error:
            self._do(self._agent.module_failed(module, "too_large", error.message))
        except OSError as error:
            self._do(self._agent.module_failed(module, "too_large", "no room for the module: %s" % error))
        except ValueError:  # the agent asks again
            self._drop("a chunk of the hub was dropped: it is no base64")
        else:
            if whole:
                self._do(self._agent.module_ready(module))
            else:
                self._do(self._agent.module_part(module, self._modules.part_size(module), now_ms()))

    # What the runner says

    def _on_started(self, task: str, attempt: int) -> None:
        self._do(self._agent.started(task, attempt))

    def _on_event(self, task: str, attempt: int, kind: str, fields: "dict[str, Any]") -> None:
        self._do(self._agent.event(task, attempt, kind, fields, now_ms()))

    def _on_finished(self, task: str, attempt: int, result: "dict[str, Any]") -> None:
        self._do(self._agent.finished(task, attempt, result))


def _load_seen(path: str) -> "list[tuple[str, int]]":
    """The (task, attempt) that ran here last; none when the file is not as it was written."""
    try:
        return [(task, attempt) for task, attempt in json.loads(files.read(path) or b"[]")]
    except (ValueError, TypeError):
        return []


def _unit() -> float:
    """A random number in [0, 1)."""
    return int.from_bytes(os.urandom(3), "big") / (1 << 24)
