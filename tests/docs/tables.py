"""The tables of the documentation that are made from the code; `python -m tests.docs.tables` writes them anew."""

import inspect
import math
import re
import tempfile
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path

from edge.cpython import host as linux
from hub import library, listener, telemetry
from hub.api import bodies as api_bodies
from hub.api import definitions, events, gate, sizes
from hub.api.params import MAX_LIMIT
from hub.archivist import Bounds
from hub.assembly import Assembly
from hub.core import conditions, fan, model, nesting, reuse
from hub.core.codes import FAILURES
from hub.core.model import Policy
from hub.link.limits import Limits
from hub.link.messages import UP
from hub.modules import accept, bodies, header, prepare, reader, stack, validate
from hub.store import logs
from shared import host, messages, states
from tests.api.stage import MemoryLink
from tests.board.gates import GATES
from tests.e2e.world import ROOT

DOCS = ROOT / "docs"
_ENDS = (states.COMPLETED, states.FAILED, states.SKIPPED)
_WORDS = {conditions.RUN: "runs", conditions.SKIP: "Skipped", conditions.FAIL: "Failed"}
_KINDS = {
    "s": "text", "i": "integer", "b": "true or false", "n": "number", "d": "object", "l": "list",
    "p": "[[task, attempt], …]", "a": "any JSON", "h": "sha256 in hex", "": "nothing",
}  # fmt: skip


