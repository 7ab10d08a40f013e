"""/modules: uploads, what is known of each module, and its bytes."""

import re

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from hub.api import params
from hub.api.answers import answer, nothing, runtime_of
from hub.api.views import module_view
from hub.core.abi import Module
from hub.core.commands import Delete, Release
from hub.core.model import Doc
from hub.core.place import demand, fits
from hub.core.proplet import Proplet
from hub.core.world import World
from hub.modules.header import MAX_MODULE
from shared.errors import BadRequest, NotFound, TooLarge

# A multipart body is a little larger than the file in it.
MAX_UPLOAD = MAX_MODULE + (64 << 10)
ORIGINAL, PREPARED = "original", "prepared"
# What an If-None-Match lists: tags, weak or not (RFC 9110, 8.8.3).
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


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
    """?export= shows those that export a function of this name."""
    modules = list(runtime_of(request).engine.world.modules.values())
    name = request.query_params.get("export")
    if name is not None:
        modules = [module for module in modules if name in module.functions]
    frame, shown = params.cut(request, "modules", modules, len(modules))
    return answer({**frame, "modules": [module_view(module) for module in shown]})


async def get_module(request: Request) -> Response:
    """What is known of it; the bytes with Accept: application/wasm or ?form=, named by the hash of either form."""
    world, id = runtime_of(request).engine.world, request.path_params["id"]
    form = params.choice(request, "form", (ORIGINAL, PREPARED))
    module = world.modules.get(id)
    if module is None:
        module = world.modules.with_form(id)
        form = form or PREPARED
    if module is None:
        module = world.module(id)
    if request.query_params.get("form") or "application/wasm" in request.headers.get("accept", ""):
        return _bytes(request, module, form or ORIGINAL)
    return answer({**module_view(module), **_devices(world, module)})


def _bytes(request: Request, module: Module, form: str) -> Response:
    """The content never changes: whoever has it need not get it again (ETag), or gets the rest of it (Range)."""
    blob = module.id if form == ORIGINAL else module.doc.get("prepared")
    blobs = runtime_of(request).blobs
    if blob is None or not blobs.has(blob):
        raise NotFound(f"the bytes of module {module.id} are not here: upload it again", "unknown_module")
    headers = {"ETag": f'"{blob}"', "Cache-Control": "public, max-age=31536000, immutable"}
    known = request.headers.get("if-none-match", "")
    if known.strip() == "*" or blob in _TAG.findall(known):
        return Response(status_code=304, headers=headers)
    return FileResponse(blobs.path(blob), headers=headers, media_type="application/wasm")


def _devices(world: World, module: Module) -> Doc:
    """Who has it, as far as they have said since they came, and who could run it if it had nothing else to do."""
    need = demand(module)

    def names(proplets: list[Proplet]) -> list[str]:
        return [proplet.id for proplet in proplets]

    known = list(world.proplets.values())
    return {
        "proplets": names([one for one in known if module.doc.get("prepared") in one.modules]),
        "could_run": names([one for one in known if fits(one, need, ever=True)]),
    }


async def release_module(request: Request) -> Response:
    """Lets a quarantined module run again; 409 when it may already."""
    module: Module = await runtime_of(request).do(Release(request.path_params["id"]))
    return answer(module_view(module))


async def delete_module(request: Request) -> Response:
    """409 while a task refers to it."""
    await runtime_of(request).do(Delete("module", request.path_params["id"]))
    return nothing()
