"""What came of a run: a status, a value or an error for each task, and counts."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from motet.errors import Document, TaskError, error_of
from shared import states

_NEVER = "0001-01-01T00:00:00Z"


class NodeStatus(Enum):
    """dagron's eight; what has been sent to a device counts as RUNNING."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"
    TIMED_OUT = "timed-out"
    CANCELLED = "cancelled"
    CACHE_HIT = "cache-hit"


_STATUS = {
    states.PENDING: NodeStatus.PENDING,
    states.SCHEDULED: NodeStatus.RUNNING,
    states.RUNNING: NodeStatus.RUNNING,
    states.COMPLETED: NodeStatus.COMPLETED,
    states.FAILED: NodeStatus.FAILED,
    states.SKIPPED: NodeStatus.SKIPPED,
    states.INTERRUPTED: NodeStatus.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class NodeResult:
    """result: the task's one output, the list of several, the text of a task without outputs, or None."""

    name: str
    status: NodeStatus
    result: Any = None
    error: TaskError | None = None
    duration_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of each task, by name in the order of the workflow.

    total_duration_seconds: from the first start to the last end, in the hub's time.
    """

    workflow_id: str
    node_results: Mapping[str, NodeResult]
    total_duration_seconds: float
    _counts: Counter[NodeStatus] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_counts", Counter(node.status for node in self.node_results.values()))

    @property
    def succeeded(self) -> int:
        """Those whose result came from the cache are among them."""
        return self._counts[NodeStatus.COMPLETED] + self.cached

    @property
    def failed(self) -> int:
        """What timed out counts in timed_out only."""
        return self._counts[NodeStatus.FAILED]

    @property
    def skipped(self) -> int:
        return self._counts[NodeStatus.SKIPPED]

    @property
    def timed_out(self) -> int:
        return self._counts[NodeStatus.TIMED_OUT]

    @property
    def cancelled(self) -> int:
        return self._counts[NodeStatus.CANCELLED]

    @property
    def cached(self) -> int:
        return self._counts[NodeStatus.CACHE_HIT]


def run_result(workflow_id: str, documents: Mapping[str, Document], now: datetime | None = None) -> RunResult:
    """documents: the tasks by name. now: the hub's time, the end of what has been given up before it ended."""
    nodes = {name: node_result(name, document, now) for name, document in documents.items()}
    return RunResult(workflow_id, nodes, _total(documents.values(), now))


def node_result(name: str, document: Document, now: datetime | None = None) -> NodeResult:
    start, finish = _times(document, now)
    return NodeResult(
        name,
        status_of(document),
        value_of(document),
        error_of(name, document),
        (finish - start).total_seconds() if start and finish else 0.0,
    )


def status_of(document: Document) -> NodeStatus:
    state = document["state"]
    if state == states.COMPLETED and document.get("cached"):
        return NodeStatus.CACHE_HIT
    if state in (states.FAILED, states.INTERRUPTED) and (document.get("error_info") or {}).get("code") == "timeout":
        return NodeStatus.TIMED_OUT
    return _STATUS[state]


def value_of(document: Document) -> Any:
    """The value of a Completed task, None for any other."""
    if document["state"] != states.COMPLETED:
        return None
    outputs = document.get("outputs")
    if not outputs:
        return document.get("results") or None
    return outputs[0] if len(outputs) == 1 else outputs


def moment(text: str | None) -> datetime | None:
    """A time of the hub; None for one that has not come."""
    return None if text is None or text == _NEVER else datetime.fromisoformat(text).astimezone(UTC)


def _times(document: Document, now: datetime | None) -> tuple[datetime | None, datetime | None]:
    return moment(document.get("start_time")), moment(document.get("finish_time")) or now


def _total(documents: Iterable[Document], now: datetime | None) -> float:
    times = [_times(document, now) for document in documents]
    starts = [start for start, _ in times if start]
    ends = [end for start, end in times if start and end]
    return max(0.0, (max(ends) - min(starts)).total_seconds()) if starts and ends else 0.0
