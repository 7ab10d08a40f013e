"""What the engine holds: a document for each task, group and proplet, and beside it what is derived from documents.

A document is a JSON object that the store keeps. It is replaced at a change and never altered, so that the store may
write it at any time. A field that is None counts as absent. What is not in a document (counters, links to other
tasks, leases) is rebuilt when the hub starts.
"""

import heapq
from dataclasses import dataclass
from typing import Any, NamedTuple

from msgspec import Struct

from hub.core.rare import RARE
from shared import states

Doc = dict[str, Any]

TASKS = "tasks"
WORKFLOWS = "workflows"
JOBS = "jobs"
PROPLETS = "proplets"
MODULES = "modules"
META = "meta"
ATTEMPTS = "attempts"
CACHE = "cache"
REQUESTS = "requests"
NUMBERS = "numbers"
MOVES = "moves"
# The document of META that keeps numbers from being given twice when nothing in the store bears the last one any more.
# It is there from the first time on that ended runs move to the history.
LAST = "last"

PARALLEL, SEQUENTIAL, CONFIGURABLE = "parallel", "sequential", "configurable"
MODES = (PARALLEL, SEQUENTIAL, CONFIGURABLE)

# What a device may report of a run beside its text and its error; a new run begins without.
REPORTED = ("outputs", "stdout", "stderr", "output", "exit_code", "duration_ms", "fuel")
# The attempts that a task's document lists.
ATTEMPTS_KEPT = 10
# Of those before them, how many are kept beside it: a daemon may have one every minute, for years.
OLDER_KEPT = 1000
# Deleted tasks whose last attempt is remembered.
NUMBERS_KEPT = 10_000
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
    # So many ended tasks, of so many bytes as JSON, and for so long, stay in the store before they go to the history.
    keep_tasks: int = 10_000
    keep_bytes: int = 32 << 20
    keep_s: float = 7 * 86_400.0

    def limits(self, doc: Doc) -> Doc:
        """The limits of a start message; doc: the task's, which may set some of them itself."""
        timeout_s = None if doc.get("daemon") else doc.get("timeout", self.task_timeout_s)
        own = doc.get("limits")
        limits = {
            "timeout_ms": None if timeout_s is None else int(timeout_s * 1000),
            "memory_pages": self.memory_pages,
            "stack_bytes": self.stack_bytes,
            "output_bytes": self.output_bytes,
        }
        return limits | own if own else limits


class Need(NamedTuple):
    """Who may take a task: labels and capabilities the proplet has, memory it has free, who must not."""

    labels: tuple[tuple[str, Any], ...] = ()
    capabilities: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    memory_kb: int = 0


ANYONE = Need()


class Task:
    """One task: its document, and its place in the graph, the queue and on a device."""

    __slots__ = (
        "attempt",
        "call",
        "children",
        "cost",
        "delayed",
        "dispatched",
        "doc",
        "due",
        "gates",
        "group",
        "held",
        "id",
        "is_fan",
        "late",
        "lease_until",
        "leased",
        "links",
        "need",
        "parents",
        "path",
        "plain",
        "previous",
        "resends",
        "source",
        "state",
        "tally",
        "ticket",
        "waiting",
    )
    table = TASKS

    def __init__(self, doc: Doc, group: "Group | None" = None) -> None:
        self.id: str = doc["id"]
        self.doc = doc
        # As the document says it; read some twenty times in a run.
        self.state: int = doc["state"]
        self.attempt: int = doc.get("attempt", 0)
        self.parents: list[Task] = []
        self.previous: Task | None = None
        # Every task whose end it waits for, each once: the one before may be depended on as well.
        self.gates = self.parents
        self.children: dict[str, Task] = {}
        # Cost of the longest way from here to an end of the graph, its own included.
        self.path = 0.0
        # Until it has ended: how many of parents and previous have not settled.
        self.waiting = 0
        self.group = group
        # The task whose results a link shares, and the links that share this one's.
        self.source: Task | None = None
        self.links: dict[str, Task] = {}
        # Who may take it, while it is queued.
        self.need = ANYONE
        # Number of its live entry in a queue; 0 when it is in none.
        self.ticket = 0
        # In the queue of its group, which runs as many as it may already.
        self.held = False
        # Waits for its next attempt, or in a queue only so long: until this monotonic second.
        self.delayed = False
        self.due = 0.0
        self.lease_until = 0.0
        # All it waits for had settled when it was put behind them: it is somebody's to start.
        self.late = False
        # A lease timer stands for it: one is enough however many attempts there are.
        self.leased = False
        self.dispatched = 0.0
        self.resends = 0
        self.read_definition()

    @property
    def origin_of_values(self) -> "Task":
        """The task that results are read from: itself, unless it is a link."""
        return self.source or self

    def read_definition(self) -> None:
        """Derives what is asked often from the document; after a change of the definition, again."""
        doc = self.doc
        # Its module and how that is called, once that was asked for (hub.core.world).
        self.call: Any = None
        # Seconds it is thought to take; without a hint each task counts the same.
        self.cost = 1.0
        # It becomes several tasks and runs on no device itself (hub.core.fan).
        self.is_fan = False
        # The group that counts it: a daemon belongs to one and does not count for its completion.
        self.tally = self.group
        self.plain = doc.keys().isdisjoint(RARE)
        if self.plain:
            return
        self.is_fan = bool(doc.get("broadcast")) or doc.get("for_each") is not None
        if doc.get("cost") is not None:
            self.cost = doc["cost"]
        if doc.get("daemon"):
            self.tally = None

    @property
    def is_part(self) -> bool:
        """Another task waits for its end: it is a firing, or a part of a broadcast or a for_each."""
        origin = self.doc.get("origin")
        return origin is not None and origin["type"] in ("schedule", "broadcast", "for_each")

    @property
    def is_template(self) -> bool:
        """It runs by the clock, as tasks made out of it (hub.core.schedules)."""
        get = self.doc.get
        return get("schedule") is not None or get("every") is not None or get("at") is not None

    @property
    def pin(self) -> str | None:
        """The only proplet that may take it: as the client asked, or because a daemon stays where it ran."""
        return self.doc.get("pinned_to") or self.doc.get("bound_to")

    @property
    def wanted(self) -> bool:
        """It will run by itself: it waits for a proplet, for its group, or for its next attempt."""
        return bool(self.ticket) or self.delayed

    @property
    def under_way(self) -> bool:
        """It is on a device, or will be by itself."""
        return self.state in states.ACTIVE or self.wanted

    def wait_for(self, parents: list["Task"], previous: "Task | None" = None) -> None:
        """Puts it behind others. previous: the task before it in a sequential job; it gates, but passes no data."""
        self.parents = parents
        self.previous = previous
        self.gates = parents if previous is None or previous in parents else [*parents, previous]


