"""Between the link and the engine: bytes to commands, outputs to bytes, and modules in chunks."""

import base64
import logging
from collections import Counter
from collections.abc import Callable

from hub.core import commands
from hub.core.model import Doc, Now, Policy, Send
from hub.link.messages import UP, make_down, read_up
from hub.link.port import Link
from shared import PROTOCOL
from shared.errors import MotetError, NotFound, TooLarge
from shared.messages import MAX_CHUNK, MAX_DOWN

log = logging.getLogger("motet.devices")

# (sha256, offset, count) -> (bytes from there, size of the whole); NotFound when there is no such module
ReadModule = Callable[[str, int, int], tuple[bytes, int]]


class Bridge:
    """Hears devices for the engine and speaks to them for it. All calls come from the event loop."""

    def __init__(
        self,
        link: Link,
        submit: Callable[[commands.Command], None],
        read_module: ReadModule,
        clock: Callable[[], Now],
        policy: Policy,
    ) -> None:
        self.link = link
        self.submit = submit
        self.read_module = read_module
        self.clock = clock
        self.policy = policy
        self.epoch = 0
        # Set by who keeps what devices say beside results: (device, fields of the message)
        self.on_log: Callable[[str, Doc], None] = lambda device, fields: None
        self.on_publish: Callable[[str, Doc], None] = lambda device, fields: None
        # A device is there (again) and was welcomed.
        self.on_greeted: Callable[[str], None] = lambda device: None
        # Messages dropped because they were not what the table of messages says, by kind.
        self.dropped: Counter[str] = Counter()
        # Messages and connections that a read-only hub did not take, by command.
        self.refused: Counter[str] = Counter()
        self._left: set[str] = set()
        # What each connected device can take: (bytes of a message, bytes of a chunk).
        self._room: dict[str, tuple[int, int]] = {}

    # --- from devices

    def connected(self, device: str) -> None:
        self._room.pop(device, None)
        self._submit(commands.Connected(device))

    def disconnected(self, device: str) -> None:
        self._room.pop(device, None)
        if not self._submit(commands.Disconnected(device)):
            self._left.add(device)

    def message(self, device: str, kind: str, payload: bytes) -> None:
        try:
            fields = read_up(kind, payload)
        except MotetError as error:
            self.dropped[kind if kind in UP else "unknown"] += 1
            log.warning("dropped a message of %s: %s", device, error.message, extra={"proplet": device})
            return
        if kind == "need":
            self._send_chunk(device, fields["module"], fields["offset"])
        elif kind == "log":
            self.on_log(device, fields)
        elif kind == "publish":
            self.on_publish(device, fields)
        elif kind == "hello":
            self._hello(device, fields)
            return
        command = _command(device, kind, fields)
        if command is not None:
            self._submit(command)

    def recovered(self) -> None:
        """Changes are taken again: makes good what was missed. Who has no welcome yet comes by itself."""
        left, self._left = self._left, set()
        for device in left:
            self._submit(commands.Disconnected(device))
        for device in list(self._room):
            # Whereupon it says again what it runs, and reports what is in its outbox.
            self._welcome(device)

    def _submit(self, command: commands.Command) -> bool:
        """False when the hub is read-only: it takes nothing then, and devices keep their results."""
        try:
            self.submit(command)
        except MotetError as error:
            kind = type(command).__name__
            self.refused[kind] += 1
            log.debug("refused %s: %s", kind, error.message)
            return False
        return True

    def _hello(self, device: str, hello: Doc) -> None:
        if hello["proto"] != PROTOCOL:
            said = device, hello["proto"], PROTOCOL
            log.warning("%s speaks protocol %d, this hub %d: update it", *said, extra={"proplet": device})
            self.link.kick(device, "another protocol")
            return
        self._room[device] = hello.get("max_message", MAX_DOWN), hello.get("max_chunk", MAX_CHUNK)
        # What it leads to leaves after the welcome: a hello always changes something.
        if self._submit(commands.Hello(device, hello)):
            self._welcome(device)
            self.on_greeted(device)
        else:
            # Without a welcome a device says hello again, beat by beat, until the hub can take it.
            del self._room[device]

    def _welcome(self, device: str) -> None:
        self._write(device, "welcome", {
            "epoch": self.epoch, "time_ms": int(self.clock().wall * 1000), "beat_s": self.policy.beat_s,
            "lease_s": self.policy.lease_s, "max_chunk": self._room[device][1],
        })  # fmt: skip

    def _send_chunk(self, device: str, module: str, offset: int) -> None:
        _, count = self._room.get(device, (0, MAX_CHUNK))
        try:
            data, total = self.read_module(module, offset, count)
        except NotFound:
            # An empty module tells the device that it will never come.
            data, total = b"", 0
        fields = {"module": module, "offset": offset, "total": total, "data": base64.b64encode(data).decode()}
        self._write(device, "chunk", fields)

    # --- to devices

    def send(self, send: Send) -> None:
        """Carries out an output of the engine. A device that is not there hears it again after its next hello."""
        if send.kind == "start" and send.device not in self._room:
            # It was for the connection before. What the device says of itself on this one decides whether it stands:
            # one that has booted meanwhile would run what is about to be given up.
            return
        try:
            self._write(send.device, send.kind, send.fields)
        except TooLarge as error:
            if send.kind != "start":
                raise
            failure = {"ok": False, "error": {"code": "too_large", "message": error.message}}
            self._submit(commands.Result(send.device, send.fields["task"], send.fields["attempt"], failure))

    def _write(self, device: str, kind: str, fields: Doc) -> None:
        payload = make_down(kind, fields)
        limit = self._room.get(device, (MAX_DOWN, 0))[0]
        if len(payload) > limit and kind == "start":
            raise TooLarge(f"its start message of {len(payload)} bytes is over the {limit} that {device} takes")
        self.link.send(device, payload)


def _command(device: str, kind: str, fields: Doc) -> commands.Command | None:
    if kind == "beat":
        return commands.Beat(device, fields)
    if kind == "started":
        return commands.Started(device, fields["task"], fields["attempt"])
    if kind == "result":
        return commands.Result(device, fields["task"], fields["attempt"], fields)
    if kind == "update":
        return commands.UpdateSaid(device, fields)
    if kind == "progress":
        share = fields["permille"] / 1000
        return commands.Progress(device, fields["task"], fields["attempt"], share, fields.get("text"))
    return None
