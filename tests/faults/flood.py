"""A process of its own that asks too much: `python -m tests.faults.flood URL CLIENTS SECONDS`; answers JSON.

Each client creates a task and starts it, again and again, whatever it is told. The answer is {"answers": {status:
count}, "untold": refusals without Retry-After, "started": ids, "took_s"}.
"""

import asyncio
import json
import sys
import time
from collections import Counter

from tests.bench.wire import address, answer_size, request
from tests.faults.fleet import FILE


async def ask(url: str, clients: int, for_s: float) -> dict[str, object]:
    answers: Counter[int] = Counter()
    started: list[str] = []
    untold = 0
    end = time.monotonic() + for_s

    async def client(name: str) -> None:
        nonlocal untold
        reader, writer = await asyncio.open_connection(*address(url))
        buffer = bytearray()

        async def send(data: bytes) -> int:
            nonlocal untold
            writer.write(data)
            while not (size := answer_size(buffer)):
                got = await reader.read(65536)
                if not got:
                    raise ConnectionError("the hub closed the connection")
                buffer.extend(got)
            status = int(buffer[9:12])
            answers[status] += 1
            untold += status == 429 and b"retry-after:" not in buffer[:size].lower()
            del buffer[:size]
            return status

        count = 0
        while time.monotonic() < end:
            count += 1
            id = f"{name}-{count}"
            body = {"id": id, "name": "main", "inputs": [count], "file": FILE, "placement": {"forbid": ["probe"]}}
            if await send(request("POST", "/tasks", body)) == 201:
                await send(request("POST", f"/tasks/{id}/start"))
                started.append(id)
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(client(f"f{at}") for at in range(clients)))
    took_s = time.monotonic() - began
    return {"answers": answers, "untold": untold, "started": started, "took_s": took_s}


if __name__ == "__main__":
    url, clients, for_s = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(ask(url, int(clients), float(for_s)))))
