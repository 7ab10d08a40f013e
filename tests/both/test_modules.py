"""The module cache: resumed, checked, evicted."""

import hashlib
import os
from binascii import hexlify

import pytest

from edge.modules import Modules
from shared.faults import Damaged, TooLarge


def data(number, size=100):
    return bytes([number]) * size


def sha(content):
    return hexlify(hashlib.sha256(content).digest()).decode()


def put(modules, content, keep=()):
    assert modules.append(sha(content), 0, len(content), content, keep)


def test_a_module_in_one_chunk(tmp_path):
    modules = Modules(str(tmp_path / "m"), 1000)
    content = data(1)
    assert modules.path(sha(content)) is None
    put(modules, content)
    with open(modules.path(sha(content)), "rb") as file:
        assert file.read() == content


def test_chunks_go_on_after_a_reset(tmp_path):
    content = bytes(range(100))
    module = sha(content)
    first = Modules(str(tmp_path), 1000)
    assert not first.append(module, 0, 100, content[:40], ())
    assert first.part_size(module) == 40
    again = Modules(str(tmp_path), 1000)
    assert again.part_size(module) == 40
    assert again.path(module) is None
    assert again.append(module, 40, 100, content[40:], ())
    assert again.path(module)
    assert again.part_size(module) == 0


def test_a_chunk_that_does_not_continue_is_ignored(tmp_path):
    content = bytes(range(100))
    module = sha(content)
    modules = Modules(str(tmp_path), 1000)
    modules.append(module, 0, 100, content[:40], ())
    for offset, chunk in ((0, content[:40]), (60, content[60:]), (40, b""), (40, content)):
        assert not modules.append(module, offset, 100, chunk, ())
    assert modules.part_size(module) == 40


def test_another_sha256_is_thrown_away(tmp_path):
    modules = Modules(str(tmp_path), 1000)
    module = sha(data(1))
    with pytest.raises(Damaged):
        modules.append(module, 0, 100, data(2), ())
    assert modules.path(module) is None
    assert modules.part_size(module) == 0
    assert os.listdir(str(tmp_path)) == []


def test_what_a_power_cut_spoilt_is_not_used(tmp_path):
    put(Modules(str(tmp_path), 1000), data(1))
    (tmp_path / sha(data(1))).write_bytes(b"")
    assert Modules(str(tmp_path), 1000).path(sha(data(1))) is None


def test_a_file_that_vanished_is_fetched_again(tmp_path):
    put(Modules(str(tmp_path), 1000), data(1))
    modules = Modules(str(tmp_path), 1000)
    (tmp_path / sha(data(1))).unlink()
    assert modules.path(sha(data(1))) is None
    put(modules, data(1))
    assert modules.path(sha(data(1)))


def test_the_least_recently_used_goes_first(tmp_path):
    modules = Modules(str(tmp_path), 300)
    one, two, three, four = (data(i) for i in range(4))
    for content in (one, two, three):
        put(modules, content)
    modules.path(sha(one))
    put(modules, four)
    assert [bool(modules.path(sha(content))) for content in (one, two, three, four)] == [True, False, True, True]


def test_one_in_use_stays(tmp_path):
    modules = Modules(str(tmp_path), 300)
    one, two, three, four = (data(i) for i in range(4))
    for content in (one, two, three):
        put(modules, content)
    put(modules, four, keep=[sha(one), sha(two)])
    assert [bool(modules.path(sha(content))) for content in (one, two, three)] == [True, True, False]


def test_no_room(tmp_path):
    modules = Modules(str(tmp_path), 300)
    put(modules, data(1, 200))
    with pytest.raises(TooLarge):
        modules.append(sha(data(2, 200)), 0, 200, data(2, 200), [sha(data(1, 200))])
    with pytest.raises(TooLarge):
        modules.append(sha(data(3, 301)), 0, 301, data(3, 10), ())
    assert modules.path(sha(data(1, 200)))


def test_old_parts_make_room(tmp_path):
    modules = Modules(str(tmp_path), 300)
    modules.append(sha(data(1, 200)), 0, 200, data(1, 150), ())
    put(Modules(str(tmp_path), 300), data(2, 250))
    assert os.listdir(str(tmp_path)) == [sha(data(2, 250))]
