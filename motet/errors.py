"""How a task can end badly, as exceptions.

MotetError
├── WaitTimeout                  what was waited for has not ended in time; it goes on (also a TimeoutError)
└── TaskError                    a task failed; code is the hub's (`trap_div0`, `bad_inputs` …)
    ├── TaskTimeoutError         over its time, or over that of its run (also a TimeoutError)
    ├── TaskCancelledError       stopped, or never started because of a stop
    ├── DependencyFailedError    on_dep_failure="fail", and what it depends on did not complete
    ├── RetryExhaustedError      every attempt failed; `__cause__` is the error of the last one
    ├── CycleError               an edge would close a cycle; detail["cycle"] names its tasks
    └── CheckpointError          what was given to a task is not JSON
"""

from collections.abc import Sequence
from typing import Any

from shared import states
from shared.errors import MotetError

Document = dict[str, Any]

# The attempts that a task's document lists.
_ATTEMPTS_SHOWN = 10


class WaitTimeout(MotetError, TimeoutError):
    """What was waited for has not ended in time; it goes on."""

    code = "timeout"


class TaskError(MotetError):
    """detail, for a task of the hub: `task` (its name), `task_id`, `error_info`."""

    code = "task_failed"


class TaskTimeoutError(TaskError, TimeoutError):
    code = "timeout"


class TaskCancelledError(TaskError):
    code = "cancelled"


class DependencyFailedError(TaskError):
    code = "dependency_failed"


class RetryExhaustedError(TaskError):
    code = "retry_exhausted"


class CycleError(TaskError):
    code = "cycle"


class CheckpointError(TaskError):
    code = "not_json"


_KINDS: dict[str, type[TaskError]] = {
    kind.code: kind for kind in (TaskTimeoutError, TaskCancelledError, DependencyFailedError)
}


def error_of(name: str, document: Document) -> TaskError | None:
    """The exception for a task's document: None unless it is Failed or Interrupted."""
    if document["state"] not in (states.FAILED, states.INTERRUPTED):
        return None
    info = document.get("error_info") or {}
    sentence = document.get("error") or info.get("message") or "it gave no reason"
    detail: dict[str, object] = {"task": name, "task_id": document.get("id"), "error_info": info}
    fallback = TaskCancelledError.code if document["state"] == states.INTERRUPTED else TaskError.code
    code = str(info.get("code") or fallback)
    error = _KINDS.get(code, TaskError)(f"task {name}: {sentence}", code, detail)
    failures = _failures(document)
    if not _exhausted(document, failures):
        return error
    exhausted = RetryExhaustedError(f"task {name} failed {failures} times, at last: {sentence}", detail=detail)
    exhausted.__cause__ = error
    return exhausted


def cycle_error(cycle: Sequence[str]) -> CycleError:
    """In the hub's words, of a cycle that begins with its first task and in which each depends on the next."""
    return CycleError(
        "DAG validation failed: circular dependency detected: cycle detected involving tasks "
        f"{cycle[0]} and {cycle[-1]}",
        detail={"cycle": list(cycle)},
    )


def _failures(document: Document) -> int:
    return sum(1 for attempt in document.get("attempts") or () if attempt.get("outcome") == "failed")


def _exhausted(document: Document, failures: int) -> bool:
    """Whether a task failed although it had retries, because they were used up."""
    retries = document.get("retries") or 0
    return document["state"] == states.FAILED and retries > 0 and failures >= min(retries + 1, _ATTEMPTS_SHOWN)
