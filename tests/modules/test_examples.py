"""The example modules: built from the sources beside them, accepted by the hub, and what those of the call ABI compute
against the same in Python. tests/edge/test_examples.py runs the others."""

import base64
import hashlib
import json
import math
import re
import subprocess
import sys
import zlib
from typing import Any

import pytest

from hub.modules.accept import accept
from hub.modules.info import Signature
from hub.modules.inspect import inspect
from shared import host
from tests import examples
from tests.e2e.world import EXAMPLES, module

MANIFEST = examples.manifest()
RECIPES: dict[str, dict[str, str]] = MANIFEST["recipes"]
MODULES: dict[str, dict[str, Any]] = MANIFEST["modules"]
WORDS = {"v": (), "i": ("i32",)}

# Runs calls [[module, function, inputs], ...] and prints a list: a number, null, or the text of the trap.
RUN = """
import json, sys, wasm3
results = []
for path, function, inputs in json.load(sys.stdin):
    environment = wasm3.Environment()
    runtime = environment.new_runtime(16384)
    with open(path, "rb") as file:
        runtime.load(environment.parse_module(file.read()))
    try:
        results.append(runtime.find_function(function)(*inputs))
    except RuntimeError as error:
        results.append(str(error))
print(json.dumps(results))
"""


def run(calls: list[tuple[str, str, list[Any]]]) -> list[Any]:
    """In a child, since wasm3 can take its process down with it."""
    lines = [[str(EXAMPLES / f"{module}.wasm"), function, inputs] for module, function, inputs in calls]
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(lines), capture_output=True, text=True, timeout=30, check=True
    )
    results: list[Any] = json.loads(done.stdout)
    return results


def abi(name: str) -> str:
    return MODULES[name].get("abi", RECIPES[MODULES[name]["recipe"]]["abi"])


def signed(number: int) -> int:
    return number - 2**32 if number >= 2**31 else number


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def checksum(seed: int, length: int) -> int:
    data = bytearray()
    for _ in range(length):
        seed = (seed * 1664525 + 1013904223) % 2**32
        data.append(seed >> 24)
    return signed(zlib.crc32(data))


def sha256(blocks: int) -> int:
    return signed(int.from_bytes(hashlib.sha256(bytes(range(64)) * blocks).digest()[:4]))


def collatz(n: int) -> int:
    steps = 0
    while n > 1:
        n = 3 * n + 1 if n % 2 else n // 2
        steps += 1
    return steps


def dew_point(celsius: float, humidity: float) -> float:
    gamma = math.log(humidity / 100) + 17.62 * celsius / (243.12 + celsius)
    return 243.12 * gamma / (17.62 - gamma)


def test_addition_is_to_the_byte_that_of_the_seed() -> None:
    wanted = "AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL"
    assert base64.b64encode(module("addition")).decode() == wanted


def test_every_file_is_in_the_manifest() -> None:
    known = {f"{name}.wasm" for name in MODULES} | {file for item in MODULES.values() for file in item["sources"]}
    assert {path.name for path in EXAMPLES.iterdir()} == known | {"README.md", "manifest.json"}


@pytest.mark.parametrize("name", MODULES)
def test_source_and_module_are_those_that_belong_together(name: str) -> None:
    item = MODULES[name]
    for source, digest in item["sources"].items():
        data = (EXAMPLES / source).read_bytes()
        assert examples.sha256(data) == digest, f"{source} was changed: ./scripts/examples --write {name}"
        # What a source includes is a source too.
        assert {file.decode() for file in re.findall(rb'#include "(.*?)"', data)} <= set(item["sources"])
    assert (examples.sha256(module(name)), len(module(name))) == (item["sha256"], item["size_bytes"])


def test_the_readme_shows_the_manifest_and_every_exported_function() -> None:
    text = examples.README.read_text()
    assert text == examples.page(text, MANIFEST), "./scripts/examples --write"
    for name in MODULES:
        [row] = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
        # The main that Rust exports beside _start is nothing to call.
        functions = [item.name for item in inspect(module(name)).exports if item.kind == "func"]
        assert all(f"`{function}(" in row for function in functions if (name, function) != ("words", "main"))


@pytest.mark.parametrize("name", MODULES)
def test_accepted_and_small_with_the_imports_of_its_abi(name: str) -> None:
    info = accept(module(name)).info
    imports = {item.module for item in info.imports}
    assert imports == {
        "call": set(), "edge": {"edge"}, "wasi": {"wasi_snapshot_preview1"}, "extism": {"extism:host/env"},
    }[abi(name)]  # fmt: skip
    # A page of memory at most: what compilers give unless told otherwise is 17 and more.
    assert info.memory is None or info.memory.least == 1
    assert info.size_bytes < (100_000 if abi(name) == "wasi" else 6_000)


def wanted(name: str) -> Signature:
    result, params = re.fullmatch(r"(.)\((.*)\)", host.functions()[name]).groups()
    return Signature(("i32",) * len(params), WORDS[result])


