"""/modules: uploads, what was inspected, and the bytes."""

import asyncio
from hashlib import sha256

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hub.api import params
from hub.api.answers import answer, runtime_of
from hub.api.views import module_view
from hub.core.commands import AddModule
from hub.core.model import Doc
from hub.modules.header import MAX_MODULE
from hub.modules.inspect import inspect
from hub.runtime import Runtime
from shared.errors import BadRequest, TooLarge

# A multipart body is a little larger than the file in it.
MAX_UPLOAD = MAX_MODULE + (64 << 10)
# Below this, inspecting takes less than handing it to a thread.
INLINE_BYTES = 16 << 10


async def take_module(runtime: Runtime, data: bytes) -> str:
    """Inspects and stores a module; its sha256. Refused with a sentence before anything is stored."""
    known = sha256(data).hexdigest()
    # Storing it again would cost two syncs: 18 s for a job of 2,000 tasks with one module on an SD card.
    if known in runtime.engine.world.modules and runtime.blobs.has(known):
        return known
    info = inspect(data) if len(data) <= INLINE_BYTES else await asyncio.to_thread(inspect, data)
    sha = await asyncio.to_thread(runtime.blobs.put, data)
    await runtime.do(AddModule({"id": sha, **info.to_doc()}))
    return sha


async def uploaded(request: Request) -> bytes:
    """The bytes of the multipart field `file`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        raise BadRequest("upload the module as multipart/form-data with a field named file", "bad_content_type")
    try:
        async with request.form(max_files=1, max_fields=8) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise BadRequest("the form has no file named file: curl -F file=@task.wasm", "no_file")
            if file.size is not None and file.size > MAX_MODULE:
                raise TooLarge(f"a module of {file.size} bytes is over {MAX_MODULE}")
            return await file.read()
    except MultiPartException as error:
        raise BadRequest(f"the form cannot be read: {error.message}", "bad_form") from None


async def list_modules(request: Request) -> Response:
    modules = runtime_of(request).engine.world.modules
    frame, shown = params.cut(request, "modules", modules.values(), len(modules))
    return answer({**frame, "modules": [module_view(module.doc) for module in shown]})


async def get_module(request: Request) -> Response:
    """What was inspected; the bytes themselves with Accept: application/wasm (Range works)."""
    runtime, doc = runtime_of(request), _module(request)
    if "application/wasm" in request.headers.get("accept", ""):
        headers = {"ETag": f'"{doc["id"]}"', "Cache-Control": "public, max-age=31536000, immutable"}
        return FileResponse(runtime.blobs.path(doc["id"]), headers=headers, media_type="application/wasm")
    return answer(module_view(doc))


def _module(request: Request) -> Doc:
    sha = request.path_params["id"]
    return runtime_of(request).engine.world.module(sha).doc
