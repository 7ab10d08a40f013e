"""HTTP as cheap as it gets, so that what is measured is the hub: blocking sockets, hardly any parsing."""

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

ADDITION = [2, 3]


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def request(method: str, path: str, body: Any = None) -> bytes:
    """The bytes of a request."""
    data = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
    return (head + ("Content-Type: application/json\r\n" if data else "") + "\r\n").encode() + data


def answer_size(data: bytes | bytearray) -> int:
    """The bytes of the whole answer at the beginning of data, 0 when it is not there yet."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return 0
    at = data.lower().find(b"content-length:", 0, end)
    size = end + 4 + int(data[at + 15 : data.find(b"\r\n", at)])
    return size if len(data) >= size else 0


class Http:
    """One keep-alive connection."""

    def __init__(self, url: str) -> None:
        self._socket = _open(url)

    def send(self, data: bytes) -> None:
        """A request, to its answer; RuntimeError when that is no 2xx."""
        self._socket.sendall(data)
        answer = b""
        while not answer_size(answer):
            answer += _receive(self._socket)
        if answer[9:10] != b"2":
            raise RuntimeError(answer.decode())

    def post(self, path: str) -> None:
        self.send(request("POST", path))

    def close(self) -> None:
        self._socket.close()


class Events:
    """A follower of /events."""

    def __init__(self, url: str, query: str = "") -> None:
        self._socket = _open(url)
        self._socket.sendall(request("GET", "/events" + query))
        self._buffer = b""
        self._blocks = self._read()
        next(self._blocks)

    def until_task(self, id: str) -> dict[str, Any]:
        """The document of the task when it has completed."""
        for block in self._blocks:
            # The id is cheaper to look for than to parse out of every event.
            if block.find(b'"id":"%b"' % id.encode()) >= 0 and block.find(b"event: task\n") >= 0:
                task: dict[str, Any] = json.loads(block[block.index(b"data: ") + 6 :])
                if task["state_name"] == "Failed":
                    raise RuntimeError(f"task {id} failed: {task.get('error')}")
                if task["state_name"] == "Completed":
                    return task
        raise RuntimeError("the hub ended the stream")

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> Iterator[bytes]:
        """Events; the head of the answer belongs to the first. What is between two, chunk sizes, hurts nobody."""
        while True:
            end = self._buffer.find(b"\n\n")
            if end < 0:
                self._buffer += _receive(self._socket)
                continue
            block, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
            yield block


def _open(url: str) -> socket.socket:
    opened = socket.create_connection(address(url), timeout=60)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _receive(opened: socket.socket) -> bytes:
    data = opened.recv(65536)
    if not data:
        raise ConnectionError("the hub closed the connection")
    return data
