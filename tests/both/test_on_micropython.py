"""The other tests of this folder on MicroPython itself, and every source of a board compiled and imported there."""

import ast
import json
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hub.mpy import compile_file, texts
from tests.board.machine import MICROPYTHON, build, needs_micropython
from tests.e2e.world import ROOT

pytestmark = needs_micropython
HERE = Path(__file__).parent
SOURCES = sorted(f"{folder}/{path.name}" for folder in ("edge", "edge/boot", "shared")
                 for path in (ROOT / folder).glob("*.py"))  # fmt: skip
FILES = [path for path in sorted(HERE.glob("test_*.py")) if path != Path(__file__)]


def names_in(path: Path) -> list[str]:
    names = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [name for name in names if name.startswith("test_")]


def micropython(path: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(MICROPYTHON), "-X", "heapsize=8m", *arguments],
        env={"MICROPYPATH": f"{path}:.frozen"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@cache
def results(file: str) -> dict[str, str | None]:
    with TemporaryDirectory() as folder:
        said = micropython(f"{ROOT}:{HERE / 'stand_in'}", str(HERE / "run.py"), file, folder)
    found: dict[str, str | None] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.parametrize(("file", "name"), [(path.stem, name) for path in FILES for name in names_in(path)])
def test_on_micropython(file: str, name: str) -> None:
    assert results(file)[name] is None, results(file)[name]


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("board") / "lib")


@pytest.fixture(scope="session")
def each_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each source as bytecode of its own, those that a board does not get among them."""
    folder = tmp_path_factory.mktemp("alone")
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        compile_file(ROOT / name, (folder / name).with_suffix(".mpy"))
    compile_file(ROOT / "tests" / "board" / "stand_in" / "wasm3.py", folder / "wasm3.mpy")
    return folder


@pytest.mark.parametrize("name", texts())
def test_what_a_board_gets_is_compiled_by_mpy_cross_and_imported(lib: Path, name: str) -> None:
    assert imported(lib, name)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_compiled_by_mpy_cross_and_imported(each_alone: Path, name: str) -> None:
    assert imported(each_alone, name)


def imported(lib: Path, name: str) -> bool:
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    code = f"import {module}, sys; print(sys.modules['{module}'].__name__)"
    assert (lib / name).with_suffix(".mpy").exists()
    return micropython(str(lib), "-c", code).strip() == module
