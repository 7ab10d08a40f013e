# Sourced by the other scripts: makes .venv and installs the project with the extras named in $extras, once.
set -eu
cd "$(dirname "$0")/.."

fail() { echo "motet: $1" >&2; exit 1; }

find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is missing: install it, or name it with PYTHON=/path/to/python3"
}

python=$(find_python)
# What decides whether the environment is still right: the dependencies and the interpreter.
wanted="$extras $("$python" -c 'import sys; print(sys.version)') $(cksum pyproject.toml)"
if [ "$(cat .venv/motet-installed 2>/dev/null)" != "$wanted" ]; then
    command -v "${CC:-cc}" >/dev/null || fail "a C compiler is missing (wasm3 is built from source): apt install build-essential"
    "$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
        || fail "the Python headers are missing (wasm3 is built from source): apt install python3-dev"
    echo "motet: setting up .venv (once, about a minute)" >&2
    "$python" -m venv --clear .venv 2>/dev/null || fail "the venv module is missing: apt install python3-venv"
    # GCC 14 and clang 16 refuse a pointer conversion in pywasm3 0.5.0 unless told otherwise.
    CFLAGS="${CFLAGS:-} -Wno-incompatible-pointer-types" .venv/bin/python -m pip install --quiet \
        --disable-pip-version-check -e ".[$extras]" || fail "the packages could not be installed: is there a network?"
    echo "$wanted" > .venv/motet-installed
fi