# (-priority, -longest path behind it, creation sequence, ticket, task), best first. Tickets are never given twice, so
# that a comparison ends there; they make an entry stale instead of searching the heap for it.
Entry = tuple[int, float, int, int, Task]


class Queue:
    """Tasks that are ready to run, best first, with removal in O(1): a task whose ticket has changed is not in it."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []

    def push(self, task: Task) -> None:
        doc = task.doc
        heapq.heappush(self._heap, (-doc.get("priority", 50), -task.path, doc["seq"], task.ticket, task))

    def peek(self) -> Entry | None:
        """The best entry that still stands."""
        heap = self._heap
        while heap and heap[0][4].ticket != heap[0][3]:
            heapq.heappop(heap)
        return heap[0] if heap else None

    def pop(self) -> Task:
        return heapq.heappop(self._heap)[4]


class Group:
    """A workflow or a job: its document, its tasks in the order of the request, and counts by state."""

    __slots__ = ("counts", "doc", "held", "id", "placed", "queued", "table", "tasks", "until")

    def __init__(self, table: str, doc: Doc) -> None:
        self.table = table
        self.id: str = doc["id"]
        self.doc = doc
        self.tasks: dict[str, Task] = {}
        self.counts = [0] * len(states.NAMES)
        # Tasks that are wanted, and of those the ones that wait for a proplet.
        self.queued = 0
        self.placed = 0
        # When the time of a run with a deadline is over, a monotonic second.
        self.until = 0.0
        # Ready tasks beyond max_parallel.
        self.held = Queue()

    @property
    def running(self) -> int:
        return self.counts[states.SCHEDULED] + self.counts[states.RUNNING]

    @property
    def active(self) -> int:
        """Tasks that run or will by themselves. With none, nothing can happen any more."""
        return self.queued + self.running

    @property
    def full(self) -> bool:
        """As many tasks run, or are about to, as max_parallel allows."""
        limit = self.doc.get("max_parallel")
        return limit is not None and self.placed + self.running >= limit

    @property
    def holds_back(self) -> bool:
        """Whether a ready task waits for its turn although it may run."""
        return self.held.peek() is not None and not self.full

    @property
    def fail_fast(self) -> bool:
        """Whether the first failure ends it: by default a sequential job only."""
        given = self.doc.get("fail_fast")
        return self.doc.get("execution_mode") == SEQUENTIAL if given is None else given

    @property
    def halted(self) -> bool:
        """A failure has ended it: nothing of it starts any more."""
        return self.counts[states.FAILED] > 0 and self.fail_fast

    @property
    def state(self) -> int:
        """The group's state out of its tasks' (semantics.md, "Looking")."""
        counts = self.counts
        if self.queued or counts[states.RUNNING] or counts[states.SCHEDULED]:
            return states.RUNNING
        if not any(counts):
            return states.PENDING
        if counts[states.FAILED]:
            return states.FAILED
        if counts[states.INTERRUPTED]:
            return states.INTERRUPTED
        # A root that nobody has started yet keeps the whole Pending, whatever else has completed.
        return states.PENDING if counts[states.PENDING] else states.COMPLETED


class Now(Struct):
    """A moment: monotonic seconds for leases and time-outs, wall seconds since 1970 for what people read."""

    mono: float
    wall: float


class Put(Struct):
    """One document's change: `doc` is its new value, None deletes it.

    `changed` has the top-level fields that differ from the stored value, so that only these are journalled. None means
    that the whole document is new, or lacks a field that it had. Documents are plain JSON: dict with str keys, list,
    str, int, finite float, bool, None.
    """

    table: str
    id: str
    doc: Doc | None
    changed: Doc | None = None


class Send(Struct):
    """A message to a device: its kind in shared.messages.DOWN and its fields."""

    device: str
    kind: str
    fields: Doc


class Outcome(Struct):
    """What a command led to: the answer, what the store must keep, and when it does, what is to be done: messages to
    devices, blobs that are to go, and urls of modules to be fetched. `quiet` is kept like puts, and is news to nobody:
    documents that only change their place."""

    reply: Any = None
    puts: list[Put] = []
    sends: list[Send] = []
    discards: list[str] = []
    fetches: list[str] = []
    quiet: list[Put] = []
