"""file:// reads from one folder of the hub, if it has one, and from nowhere else."""

import asyncio
import os
from unittest import mock

import pytest

from hub.modules import folder
from hub.modules.header import MAX_MODULE
from hub.modules.images import Images, Sources
from shared.errors import BadRequest
from tests.images.servers import digest_of, refusal

MODULE = b"\0asm\x01\0\0\0 and so on"


@pytest.fixture
def modules(tmp_path):
    modules = tmp_path / "modules"
    (modules / "deep er").mkdir(parents=True)
    (modules / "x.wasm").write_bytes(MODULE)
    (modules / "deep er" / "y.wasm").write_bytes(MODULE + b"y")
    (tmp_path / "secret").write_bytes(b"secret")
    return modules


async def test_a_file_in_the_folder(modules, make_images):
    images = make_images(folder=modules)
    assert await images.fetch(f"file://{modules}/x.wasm") == MODULE
    assert await images.fetch(f"file://localhost{modules}/deep%20er/../deep%20er/y.wasm") == MODULE + b"y"
    assert await images.fetch(f"file://{modules}/x.wasm#{digest_of(MODULE).replace(':', '=')}") == MODULE
    assert "not the one of its digest" in await refusal(images, f"file://{modules}/x.wasm#sha256={'0' * 64}")


async def test_a_hub_without_a_folder_reads_no_file(modules, make_images):
    assert "--image-dir" in await refusal(make_images("*"), f"file://{modules}/x.wasm")


@pytest.mark.parametrize(
    "path",
    "{root}/secret {root}/modules/../secret {root}/modules/%2e%2e/secret //{root}/secret {root}/modules-2/x.wasm "
    "{root}/modules/link {root} / /etc/passwd".split(),
)
async def test_nothing_outside_the_folder_is_read(modules, make_images, tmp_path, path):
    (tmp_path / "modules-2").mkdir()
    (tmp_path / "modules-2" / "x.wasm").write_bytes(b"secret")
    (modules / "link").symlink_to(tmp_path / "secret")
    sentence = await refusal(make_images(folder=modules), "file://" + path.format(root=tmp_path))
    assert "does not lie in the folder" in sentence


async def test_links_inside_the_folder_and_a_folder_that_is_a_link(modules, make_images, tmp_path):
    (modules / "latest").symlink_to("x.wasm")
    (tmp_path / "also").symlink_to(modules)
    images = make_images(folder=tmp_path / "also")
    for path in (modules / "latest", tmp_path / "also" / "latest", tmp_path / "also" / "x.wasm"):
        assert await images.fetch(f"file://{path}") == MODULE


async def test_a_link_that_is_put_there_after_the_check_leads_nowhere(modules, tmp_path):
    real, swapped = os.open, []

    def swap(path, flags, **more):
        if path in ("x.wasm", "deep er") and not swapped:
            swapped.append(path)
            (modules / path).rename(tmp_path / "moved")
            (modules / path).symlink_to(tmp_path / ("secret" if path == "x.wasm" else "moved"))
        return real(path, flags, **more)

    for path in ("x.wasm", "deep er/y.wasm"):
        swapped.clear()
        with mock.patch("os.open", swap), pytest.raises(BadRequest, match="cannot be read"):
            folder.read(str(modules), f"{modules}/{path}")
        (modules / swapped[0]).unlink()
        (tmp_path / "moved").rename(modules / swapped[0])


async def test_what_is_no_file(modules, make_images):
    os.mkfifo(modules / "fifo")
    (modules / "loop").symlink_to("loop")
    (modules / "null").symlink_to("/dev/null")
    images = make_images(folder=modules)
    async with asyncio.timeout(5):
        for path in ("fifo", "deep%20er", "."):
            assert "it is no regular file" in await refusal(images, f"file://{modules}/{path}")
        assert "No such file" in await refusal(images, f"file://{modules}/none.wasm")
        assert await refusal(images, f"file://{modules}/loop")
        assert "does not lie in the folder" in await refusal(images, f"file://{modules}/null")
        assert await refusal(images, f"file://{modules}/{'x' * 1000}")


async def test_a_file_that_is_too_large(modules, make_images):
    (modules / "big.wasm").write_bytes(bytes(MAX_MODULE + 1))
    assert "over 8388608 bytes" in await refusal(make_images(folder=modules), f"file://{modules}/big.wasm")


def test_a_folder_or_a_file_of_logins_that_is_not_there_is_said_at_once(tmp_path):
    for sources in (Sources(folder=str(tmp_path / "none")), Sources(auth=str(tmp_path / "none"))):
        with pytest.raises(BadRequest) as caught:
            Images(sources)
        assert caught.value.code == "bad_config"
        assert str(tmp_path / "none") in caught.value.message
