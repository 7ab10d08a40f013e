"""What the engine holds: a document for each task, group and proplet, and beside it what is derived from documents.

A document is a JSON object that the store keeps. It is replaced at a change and never altered, so that the store may
write it at any time. A field that is None counts as absent. What is not in a document (counters, links to other
tasks, leases) is rebuilt when the hub starts.
"""

from dataclasses import dataclass, field
from typing import Any

from shared import states

Doc = dict[str, Any]

TASKS = "tasks"
WORKFLOWS = "workflows"
JOBS = "jobs"
PROPLETS = "proplets"
MODULES = "modules"
META = "meta"

# The attempts that a task's document lists.
ATTEMPTS_KEPT = 10
# A device that falls silent costs a task nothing, but a module that takes one device after another down must end.
LOSSES_ALLOWED = 10
# How often the start of one attempt is sent again before another attempt is made (protocol.md).
RESENDS = 3
ALIVE_HISTORY = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """What the hub's configuration says about scheduling. Times are seconds."""

    beat_s: float = 10.0
    lease_s: float = 30.0
    task_timeout_s: float = 300.0
    max_pending: int = 100_000
    memory_pages: int = 256
    stack_bytes: int = 16 * 1024
    output_bytes: int = 32 * 1024


class Task:
    """One task: its document, and its place in the graph, the queue and on a device."""

    __slots__ = (
        "children",
        "dispatched",
        "doc",
        "group",
        "id",
        "lease_until",
        "leased",
        "parents",
        "previous",
        "resends",
        "ticket",
        "waiting",
    )
    table = TASKS

    def __init__(self, doc: Doc) -> None:
        self.id: str = doc["id"]
        self.doc = doc
        self.parents: list[Task] = []
        # The task before it in a sequential job; it gates, but passes no data.
        self.previous: Task | None = None
        self.children: dict[str, Task] = {}
        # While Pending: how many of parents and previous have not settled.
        self.waiting = 0
        self.group: Group | None = None
        # Number of its live entry in the queue; 0 when it is not queued.
        self.ticket = 0
        self.lease_until = 0.0
        # A lease timer stands for it: one is enough however many attempts there are.
        self.leased = False
        self.dispatched = 0.0
        self.resends = 0

    @property
    def state(self) -> int:
        state: int = self.doc["state"]
        return state

    @property
    def attempt(self) -> int:
        number: int = self.doc.get("attempt", 0)
        return number

    def gates(self) -> list["Task"]:
        """Every task whose end this one waits for."""
        return [*self.parents, self.previous] if self.previous else self.parents


class Group:
    """A workflow or a job: its document, its tasks in the order of the request, and counts by state."""

    __slots__ = ("counts", "doc", "id", "queued", "table", "tasks")

    def __init__(self, table: str, doc: Doc) -> None:
        self.table = table
        self.id: str = doc["id"]
        self.doc = doc
        self.tasks: dict[str, Task] = {}
        self.counts = [0] * len(states.NAMES)
        self.queued = 0

    @property
    def active(self) -> int:
        """Tasks that run or wait for a proplet. With none, nothing can happen any more by itself."""
        return self.queued + self.counts[states.SCHEDULED] + self.counts[states.RUNNING]

    @property
    def state(self) -> int:
        """The group's state out of its tasks' (semantics.md, "Looking")."""
        counts = self.counts
        if self.active:
            return states.RUNNING
        if counts[states.FAILED]:
            return states.FAILED
        if counts[states.INTERRUPTED]:
            return states.INTERRUPTED
        # A root that nobody has started yet keeps the whole Pending, whatever else has completed.
        return states.PENDING if counts[states.PENDING] else states.COMPLETED


class Proplet:
    """A device: its document, and what the hub knows of it right now."""

    __slots__ = ("alive", "connected", "doc", "greeted", "id", "mem_free", "running", "seen", "seen_wall", "uptime_s")
    table = PROPLETS

    def __init__(self, doc: Doc) -> None:
        self.id: str = doc["id"]
        self.doc = doc
        self.connected = False
        # It has said hello on this connection, so that its slots are known and its subscription stands.
        self.greeted = False
        self.alive = False
        self.seen = float("-inf")
        self.seen_wall: float = doc.get("last_alive_at") or 0.0
        self.mem_free: int = doc.get("mem_free") or 0
        self.uptime_s = 0
        self.running: dict[str, Task] = {}

    @property
    def free(self) -> int:
        """Slots that can take a task now."""
        if not (self.connected and self.greeted and self.alive):
            return 0
        slots: int = self.doc.get("slots") or 1
        return max(0, slots - len(self.running))


Record = Task | Group | Proplet


@dataclass(slots=True)
class Now:
    """A moment: monotonic seconds for leases and time-outs, wall seconds since 1970 for what people read."""

    mono: float
    wall: float


@dataclass(slots=True)
class Put:
    """A document to be kept: whole when changed is None, else those fields; None deletes it."""

    table: str
    id: str
    doc: Doc | None
    changed: set[str] | None


@dataclass(slots=True)
class Send:
    """A message to a device: its kind in shared.messages.DOWN and its fields."""

    device: str
    kind: str
    fields: Doc


@dataclass(slots=True)
class Outcome:
    """What a command led to: the answer, what the store must keep, then what devices must hear."""

    reply: Any = None
    puts: list[Put] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
