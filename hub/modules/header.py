"""The first look at an upload: is it a core WebAssembly module at all, and if not, what is it?"""

from hub.modules.reader import refuse
from shared.errors import TooLarge

MAX_MODULE = 8 * 1024 * 1024
HEADER = b"\0asm\x01\0\0\0"

_MAGIC = HEADER[:4]
_COMPONENT = b"\x0d\0\x01\0"

# (how it begins, what that is and what to do); text is compared in lower case, behind white space.
_BINARY = (
    (b"\x7fELF", "an ELF program for this machine: compile for the target wasm32"),
    (b"MZ", "a Windows program: compile for the target wasm32"),
    (b"\x1f\x8b", "gzip: unpack it first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd: unpack it first"),
    (b"!<arch>\n", "a library archive (.a): link it into a module"),
    (b"BC\xc0\xde", "LLVM bitcode: link it into a module"),
)
_TEXT = (
    (b"(component", "the text of a component: build a core module and compile it with wat2wasm"),
    (b"(", "WebAssembly text (WAT): compile it first with wat2wasm"),
    (b";;", "WebAssembly text (WAT): compile it first with wat2wasm"),
    (b"<", "HTML or XML: the download answered with a page, not with the module"),
    (b"{", "JSON: send the bytes of the .wasm file"),
    (b"#!", "a script: compile it to WebAssembly first"),
    (b"agfzbq", "base64 text: decode it, the upload takes the bytes themselves"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull` first"),
)


def check_header(data: bytes) -> None:
    """Passes a core module of version 1 by its first 8 bytes.

    TooLarge over 8 MiB, else BadRequest `bad_module` with what the bytes look like and what to do about it.
    """
    if len(data) > MAX_MODULE:
        raise TooLarge(f"a module of {len(data)} bytes is over the limit of {MAX_MODULE} (8 MiB)")
    if not data:
        refuse("the module is empty")
    if not data.startswith(_MAGIC[: len(data)]):
        refuse(f"this is no WebAssembly module but {_looks_like(data)}")
    if len(data) < len(HEADER):
        refuse(f"the module is cut short: {len(data)} bytes are less than its header", offset=len(data))
    version = data[4:8]
    if version == _COMPONENT:
        refuse("this is a component, not a core module: build a core module (target wasm32-wasip1 or wasm32-unknown)")
    if version != HEADER[4:]:
        number = int.from_bytes(version, "little")
        refuse(f"this is WebAssembly of version {number}, only version 1 is known", version=number)


def _looks_like(data: bytes) -> str:
    for start, what in _BINARY:
        if data.startswith(start):
            return what
    text = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, what in _TEXT:
        if text.startswith(start):
            return what
    return f"something that begins with the bytes {data[:8].hex(' ')}: send the .wasm file that the compiler wrote"
