"""The closed set of what the engine takes in. Ids that a command needs come with it: the core makes none up."""

from msgspec import Struct

from hub.core.model import Doc

# --- people, through REST. A task's spec is a document of the definition fields of semantics.md, already of the right
# types; `id` is absent where the client gave none, and fresh_id(s) then names it.


class CreateTask(Struct):
    """request, here and below: (idempotency key, digest of the body), where the client gave a key."""

    spec: Doc
    fresh_id: str
    request: tuple[str, str] | None = None


class CreateWorkflow(Struct):
    """options: fail_fast, max_parallel, timeout, user_id, metadata, where given."""

    id: str
    name: str
    specs: list[Doc]
    fresh_ids: list[str]
    dry_run: bool = False
    options: Doc = {}
    request: tuple[str, str] | None = None


class CreateJob(Struct):
    id: str
    name: str
    mode: str
    specs: list[Doc]
    fresh_ids: list[str]
    options: Doc = {}
    request: tuple[str, str] | None = None


class UpdateTask(Struct):
    """Changes the fields named, nothing else; `module` is the sha256 of one that has been added."""

    id: str
    fields: Doc


class AddModule(Struct):
    """doc: what is known of a module (hub.core.abi.Module); both its forms are stored already."""

    doc: Doc


class AttachModule(Struct):
    """Gives a task the module with this sha256, which must have been added."""

    id: str
    module: str


class Fetched(Struct):
    """What came of an Outcome's fetch: the sha256 of a module that has been added, or a sentence why there is none."""

    url: str
    module: str | None
    error: str | None = None


class Release(Struct):
    """Ends the quarantine of a module."""

    id: str


class Sweep(Struct):
    """Lets modules go that no task has referred to for so many seconds."""

    grace_s: float


class Start(Struct):
    """kind is task, workflow or job. now: a scheduled task fires once beside its schedule."""

    kind: str
    id: str
    now: bool = False


class Retry(Struct):
    """kind is task, workflow or job. start_from: "failed", "all" or the id of a task."""

    kind: str
    id: str
    start_from: str = "failed"


class Duplicate(Struct):
    """A copy, link or archive (mode) of a task with its tree, or of a workflow.

    fresh_id names the new task or workflow, and those of its tree are made from it. link: tasks that a copy shares
    instead (apflow's from_mixed). overrides: fields of the new task; of a workflow {"name", "tasks": {id: fields}}.
    """

    mode: str
    kind: str
    id: str
    fresh_id: str
    children: bool = True
    dependencies: bool = True
    overrides: Doc = {}
    link: list[str] = []
    user_id: str | None = None


class Stop(Struct):
    """finish_running: what runs may end normally, only the unstarted are interrupted."""

    kind: str
    id: str
    error_message: str | None = None
    finish_running: bool = False


class StopAll(Struct):
    error_message: str | None = None
    finish_running: bool = False


class Delete(Struct):
    """kind is task, workflow, proplet or module."""

    kind: str
    id: str


# --- devices, through the link


class Connected(Struct):
    device: str


class Disconnected(Struct):
    device: str


class Hello(Struct):
    """fields as in hub.link.messages.UP["hello"]."""

    device: str
    fields: Doc


class Beat(Struct):
    """fields as in hub.link.messages.UP["beat"]."""

    device: str
    fields: Doc


class Started(Struct):
    device: str
    task: str
    attempt: int


class Result(Struct):
    """fields as in hub.link.messages.UP["result"]."""

    device: str
    task: str
    attempt: int
    fields: Doc = {}


class Progress(Struct):
    """share is 0.0 to 1.0."""

    device: str
    task: str
    attempt: int
    share: float
    message: str | None = None


class AskUpdate(Struct):
    """files: "name sha256", a line each, of bytecode mpy; package: the name of all of them together."""

    id: str
    package: str
    files: str
    mpy: int


class UpdateSaid(Struct):
    """fields as in hub.link.messages.UP["update"]."""

    device: str
    fields: Doc


# --- the history of ended runs (hub.core.retention)


class Retire(Struct):
    """Chooses what leaves the store next: units of about so many tasks."""

    tasks: int


class Retired(Struct):
    """Copies of what was chosen last are in the history, on the disk."""


class Recall(Struct):
    """Brings a unit back; tables are its documents."""

    unit: int
    tables: dict[str, dict[str, Doc]]


class Bygone(Struct):
    """A unit that leaves the history for good: the module of each task that has one, and (id, last attempt) of those
    that may come again."""

    number: int
    modules: list[str]
    attempts: list[tuple[str, int]]


class Discard(Struct):
    """Lets units of the history go for good."""

    units: list[Bygone]


class Settled(Struct):
    """The copies that these marks were about are gone from the history; a mark is known by its first number."""

    units: list[int]


# --- time


class Stalled(Struct):
    """The hub stood still, or was read-only, for so long: it heard nobody, whoever spoke."""

    seconds: float


class Tick(Struct):
    """The deadline that Engine.next_deadline named has come (or has not: then nothing happens)."""


Command = (
    CreateTask
    | CreateWorkflow
    | CreateJob
    | UpdateTask
    | AddModule
    | AttachModule
    | Fetched
    | Release
    | Sweep
    | Start
    | Retry
    | Duplicate
    | Stop
    | StopAll
    | Delete
    | Connected
    | Disconnected
    | Hello
    | Beat
    | Started
    | Result
    | Progress
    | AskUpdate
    | UpdateSaid
    | Stalled
    | Retire
    | Retired
    | Recall
    | Discard
    | Settled
    | Tick
)
