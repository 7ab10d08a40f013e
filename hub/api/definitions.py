"""Definitions of tasks, jobs and workflows out of their bodies: each field by its rule, for the engine to take."""

import re
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from hub.api.bodies import GroupIn, TaskIn, readable
from hub.api.sizes import MAX_TASKS
from hub.api.turns import in_turns
from hub.core.abi import ABIS, PRIVILEGED, PUBLISH
from hub.core.conditions import ON_DEP_FAILURE, RUN_IF
from hub.core.cron import zone
from hub.core.model import Doc
from hub.core.nesting import MAX_DEPTH, is_deep
from hub.core.retries import BACKOFFS, CODES
from hub.core.schedules import CATCHUPS, EVERY_LEAST_S, OVERLAPS
from hub.modules import references
from shared import host
from shared.errors import BadRequest, TooLarge
from shared.messages import MAX_DOWN

# Of all tasks of a body: what depends on what is looked at as a whole, while everybody else waits.
MAX_DEPENDENCIES = 200_000
MAX_ALLOW = 64
MAX_NAME = 256
MAX_METADATA = 1 << 20
ON_DEVICE_LOST = ("retry", "fail", "wait", "interrupt")
PRIORITIES = {"urgent": 90, "high": 80, "normal": 50, "low": 20}
_PIN = re.compile(r"0|[1-9][0-9]{0,8}")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def overrides(fields: dict[str, Any]) -> Doc:
    """Fields of a task that a copy changes, checked like those of a new one."""
    try:
        return definition(msgspec.convert(fields, TaskIn))
    except msgspec.ValidationError as error:
        raise BadRequest(f"overrides: {readable(error)}", "bad_body") from None


def options_of(body: GroupIn) -> Doc:
    """The fields of a workflow or a job beside its name and tasks."""
    options: Doc = {}
    if body.max_parallel is not None:
        options["max_parallel"] = _at_least("max_parallel", body.max_parallel, 1)
    if body.timeout is not None:
        options["timeout"] = _timeout("timeout", body.timeout)
    if body.user_id:
        options["user_id"] = _short("user_id", body.user_id)
    _check_metadata(body.metadata)
    for field in ("fail_fast", "metadata"):
        if getattr(body, field) is not None:
            options[field] = getattr(body, field)
    return options


async def tasks_of(body: GroupIn) -> list[Doc]:
    if not body.tasks:
        raise BadRequest("tasks is empty: name at least one", "no_tasks")
    given = sum(len(task.depends_on or task.dependencies or ()) for task in body.tasks)
    if given > MAX_DEPENDENCIES:
        raise TooLarge(f"the tasks have {given} dependencies, over {MAX_DEPENDENCIES}: put a task in between")
    return [new_task(task) async for task in in_turns(body.tasks)]


def new_task(task: TaskIn) -> Doc:
    """The definition of a new task; BadRequest says which field is wrong and what is allowed."""
    if not task.name:
        raise BadRequest("a task has no name: give each one a name", "no_name")
    if task.id is not None:
        check_id("id", task.id)
    return {"name": task.name, **({"id": task.id} if task.id else {}), **definition(task)}


def definition(task: TaskIn) -> Doc:
    """The fields that were sent, checked; not the id, and not the module, which is stored on its own."""
    spec: Doc = {}
    for field in ("name", "kind", "function", "user_id", "dedup_key"):
        value = getattr(task, field)
        if value:
            spec[field] = _short(field, value)
    for field in ("cli_args", "inputs", "params", "env", "daemon", "metadata", "broadcast", "for_each"):
        value = getattr(task, field)
        if value is not None:
            spec[field] = value
    for field in ("parent_id", "workflow_id", "proplet_id"):
        value = getattr(task, field)
        if value:
            spec["pinned_to" if field == "proplet_id" else field] = check_id(field, value)
    for field in ("placement", "resources", "cache", "limits"):
        value = getattr(task, field)
        if value is not None:
            spec[field] = msgspec.to_builtins(value)
    if task.stdin is not None:
        spec["stdin"] = _stdin(task.stdin)
    if task.allow is not None:
        spec["allow"] = _allow(task.allow)
    for part in (_dependencies, _checked, _failing, _scheduled):
        spec.update(part(task))
    return spec


