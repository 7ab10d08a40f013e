"""A network between edges and a hub that cuts, delays and halves: a TCP proxy on a port of its own."""

import asyncio
import contextlib
import random
import time


class Proxy:
    """Carries bytes to the hub's port and back.

    opened: times (monotonic, s) at which edges came; open: connections that are through now
    """

    def __init__(self, target: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.opened: list[float] = []
        self.cuts = 0
        self._target = target
        self._pairs: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._clear = asyncio.Event()
        self._clear.set()
        self._halved: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self._clear.set()
        self.cut(len(self._pairs))
        await asyncio.gather(*list(self._pairs), return_exceptions=True)

    def cut(self, most: int, halves: bool = False) -> None:
        """Ends so many connections at once; with halves, each in the middle of what it carries next, either way."""
        for pair in self.chance.sample(list(self._pairs.values()), min(most, len(self._pairs))):
            self.cuts += 1
            if halves:
                self._halved.update(pair)
            else:
                _abort(pair)

    async def hold(self, seconds: float) -> None:
        """Carries nothing for a while, and then all of it."""
        self._clear.clear()
        await asyncio.sleep(seconds)
        self._clear.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened.append(time.monotonic())
        try:
            up, down = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return writer.transport.abort()
        task, pair = asyncio.current_task(), (writer, down)
        assert task is not None
        self._pairs[task] = pair
        try:
            await asyncio.gather(self._carry(reader, down, pair), self._carry(up, writer, pair))
        finally:
            del self._pairs[task]
            self._halved.difference_update(pair)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: tuple[asyncio.StreamWriter, ...]
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._clear.wait()
                if writer in self._halved:
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    break
                writer.write(data)
                await writer.drain()
        _abort(pair)


def _abort(pair: "tuple[asyncio.StreamWriter, ...]") -> None:
    """Both ends hear it: what was written to them and is not sent yet is lost."""
    for writer in pair:
        writer.transport.abort()