def truth_table() -> str:
    """run_if and on_dep_failure over every mixture of ends of two required dependencies, which stand for any number."""
    mixtures = [
        *([one] for one in _ENDS),
        *([a, b] for a, b in combinations_with_replacement(_ENDS, 2) if a != b),
        list(_ENDS),
    ]
    heads = [" and ".join(states.NAMES[end] for end in ends) for ends in mixtures]
    rows = ["| run_if | on_dep_failure | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for run_if in conditions.RUN_IF:
        rules = conditions.ON_DEP_FAILURE if run_if == conditions.SUCCESS else ("any",)
        for rule in rules:
            ends = (conditions.decide(run_if, rule, [(end, True) for end in mixture]) for mixture in mixtures)
            rows.append(f"| `{run_if}` | {rule} | " + " | ".join(_WORDS[verdict] for verdict in ends) + " |")
    return "\n".join(rows)


def codes() -> str:
    rows = ["| code | category | tried again |", "|---|---|---|"]
    return "\n".join(rows + [f"| `{code}` | {kind} | {'yes' if again else 'no'} |"
                             for code, (kind, again) in FAILURES.items()])  # fmt: skip


def fields(tables: dict[str, str]) -> str:
    rows = ["| message | field | what | at most |", "|---|---|---|---|"]
    for kind, table in tables.items():
        for name, required, what, most in list(messages.fields_of(table)) or [("", True, "", 0)]:
            shown = f"`{name}`" if required else f"*{name}*"
            limit = {1 << 53: "2^53"}.get(most, f"{most:,}") if what and what in "silp" else ""
            rows.append(f"| `{kind}` | {shown if name else ''} | {_KINDS[what]} | {limit} |")
    return "\n".join(rows)


def host_functions() -> str:
    """Of shared/host.py, where a comment above each function says what no code needs: its parameters, its purpose."""
    said = re.findall(r'# (\(.*?\)): (.*)\n    "(\w+):', inspect.getsource(host))
    assert [name for _, _, name in said] == list(host.functions())
    rows = ["| function | what it does | in `allow` |", "|---|---|---|"]
    for params, purpose, name in said:
        signature, privileged = host.functions()[name], name in host.PRIVILEGED
        assert len(signature) - 3 == len(re.findall(r"\w+", params)), name
        result = " -> i32" if signature[0] == "i" else ""
        rows.append(f"| `{name}{params}{result}` | {purpose} | {'yes' if privileged else ''} |")
    return "\n".join(rows)


def module_limits() -> str:
    rows = [
        ("bytes, as uploaded and as prepared", header.MAX_MODULE),
        ("instructions", bodies.MAX_INSTRUCTIONS),
        ("blocks, branches, calls and other instructions that are no plain operators", stack.MAX_WORK),
        ("types, functions, exports, table elements and other items, together", reader.MAX_ITEMS),
        ("functions", accept.MAX_FUNCTIONS),
        ("imports; exports", accept.MAX_IMPORTS),
        ("parameters and results of a function, together", validate.MAX_SIGNATURE),
        ("parameters and results of all functions imported and exported", accept.MAX_VALUES),
        ("locals of a function, with its parameters", stack.MAX_LOCALS),
        ("blocks in each other", bodies.MAX_NESTING),
        ("pages of memory (of 64 KiB) at the start, and ever", prepare.MAX_PAGES),
        ("elements of the table that segments fill", accept.MAX_TABLE),
    ]
    return "\n".join(["| of a module | at most |", "|---|---|", *(f"| {what} | {most:,} |" for what, most in rows)])


def metrics() -> str:
    """Of a hub that has done nothing."""
    with tempfile.TemporaryDirectory() as folder:
        parts = Assembly(Path(folder), MemoryLink(), Policy())
        families = [family for family in parts.registry.collect() if family.name.startswith("motet_")]
        parts.journal.close()
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(f"`{label}`" for label in family._labelnames)
        rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(rows)


def _bytes(count: int) -> str:
    """The unit that makes it a whole number."""
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count % size == 0:
            return f"{count // size:,} {unit}"
    return f"{count:,} bytes"


def _of_board(name: str) -> int:
    """A number of edge/board.py, which only MicroPython can import."""
    (found,) = re.findall(rf"^{name} = ([\d *]+)$", (ROOT / "edge/board.py").read_text(), re.MULTILINE)
    return math.prod(map(int, found.split("*")))


def _rows(heading: str, *rows: tuple[str, object, str]) -> list[str]:
    return [f"| **{heading}** | | |", *(f"| {what} | {most} | {beyond} |" for what, most, beyond in rows)]


def limits() -> str:
    """Every bound, out of the code that holds it."""
    mqtt, lines, said = Limits(), logs.BOUNDS, telemetry.MESSAGES
    outbox, message, chunk = map(_of_board, ("OUTBOX", "MAX_MESSAGE", "MAX_CHUNK"))
    rows = _rows(
        "What clients ask of a hub",
        ("a body", _bytes(api_bodies.MAX_BODY), "413 `too_large`"),
        ("an uploaded module", _bytes(header.MAX_MODULE), "413 `too_large`"),
        ("a field of a body, but `file`; `metadata`", _bytes(sizes.MAX_FIELD), "413 `too_large`"),
        ("all tasks of a body, without their files", _bytes(sizes.MAX_DEFINITIONS), "413 `too_large`"),
        ("nesting of `inputs`, `metadata`, `for_each`", f"{nesting.MAX_DEPTH} levels", "400 `too_deep`"),
        ("`stdin`", f"{messages.MAX_DOWN:,} characters", "413 `too_large`"),
        ("tasks of a job or workflow", f"{sizes.MAX_TASKS:,}", "413 `too_large`"),
        ("what they depend on, in all", f"{definitions.MAX_DEPENDENCIES:,}", "413 `too_large`"),
        (
            "tasks of a `for_each`",
            f"{fan.MAX_ITEMS}; its `max_items`, at most {sizes.MAX_TASKS:,}",
            "the task is Failed, `too_large`",
        ),
        ("Pending tasks", f"{Policy().max_pending:,}; `--max-pending`", "429 `too_many_tasks`"),
        ("ended tasks in memory", f"{Policy().keep_tasks:,}; `--keep-tasks`", "the oldest move to the history"),
        ("their documents", f"{_bytes(Policy().keep_bytes)}; `--keep-mb`", "the oldest move to the history"),
        ("the history of ended runs", f"{_bytes(Bounds().bytes)}; `--history-mb`", "the oldest go"),
        ("requests at a time", gate.REQUESTS, "429 `busy`"),
        ("bytes of the bodies of all requests at a time", _bytes(gate.BODIES_BYTES), "429 `busy`"),
        ("modules that are being checked at a time", library.ACCEPTING, "the next wait"),
        ("streams of events", events.READERS, "429 `too_many_streams`"),
        ("changes that a stream is behind", f"{events.BEHIND:,}", "it ends; it can come back with `Last-Event-ID`"),
        ("changes that a stream which comes back is told", f"{events.KEPT:,}", "`resync`"),
        ("items of a page", f"{MAX_LIMIT:,}", "400 `bad_limit`"),
        ("attempts of a task that are listed", f"the last {model.ATTEMPTS_KEPT + model.OLDER_KEPT:,}", "the oldest go"),
        ("idempotency keys that are remembered", f"{reuse.REQUESTS_KEPT:,}", "the oldest go"),
        ("results that `cache` keeps", f"{reuse.CACHE_KEPT:,}", "the oldest go"),
        ("connections", f"{listener.CONNECTIONS:,}", "closed at once"),
        ("the head of a request", _bytes(listener.HEAD_BYTES), "closed"),
        ("silence within a request, or of a reader of an answer", f"{listener.PATIENCE_S:g} s", "closed"),
        ("room on the disk", "", "507 `disk_full`"),
        ("a hub that stops", "", "503 `shutting_down`"),
        ("a disk that fails", "", "503 `store_failed`"),
    )
    rows += _rows(
        "What devices send to a hub",
        ("connections", f"{mqtt.connections:,}", "closed at once"),
        ("from the open socket to a whole CONNECT", f"{mqtt.connect_s:g} s, {_bytes(mqtt.connect_bytes)}", "closed"),
        ("a packet", _bytes(mqtt.packet_bytes), "disconnected"),
        ("a message", _bytes(mqtt.publish_bytes), "disconnected"),
        ("nesting of a message", f"{nesting.MAX_DEPTH} levels", "dropped, counted"),
        ("a topic", _bytes(mqtt.topic_bytes), "disconnected"),
        ("filters of a SUBSCRIBE", mqtt.filters, "disconnected"),
        ("messages a second", f"{mqtt.publish_rate:,.0f}, {mqtt.publish_burst:,.0f} at once", "_held_"),
        ("of these `log`", f"{mqtt.log_rate:g}, {mqtt.log_rate * mqtt.kind_burst:g} at once", "_held_"),
        ("of these `beat`", f"{mqtt.beat_rate:g}, {mqtt.beat_rate * mqtt.kind_burst:g} at once; "
                            "four in each `--beat-s` if that is more", "_held_"),
        ("publishing and subscribing elsewhere", f"{mqtt.denied_per_minute:g} a minute", "dropped; then disconnected"),
        ("keep-alive", f"{mqtt.keep_alive_least_s} to {mqtt.keep_alive_most_s} s, {mqtt.keep_alive_default_s} for none",
         f"disconnected after {mqtt.keep_alive_grace:g} times"),
        ("what waits for one device", _bytes(mqtt.outbound_bytes), "not sent: a heartbeat shows that it is missing"),
        (f"the same of all devices, beside {_bytes(mqtt.outbound_each_bytes)} that each may have",
         _bytes(mqtt.outbound_all_bytes), f"who has not read for {mqtt.pressed_s:g} s is disconnected, else not sent"),
        (f"what is no whole packet yet, or waits, of all devices, beside {_bytes(mqtt.inbound_each_bytes)} each",
         _bytes(mqtt.inbound_all_bytes), "who was longest without a whole packet is disconnected"),
        ("what waits for all devices that are away", _bytes(mqtt.away_bytes), "the oldest goes, as if not sent"),
        ("a device that does not read", f"{mqtt.stall_s:g} s", "disconnected"),
        ("unacknowledged messages to a device", mqtt.inflight, "the next wait"),
        ("sessions of devices that are away", f"{mqtt.offline_sessions:,}, an hour", "the oldest go"),
        ("attempts that a `hello` or `beat` names", messages.MAX_RUNNING, "dropped, counted"),
        ("log lines of a task or device", f"{lines.lines:,}, {_bytes(lines.bytes_each)}", "the oldest go"),
        ("log lines of all", _bytes(lines.bytes_all), "those of who was silent for longest go"),
        ("messages that tasks on a device published", f"{said.lines}, {_bytes(said.bytes_each)}", "the oldest go"),
        ("the same of all devices", _bytes(said.bytes_all), "those of who was silent for longest go"),
    )  # fmt: skip
    rows += _rows(
        "What a hub sends to devices",
        ("a start message", f"{_bytes(messages.MAX_DOWN)}; boards {_bytes(message)}",
         "the attempt fails, `too_large`"),
        ("a chunk of a module", f"{_bytes(messages.MAX_CHUNK)}; boards {_bytes(chunk)}", "several chunks"),
    )  # fmt: skip
    rows += _rows(
        "What an edge keeps",
        ("slots", "4, `--slots` at most 64; boards 1", "tasks wait on the hub"),
        ("results that the hub has not acknowledged", f"{linux.OUTBOX}; boards {outbox}",
         "no new work is taken; nothing is dropped"),
        ("a result", _bytes(messages.MAX_RESULT), "the attempt fails, `output_limit`"),
        ("`outputs` of a result", f"{messages.MAX_OUTPUTS:,}", "the attempt fails, `output_limit`"),
        ("messages that wait for a connection", f"{64 + linux.OUTBOX}; boards {64 + outbox}",
         "dropped; what matters is said again"),
    )  # fmt: skip
    text = "\n".join(["| what | at most | beyond it |", "|---|---|---|", *rows])
    return text.replace("_held_", f"not read; disconnected after {mqtt.over_rate_s:g} s of it")


def memory() -> str:
    def kib(count: int) -> str:
        return f"{count / 1024:.4g}" if count else ""

    rows = ["| KiB | 4-byte words: at most | measured | 8-byte words: at most | measured |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *(f"| {gate.what} | {' | '.join(map(kib, gate[1:]))} |" for gate in GATES)])


# marker: (page, what stands between <!-- marker --> and <!-- /marker -->)
TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "truth table": ("workflows.md", truth_table),
    "codes": ("failure.md", codes),
    "host functions": ("abis.md", host_functions),
    "metrics": ("operations.md", metrics),
    "module limits": ("modules.md", module_limits),
    "limits": ("limits.md", limits),
    "memory": ("../README.md", memory),
    "up": ("protocol.md", lambda: fields(UP)),
    "down": ("protocol.md", lambda: fields(messages.DOWN)),
}


def with_table(text: str, marker: str, table: str) -> str:
    """The page with the table where its markers are."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    assert len(pattern.findall(text)) == 1, marker
    return pattern.sub(lambda match: f"{match[1]}\n{table}\n\n{match[2]}", text)


def write() -> None:
    for marker, (page, table) in TABLES.items():
        path = DOCS / page
        path.write_text(with_table(path.read_text(), marker, table()))


if __name__ == "__main__":
    write()
