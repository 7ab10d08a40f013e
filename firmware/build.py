"""Builds MicroPython's unix port with our wasm3 module, from Debian's source package of it: no root, nothing changed.

    scripts/firmware [64|32 ...]    prints the path of each interpreter; 64 when no word size is given

MICROPYTHON_DIR names a source tree of MicroPython (1.25 or newer) in place of Debian's, WASM3_SOURCE the folder of
wasm3's sources in place of the one in pywasm3's source distribution. What is fetched and built lies in
$XDG_CACHE_HOME/motet/firmware (or ~/.cache/motet/firmware), which checkouts share: each has an interpreter of its own
sources.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The release of Debian whose MicroPython is new enough; which one runs here does not matter.
SUITE = "trixie"
WASM3 = "pywasm3==0.5.0"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Of ours, what the interpreter is made of.
SOURCES = ("edge/*.py", "shared/*.py", "firmware/manifest.py", "firmware/unix/*", "firmware/wasm3/*")
_KEPT = 12  # interpreters


class Missing(Exception):
    """Something that a build needs cannot be had here; the text says what, and what to do."""


def build(bits: int) -> Path:
    """The interpreter, built if it is not up to date. Missing when it cannot be built here, with the reason."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "motet" / "firmware"
    cache.mkdir(parents=True, exist_ok=True)
    for tool in ("make", "gcc"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is missing: apt install build-essential")
    with _alone(cache):
        return _build(cache, bits)


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Tests run in several processes, and one build is enough."""
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(cache: Path, bits: int) -> Path:
    micropython = _micropython(cache)
    wasm3 = _wasm3(cache)
    interpreter = cache / "built" / f"{_key(micropython, wasm3)}-{bits}" / "micropython"
    given = {"MICROPYTHON_DIR", "WASM3_SOURCE"} & os.environ.keys()  # trees whose files may change, which make sees
    if given or not interpreter.exists():
        made = _make_all(cache, bits, micropython, wasm3)
        interpreter.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(made, interpreter.with_suffix(".new"))
        interpreter.with_suffix(".new").rename(interpreter)
    os.utime(interpreter.parent)
    for old in sorted(interpreter.parent.parent.iterdir(), key=lambda folder: folder.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old)
    return interpreter


def _make_all(cache: Path, bits: int, micropython: Path, wasm3: Path) -> Path:
    cross = cache / "mpy-cross"
    ours = cache / "source"
    copy_sources(ours)
    _make(micropython / "mpy-cross", {"BUILD": cross})
    target = cache / f"unix-{bits}"
    variables: dict[str, object] = {
        "BUILD": target,
        "FROZEN_MANIFEST": ours / "firmware" / "manifest.py",
        "MICROPY_FORCE_32BIT": int(bits == 32),
        "MICROPY_MPYCROSS": cross / "mpy-cross",
        "MICROPY_MPYCROSS_DEPENDENCY": cross / "mpy-cross",
        "MPY_LIB_DIR": micropython / "lib",  # micropython-lib is not in the package, and not needed
        "USER_C_MODULES": ours / "firmware",
        "VARIANT_DIR": ours / "firmware" / "unix",
        "WASM3_SOURCE": wasm3,
    }
    if bits == 32:
        variables.update(_flags_32(cache))
    _make(micropython / "ports" / "unix", variables)
    return target / "micropython"


def _sources(root: Path) -> dict[str, Path]:
    found = [path for pattern in SOURCES for path in sorted(root.glob(pattern)) if path.is_file()]
    return {path.relative_to(root).as_posix(): path for path in found}


def _key(*trees: Path, root: Path = HERE.parent) -> str:
    """Of these sources and of no others."""
    state = sha256(repr(trees).encode())
    for name, path in _sources(root).items():
        state.update(sha256(name.encode()).digest() + sha256(path.read_bytes()).digest())
    return state.hexdigest()[:16]


def copy_sources(target: Path, root: Path = HERE.parent) -> None:
    """Our sources in the one place that make builds from. Written where they differ, so that make sees what is new:
    by the time of a file alone, one of a checkout that is older than the last build would count as built."""
    sources = _sources(root)
    for name, path in _sources(target).items():
        if name not in sources:
            path.unlink()
    for name, path in sources.items():
        copy = target / name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


def _make(folder: Path, variables: dict[str, object]) -> None:
    words = [f"{name}={value}" for name, value in variables.items()]
    _run(["make", "-C", folder, f"-j{os.cpu_count()}", *words])


def _run(command: list[object], folder: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("\n".join([f"{command[0]} failed:", *(done.stdout + done.stderr).splitlines()[-15:]]))
    return done.stdout


def _fetch(what: str, command: list[object], folder: Path) -> None:
    try:
        _run(command, folder)
    except RuntimeError as error:
        raise Missing(f"{what} cannot be had: {str(error).splitlines()[-1]}") from None


# wasm3


def _wasm3(cache: Path) -> Path:
    if given := os.environ.get("WASM3_SOURCE"):
        return Path(given).resolve()
    folder = cache / WASM3.replace("==", "-") / "wasm3"
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        _fetch("wasm3's source (pip)", [*pip, "--dest", cache, WASM3], cache)
        with _whole(folder.parent) as new:
            _run(["tar", "-xzf", next(cache.glob("pywasm3-*.tar.gz")), "-C", new, "--strip-components=1"])
    return folder


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder that has its name only when all is in it: what is interrupted begins anew."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    new.rename(folder)


# Debian's packages, with folders of apt's own


def _micropython(cache: Path) -> Path:
    if given := os.environ.get("MICROPYTHON_DIR"):
        return Path(given).resolve()
    folder = cache / "debian"
    source = folder / "source"
    if not source.exists():
        if shutil.which("dpkg-source") is None:
            raise Missing("dpkg-source is missing: apt install dpkg-dev, or set MICROPYTHON_DIR")
        apt = _apt(folder, "deb-src", SUITE)
        with _whole(source) as new:
            _fetch("MicroPython's source package", [*apt, "source", "--only-source", "micropython"], new)
    return next(source.glob("micropython-*/ports/unix")).parent.parent


def _apt(folder: Path, kind: str, suite: str) -> list[object]:
    """apt-get with its own folders, and its lists updated: of one suite, from the mirror that the machine uses."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    sources = folder / "sources.list"
    sources.write_text(f"{kind} {signed}{_mirror()} {suite} main\n")
    options = {
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",  # else it ends well where nothing can be had
        "Acquire::http::Timeout": 30,
        "Dir::Cache": folder,
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": lists,
    }
    apt: list[object] = ["apt-get", "-qq"]
    for name, value in options.items():
        apt += ["-o", f"{name}={value}"]
    _fetch("the list of Debian's packages", [*apt, "update"], folder)
    return apt


def _mirror() -> str:
    """Where this machine's apt has its own release from."""
    if shutil.which("apt-get") is None or _release("ID") != "debian":
        raise Missing("this is not Debian: set MICROPYTHON_DIR to a source tree of MicroPython")
    targets = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    for target in targets.splitlines():
        uri, _, rest = target.partition(" ")
        if rest == f"{_release('VERSION_CODENAME')} main":
            return uri
    raise Missing("apt names no mirror of Debian: set MICROPYTHON_DIR to a source tree of MicroPython")


def _release(key: str) -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith(f"{key}="):
            return line.partition("=")[2].strip('"')
    return ""


# 32 bits


def _flags_32(cache: Path) -> dict[str, object]:
    """What gcc needs to build for 32 bits: nothing with gcc-multilib, or else the same packages, only unpacked."""
    if os.uname().machine != "x86_64":
        raise Missing("the build with 32 bits needs an x86-64 machine")
    probe = ["gcc", "-m32", "-x", "c", "-", "-o", "/dev/null"]
    if subprocess.run(probe, input="int main(void) { return 0; }", text=True, capture_output=True).returncode == 0:
        return {}
    folder = cache / "multilib"
    root = folder / "root"
    if not root.exists():
        release = _run(["gcc", "-dumpversion"]).partition(".")[0].strip()
        packages = ["libc6-i386", "libc6-dev-i386", f"lib32gcc-{release}-dev"]
        apt = _apt(folder, "deb", _release("VERSION_CODENAME"))
        _fetch("gcc's libraries for 32 bits", [*apt, "download", *packages], folder)
        with _whole(root) as new:
            for package in folder.glob("*.deb"):
                _run(["dpkg-deb", "-x", package, new])
    gcc = next(root.glob("usr/lib/gcc/*/*"))
    headers = [root / "usr/include", root / "usr/include/x86_64-linux-gnu", Path("/usr/include/x86_64-linux-gnu")]
    return {
        "CFLAGS_EXTRA": " ".join(f"-isystem {folder}" for folder in headers),
        # Static: the loader for 32 bits is not where Linux looks for it.
        "LDFLAGS_EXTRA": f"-static -B{root}/usr/lib32/ -L{root}/usr/lib32 -B{gcc}/32/ -L{gcc}/32",
    }


def main(words: list[str]) -> int:
    for word in words or ["64"]:
        if word not in ("64", "32"):
            print(f"motet: {word} is no word size: give 64, 32 or both", file=sys.stderr)
            return 2
        try:
            print(build(int(word)))
        except (Missing, RuntimeError) as error:
            print(f"motet: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
