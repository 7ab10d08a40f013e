"""edge (but edge/cpython) and shared stay within what MicroPython understands, and imports stay small."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("edge", "edge/boot", "shared") for path in (ROOT / folder).glob("*.py"))

# What a board has; `typing` and collections.abc are for the type checker only.
MODULES = set("asyncio binascii edge gc hashlib json machine os shared ssl struct sys time wasm3".split())
METHODS = {"hexdigest", "removeprefix", "removesuffix", "zfill", "ljust", "rjust", "isalnum", "fullmatch", "bit_length"}
OS_NAMES = {"path", "environ", "replace", "makedirs", "fork", "getpid"}
CPYTHON = "sys.implementation.name == 'cpython'"
BUILTINS = {"TimeoutError", "ConnectionError", "BrokenPipeError", "ConnectionResetError", "FileNotFoundError"}


def guarded(tree):
    """The imports that only the type checker or CPython follows, or that may fail."""
    found = set()
    for node in ast.walk(tree):
        checker_only = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", CPYTHON)
        may_fail = isinstance(node, ast.Try) and any(
            "ImportError" in ast.unparse(h.type) for h in node.handlers if h.type
        )
        if checker_only or may_fail:
            found.update(id(inner) for part in node.body for inner in ast.walk(part))
    return found


def imports(tree):
    free = guarded(tree)
    for node in ast.walk(tree):
        if id(node) in free:
            continue
        if isinstance(node, ast.Import):
            yield from [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def is_async_generator(node):
    return isinstance(node, ast.AsyncFunctionDef) and any(isinstance(inner, ast.Yield) for inner in ast.walk(node))


def is_display(node):
    """[...], (...), {...} as a value: as a target, `a, *b = c` is fine."""
    return isinstance(node, (ast.List, ast.Tuple, ast.Set)) and not isinstance(getattr(node, "ctx", None), ast.Store)


def complaint(node):
    """What MicroPython has against a node, None for nothing."""
    if isinstance(node, (ast.Match, ast.TryStar)):
        return "match, except*"
    if isinstance(node, ast.arguments) and node.posonlyargs:
        return "positional-only parameters"
    if is_async_generator(node) or (isinstance(node, ast.comprehension) and node.is_async):
        return "async generators and comprehensions"
    if isinstance(node, ast.Dict) and None in node.keys:
        return "{**a}"
    if is_display(node) and any(isinstance(item, ast.Starred) for item in node.elts):
        return "[*a]"
    if isinstance(node, ast.ClassDef) and len(node.bases) > 1:
        return "multiple inheritance"
    if isinstance(node, ast.Raise) and node.cause:
        return "raise from"
    if isinstance(node, (ast.With, ast.AsyncWith)) and len(node.items) > 1:
        return "with of several"
    if isinstance(node, ast.Attribute) and node.attr in METHODS:
        return node.attr
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "os" and node.attr in OS_NAMES:
        return "os." + node.attr
    if isinstance(node, ast.Attribute) and ast.unparse(node) == "Exception.__init__":
        return "Exception.__init__: super().__init__ is there"
    if isinstance(node, ast.Name) and node.id in BUILTINS:
        return node.id
    return None


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-2:]))
def test_a_file_is_in_the_subset(file):
    tree = ast.parse(file.read_text())
    complaints = [f"line {getattr(n, 'lineno', 0)}: {complaint(n)}" for n in ast.walk(tree) if complaint(n)]
    assert complaints == []
    assert {name.split(".")[0] for name in imports(tree)} <= MODULES
    assert not any(name.startswith(("edge.cpython", "hub", "motet")) for name in imports(tree))


@pytest.mark.parametrize(
    "code",
    [
        "match a:\n  case 1: pass",
        "def f(a, /): pass",
        "async def f():\n  yield 1",
        "{**a}",
        "[*a, 1]",
        "class A(B, C): pass",
        "raise a from b",
        "os.path",
        "h.hexdigest()",
        "except_ = TimeoutError",
        "Exception.__init__(self, message)",
    ],
)
def test_the_check_sees(code):
    assert any(complaint(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-2:]))
def test_a_board_can_compile_it(file):
    assert len(file.read_bytes()) < 14_000  # compiling takes 2.2 times the source


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)


def test_importing_starts_nothing():
    done = python("import edge.main, edge.cpython.app, threading; assert threading.active_count() == 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_worker_imports_little():
    done = python("import sys, edge.cpython.worker; print(*sys.modules)")
    loaded = set(done.stdout.split())
    assert "edge.call" in loaded
    assert not loaded & {"asyncio", "typing", "logging", "ssl", "hashlib", "socket", "subprocess", "wasm3"}


def test_an_edge_without_tls_does_without_openssl():
    code = "import sys\nfrom edge.cpython import app\napp._do_without_openssl()\nimport edge.main\nprint(*sys.modules)"
    loaded = set(python(code).stdout.split())
    assert "edge.main" in loaded
    assert not loaded & {"ssl", "_ssl", "_hashlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_constant_stands_before_its_uses(path):
    """MicroPython puts the number where the name stands, from there on: of a name with _ nothing else is left."""
    tree = ast.parse(path.read_text())
    constants = {
        target.id: node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign) and "const(" in ast.unparse(node.value)
        for target in ast.walk(node)
        if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)
    }
    early = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and n.lineno < constants.get(n.id, 0)}
    assert not early
