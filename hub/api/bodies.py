"""What comes in: the shapes of JSON bodies, checked for type before anything else sees them."""

import base64
import binascii
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request

from hub.api.sizes import check_sizes
from shared.errors import BadRequest

MAX_BODY = 16 << 20
MAX_KEY = 256


class DependencyIn(msgspec.Struct):
    id: str
    required: bool = True


class PlacementIn(msgspec.Struct):
    labels: dict[str, str | int | bool] = {}
    capabilities: list[str] = []
    forbid: list[str] = []


class CacheIn(msgspec.Struct):
    ttl: Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class ResourcesIn(msgspec.Struct):
    memory_kb: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)] = 0


class LimitsIn(msgspec.Struct, omit_defaults=True):
    """What a task may use at most; what it does not say is the hub's to say."""

    memory_pages: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    stack_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 16)] | None = None
    output_bytes: Annotated[int, msgspec.Meta(ge=0, le=48 << 10)] | None = None


class TaskIn(msgspec.Struct):
    """A task as a client defines it (semantics.md); unknown fields are ignored, null counts as absent."""

    id: str | None = None
    name: str | None = None
    kind: str | None = None
    image_url: str | None = None
    file: str | None = None
    function: str | None = None
    abi: str | None = None
    # Names of the function's parameters, for inputs that are an object.
    params: list[str] | None = None
    cli_args: list[str] | None = None
    inputs: list[int | float | str] | dict[str, Any] | None = None
    env: dict[str, str] | None = None
    stdin: str | None = None
    allow: list[str] | None = None
    limits: LimitsIn | None = None
    daemon: bool | None = None
    encrypted: bool | None = None
    proplet_id: str | None = None
    depends_on: list[str | DependencyIn] | None = None
    dependencies: list[str | DependencyIn] | None = None
    run_if: str | None = None
    on_dep_failure: str | None = None
    when: str | None = None
    retries: int | None = None
    max_attempts: int | None = None
    backoff: str | None = None
    backoff_base: float | None = None
    backoff_max: float | None = None
    backoff_jitter: float | None = None
    retry_on: list[str] | None = None
    queue_timeout: float | None = None
    on_device_lost: str | None = None
    lost_after: float | None = None
    idempotent: bool | None = None
    stop_grace_s: float | None = None
    cost: float | None = None
    broadcast: bool | None = None
    for_each: str | list[Any] | None = None
    max_items: int | None = None
    cache: CacheIn | None = None
    dedup_key: str | None = None
    idempotency_key: str | None = None
    placement: PlacementIn | None = None
    resources: ResourcesIn | None = None
    parent_id: str | None = None
    workflow_id: str | None = None
    user_id: str | None = None
    priority: int | str | None = None
    # Seconds; null means no limit, which is why absent is something else here.
    timeout: float | UnsetType | None = UNSET
    metadata: dict[str, Any] | None = None
    schedule: str | None = None
    every: float | None = None
    at: str | None = None
    timezone: str | None = None
    is_recurring: bool | None = None
    enabled: bool | None = None
    start_at: str | None = None
    end_at: str | None = None
    max_runs: int | None = None
    overlap: str | None = None
    catchup: str | None = None
    misfire_grace: float | None = None


class GroupIn(msgspec.Struct):
    """What a workflow and a job have in common."""

    tasks: list[TaskIn]
    name: str | None = None
    fail_fast: bool | None = None
    max_parallel: int | None = None
    timeout: float | None = None
    user_id: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None


class WorkflowIn(GroupIn):
    workflow_id: str | None = None


class JobIn(GroupIn):
    job_id: str | None = None
    execution_mode: str | None = None


class RetryIn(msgspec.Struct):
    start_from: str = msgspec.field(default="failed", name="from")


class DuplicateIn(msgspec.Struct):
    """What copy, link and archive take."""

    children: bool = True
    dependencies: bool = True
    overrides: dict[str, Any] = {}
    link: list[str] = []
    user_id: str | None = None


class StopIn(msgspec.Struct):
    error_message: str | None = None
    running: str = "stop"
    workflow_id: str | None = None
    job_id: str | None = None
    all: bool = False


Body = TypeVar("Body", bound=msgspec.Struct)
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (TaskIn, WorkflowIn, JobIn, StopIn, RetryIn, DuplicateIn)
}


async def read(request: Request, kind: type[Body], empty: Body | None = None) -> Body:
    """The request's JSON body as that kind; `empty` stands for no body at all, where that is allowed."""
    raw = await request.body()
    if not raw.strip() and empty is not None:
        return empty
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest("send JSON with Content-Type: application/json", "bad_content_type")
    try:
        check_sizes(raw, kind, TaskIn)
        body: Body = _DECODERS[kind].decode(raw)
    except msgspec.ValidationError as error:
        raise BadRequest(readable(error), "bad_body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}", "bad_json") from None
    return body


def readable(error: msgspec.ValidationError) -> str:
    """ "Expected `int`, got `str` - at `$.tasks[0].priority`" as "tasks[0].priority: expected int, got str"."""
    what, _, where = str(error).replace("`", "").partition(" - at ")
    where = where.removeprefix("$").removeprefix(".")
    return f"{where}: {what[0].lower()}{what[1:]}" if where else f"the body: {what[0].lower()}{what[1:]}"


async def idempotency(request: Request, key: str | None) -> tuple[str, str] | None:
    """(key, digest of the body) of a request that may be sent again: the header Idempotency-Key, or the field."""
    key = request.headers.get("idempotency-key") or key
    if not key:
        return None
    if len(key) > MAX_KEY:
        raise BadRequest(f"an idempotency key is at most {MAX_KEY} characters", "bad_idempotency_key")
    path = f"{request.url.path}?{request.url.query}\n".encode()
    return key, sha256(path + await request.body()).hexdigest()


def module_bytes(file: str) -> bytes:
    """The module that a task's `file` carries in base64."""
    try:
        return base64.b64decode(file, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("file is not base64", "bad_file") from None
