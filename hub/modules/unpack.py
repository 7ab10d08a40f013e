"""What a registry keeps a module in: gzip and tar, taken apart within limits."""

import gzip
import io
import tarfile
import zlib

from hub.modules.header import MAX_MODULE
from hub.modules.reader import refuse

# A layer may hold a little more than its module: a licence, a description.
MAX_LAYER = 2 * MAX_MODULE
MAX_MEMBERS = 4096

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_TAR_MAGIC = (257, b"ustar")


def module_in(layer: bytes) -> bytes:
    """The module that a layer is, or that it has as its only .wasm file (tar, tar+gzip); else `bad_module`.

    What the layer is, its bytes say: `oras push` calls a bare module a tar.
    """
    if layer.startswith(_GZIP):
        layer = gunzip(layer, MAX_LAYER)
    if layer.startswith(_ZSTD):
        refuse("the layer is packed with zstd: push it with gzip, or the module as it is")
    at, magic = _TAR_MAGIC
    return _only_module(layer) if layer[at : at + len(magic)] == magic else layer


def gunzip(data: bytes, most: int) -> bytes:
    """What gzip data unpack to; `bad_module` over `most` bytes, of which no more than that are made."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        refuse(f"what is packed with gzip is damaged: {error}")
    if len(unpacked) > most:
        refuse(f"what is packed with gzip is over {most >> 20} MiB when it is unpacked")
    return unpacked


def _only_module(layer: bytes) -> bytes:
    found: list[tarfile.TarInfo] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(layer), mode="r:") as archive:
            for count, member in enumerate(archive, 1):
                if count > MAX_MEMBERS:
                    refuse(f"the layer has over {MAX_MEMBERS} files: push an image of the module alone")
                if member.isreg() and member.name.endswith(".wasm"):
                    found.append(member)
            if len(found) != 1:
                names = ", ".join(sorted(member.name[:80] for member in found[:5]))
                refuse(f"the layer has {len(found)} .wasm files{': ' if names else ''}{names}: it must have one")
            if found[0].size > MAX_MODULE:
                refuse(f"the module in the layer has {found[0].size} bytes, the limit is {MAX_MODULE} (8 MiB)")
            file = archive.extractfile(found[0])
            return file.read() if file else b""
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        refuse(f"the layer is a damaged tar: {error}")
