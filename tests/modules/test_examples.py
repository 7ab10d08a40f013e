"""The example modules: sizes, exports, and what they compute against the same in Python."""

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from hub.modules.inspect import inspect

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ("addition", "checksum", "endless", "fibonacci", "spin", "trap")

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


def run(calls: list[tuple[str, str, list[int]]]) -> list[int | str | None]:
    """In a child, since wasm3 can take its process down with it."""
    lines = [[str(EXAMPLES / f"{module}.wasm"), function, inputs] for module, function, inputs in calls]
    done = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(lines), capture_output=True, text=True, timeout=30, check=True
    )
    results: list[int | str | None] = json.loads(done.stdout)
    return results


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
    crc = zlib.crc32(data)
    return crc - 2**32 if crc >= 2**31 else crc


def test_addition_is_to_the_byte_that_of_the_seed() -> None:
    wanted = "AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL"
    assert base64.b64encode((EXAMPLES / "addition.wasm").read_bytes()).decode() == wanted


@pytest.mark.parametrize("name", NAMES)
def test_small_with_its_source_and_accepted(name: str) -> None:
    data = (EXAMPLES / f"{name}.wasm").read_bytes()
    assert len(data) < 1024
    assert (EXAMPLES / f"{name}.wat").exists()
    info = inspect(data)
    assert not info.imports
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"`{item.name}(" in table for item in info.exports if item.kind == "func")


def test_no_module_without_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.wasm")} == set(NAMES)


def test_results() -> None:
    calls: list[tuple[str, str, list[int]]] = [("addition", "main", [a, b]) for a, b in ((10, 20), (-5, 3), (2**31, 0))]
    calls += [("fibonacci", "fib", [n]) for n in (0, 1, 2, 50, 92)]
    sizes = [(0, 0), (1, 1), (42, 1000), (-1, 65536)]
    calls += [("checksum", "checksum", [seed, length]) for seed, length in sizes]
    calls += [("spin", "spin", [n]) for n in (0, 1, 100_000)]
    calls += [("trap", "divide", [7, 2]), ("trap", "peek", [65532])]
    wanted = [30, -2, -(2**31), *(fibonacci(n) for n in (0, 1, 2, 50, 92)), *(checksum(*size) for size in sizes)]
    assert run(calls) == [*wanted, 0, 1, 100_000, 3, 0]


@pytest.mark.parametrize(
    ("module", "function", "inputs", "words"),
    [
        ("trap", "main", [], "unreachable executed"),
        ("trap", "divide", [1, 0], "integer divide by zero"),
        ("trap", "divide", [-(2**31), -1], "integer overflow"),
        ("trap", "peek", [65533], "out of bounds"),
        ("checksum", "checksum", [1, 65537], "out of bounds"),
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
