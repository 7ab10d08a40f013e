"""Run by MicroPython with a JSON object of options: the edge as on a board, with a line on the heap each second.

Options are those of edge.main.run, `ca` (a file with the certificate that signs the hub's, DER) and `quiet` (no such
lines, for each collects the garbage).
"""

import gc
import json
import sys

sys.path.pop(0)  # the folder of this file: a board has no tests
options = json.loads(sys.argv[1])
quiet = options.pop("quiet", False)
ca = options.pop("ca", None)


def used():
    gc.collect()
    return gc.mem_alloc() - before


async def main():
    if ca:
        from edge.tls import context

        options["ssl"] = context(ca)
    running = asyncio.create_task(edge.main.run(log=print, **options))
    while not quiet:
        await asyncio.sleep(1)
        print("memory: %d" % used())
    await running


before = 0
before = used()
import edge.main  # noqa: E402

print("memory: %d" % used())
import asyncio  # noqa: E402

asyncio.run(main())
