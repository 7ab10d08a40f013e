"""What may be given to a task: its fields, its module, and JSON."""

import json
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from motet.errors import CheckpointError
from shared.errors import BadRequest

Module = bytes | str | os.PathLike[str]

# The fields of a task beside those that Workflow.task() names.
FIELDS = frozenset(
    """id kind image_url file abi cli_args env daemon proplet_id run_if on_dep_failure when retries max_attempts backoff
    backoff_base backoff_max backoff_jitter retry_on timeout queue_timeout on_device_lost lost_after idempotent
    stop_grace_s cost parent_id user_id priority metadata placement resources broadcast for_each max_items cache
    idempotency_key dedup_key params stdin allow limits""".split()
)


def check_fields(name: str, fields: Mapping[str, Any]) -> None:
    """BadRequest for a field that no task has: the hub would ignore it."""
    for field in fields:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise BadRequest(f"task {name}: there is no field {field}{hint}", "unknown_field")


def module_bytes(name: str, module: Module) -> bytes:
    """The bytes of a module, read where it is a path; BadRequest when it cannot be read."""
    if isinstance(module, bytes | bytearray):
        return bytes(module)
    try:
        return Path(module).read_bytes()
    except OSError as error:
        raise BadRequest(f"task {name}: module {module} cannot be read: {error.strerror}", "bad_module") from error


def as_json(name: str, field: str, value: Any) -> Any:
    """A copy of the value, as the hub will read it; CheckpointError when it is not JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"task {name}: {field} is not JSON: {error}") from error
