"""The attempts of a task, as its document tells of them.

Of the attempt that runs, and of one that completed, the task's own fields tell: `attempt`, `proplet_id`, `queued_at`,
`dispatched_at`, `start_time`, `finish_time`. Most tasks have no other. Those that ended otherwise are in `attempts`.
"""

from hub.core.model import Doc
from shared import states


def listed(doc: Doc) -> list[Doc]:
    """Those that the document still tells of, the oldest first.

    Each is {number, proplet_id, queued_at, dispatched_at, outcome?, finish_time?, start_time?, error_info?,
    superseded?}; times are wall seconds, and an attempt without an outcome runs.
    """
    attempts: list[Doc] = doc.get("attempts") or []
    if doc.get("dispatched_at") is None:
        return attempts
    last = entry(doc)
    if doc["state"] == states.COMPLETED:
        last |= {"outcome": "completed", "finish_time": doc["finish_time"]}
    return [*attempts, last]


def entry(doc: Doc) -> Doc:
    """What the task's own fields tell of its attempt, but for its end."""
    told = {
        "number": doc["attempt"],
        "proplet_id": doc["proplet_id"],
        "queued_at": doc.get("queued_at"),
        "dispatched_at": doc["dispatched_at"],
    }
    if doc.get("start_time") is not None:
        told["start_time"] = doc["start_time"]
    return told
