"""States, codes and attempts of the hub as statuses, values and exceptions."""

from typing import Any

import pytest

from motet.errors import RetryExhaustedError, TaskCancelledError, TaskError, TaskTimeoutError, error_of
from motet.results import NodeStatus, node_result, run_result, status_of, value_of
from shared.errors import MotetError


def document(state: int, code: str | None = None, **more: Any) -> dict[str, Any]:
    info = {} if code is None else {"error": f"it was {code}", "error_info": {"code": code}}
    return {"id": "t-1", "state": state, **info, **more}


@pytest.mark.parametrize(
    ("task", "status"),
    [
        (document(0), NodeStatus.PENDING),
        (document(1), NodeStatus.RUNNING),
        (document(2), NodeStatus.RUNNING),
        (document(3), NodeStatus.COMPLETED),
        (document(3, cached=True), NodeStatus.CACHE_HIT),
        (document(4, "trap_div0"), NodeStatus.FAILED),
        (document(4, "timeout"), NodeStatus.TIMED_OUT),
        (document(5), NodeStatus.SKIPPED),
        (document(6, "cancelled"), NodeStatus.CANCELLED),
        (document(6, "timeout"), NodeStatus.TIMED_OUT),
        (document(6, "device_lost"), NodeStatus.CANCELLED),
    ],
)
def test_status(task: dict[str, Any], status: NodeStatus) -> None:
    assert status_of(task) is status


def test_there_are_dagrons_eight() -> None:
    names = "PENDING RUNNING COMPLETED FAILED SKIPPED TIMED_OUT CANCELLED CACHE_HIT"
    assert [status.name for status in NodeStatus] == names.split()


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (document(3, outputs=[7]), 7),
        (document(3, outputs=[7, 8]), [7, 8]),
        (document(3, results="text\n"), "text\n"),
        (document(3, results=""), None),
        (document(3), None),
        (document(2, outputs=[7]), None),
    ],
)
def test_value(task: dict[str, Any], value: Any) -> None:
    assert value_of(task) == value


def failed(count: int) -> dict[str, Any]:
    return {"attempts": [{"outcome": "lost"}] + [{"outcome": "failed"}] * count}


@pytest.mark.parametrize(
    ("task", "kind", "code"),
    [
        (document(4, "trap_div0"), TaskError, "trap_div0"),
        (document(4), TaskError, "task_failed"),
        (document(6), TaskCancelledError, "cancelled"),
        (document(6, "timeout"), TaskTimeoutError, "timeout"),
        (document(4, "trap_div0", retries=2, **failed(2)), TaskError, "trap_div0"),
        (document(4, "trap_div0", retries=2, **failed(3)), RetryExhaustedError, "retry_exhausted"),
        (document(4, "trap_div0", retries=50, **failed(10)), RetryExhaustedError, "retry_exhausted"),
        (document(6, "cancelled", retries=2, **failed(3)), TaskCancelledError, "cancelled"),
    ],
)
def test_errors(task: dict[str, Any], kind: type[TaskError], code: str) -> None:
    error = error_of("t", task)
    assert type(error) is kind
    assert isinstance(error, MotetError)
    assert (error.code, error.detail["task"], error.detail["task_id"]) == (code, "t", "t-1")
    assert isinstance(error, TimeoutError) == (kind is TaskTimeoutError)


@pytest.mark.parametrize("state", [0, 1, 2, 3, 5])
def test_no_error(state: int) -> None:
    assert error_of("t", document(state)) is None


def test_counts_and_times() -> None:
    def times(start: float, finish: float) -> dict[str, str]:
        return {"start_time": f"2026-03-01T10:00:0{start}Z", "finish_time": f"2026-03-01T10:00:0{finish}Z"}

    result = run_result(
        "w",
        {
            "a": document(3, **times(1, 2.5)),
            "b": document(3, cached=True, **times(3.5, 4.0)),
            "c": document(4, "timeout", **times(2, 3)),
            "d": document(5),
        },
    )
    assert (result.succeeded, result.cached, result.failed, result.timed_out, result.skipped) == (2, 1, 0, 1, 1)
    assert result.total_duration_seconds == 3.0
    assert [node.duration_seconds for node in result.node_results.values()] == [1.5, 0.5, 1.0, 0.0]
    assert result.node_results["d"] == node_result("d", document(5))
