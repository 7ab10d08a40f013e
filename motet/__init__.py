"""What people type and import: the command `motet` (cli), the client, the builder of workflows, the demo.

    from motet import Client, AsyncClient, Workflow, pipeline

Each name is imported at its first use, so that `import motet` costs nothing and needs no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from motet.client import AsyncClient, Client
    from motet.errors import (
        CheckpointError,
        CycleError,
        DependencyFailedError,
        RetryExhaustedError,
        TaskCancelledError,
        TaskError,
        TaskTimeoutError,
        WaitTimeout,
    )
    from motet.pipelines import pipeline, task
    from motet.results import NodeResult, NodeStatus, RunResult
    from motet.run import AsyncRun, AsyncTaskHandle, Run, TaskHandle
    from motet.workflow import ExecutionStep, Task, Workflow
    from shared.errors import MotetError

__all__ = [
    "AsyncClient",
    "AsyncRun",
    "AsyncTaskHandle",
    "CheckpointError",
    "Client",
    "CycleError",
    "DependencyFailedError",
    "ExecutionStep",
    "MotetError",
    "NodeResult",
    "NodeStatus",
    "RetryExhaustedError",
    "Run",
    "RunResult",
    "Task",
    "TaskCancelledError",
    "TaskError",
    "TaskHandle",
    "TaskTimeoutError",
    "WaitTimeout",
    "Workflow",
    "pipeline",
    "task",
]

_HOMES = {
    "motet.client": ("AsyncClient", "Client"),
    "motet.errors": (
        "CheckpointError",
        "CycleError",
        "DependencyFailedError",
        "RetryExhaustedError",
        "TaskCancelledError",
        "TaskError",
        "TaskTimeoutError",
        "WaitTimeout",
    ),
    "motet.pipelines": ("pipeline", "task"),
    "motet.results": ("NodeResult", "NodeStatus", "RunResult"),
    "motet.run": ("AsyncRun", "AsyncTaskHandle", "Run", "TaskHandle"),
    "motet.workflow": ("ExecutionStep", "Task", "Workflow"),
    "shared.errors": ("MotetError",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value
