"""/mip: the hub's own edge as a package for boards, in the forms that MicroPython's `mip` asks for.

mip.install("http://hub:7070/mip/edge") reads a package.json and the files beside it. With
mip.install("edge", index="http://hub:7070/mip") it names the bytecode that the board runs, and leaves out what it has.
"""

import asyncio
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response

from hub import mpy
from hub.api.answers import answer
from shared import VERSION
from shared.errors import NotFound

# mip compares so many digits of a file's sha256.
_DIGITS = 16


async def package(request: Request) -> Response:
    """The list of all files, to be had beside it, in the bytecode of every MicroPython since 1.19."""
    files = await _files(request, mpy.BYTECODE)
    return answer({"version": VERSION, "urls": [[name, name] for name in files]})


async def file(request: Request) -> Response:
    folder, name = request.path_params.get("folder"), request.path_params["file"]
    name = f"{folder}/{name}" if folder else name
    return _content((await _files(request, mpy.BYTECODE)).get(name), name)


async def indexed(request: Request) -> Response:
    """The list by hashes, for the bytecode that the path names, or `py` for sources."""
    version = request.path_params["version"]
    if version not in ("latest", VERSION):
        raise NotFound(f"this hub has version {VERSION} of the edge, not {version}", "unknown_package")
    files = await _files(request, request.path_params["form"])
    return answer({"version": VERSION, "hashes": [[name, _digest(data)] for name, data in files.items()]})


async def hashed(request: Request) -> Response:
    """A file of either form by the digits of its sha256."""
    digits = request.path_params["hash"]
    for form in (mpy.SOURCE, mpy.BYTECODE):
        for data in (await _files(request, form)).values():
            if _digest(data) == digits:
                return _content(data, digits)
    return _content(None, digits)


def _content(data: bytes | None, name: str) -> Response:
    if data is None:
        raise NotFound(f"the edge has no file {name[:80]}", "unknown_package")
    return Response(data, media_type="application/octet-stream")


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:_DIGITS]


async def _files(request: Request, form: str) -> dict[str, bytes]:
    if form not in (mpy.BYTECODE, mpy.SOURCE):
        why = f"the edge is compiled to bytecode {mpy.BYTECODE}, not {form[:20]}: MicroPython 1.19 and later run it"
        raise NotFound(why, "unknown_package")
    lock: asyncio.Lock = request.app.state.compiling
    async with lock:  # who asks meanwhile has no compiler of their own
        return await asyncio.to_thread(mpy.package, form)
