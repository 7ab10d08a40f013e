"""Runs the public core test suite through upload and engine: python -m tests.differential.spec FOLDER

The folder holds what wabt's `wast2json FILE.wast` wrote: FILE.json and the modules it names. Each file is run in a
process of its own; what the suite keeps between calls is kept in one instance, as it wants. What is asked of modules
that import a memory, a table, a global or each other counts as foreign: no device has such modules.
"""

import ctypes
import json
import struct
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from edge.limits import MAX_STACK
from edge.traps import failed
from hub.modules.accept import accept
from hub.modules.info import Signature
from hub.modules.inspect import inspect
from shared.errors import BadRequest, TooLarge
from shared.host import MODULE, TICK
from tests.bench.report import say
from tests.differential.inputs import rounded
from tests.edge.wasms import F32, F64, I32, I64

ROOT = Path(__file__).parents[2]
FUEL = 1 << 24
# What the suite calls a trap, and our code; its words begin with these.
CODES = {
    "out of bounds memory access": "trap_oob",
    "out of bounds table access": "trap_undefined_element",
    "integer divide by zero": "trap_div0",
    "integer overflow": "trap_int_overflow",
    "invalid conversion to integer": "trap_int_conversion",
    "indirect call": "trap_call_type",
    "undefined element": "trap_undefined_element",
    "undefined": "trap_undefined_element",
    "uninitialized": "trap_undefined_element",
    "unreachable": "trap_unreachable",
    "call stack exhausted": "trap_stack",
}
# The functions that the suite's surroundings offer.
PRINTED = {
    "print": (),
    "print_i32": ("i32",),
    "print_i64": ("i64",),
    "print_f32": ("f32",),
    "print_f64": ("f64",),
    "print_i32_f32": ("i32", "f32"),
    "print_f64_f64": ("f64", "f64"),
}
LETTERS = {"i32": "i", "i64": "I", "f32": "f", "f64": "F"}
_FORMATS = {"i32": "<I", "i64": "<Q", "f32": "<f", "f64": "<d"}
_NUMBERS = {1: "i32", 2: "i64", 3: "f32", 4: "f64"}
_RAW = {"f32": "<I", "f64": "<Q"}
_TYPES = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}


class Tagged(ctypes.Structure):
    """M3TaggedValue."""

    _fields_ = [("type", ctypes.c_int), ("bits", ctypes.c_uint64)]


@dataclass
class Report:
    """passed and asked, by the kind of assertion, foreign among the asked; failures: a line each."""

    passed: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    foreign: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def count(self, kind: str, ok: bool, line: str) -> None:
        self.asked[kind] += 1
        self.passed[kind] += ok
        if not ok:
            self.failures.append(f"{kind}: {line}")

    def add(self, document: dict[str, Any]) -> None:
        self.passed.update(document["passed"])
        self.asked.update(document["asked"])
        self.foreign.update(document["foreign"])
        self.failures += document["failures"]

    def share(self, kind: str) -> float:
        """Passed, of those asked that are not foreign."""
        return self.passed[kind] / (self.asked[kind] - self.foreign[kind])


class Foreign(Exception):
    """The module wants of its surroundings what no device has."""


