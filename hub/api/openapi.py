"""/openapi.json: the API described by OpenAPI 3.1, made out of the table of operations and the shapes of bodies."""

import re
from collections.abc import Iterator
from functools import cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import answer
from hub.api.operations import EXAMPLES, JSON, LINKS, OPERATIONS, QUERY, SCHEMAS, UPLOAD, Op, Schema
from shared import VERSION

_PARAMETER = re.compile(r"{(\w+)}")


async def document(request: Request) -> Response:
    return answer(describe())


@cache
def describe() -> Schema:
    """The document. Made once: it is the same for every hub of this version."""
    bodies = list(dict.fromkeys(op.body for op in OPERATIONS.values() if isinstance(op.body, type)))
    refs, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    shapes: dict[type | str | None, Schema] = dict(zip(bodies, refs, strict=True))
    paths: Schema = {}
    for route, op in OPERATIONS.items():
        method, path = route.split(" ")
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, op, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Motet hub",
            "version": VERSION,
            "description": "Tasks, workflows, jobs and schedules of WebAssembly modules on devices.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": {**components, **SCHEMAS}, "responses": {"Error": _error()}},
    }


def _operation(method: str, path: str, op: Op, shapes: dict[type | str | None, Schema]) -> Schema:
    described: Schema = {
        "operationId": _name(method, path),
        "summary": op.summary,
        "tags": [path.split("/")[1]],
        "responses": dict(_responses(method, path, op)),
    }
    parameters = [{"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                  for name in _PARAMETER.findall(path)]  # fmt: skip
    parameters += [{"name": name.partition(":")[0], "in": "query", "schema": QUERY[name]} for name in op.query]
    if parameters:
        described["parameters"] = parameters
    if op.body == UPLOAD:
        file = {"type": "string", "contentMediaType": "application/octet-stream"}
        schema = {"type": "object", "properties": {"file": file}, "required": ["file"]}
        described["requestBody"] = {"required": True, "content": {UPLOAD: {"schema": schema}}}
    elif op.body is not None:
        content = {"schema": shapes[op.body]}
        if f"{method} {path}" in EXAMPLES:
            content["example"] = EXAMPLES[f"{method} {path}"]
        described["requestBody"] = {"required": not op.optional, "content": {JSON: content}}
    return described


def _name(method: str, path: str) -> str:
    """ "get_tasks_id_results" """
    return "_".join([method.lower(), *re.findall(r"\w+", path)])


def _responses(method: str, path: str, op: Op) -> Iterator[tuple[str, Schema]]:
    """The success, and every error as what it is: one form, whatever the status."""
    if op.status < 400:
        success: Schema = {"description": op.summary}
        if op.status != 204:
            shape = {"$ref": f"#/components/schemas/{op.answers}"} if op.answers else None
            success["content"] = {kind: {"schema": shape} if kind == JSON and shape else {} for kind in op.kinds}
        if f"{method} {path}" in LINKS:
            success["links"] = _links(*LINKS[f"{method} {path}"])
        yield str(op.status), success
    if path in ("/tasks", "/workflows", "/jobs") and op.status == 201:
        # A dry run, and a task, workflow or job that an idempotency key or a dedup_key has made before.
        yield "200", success
    if path == "/modules/{id}" and op.status == 200:
        yield "304", {"description": "It is what the reader has"}
    if path == "/health":
        yield "503", {**success, "description": "The hub is read-only"}
    yield "default", {"$ref": "#/components/responses/Error"}


def _links(beginning: str, where: str) -> Schema:
    """To every operation on what the answer names."""
    names = [_name(*route.split(" ")) for route in OPERATIONS if route.partition(" ")[2].startswith(beginning)]
    return {name: {"operationId": name, "parameters": {"id": where}} for name in names}


def _error() -> Schema:
    return {
        "description": "`error` for people, `code` for programs",
        "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
