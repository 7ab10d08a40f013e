"""A process of its own that posts tasks: `python -m tests.bench.load URL plain|file CLIENTS SECONDS`; answers JSON."""

import asyncio
import base64
import json
import sys
import time

from tests.bench.report import median, quantile
from tests.bench.wire import ADDITION, address, answer_size, request
from tests.e2e.world import module


class Poster(asyncio.Protocol):
    """A keep-alive client: the next request leaves when the answer to the last is whole."""

    def __init__(self, data: bytes, end: float, took: list[float]) -> None:
        self._data = data
        self._end = end
        self._took = took
        self._buffer = bytearray()
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._post()

    def _post(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        size = answer_size(self._buffer)
        if not size:
            return
        if not self._buffer.startswith(b"HTTP/1.1 201"):
            self.done.set_exception(RuntimeError(self._buffer.decode(errors="replace")))
            self._transport.close()
            return
        del self._buffer[:size]
        now = time.perf_counter()
        self._took.append(now - self._sent)
        if now < self._end:
            self._post()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def post(url: str, data: bytes, clients: int, for_s: float) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    begin, cpu = time.perf_counter(), time.process_time()
    made = [await loop.create_connection(lambda: Poster(data, begin + for_s, took), *address(url))
            for _ in range(clients)]  # fmt: skip
    await asyncio.gather(*[poster.done for _, poster in made])
    took_s = time.perf_counter() - begin
    return {
        "answered": len(took),
        "took_s": took_s,
        "rate": len(took) / took_s,
        "p50": median(took) * 1000,
        "p99": quantile(took, 0.99) * 1000,
        "client": (time.process_time() - cpu) / took_s * 100,
    }


def main() -> None:
    url, kind, clients, for_s = sys.argv[1:]
    body: dict[str, object] = {"name": "main", "inputs": ADDITION}
    if kind == "file":
        body["file"] = base64.b64encode(module("addition")).decode()
    try:
        import uvloop

        factory = uvloop.new_event_loop
    except ImportError:
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        load = runner.run(post(url, request("POST", "/tasks", body), int(clients), float(for_s)))
    sys.stdout.write(json.dumps(load))


if __name__ == "__main__":
    main()
