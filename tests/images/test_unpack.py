"""Layers: gzip and tar around a module, and those made to hurt."""

import gzip
import io
import random
import tarfile
import tracemalloc
import zlib

import pytest

from hub.modules.header import MAX_MODULE
from hub.modules.unpack import MAX_LAYER, MAX_MEMBERS, gunzip, module_in
from shared.errors import BadRequest

MODULE = b"\0asm\x01\0\0\0"


def pack(data: bytes) -> bytes:
    """Without a time, which would make every run another."""
    return gzip.compress(data, mtime=0)


def tar(*files: tuple[str, bytes], links: tuple[str, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in links:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(link)
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize(
    "layer",
    [
        MODULE,
        pack(MODULE),
        tar(("plugin.wasm", MODULE)),
        pack(tar(("LICENSE", b"text"), ("./opt/plugin.wasm", MODULE), ("plugin.wasm.map", b"{}"))),
        # eStargz: one member of gzip behind another
        pack(tar(("a.wasm", MODULE))[:512]) + pack(tar(("a.wasm", MODULE))[512:]),
        tar(("a.wasm", MODULE), links=("b.wasm",)),
    ],
)
def test_the_module_is_found_by_what_the_bytes_are(layer):
    assert module_in(layer) == MODULE


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (tar(("README", b"x")), "has 0 .wasm files"),
        (tar(("a.wasm", MODULE), ("b.wasm", MODULE)), "has 2 .wasm files: a.wasm, b.wasm"),
        (tar(links=("a.wasm",)), "has 0 .wasm files"),
        (tar(("a.wasm", MODULE))[:600], "damaged"),
        (pack(MODULE)[:-3], "damaged"),
        (b"\x1f\x8bxxxxxxxxxxxxxxxx", "damaged"),
        (b"\x28\xb5\x2f\xfdxxxx", "zstd"),
        (tar(*((f"{n}", b"") for n in range(MAX_MEMBERS + 1))), "over 4096 files"),
        (pack(tar(("a.wasm", bytes(MAX_MODULE + 1)))), "the limit is 8388608"),
        (pack(bytes(MAX_LAYER + 1)), "over 16 MiB"),
    ],
)
def test_other_layers_are_refused_with_what_is_wrong(layer, says):
    with pytest.raises(BadRequest) as caught:
        module_in(layer)
    assert caught.value.code == "bad_module"
    assert says in caught.value.message


def test_a_bomb_is_unpacked_no_further_than_its_limit():
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest, match="over 8 MiB"):
            gunzip(bomb, MAX_MODULE)
        assert tracemalloc.get_traced_memory()[1] < 4 * MAX_MODULE
    finally:
        tracemalloc.stop()


def test_a_sparse_file_in_a_tar_is_refused_by_its_real_size():
    """GNU tar writes 1 TiB of nothing into 2 KiB."""
    header = tarfile.TarInfo("a.wasm")
    header.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(header.tobuf(format=tarfile.GNU_FORMAT))
    block[386:398], block[398:410] = b"%011o\0" % 0, b"%011o\0" % 0
    block[483:495] = b"\x80" + (1 << 40).to_bytes(11, "big")
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    with pytest.raises(BadRequest, match="1099511627776 bytes, the limit"):
        module_in(bytes(block) + bytes(1024))


def test_damaged_layers_end_in_a_module_or_a_refusal():
    chance = random.Random(4)
    layers = [tar(("x", b"y" * 700), ("plugin.wasm", MODULE)), pack(tar(("plugin.wasm", MODULE)))]
    for _ in range(3000):
        damaged = bytearray(chance.choice(layers))
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(min(len(damaged), 2048))] = chance.randrange(256)
        try:
            module_in(bytes(damaged))
        except BadRequest as error:
            assert error.code == "bad_module"
