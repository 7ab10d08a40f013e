"""What the edge reads of a module's bytes, and the one number that it changes in them."""

import pytest

from edge import binary
from shared.faults import TaskFailure
from tests.edge import wasms
from tests.edge.wasms import function, module

MAIN = function("main", b"\x01")


def padded(number, size):
    """A LEB of so many bytes."""
    return bytes([number >> 7 * i & 0x7F | (0x80 if i < size - 1 else 0) for i in range(size)])


def limits(least, most=None, size=5):
    return b"\x00" + wasms.leb(least) if most is None else b"\x01" + wasms.leb(least) + padded(most, size)


@pytest.mark.parametrize(
    ("data", "pages"),
    [
        (module(MAIN), 0),
        (module(MAIN, pages=0), 0),
        (module(MAIN, pages=300), 300),
        (module(MAIN, limits=limits(2, 4096)), 2),
    ],
)
def test_memory_pages(data, pages):
    assert binary.memory_pages(data) == pages


@pytest.mark.parametrize(
    ("most", "size", "pages", "after"),
    [(4096, 5, 256, 256), (4096, 5, 4096, 4096), (100, 5, 256, 100), (4096, 5, 0, 1), (0, 5, 256, 1), (4096, 2, 3, 3),
     (5, 1, 2, 2), (0, 1, 0, 1)],
)  # fmt: skip
def test_the_maximum_is_lowered_in_place(most, size, pages, after):
    before = module(MAIN, limits=limits(0, most, size))
    wanted = module(MAIN, limits=limits(0, after, size))
    data = bytearray(before)
    assert binary.limit_memory(data, pages) is data
    assert bytes(data) == wanted
    assert bytes(binary.limit_memory(before, pages)) == wanted  # bytes are not changed, but copied
    assert before == module(MAIN, limits=limits(0, most, size))


@pytest.mark.parametrize("data", [module(MAIN), module(MAIN, pages=1), module(MAIN, limits=limits(1, 16))])
def test_a_module_that_has_nothing_to_lower_stays_itself(data):
    assert binary.limit_memory(data, 16) is data


def test_imports():
    imports = (("env", "a", "v()"), ("edge", "tick", "i()"), ("ü", "", "I(iIfF)"), ("m", "two", "iF(i)"))
    assert binary.imports(module(MAIN, imports=imports)) == list(imports)
    assert binary.imports(module(MAIN)) == []


def test_imports_between_what_is_no_function():
    def entry(module_, name, rest):
        return wasms.name(module_) + wasms.name(name) + rest

    entries = [
        entry("m", "table", b"\x01\x70\x01\x01\x80\x01"),
        entry("m", "f", b"\x00\x00"),
        entry("m", "memory", b"\x02\x00\x01"),
        entry("m", "global", b"\x03\x7f\x00"),
        entry("m", "g", b"\x00\x00"),
    ]
    data = wasms.one(b"\x01")
    at = data.index(b"\x03\x02\x01\x00")  # the section of functions
    data = data[:at] + wasms.section(2, wasms.vector(entries)) + data[at:]
    assert binary.imports(data) == [("m", "f", "v()"), ("m", "g", "v()")]


def test_the_start_function():
    assert binary.start_function(module(MAIN)) == -1
    assert binary.start_function(module(MAIN, start=0)) == 0


@pytest.mark.parametrize("read", [binary.memory_pages, binary.start_function, binary.imports])
def test_a_module_that_ends_too_early(read):
    whole = module(MAIN, MAIN, pages=1, start=1, imports=(("env", "a", "v()"),))
    for end in range(len(whole)):
        try:
            read(whole[:end])
        except TaskFailure as error:
            assert error.code == "bad_module"


def test_what_never_ends():
    with pytest.raises(TaskFailure):
        binary.memory_pages(b"\0asm\1\0\0\0\5\xff\xff\xff\xff\xff\xff")


def test_an_import_of_a_type_that_is_not_there():
    data = module(MAIN, imports=(("env", "a", "v()"),)).replace(b"\x01a\x00\x01", b"\x01a\x00\x07")
    with pytest.raises(TaskFailure, match="of type 7"):
        binary.imports(data)
