"""A name server that is away keeps nobody: neither the hub's loop, nor its end."""

import subprocess
import sys
import time

import pytest

from hub.modules.download import resolve

# A hub in a nutshell, stopped while it looks up a name, with a name server that does not answer.
STOPPED = """
import asyncio, socket, time
from hub.modules.download import resolve

socket.getaddrinfo = lambda *more, **options: time.sleep(60)

async def main():
    asking = asyncio.create_task(resolve("example.org", 443))
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)

asyncio.run(main())
"""


async def test_it_finds_an_address_and_says_when_there_is_none():
    assert "127.0.0.1" in await resolve("localhost", 80)
    with pytest.raises(OSError):
        await resolve("nowhere.invalid", 80)
    with pytest.raises(UnicodeError):
        await resolve("a" * 70, 80)


def test_a_look_up_without_an_answer_does_not_keep_the_process():
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", STOPPED], check=True, timeout=30)
    assert time.perf_counter() - began < 10