def _dependencies(task: TaskIn) -> Doc:
    """depends_on as ids, and which of them are optional."""
    given = task.depends_on if task.depends_on is not None else task.dependencies
    if given is None:
        return {}
    required = {(one if isinstance(one, str) else one.id): isinstance(one, str) or one.required for one in given}
    optional = [id for id, needed in required.items() if not needed]
    return {"depends_on": list(required), **({"optional": optional} if optional else {})}


def _stdin(text: str) -> str:
    if len(text) > MAX_DOWN:
        raise TooLarge(f"stdin is over {MAX_DOWN} characters: a start message would not carry it")
    return text


def _allow(entries: list[str]) -> list[str]:
    """The host functions that the task may use, each with one pin, channel or topic or with any."""
    if len(entries) > MAX_ALLOW:
        raise BadRequest(f"allow has {len(entries)} entries, over {MAX_ALLOW}", "bad_allow")
    for entry in entries:
        name, colon, argument = entry.partition(":")
        known = host.valid_topic(argument) if name == PUBLISH else _PIN.fullmatch(argument)
        if name not in PRIVILEGED or (colon and not known):
            raise BadRequest(
                f"allow {entry[:160]!r} is not known: use one of {', '.join(PRIVILEGED)}, alone or with a number "
                f"(gpio_read:17), {PUBLISH} with a topic (publish:room/)",
                "bad_allow",
            )
    return entries


def _failing(task: TaskIn) -> Doc:
    """The fields that say what happens when an attempt fails, or its device is lost."""
    spec: Doc = {}
    if task.retries is not None and task.max_attempts is not None:
        raise BadRequest("give retries or max_attempts (retries and one), not both", "bad_retries")
    if task.max_attempts is not None:
        spec["retries"] = _at_least("max_attempts", task.max_attempts, 1) - 1
    if task.retries is not None:
        spec["retries"] = _at_least("retries", task.retries, 0)
    for field, words in (("backoff", BACKOFFS), ("on_device_lost", ON_DEVICE_LOST)):
        if getattr(task, field):
            spec[field] = _one_of(field, getattr(task, field), words)
    if task.retry_on is not None:
        spec["retry_on"] = [_one_of("retry_on", code, CODES) for code in task.retry_on]
    for field in ("backoff_base", "backoff_max", "backoff_jitter", "lost_after", "stop_grace_s", "cost"):
        if getattr(task, field) is not None:
            spec[field] = _at_least(field, getattr(task, field), 0)
    if task.queue_timeout is not None:
        spec["queue_timeout"] = _timeout("queue_timeout", task.queue_timeout)
    if task.idempotent is not None:
        spec["idempotent"] = task.idempotent
    return spec


Number = TypeVar("Number", int, float)


def _at_least(field: str, value: Number, least: float) -> Number:
    if not least <= value <= 1e9:
        raise BadRequest(f"{field} is at least {least}, not {value}", f"bad_{field}")
    return value


def _timeout(field: str, value: float) -> float:
    if not 0 < value <= 1e9:
        raise BadRequest(f"{field} is seconds above 0, not {value}", f"bad_{field}")
    return value


