"""Run by MicroPython with a JSON object of options: the edge as on a board, with a line on the heap each second.

Options are those of edge.main.run, `ca` (a file with the certificate that signs the hub's, DER), `quiet` (no such
lines, for each collects the garbage) and `noted` (a file for a line on each result that is kept, and on each let go).
"""

import gc
import json
import sys

sys.path.pop(0)  # the folder of this file: a board has no tests
options = json.loads(sys.argv[1])
quiet = options.pop("quiet", False)
ca = options.pop("ca", None)
noted = options.pop("noted", None)


def used():
    gc.collect()
    return gc.mem_alloc() - before


def note():
    from edge.tasks import Outbox  # of a board: edge.outbox is a part of it there

    def noting(what, method):
        def call(self, task, attempt, *more):
            answer = method(self, task, attempt, *more)
            with open(noted, "a") as file:
                file.write("%s %s %d\n" % (what, task, attempt))
            return answer

        return call

    Outbox.put = noting("kept", Outbox.put)
    Outbox.drop = noting("let go", Outbox.drop)


async def main():
    if noted:
        note()
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
