"""Imports point one way, and the core is pure."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = ("motet", "hub", "edge", "shared")

# package: what of our own it may import
MAY_IMPORT = {
    "shared": ["shared"],
    "hub/core": ["hub.core", "shared"],
    "hub/store": ["hub.store", "hub.core", "shared"],
    "hub/link": ["hub.link", "hub.core", "shared"],
    "hub/modules": ["hub.modules", "hub.core", "shared"],
    "hub/runtime.py": ["hub.core", "hub.store", "hub.link", "hub.modules", "shared"],
    "hub/archivist.py": ["hub.runtime", "hub.core", "hub.store", "shared"],
    "hub/library.py": ["hub.runtime", "hub.core", "hub.store", "hub.modules", "shared"],
    "hub/mpy.py": ["hub.slim", "shared"],
    "hub/slim.py": [],
    "hub/updates.py": ["hub.mpy", "hub.core", "hub.library", "hub.runtime", "shared"],
    "hub/telemetry.py": ["hub.core", "hub.store", "shared"],
    "hub/api": [
        "hub.api",
        "hub.archivist",
        "hub.library",
        "hub.mpy",
        "hub.telemetry",
        "hub.updates",
        "hub.runtime",
        "hub.core",
        "hub.store",
        "hub.modules",
        "shared",
    ],
    "hub/metrics.py": ["hub.api", "hub.archivist", "hub.runtime", "hub.telemetry", "hub.core", "hub.link", "shared"],
    "hub/check": ["hub.check", "hub.core", "hub.store", "shared"],
    "hub/assembly.py": ["hub", "shared"],
    "hub/tls.py": ["shared"],
    "hub/main.py": ["hub", "shared"],
    "edge": ["edge", "shared"],
    "motet": ["motet", "hub", "edge", "shared"],
}
# What would let a clock, I/O or chance into the core.
IMPURE = {
    "asyncio",
    "time",
    "random",
    "os",
    "logging",
    "socket",
    "threading",
    "subprocess",
    "secrets",
    "uuid",
    "pathlib",
}
# What the core may take from outside the standard library: arithmetic and plain records only.
CORE_LIBRARIES = {"croniter", "msgspec"}


def files(package: str) -> list[Path]:
    path = ROOT / package
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} uses a relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package):
    for path in files(package):
        for name in imports(path):
            if name.split(".")[0] in OURS:
                allowed = MAY_IMPORT[package]
                assert any(name == one or name.startswith(one + ".") for one in allowed), f"{path} imports {name}"


def test_the_core_knows_no_clock_no_io_and_no_chance():
    for path in files("hub/core"):
        for name in imports(path):
            top = name.split(".")[0]
            assert top not in IMPURE, f"{path} imports {name}"
            assert top in (*OURS, *CORE_LIBRARIES) or top in sys.stdlib_module_names, f"{path} imports {name}"


def test_only_the_link_knows_the_broker_and_only_the_store_and_the_api_know_tinydb():
    for path in files("hub"):
        part = path.relative_to(ROOT).parts[1]
        tops = {name.split(".")[0] for name in imports(path)}
        assert "amqtt" not in tops or part == "link", path
        assert "tinydb" not in tops or part in ("store", "api"), path


def test_every_module_begins_with_a_sentence_that_says_what_it_is_for():
    for package in OURS:
        for path in files(package):
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


def test_no_file_grows_beyond_four_hundred_lines():
    for package in OURS:
        for path in files(package):
            assert len(path.read_text().splitlines()) <= 400, path