class File:
    """One file of the suite."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.report = Report()
        self.engine = Library(wasm3_file())
        self.current: Any = None
        self.named: dict[str, Any] = {}

    def run(self) -> Report:
        for command in json.loads(self.path.read_text())["commands"]:
            self.where = f"{self.path.name}:{command['line']}"
            kind = command["type"]
            if kind == "module":
                self.module(command)
            elif kind in ("assert_return", "assert_trap", "assert_exhaustion", "action"):
                self.ask(kind, command)
            elif kind != "register" and command["module_type"] == "binary":
                self.refused(kind, command)
        return self.report

    def load(self, name: str) -> Any:
        """An instance of an uploaded module, its start function done."""
        data = (self.path.parent / name).read_bytes()
        imports = inspect(data).imports
        if any(one.signature is None or one.module != "spectest" for one in imports):
            raise Foreign
        instance = self.engine.load(bytearray(accept(data).prepared), MAX_STACK)
        instance.link(MODULE, TICK, "i()", lambda: FUEL)
        for one in imports:
            assert one.signature is not None
            if one.name not in PRINTED or one.signature != Signature(PRINTED[one.name], ()):
                raise RuntimeError(f"spectest has no such {one.name}")
            letters = "".join(LETTERS[type_] for type_ in one.signature.params)
            instance.link(one.module, one.name, f"v({letters})", lambda *_: None)
        instance.start()
        return instance

    def module(self, command: dict[str, Any]) -> None:
        self.current = None
        try:
            self.current = self.load(command["filename"])
        except Foreign as error:
            self.current = error
            self.report.foreign["module"] += 1
            self.report.asked["module"] += 1
        except (BadRequest, RuntimeError) as error:
            self.report.count("module", False, f"{self.where} {error}")
        else:
            self.report.count("module", True, "")
        if command.get("name"):
            self.named[command["name"]] = self.current

    def ask(self, kind: str, command: dict[str, Any]) -> None:
        action, code, got = command["action"], "", []
        try:
            got = self.act(action)
        except Foreign:
            self.report.foreign[kind] += 1
            self.report.asked[kind] += 1
            return
        except RuntimeError as error:
            code = failed(error)["error"]["code"]
        if kind in ("assert_trap", "assert_exhaustion"):
            wanted: Any = next(CODES[words] for words in CODES if command["text"].startswith(words))
            ok = code == wanted
        else:
            wanted = command["expected"]
            ok = not code and (kind == "action" or _agree(got, wanted))
        self.report.count(kind, ok, f"{self.where} {action['field']!r}: {code or got}, wanted {wanted}")

    def act(self, action: dict[str, Any]) -> list[tuple[str, int]]:
        """What it gives: the type and the bits of each value."""
        instance = self.named.get(action["module"]) if "module" in action else self.current
        if isinstance(instance, Foreign):
            raise instance
        if instance is None:
            raise RuntimeError("its module was refused")
        if action["type"] == "get":
            return [self.global_of(instance, action["field"])]
        function = instance.find(action["field"])
        if function is None:
            raise RuntimeError("no such function")
        returned = function(*map(_argument, action["args"]))
        return [_bits(_NUMBERS[type_], value) for type_, value in zip(function.ret_types, returned, strict=True)]

    def global_of(self, instance: Any, name: str) -> tuple[str, int]:
        tagged = Tagged()
        found = instance._api.m3_FindGlobal(instance._module, name.encode())
        if not found:
            raise RuntimeError("no such global")
        instance.check(instance._api.m3_GetGlobal(found, ctypes.byref(tagged)))
        type_ = _NUMBERS[tagged.type]
        return type_, tagged.bits & ((1 << (32 if type_ in ("i32", "f32") else 64)) - 1)

    def refused(self, kind: str, command: dict[str, Any]) -> None:
        """assert_invalid and assert_malformed at upload; what cannot be linked or started by then or when loaded."""
        data = (self.path.parent / command["filename"]).read_bytes()
        try:
            accept(data)
            ok = False
            if kind not in ("assert_invalid", "assert_malformed"):
                self.load(command["filename"])
        except (BadRequest, TooLarge, RuntimeError, Foreign):
            ok = True
        self.report.count(kind, ok, f"{self.where} {command['filename']} was accepted: {command['text']}")


def _argument(document: dict[str, str]) -> float:
    type_, number = document["type"], int(document["value"])
    if type_ in _RAW:
        value: float = struct.unpack(_FORMATS[type_], struct.pack(_RAW[type_], number))[0]
        return value
    half = 1 << (31 if type_ == "i32" else 63)
    return number - 2 * half if number >= half else number


def _bits(type_: str, value: float) -> tuple[str, int]:
    if type_ in _RAW:
        packed = struct.pack(_FORMATS[type_], rounded(_TYPES[type_], value))
        return type_, int.from_bytes(packed, "little")
    return type_, int(value) & ((1 << (32 if type_ == "i32" else 64)) - 1)


def _is_nan(type_: str, bits: int) -> bool:
    return bits & 0x7FFFFFFF > 0x7F800000 if type_ == "f32" else bits & (1 << 63) - 1 > 0x7FF0 << 48


def _agree(got: list[tuple[str, int]], expected: list[dict[str, str]]) -> bool:
    """Bit for bit, but for what is in a NaN."""
    if len(got) != len(expected):
        return False
    for (type_, bits), wanted in zip(got, expected, strict=True):
        if type_ != wanted["type"]:
            return False
        nan = wanted["value"].startswith("nan") or (type_ in _RAW and _is_nan(type_, int(wanted["value"])))
        if not (_is_nan(type_, bits) if nan else bits == int(wanted["value"])):
            return False
    return True


def run(folder: Path) -> Report:
    """The whole suite."""
    report = Report()
    for path in sorted(folder.rglob("*.json")):
        done = subprocess.run(
            [sys.executable, "-m", "tests.differential.spec", str(path)],
            cwd=ROOT, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        if done.returncode:
            report.count("file", False, f"{path.name} ended with {done.returncode}: {done.stderr[-500:]}")
        else:
            report.add(json.loads(done.stdout))
    return report


def _print(report: Report) -> None:
    for line in report.failures:
        say(line[:300])
    for kind in sorted(report.asked):
        foreign = f", {report.foreign[kind]} foreign" if report.foreign[kind] else ""
        say(f"{kind}: {report.passed[kind]} of {report.asked[kind]}, {report.share(kind):.2%}{foreign}")


if __name__ == "__main__":
    path = Path(sys.argv[1])
    if path.is_dir():
        _print(run(path))
    else:
        say(json.dumps(vars(File(path).run())))
