"""The tables of the documentation that are made from the code; `python -m tests.docs.tables` writes them anew."""

import inspect
import re
import tempfile
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path

from hub.assembly import Assembly
from hub.core import conditions
from hub.core.codes import FAILURES
from hub.core.model import Policy
from hub.link.messages import UP
from hub.modules import accept, bodies, header, prepare, reader, stack, validate
from shared import host, messages, states
from tests.api.stage import MemoryLink
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


# marker: (page, what stands between <!-- marker --> and <!-- /marker -->)
TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "truth table": ("workflows.md", truth_table),
    "codes": ("failure.md", codes),
    "host functions": ("abis.md", host_functions),
    "metrics": ("operations.md", metrics),
    "module limits": ("modules.md", module_limits),
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