@pytest.mark.parametrize("name", [name for name in MODULES if abi(name) == "edge"])
def test_functions_of_the_edge_are_imported_as_they_are(name: str) -> None:
    for item in inspect(module(name)).imports:
        assert item.signature == wanted(item.name), item.name


def test_the_header_declares_every_function_of_the_edge_as_it_is() -> None:
    found = re.findall(r"EDGE_IMPORT\((\w+)\) (\w+) edge_(\w+)\((.*)\);", (EXAMPLES / "edge.h").read_text())
    declared = {}
    for imported, result, name, params in found:
        assert imported == name
        # Pointers and int32_t are both i32.
        count = 0 if params == "void" else len(params.split(", "))
        declared[name] = Signature(("i32",) * count, {"void": (), "int32_t": ("i32",)}[result])
    assert declared == {name: wanted(name) for name in host.functions()}


def test_results() -> None:
    calls: list[tuple[str, str, list[Any]]] = [("addition", "main", [a, b]) for a, b in ((10, 20), (-5, 3), (2**31, 0))]
    calls += [("fibonacci", "fib", [n]) for n in (0, 1, 2, 50, 92)]
    sizes = [(0, 0), (1, 1), (42, 1000), (-1, 65536)]
    calls += [("checksum", "checksum", [seed, length]) for seed, length in sizes]
    calls += [("sha256", "sha256", [blocks]) for blocks in (0, 1, 2, 999)]
    calls += [("collatz", "collatz", [n]) for n in (0, 1, 27, 2**40 + 1)]
    calls += [("spin", "spin", [n]) for n in (0, 1, 100_000)]
    calls += [("trap", "divide", [7, 2]), ("trap", "peek", [65532])]
    expected = [30, -2, -(2**31), *(fibonacci(n) for n in (0, 1, 2, 50, 92)), *(checksum(*size) for size in sizes)]
    expected += [*(sha256(blocks) for blocks in (0, 1, 2, 999)), *(collatz(n) for n in (0, 1, 27, 2**40 + 1))]
    assert run(calls) == [*expected, 0, 1, 100_000, 3, 0]


def test_floats() -> None:
    airs = [(20.0, 50.0), (-10.5, 80.0), (35.0, 100.0), (60.0, 0.5)]
    results = run([("dewpoint", "dew_point", [*air]) for air in airs])
    assert results == pytest.approx([dew_point(*air) for air in airs], rel=1e-12)
    assert results[2] == pytest.approx(35)


@pytest.mark.parametrize(
    ("module", "function", "inputs", "words"),
    [
        ("trap", "main", [], "unreachable executed"),
        ("trap", "divide", [1, 0], "integer divide by zero"),
        ("trap", "divide", [-(2**31), -1], "integer overflow"),
        ("trap", "peek", [65533], "out of bounds"),
        ("checksum", "checksum", [1, 65537], "out of bounds"),
        ("collatz", "collatz", [2**63 - 1], "unreachable executed"),
    ],
)
def test_traps(module: str, function: str, inputs: list[int], words: str) -> None:
    [result] = run([(module, function, inputs)])
    assert isinstance(result, str)
    assert words in result


def test_endless_does_not_end() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run(
            [sys.executable, "-c", RUN],
            input=json.dumps([[str(EXAMPLES / "endless.wasm"), "main", []]]),
            text=True,
            timeout=0.5,
        )


@pytest.mark.parametrize("name", MODULES)
def test_built_again_it_is_the_same_byte_for_byte(name: str) -> None:
    recipe = RECIPES[MODULES[name]["recipe"]]
    if why := examples.lacking(recipe):
        pytest.skip(f"NOT BUILT, compared with the manifest alone: {why}; see examples/README.md")
    assert examples.build(recipe, name, list(MODULES[name]["sources"])) == module(name)


def test_a_module_that_differs_is_told(monkeypatch, capsys, tmp_path) -> None:
    """With a recipe of our own, so that no compiler is needed."""
    copy = {"language": "any", "abi": "call", "tool": "Python 3", "version": "echo 3",
            "command": "cp {name}.wat {name}.wasm"}  # fmt: skip
    source = (EXAMPLES / "trap.wat").read_bytes()
    item = {"recipe": "copy", "sources": {"trap.wat": ""}, "sha256": examples.sha256(source), "size_bytes": 1}
    (tmp_path / "manifest.json").write_text(json.dumps({"recipes": {"copy": copy}, "modules": {"trap": item}}))
    monkeypatch.setattr(examples, "MANIFEST", tmp_path / "manifest.json")
    assert examples.main([]) == 0
    assert "same" in capsys.readouterr().out
    item["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps({"recipes": {"copy": copy}, "modules": {"trap": item}}))
    assert examples.main([]) == 1
    assert "DIFFERS" in capsys.readouterr().out
    copy["tool"] = "Python 4"
    (tmp_path / "manifest.json").write_text(json.dumps({"recipes": {"copy": copy}, "modules": {"trap": item}}))
    assert examples.main([]) == 0
    assert "needs Python 4, here is 3" in capsys.readouterr().out
