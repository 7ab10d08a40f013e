"""What is known of a run's tasks, out of documents in any order and number; tells callbacks each thing once. No I/O."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from graphlib import TopologicalSorter
from typing import Any

from motet.errors import Document, TaskError, error_of
from motet.results import RunResult, moment, run_result, value_of
from shared import states

log = logging.getLogger("motet")

_WAITING, _STARTED, _ENDED = range(3)


class Tracker:
    """One run. callbacks: an object with any of on_node_start(name), on_node_complete(name, result),
    on_node_error(name, error) and on_node_skip(name).

    Of each task the callbacks hear its start, when it has one, and then its end, once each; a parent's end comes
    before its child's start. What was stopped or timed out is an error. A callback that raises is logged.
    """

    def __init__(self, workflow: Document, callbacks: Any = None) -> None:
        self.workflow_id: str = workflow["workflow_id"]
        self._callbacks = callbacks
        self._documents: dict[str, Document] = {task["id"]: task for task in workflow["tasks"]}
        self.names = _names(workflow["tasks"])
        self._phase = dict.fromkeys(self._documents, _WAITING)
        self._parents = {id_: _parents(task) for id_, task in self._documents.items()}
        self._children: dict[str, list[str]] = {id_: [] for id_ in self._documents}
        for id_, parents in self._parents.items():
            for parent in parents:
                self._children[parent].append(id_)
        # Parents first: what one look at the whole run shows at once is told in an order that it may have had.
        self._order = list(TopologicalSorter(self._parents).static_order())
        self._seconds: float | None = None
        self.failed: list[tuple[str, TaskError]] = []

    def see_all(self, tasks: Iterable[Document]) -> None:
        """The tasks as they stand now."""
        found = {task["id"]: task for task in tasks}
        for id_ in self._order:
            if id_ in found:
                self.see(found[id_])

    def see(self, task: Document) -> None:
        """A task as it stood at some time; one that is older than what is known changes nothing."""
        id_ = task["id"]
        phase = self._phase.get(id_, _ENDED)
        if phase == _ENDED:
            return
        self._documents[id_] = task
        ended = task["state"] in states.ENDED
        if phase == _WAITING and (task["state"] == states.RUNNING or (ended and _has_run(task))):
            self._phase[id_] = _STARTED
            self._tell("on_node_start", self.names[id_])
        if ended:
            self._phase[id_] = _ENDED
            self._tell_end(self.names[id_], task)

    def expire(self, seconds: float) -> None:
        """The run is given up after so many seconds: what has not ended has timed out."""
        self._seconds = seconds
        error = f"the run took longer than {seconds:g} s"
        lost = {"state": states.INTERRUPTED, "error": error, "error_info": {"code": "timeout", "message": error}}
        for id_ in self._order:
            if self._phase[id_] != _ENDED:
                self.see({**self._documents[id_], **lost})

    def result(self) -> RunResult:
        documents = {self.names[id_]: document for id_, document in self._documents.items()}
        starts = [start for document in documents.values() if (start := moment(document.get("start_time")))]
        given_up = min(starts) + timedelta(seconds=self._seconds) if starts and self._seconds is not None else None
        return run_result(self.workflow_id, documents, given_up)

    def unhandled(self, over: bool) -> TaskError | None:
        """The first error of a task that no other is there to handle; once the run is over, that none has handled.

        What handles a failure: a child of run_if failure or always, of on_dep_failure run-anyway, or one that does
        not require the task.
        """
        for id_, error in self.failed:
            handlers = [child for child in self._children[id_] if self._handles(child, id_)]
            if over:
                handlers = [child for child in handlers if self._documents[child]["state"] == states.COMPLETED]
            if not handlers:
                return error
        return None

    def _handles(self, child: str, parent: str) -> bool:
        task = self._documents[child]
        if {"id": parent, "required": False} in task["depends_on"]:
            return True
        return bool(task.get("run_if") in ("failure", "always") or task.get("on_dep_failure") == "run-anyway")

    def _tell_end(self, name: str, task: Document) -> None:
        if task["state"] == states.COMPLETED:
            self._tell("on_node_complete", name, value_of(task))
        elif task["state"] == states.SKIPPED:
            self._tell("on_node_skip", name)
        elif (error := error_of(name, task)) is not None:
            if task["state"] == states.FAILED:
                self.failed.append((task["id"], error))
            self._tell("on_node_error", name, error)

    def _tell(self, event: str, *what: Any) -> None:
        callback: Callable[..., object] | None = getattr(self._callbacks, event, None)
        if callback is None:
            return
        try:
            callback(*what)
        except Exception:
            log.exception("%s(%s) raised", event, what[0])


def _names(tasks: Iterable[Document]) -> dict[str, str]:
    """How each task is called: by its name, or by its id where others bear the same name."""
    tasks = list(tasks)
    count: dict[str, int] = {}
    for task in tasks:
        count[task["name"]] = count.get(task["name"], 0) + 1
    return {task["id"]: task["name"] if count[task["name"]] == 1 else task["id"] for task in tasks}


def _parents(task: Mapping[str, Any]) -> list[str]:
    return [one if isinstance(one, str) else one["id"] for one in task.get("depends_on") or ()]


def _has_run(task: Document) -> bool:
    return moment(task.get("start_time")) is not None
