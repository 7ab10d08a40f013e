"""The REST contract as values: what each call sends, and what an answer means. No I/O, for sync and async clients."""

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from shared.errors import BadRequest, Conflict, MotetError, NotFound, TooLarge, TooMany, Unavailable

Document = dict[str, Any]

_ERRORS: dict[int, type[MotetError]] = {
    400: BadRequest,
    404: NotFound,
    405: BadRequest,
    409: Conflict,
    413: TooLarge,
    415: BadRequest,
    429: TooMany,
    503: Unavailable,
    507: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request: json is the body, or upload the bytes of a multipart field `file`; text: the answer may be none."""

    method: str
    path: str
    json: Document | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    upload: bytes | None = None
    text: bool = False


def create_task(name: str, fields: Mapping[str, Any]) -> Call:
    return Call("POST", "/tasks", json=with_file({"name": name, **fields}))


def upload(task_id: str, module: bytes) -> Call:
    return Call("PUT", f"{_one('tasks', task_id)}/upload", upload=module)


def create_group(
    kind: str, tasks: Iterable[Mapping[str, Any]], fields: Mapping[str, Any], dry_run: bool = False
) -> Call:
    """A job or workflow (kind: "jobs", "workflows")."""
    query = {"dry_run": "true"} if dry_run else {}
    return Call("POST", f"/{kind}", json={**fields, "tasks": [with_file(task) for task in tasks]}, query=query)


def get(kind: str, id_: str, what: str = "", filters: Mapping[str, Any] | None = None, text: bool = False) -> Call:
    """One task, workflow, job or proplet, or what belongs to it ("results")."""
    path = _one(kind, id_) + (f"/{what}" if what else "")
    return Call("GET", path, query=_query(filters or {}), text=text)


def page(kind: str, filters: Mapping[str, Any]) -> Call:
    """A page of a collection."""
    return Call("GET", f"/{kind}", query=_query(filters))


def act(kind: str, id_: str, verb: str, fields: Mapping[str, Any] | None = None) -> Call:
    """Start, stop, retry, copy … one."""
    return Call("POST", f"{_one(kind, id_)}/{verb}", json=dict(fields) if fields else None)


def change(task_id: str, fields: Mapping[str, Any]) -> Call:
    return Call("PUT", _one("tasks", task_id), json=with_file(fields))


def delete(kind: str, id_: str) -> Call:
    return Call("DELETE", _one(kind, id_))


def stop_all(fields: Mapping[str, Any]) -> Call:
    return Call("POST", "/stop", json={**fields, "all": True})


def answer(url: str, status: int, body: bytes, retry_after: str | None = None, text: bool = False) -> Any:
    """The JSON of an answer, None of an empty one; what is no JSON as it is where the call wants text.

    Raises the MotetError of its status with the hub's sentence, code and detail; Unavailable (code `not_a_hub`) for an
    answer that no hub gives. detail of TooMany has `retry_after` as the hub sent it.
    """
    try:
        document = json.loads(body) if body else None
    except ValueError:
        document = ""
    if status < 300 and text and document == "":
        return body.decode(errors="replace")
    if status < 300 and document != "":
        return document
    if not isinstance(document, dict) or not isinstance(document.get("error"), str):
        raise Unavailable(f"{url} answered {status} as no Motet hub does: is that its address?", "not_a_hub")
    detail = dict(document["detail"]) if isinstance(document.get("detail"), dict) else {}
    if retry_after is not None:
        detail["retry_after"] = retry_after
    raise _ERRORS.get(status, MotetError)(document["error"], str(document.get("code") or "error"), detail)


def _one(kind: str, id_: str) -> str:
    return f"/{kind}/{quote(id_, safe='')}"


def _query(filters: Mapping[str, Any]) -> dict[str, str]:
    """None filters nothing; a dict (metadata) travels as JSON."""
    return {
        name: json.dumps(value) if isinstance(value, dict) else str(value)
        for name, value in filters.items()
        if value is not None
    }


def with_file(task: Mapping[str, Any]) -> Document:
    """A task as JSON: the module in `file` may be given as bytes."""
    document = dict(task)
    if isinstance(document.get("file"), bytes):
        document["file"] = base64.b64encode(document["file"]).decode()
    return document