def _checked(task: TaskIn) -> Doc:
    """The fields that have a rule of their own."""
    spec: Doc = {}
    if task.encrypted:
        raise BadRequest("encrypted tasks are not supported by this hub", "not_supported")
    if task.run_if:
        spec["run_if"] = _one_of("run_if", task.run_if, RUN_IF)
    if task.max_items is not None:
        spec["max_items"] = _at_least("max_items", task.max_items, 1)
        if task.max_items > MAX_TASKS:
            raise BadRequest(f"max_items must be at most {MAX_TASKS}, not {task.max_items}", "bad_max_items")
    if task.broadcast and (task.proplet_id or task.for_each is not None):
        raise BadRequest("broadcast goes with neither proplet_id nor for_each", "bad_broadcast")
    if task.daemon and (task.broadcast or task.for_each is not None):
        raise BadRequest("a daemon is one task: it goes with neither broadcast nor for_each", "bad_daemon")
    if task.on_dep_failure:
        spec["on_dep_failure"] = _one_of("on_dep_failure", task.on_dep_failure, ON_DEP_FAILURE)
    if task.when:
        spec["when"] = task.when
    if task.abi:
        spec["abi"] = _one_of("abi", task.abi, ABIS)
    if task.priority is not None:
        spec["priority"] = _priority(task.priority)
    if task.timeout is not UNSET:
        spec["timeout"] = None if task.timeout is None else _timeout("timeout", task.timeout)
    if task.image_url:
        references.parse(task.image_url)
        spec["image_url"] = task.image_url
    _check_metadata(task.metadata)
    _check_depth("inputs", task.inputs)
    _check_depth("for_each", task.for_each)
    return spec


def _check_depth(field: str, value: Any) -> None:
    if is_deep(value):
        raise BadRequest(f"{field} is nested deeper than {MAX_DEPTH}", "too_deep")


def _check_metadata(metadata: Doc | None) -> None:
    _check_depth("metadata", metadata)
    if metadata and len(msgspec.json.encode(metadata)) > MAX_METADATA:
        raise TooLarge("metadata is over 1 MiB")


def _scheduled(task: TaskIn) -> Doc:
    """The fields of a schedule. What the calendar must say to them is the engine's to check."""
    spec: Doc = {}
    for field in ("schedule", "timezone"):
        if getattr(task, field):
            spec[field] = getattr(task, field)
    for field in ("is_recurring", "enabled"):
        if getattr(task, field) is not None:
            spec[field] = getattr(task, field)
    for field, allowed in (("overlap", OVERLAPS), ("catchup", CATCHUPS)):
        if getattr(task, field):
            spec[field] = _one_of(field, getattr(task, field), allowed)
    for field, least in (("every", EVERY_LEAST_S), ("max_runs", 1), ("misfire_grace", 0)):
        value = getattr(task, field)
        if value is not None:
            spec[field] = _at_least(field, value, least)
    for field in ("at", "start_at", "end_at"):
        text = getattr(task, field)
        if text and not text.startswith("0001-01-01"):
            spec[field] = wall_seconds(field, text, task.timezone or "UTC")
    return spec


def wall_seconds(field: str, text: str, timezone: str) -> float:
    """RFC 3339 as wall seconds; a time without an offset is one of the task's time zone."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone(timezone))).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"{field} is a time such as 2026-12-31T23:59:00Z, not {text[:40]!r}", f"bad_{field}") from None


def _priority(value: int | str) -> int:
    if isinstance(value, str):
        return PRIORITIES[_one_of("priority", value, tuple(PRIORITIES))]
    if not 0 <= value <= 100:
        raise BadRequest(f"priority must be between 0 and 100, got {value}", "bad_priority")
    return value


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise BadRequest(f"{field} {value[:64]} is unknown: use one of {', '.join(allowed)}", f"bad_{field}")
    return value


def _short(field: str, value: str) -> str:
    if len(value) > MAX_NAME:
        raise BadRequest(f"{field} is over {MAX_NAME} characters", f"bad_{field}")
    return value


def check_id(field: str, value: str) -> str:
    if not _ID.fullmatch(value):
        raise BadRequest(f"{field} must be 1 to 64 of A-Z a-z 0-9 . _ : -, not {value[:80]!r}", "bad_id")
    return value
