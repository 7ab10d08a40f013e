"""The Extism host functions one by one, as plug-ins of today's kits use them."""

import random

import pytest

from edge.cpython.extism import SIGNATURES, Kernel
from shared.errors import TaskFailure
from tests.effort import effort


class Host:
    """A Kernel, its functions as attributes, and its log."""

    def __init__(self, payload=b"", config=None, memory_bytes=100_000, output_bytes=1000):
        self.log = []
        self.kernel = Kernel(
            payload, config or {}, memory_bytes, output_bytes, lambda level, text: self.log.append((level, text))
        )
        for (module, name), (signature, function) in self.kernel.functions().items():
            assert (module, signature) == ("extism:host/env", SIGNATURES[name])
            setattr(self, name, function)

    def block(self, data):
        """A block as a kit makes one: alloc, then eight bytes at a time, the rest one by one."""
        offset = self.alloc(len(data))
        whole = len(data) & ~7
        for i in range(0, whole, 8):
            self.store_u64(offset + i, int.from_bytes(data[i : i + 8], "little", signed=True))
        for i in range(whole, len(data)):
            self.store_u8(offset + i, data[i])
        return offset

    def read(self, offset):
        size = self.length(offset)
        whole = size & ~7
        words = [self.load_u64(offset + i).to_bytes(8, "little", signed=True) for i in range(0, whole, 8)]
        return b"".join(words) + bytes(self.load_u8(offset + i) for i in range(whole, size))


DATA = bytes(range(256)) * 3 + b"\xff\x80tail"


def test_a_block_keeps_what_is_stored():
    host = Host()
    first, second = host.block(DATA), host.block(b"other")
    assert first and second and first != second
    assert (host.read(first), host.read(second)) == (DATA, b"other")
    assert host.length_unsafe(first) == len(DATA)


@pytest.mark.parametrize("data", [b"", b"x", DATA])
def test_the_input_is_read_by_both_ways(data):
    host = Host(data)
    assert host.input_length() == len(data)
    assert bytes(host.input_load_u8(i) for i in range(len(data))) == data
    assert host.read(host.input_offset()) == data
    if len(data) >= 8:
        assert host.input_load_u64(len(data) - 8).to_bytes(8, "little", signed=True) == data[-8:]


def test_the_output_is_what_lies_there_at_the_end():
    host = Host()
    block = host.block(b"0123456789")
    host.output_set(block + 2, 5)
    host.store_u8(block + 3, ord("x"))
    assert host.kernel.output() == b"2x456"
    host.output_set(0, 0)
    assert host.kernel.output() == b""


def test_output_over_the_limit_ends_the_plugin():
    host = Host(output_bytes=10)
    block = host.block(b"0123456789a")
    host.output_set(block, 10)
    with pytest.raises(TaskFailure) as ended:
        host.output_set(block, 11)
    assert ended.value.code == "output_limit"


def test_an_error_is_set_read_and_taken_back():
    host = Host()
    assert (host.kernel.error, host.error_get()) == ("", 0)
    block = host.block("Fehler: ä".encode())
    host.error_set(block)
    assert (host.kernel.error, host.error_get()) == ("Fehler: ä", block)
    host.error_set(0)
    assert host.kernel.error == ""


def test_configuration_is_what_the_task_gives():
    host = Host(config={"greeting": "¡hola!", "empty": ""})
    assert host.read(host.config_get(host.block(b"greeting"))) == "¡hola!".encode()
    assert host.config_get(host.block(b"empty")) == host.config_get(host.block(b"none")) == host.config_get(0) == 0


def test_variables_are_set_read_and_removed():
    host = Host()
    key = host.block(b"count")
    assert host.var_get(key) == 0
    value = host.block(b"\x01\x02")
    host.var_set(key, value)
    host.store_u8(value, 9)  # the variable is a copy
    host.free(value)
    assert host.read(host.var_get(key)) == b"\x01\x02"
    host.var_set(key, host.block(b"\x03"))
    assert host.read(host.var_get(key)) == b"\x03"
    host.var_set(key, 0)
    assert host.var_get(key) == 0


