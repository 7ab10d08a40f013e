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

# The first line of the note says for what .venv was made, the second which extras it has.
note=.venv/motet-installed
python=$(find_python)
made_for="$("$python" -c 'import sys; print(sys.version.replace("\n", " "))') $(cksum < pyproject.toml)"
have=
[ "$(head -n 1 "$note" 2>/dev/null)" != "$made_for" ] || have=$(tail -n 1 "$note")
missing=
for extra in $(echo "$extras" | tr , ' '); do
    case ",$have," in *",$extra,"*) ;; *) missing="$missing,$extra" ;; esac
done

if [ -n "$missing" ]; then
    command -v "${CC:-cc}" >/dev/null || fail "a C compiler is missing (wasm3 is built from source): apt install build-essential"
    "$python" -c 'import sysconfig, os, sys; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
        || fail "the Python headers are missing (wasm3 is built from source): apt install python3-dev"
    echo "motet: setting up .venv (once, about a minute)" >&2
    # An environment of another interpreter would not work; one of ours is only added to.
    .venv/bin/python -c "import sys; sys.exit(sys.version.split()[0] != '$("$python" -c 'import sys; print(sys.version.split()[0])')')" \
        2>/dev/null || "$python" -m venv --clear .venv || fail "the venv module is missing: apt install python3-venv"
    wanted=$(echo "$have$missing" | sed 's/^,//')
    # GCC 14 and clang 16 refuse a pointer conversion in pywasm3 0.5.0 unless told otherwise.
    CFLAGS="${CFLAGS:-} -Wno-incompatible-pointer-types" .venv/bin/python -m pip install --quiet \
        --disable-pip-version-check -e ".[$wanted]" || fail "the packages could not be installed: is there a network?"
    printf '%s\n%s\n' "$made_for" "$wanted" > "$note"
fi
