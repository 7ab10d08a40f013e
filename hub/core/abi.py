"""How a module is called: which ABI, which of its functions, what that takes of a device, and whether it may be at all.

All of it is decided here, out of the task's document and the module's, so that a device is told and need not guess.
"""

from typing import NamedTuple

from hub.core.model import ANYONE, MODULES, Doc, Need, Policy
from shared import host
from shared.errors import TaskFailure

AUTO, CALL, WASI, EDGE, EXTISM = "auto", "call", "wasi", "edge", "extism"
ABIS = (AUTO, CALL, WASI, EDGE, EXTISM)
# The modules that imports of an ABI come from: one word in a device's `caps` stands for all of such a module.
WASI_IMPORTS = ("wasi_snapshot_preview1", "wasi_unstable")
EXTISM_IMPORTS = ("extism:host/env",)
COMMAND = "_start"
# What is called where neither the task's `function` nor its name says it (as Propeller does).
FALLBACKS = ("main", "run", COMMAND)
PAGE_KB = 64
# Of a module; tasks may bear thousands of names.
CALLS_KEPT = 64
# The functions of module `edge` that a task has to allow.
PRIVILEGED = tuple(sorted(host.PRIVILEGED))
PUBLISH = "publish"


class Call(NamedTuple):
    """How a task runs its module."""

    abi: str
    function: str


class Module:
    """A module: its document, and what is asked of that at every dispatch.

    The document has `id`, the sha256 of the upload; `prepared` and `prepared_size`, the form that devices run; what was
    inspected; and `form`, the number of the way it was prepared. An old one that is not accepted any more has
    `refused`, a sentence, in place of a prepared form.
    """

    __slots__ = (
        "blobs",
        "calls",
        "doc",
        "functions",
        "guarded",
        "id",
        "idle_since",
        "need",
        "pages",
        "privileged",
        "sources",
        "tasks",
    )
    table = MODULES

    def __init__(self, doc: Doc) -> None:
        self.id: str = doc["id"]
        self.doc = doc
        # How many tasks refer to it, and since which monotonic second none does.
        self.tasks = 0
        self.idle_since = float("-inf")
        self.read()

    def read(self) -> None:
        """Derives what is asked often from the document; after a change of it, again."""
        doc = self.doc
        self.functions: dict[str, Doc] = {one["name"]: one for one in doc.get("exports") or () if one["kind"] == "func"}
        self.pages: int = (doc.get("memory") or {}).get("min_pages", 0)
        imports = [(one["module"], one["name"]) for one in doc.get("imports") or ()]
        # The modules it imports from.
        self.sources = frozenset(module for module, _ in imports)
        edge = [name for module, name in imports if module == host.MODULE]
        # Functions that a task has to allow.
        self.privileged = tuple(name for name in PRIVILEGED if name in edge)
        words = {_word(module, name) for module, name in imports}.union(doc.get("features") or ())
        # Who may take a task with it that is called by its parameters.
        self.need = Need((), tuple(sorted(words)), (), self.pages * PAGE_KB) if words or self.pages else ANYONE
        # The forms it is kept in, the last of which devices get.
        prepared = doc.get("prepared")
        self.blobs: tuple[str, ...] = (self.id,) if prepared is None else (self.id, prepared)
        # There is something that may keep a task from running it; and how tasks call it, by what decides that.
        self.guarded = bool(prepared is None or doc.get("quarantined") or self.privileged or self.pages)
        self.calls: dict[tuple[str | None, str, str | None], Call] = {}

    def imports_of(self, modules: tuple[str, ...]) -> bool:
        return not self.sources.isdisjoint(modules)


def _word(module: str, name: str) -> str:
    """What a device must offer for an import."""
    if module == host.MODULE:
        return name
    if module in WASI_IMPORTS:
        return WASI
    return EXTISM if module in EXTISM_IMPORTS else f"{module}.{name}"


def call_of(doc: Doc, module: Module, policy: Policy) -> Call:
    """How the task with this document runs the module. TaskFailure, with the code of the attempt that it would be lost
    on: `bad_module`, `quarantined`, `missing_export`, `denied`, `memory_limit`."""
    if module.guarded:
        _check(doc, module, policy)
    key = (doc.get("function"), doc["name"], doc.get("abi"))
    call = module.calls.get(key)
    if call is None:
        function = _function(doc, module)
        call = Call(_abi(doc, module, function), function)
        if len(module.calls) < CALLS_KEPT:
            module.calls[key] = call
    return call


def _check(doc: Doc, module: Module, policy: Policy) -> None:
    if module.doc.get("prepared") is None:
        raise TaskFailure(f"devices do not get this module: {module.doc.get('refused')}", "bad_module")
    quarantine = module.doc.get("quarantined")
    if quarantine:
        raise TaskFailure(
            f"module {module.id} is quarantined, since {quarantine['reason']}: "
            f"POST /modules/{module.id}/release lets it run again",
            "quarantined",
        )
    for name in module.privileged:
        if not host.is_allowed(doc.get("allow") or [], name):
            raise TaskFailure(
                f'the module imports {host.MODULE}.{name}, which the task does not allow: add "{name}" to its allow',
                "denied",
            )
    most = (doc.get("limits") or {}).get("memory_pages", policy.memory_pages)
    if module.pages > most:
        raise TaskFailure(
            f"the module needs {module.pages} pages of memory at once, the limit is {most}: "
            "raise limits.memory_pages, or build it with a smaller stack and heap",
            "memory_limit",
        )


def _function(doc: Doc, module: Module) -> str:
    given = doc.get("function")
    choices = (given,) if given else _usual(doc["name"], module)
    for name in choices:
        if name in module.functions:
            return str(name)
    known = ", ".join(list(module.functions)[:8]) or "none"
    raise TaskFailure(f"the module exports none of: {', '.join(choices)}. Its functions: {known}", "missing_export")


def _usual(name: str, module: Module) -> tuple[str, ...]:
    """What may be called where the task does not say it. The main that a compiler exports beside the _start of a
    program (Rust does) is not for others: it takes argc and argv, and needs what _start has made ready."""
    if COMMAND in module.functions and module.imports_of(WASI_IMPORTS):
        return (COMMAND,) if name == FALLBACKS[0] else (name, COMMAND)
    return (name, *FALLBACKS)


def _abi(doc: Doc, module: Module, function: str) -> str:
    given: str = doc.get("abi") or AUTO
    if given != AUTO:
        return given
    if module.imports_of(EXTISM_IMPORTS):
        return EXTISM
    if function == COMMAND and module.imports_of(WASI_IMPORTS):
        return WASI
    return EDGE if host.MODULE in module.sources else CALL


def reads_environment(call: Call, module: Module) -> bool:
    """Whether the module sees the task's `env`, by WASI."""
    return call.abi == WASI or module.imports_of(WASI_IMPORTS)
