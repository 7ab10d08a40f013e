"""The worker's end of its channel to the pool, and over it the port of edge.host.

A channel carries frames: four bytes of length, then a JSON list.

    to the worker                            from the worker
    ["run", path, start, offers]             ["started"]
    ["stop", task, attempt, grace_ms]        ["event", kind, fields]
    ["answer", number, value, why]           ["ask", number, name, arguments]
                                             ["result", fields]

path is the module's file, start the fields of the `start` message, offers the privileged functions of the device. A
stop or an answer for what runs no more is passed over.
"""

import json
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a worker memory
    from typing import Any

# poll() takes no more than 24 days.
_LONGEST_MS = 60_000


class Channel:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def ready(self, ms: float) -> bool:
        """Whether a frame comes within so many milliseconds."""
        return bool(self._poll.poll(ms))

    def receive(self) -> "list[Any]":
        """The next frame. The end of the channel is the end of this process."""
        frame: list[Any] = json.loads(self._read(int.from_bytes(self._read(4), "big")))
        return frame

    def send(self, *frame: "Any") -> None:
        payload = json.dumps(frame).encode()
        data = len(payload).to_bytes(4, "big") + payload
        while data:
            data = data[os.write(self._fd, data) :]

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = os.read(self._fd, count - len(data))
            if not more:
                os._exit(0)
            data += more
        return data


class Port:
    """The port for one run."""

    # Of all runs of this worker: an answer to another run must not be taken for one to this.
    _asked = 0

    def __init__(self, channel: Channel, key: "list[Any]", offers: "list[str]") -> None:
        self._channel = channel
        self._key = key
        self._grace_ms: int | None = None
        self._answer: tuple[Any, list[str] | None] | None = None
        self.offers = offers

    def emit(self, kind: str, fields: "dict[str, Any]") -> None:
        self._channel.send("event", kind, fields)

    def grace_ms(self) -> "int | None":
        self.wait(0)
        return self._grace_ms

    def wait(self, ms: float) -> None:
        if self._channel.ready(min(max(ms, 0), _LONGEST_MS)):
            kind, *rest = self._channel.receive()
            if kind == "stop" and rest[:2] == self._key:
                self._grace_ms = rest[2]
            elif kind == "answer" and rest[0] == Port._asked:
                self._answer = (rest[1], rest[2])

    def ask(self, name: str, arguments: "tuple[int, ...]") -> None:
        Port._asked += 1
        self._answer = None
        self._channel.send("ask", Port._asked, name, arguments)

    def answer(self) -> "tuple[Any, list[str] | None] | None":
        return self._answer