def test_log_lines_go_out_with_their_level():
    host = Host()
    line = host.block(b"line \xff")
    for name in ("trace", "debug", "info", "warn", "error"):
        getattr(host, "log_" + name)(line)
    assert host.log == [(level, "line �") for level in (0, 0, 1, 2, 3)]
    assert host.get_log_level() == 1


def test_http_is_refused_in_words():
    host = Host()
    with pytest.raises(TaskFailure) as refused:
        host.http_request(host.block(b'{"url": "http://localhost"}'), 0)
    assert refused.value.code == "denied"
    assert "HTTP" in refused.value.message
    assert (host.http_status_code(), host.http_headers()) == (0, 0)


def test_what_is_freed_is_used_again():
    host = Host(memory_bytes=20_000)
    for i in range(5000):  # 12 MB in all
        block = host.alloc(1 + i)
        assert block, i
        host.free(block)
        assert host.length(block) == 0


def test_memory_is_bounded():
    host = Host(memory_bytes=10_000)
    blocks = []
    while block := host.alloc(1000):
        blocks.append(block)
    assert len(blocks) == 9
    assert host.alloc(2**62) == host.alloc(-1) == host.alloc(0) == 0
    host.free(blocks.pop())
    assert host.alloc(1000)


def test_data_that_does_not_fit_ends_the_plugin_rather_than_be_missing():
    with pytest.raises(TaskFailure) as ended:
        Host(b"x" * 2000, memory_bytes=1000)
    assert ended.value.code == "memory_limit"
    host = Host(config={"big": "x" * 900}, memory_bytes=1000)
    with pytest.raises(TaskFailure) as ended:
        host.config_get(host.block(b"big"))
    assert ended.value.code == "memory_limit"
    host = Host(memory_bytes=1000)
    value = host.block(b"x" * 400)
    host.var_set(host.block(b"a"), value)
    host.var_set(host.block(b"a"), value)
    with pytest.raises(TaskFailure) as ended:
        for name in b"bcd":
            host.var_set(host.block(bytes([name])), value)
    assert ended.value.code == "memory_limit"


def test_bad_offsets_do_what_they_do_in_the_kernel():
    host = Host(b"input")
    block = host.block(b"12345678")
    end = 1 << 20
    assert host.load_u8(0) == host.load_u8(-1) == host.load_u8(end) == host.load_u8(2**63 - 1) == 0
    assert host.load_u64(0) == host.load_u64(-5) == host.load_u64(end) == host.load_u64(block + 1) == 0
    host.store_u8(-1, 1)
    host.store_u64(block + 1, -1)
    host.store_u64(end, -1)
    host.free(end)
    host.free(block + 1)
    assert host.read(block) == b"12345678"
    assert host.length(block + 1) == host.length(-1) == 0
    assert host.input_load_u8(5) == host.input_load_u8(-1) == host.input_load_u64(0) == 0
    host.output_set(block, 2**62)
    host.output_set(-8, 8)
    host.output_set(block, -1)
    assert host.kernel.output() == b""
    host.error_set(end)
    assert host.kernel.error == ""
    host.free(host.input_offset())
    assert host.input_length() == 0


def test_whatever_a_plugin_passes_it_gets_a_number_or_is_ended():
    chance = random.Random(1)
    for _ in range(effort(10_000)):
        host = Host(b"some input", {"a": "b"}, memory_bytes=4096, output_bytes=100)
        for _ in range(20):
            name = chance.choice(list(SIGNATURES))
            values = [
                chance.randrange(-10, 300) if chance.random() < 0.7 else chance.getrandbits(bits) - (1 << bits - 1)
                for bits in [32 if letter == "i" else 64 for letter in SIGNATURES[name][2:-1]]
            ]
            try:
                answer = getattr(host, name)(*values)
            except TaskFailure:
                break
            assert (answer is None) is SIGNATURES[name].startswith("v")
        assert len(host.kernel._data) <= 4096
        assert len(host.kernel.output()) <= 100
        assert isinstance(host.kernel.error, str)
