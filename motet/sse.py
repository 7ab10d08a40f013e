"""Server-sent events from bytes (WHATWG HTML, 9.2.6), without I/O."""

import json
from typing import Any, TypedDict


class Event(TypedDict):
    """One event: id to resume behind; event `task`, `workflow`, `job`, `proplet`, `log`, `publish` or `done`; data its
    document."""

    id: str
    event: str
    data: Any


class EventParser:
    """Bytes in pieces of any size in, whole events out; comments (pings) and events without data give none."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._name = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that this piece completes. ValueError when one is not JSON in UTF-8."""
        # Cut at line feeds only: str.splitlines would cut inside JSON at U+2028.
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [event for line in lines if (event := self._line(line.rstrip(b"\r").decode())) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif field == "id":
            self._id = value
        return None

    def _dispatch(self) -> Event | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        if not data:
            return None
        return {"id": self._id, "event": name, "data": json.loads("\n".join(data))}
