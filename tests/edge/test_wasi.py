"""WASI's functions one by one: what they answer, what they write, and that no pointer leads anywhere it should not."""

import random
import struct
import time

import pytest
import wasmtime

from edge.abi import Exit
from edge.cpython.wasi import BADF, FAULT, INVAL, NOSYS, SIGNATURES, SPIPE, System
from shared.errors import TaskFailure
from tests.effort import effort

PREVIEW1 = "wasi_snapshot_preview1"
SIZE = 65536
END = SIZE - 1  # a pointer to the memory's last byte


class World:
    """A System over a page of memory; calls by name, and a clock that sleeping moves on."""

    def __init__(self, *arguments, env=None, stdin=b"", output_bytes=1000, memory=True):
        self.memory = bytearray(b"\xaa" * SIZE)
        self.slept = []
        self.system = System(
            ["program", *arguments],
            env or {},
            stdin,
            output_bytes,
            lambda: memoryview(self.memory) if memory else None,
            self.slept.append,
        )
        self.functions = self.system.functions()

    def call(self, name, *arguments, module=PREVIEW1):
        return self.functions[module, name][1](*arguments)

    def numbers(self, at, layout):
        return struct.unpack_from("<" + layout, self.memory, at)

    def vectors(self, at, *pieces):
        for i, piece in enumerate(pieces):
            struct.pack_into("<II", self.memory, at + 8 * i, *piece)
        return at, len(pieces)

    def write(self, fd, data):
        self.memory[1000 : 1000 + len(data)] = data
        return self.call("fd_write", fd, *self.vectors(0, (1000, len(data))), 500)


def untouched(world):
    return world.memory == b"\xaa" * SIZE


def test_every_function_has_the_type_that_wasmtime_gives_it():
    words = {"i": "i32", "I": "i64", "v": ""}
    imports = ""
    for name, signature in SIGNATURES.items():
        result, parameters = signature.rstrip(")").split("(")
        types = " ".join(words[letter] for letter in parameters)
        imports += f'(import "{PREVIEW1}" "{name}" (func (param {types}) (result {words[result]})))\n'
    store = wasmtime.Store()
    store.set_wasi(wasmtime.WasiConfig())
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    module = wasmtime.wat2wasm(f'(module {imports} (memory (export "memory") 1))')
    linker.instantiate(store, wasmtime.Module(store.engine, module))
    assert len(SIGNATURES) == 46  # preview1's 45, and sock_accept


def test_both_versions_are_offered():
    functions = World().functions
    assert {name for module, name in functions if module == PREVIEW1} == set(SIGNATURES)
    assert {name for module, name in functions if module == "wasi_unstable"} == set(SIGNATURES) - {"sock_accept"}


@pytest.mark.parametrize(
    "name", ["path_open", "path_unlink_file", "fd_pread", "fd_renumber", "sock_accept", "proc_raise"]
)
def test_files_sockets_and_signals_answer_that_they_are_not_there(name):
    arguments = [0] * len(SIGNATURES[name][2:-1])
    assert World().call(name, *arguments) == NOSYS


def test_arguments_and_environment_lie_where_the_pointers_say():
    world = World("a", "béta", env={"GREETING": "Bonjour", "EMPTY": ""})
    assert world.call("args_sizes_get", 0, 4) == 0
    count, size = world.numbers(0, "II")
    assert (count, size) == (3, len("program\0a\0b\0\0ta\0"))
    assert world.call("args_get", 100, 200) == 0
    assert world.memory[200 : 200 + size] == "program\0a\0béta\0".encode()
    assert world.numbers(100, "3I") == (200, 208, 210)
    assert world.call("environ_sizes_get", 0, 4) == 0
    assert world.call("environ_get", 100, 200) == 0
    assert world.numbers(0, "II") == (2, 24)
    assert world.memory[200:224] == b"GREETING=Bonjour\0EMPTY=\0"


@pytest.mark.parametrize(
    "given",
    [{"arguments": ["a\0b"]}, {"env": {"A": "x\0"}}, {"env": {"A=B": "x"}}, {"env": {"": "x"}}, {"env": {"A\0": "x"}}],
)
def test_what_a_c_string_cannot_hold_is_refused(given):
    with pytest.raises(TaskFailure) as refused:
        World(*given.get("arguments", []), env=given.get("env"))
    assert refused.value.code == "bad_inputs"


def test_standard_input_is_read_in_pieces_to_its_end():
    world = World(stdin=b"hello world")
    assert world.call("fd_read", 0, *world.vectors(0, (100, 3), (200, 4)), 50) == 0
    assert (world.memory[100:103], world.memory[200:204], world.numbers(50, "I")) == (b"hel", b"lo w", (7,))
    assert world.call("fd_read", 0, *world.vectors(0, (100, 100)), 50) == 0
    assert (world.memory[100:104], world.numbers(50, "I")) == (b"orld", (4,))
    assert world.memory[104] == 0xAA
    assert world.call("fd_read", 0, *world.vectors(0, (100, 100)), 50) == 0
    assert world.numbers(50, "I") == (0,)


def test_output_and_errors_are_kept_apart():
    world = World()
    assert world.write(1, b"one ") == world.write(2, b"oops") == world.write(1, b"two") == 0
    assert world.numbers(500, "I") == (3,)
    assert (bytes(world.system.stdout), bytes(world.system.stderr)) == (b"one two", b"oops")


def test_output_over_the_limit_ends_the_module():
    world = World(output_bytes=10)
    assert world.write(1, b"0123456789") == 0
    with pytest.raises(TaskFailure) as ended:
        world.write(1, b"x")
    assert ended.value.code == "output_limit"
    assert "11 bytes" in ended.value.message


def test_of_errors_the_last_four_kilobytes_are_kept():
    world = World(output_bytes=10)
    for i in range(300):
        world.write(2, b"%99d\n" % i)
    assert len(world.system.stderr) == 4096
    assert world.system.stderr.endswith(b"299\n")
    world.write(2, b"-" * 9000 + b"end")
    assert world.system.stderr == b"-" * 4093 + b"end"


def test_streams_are_one_way_and_closed_once():
    world = World(stdin=b"x")
    assert world.call("fd_write", 0, 0, 0, 0) == BADF
    assert world.call("fd_read", 1, 0, 0, 0) == BADF
    assert world.call("fd_write", 3, 0, 0, 0) == BADF
    assert world.call("fd_close", 1) == 0
    assert world.write(1, b"x") == BADF
    assert world.call("fd_close", 1) == BADF
    assert world.call("fd_fdstat_get", 1, 0) == BADF


def test_streams_look_like_pipes():
    world = World()
    assert world.call("fd_fdstat_get", 0, 0) == 0
    assert world.numbers(0, "BxHxxxxQQ") == (0, 0, 1 << 1 | 1 << 27, 0)
    assert world.call("fd_fdstat_get", 2, 0) == 0
    assert world.numbers(0, "BxHxxxxQQ") == (0, 0, 1 << 6 | 1 << 27, 0)
    assert world.call("fd_filestat_get", 1, 100) == 0
    assert world.memory[100:164] == b"\0" * 24 + b"\1" + b"\0" * 39
    assert world.call("fd_filestat_get", 1, 200, module="wasi_unstable") == 0
    assert world.memory[200:257] == b"\0" * 20 + b"\1" + b"\0" * 35 + b"\xaa"
    assert world.call("fd_seek", 1, 0, 0, 0) == world.call("fd_tell", 0, 0) == SPIPE
    assert world.call("fd_prestat_get", 3, 0) == BADF


def test_clocks():
    world = World()
    for clock, now in ((0, time.time_ns), (1, time.monotonic_ns)):
        before = now()
        assert world.call("clock_time_get", clock, 0, 8) == 0
        assert before <= world.numbers(8, "Q")[0] <= now()
    assert world.call("clock_time_get", 2, 0, 8) == 0
    assert world.numbers(8, "Q")[0] < 60e9  # the CPU time of this run, not of the process that runs it
    assert world.call("clock_res_get", 1, 8) == 0
    assert world.numbers(8, "Q") == (1,)
    assert world.call("clock_time_get", 4, 0, 8) == world.call("clock_res_get", -1, 8) == INVAL


def test_random_fills_what_it_was_asked_for_and_no_more():
    world = World()
    assert world.call("random_get", 100, 300) == 0
    assert len(set(world.memory[100:400])) > 50
    assert world.memory[:100] + world.memory[400:] == b"\xaa" * (SIZE - 300)


def test_the_exit_code_is_unsigned():
    with pytest.raises(Exit) as ended:
        World().call("proc_exit", -1)
    assert ended.value.code == 2**32 - 1


def test_yielding_lets_the_host_look():
    world = World()
    assert world.call("sched_yield") == 0
    assert world.slept == [0]


# poll_oneoff: structures of preview1 and preview0

CLOCK, READ, WRITE = 0, 1, 2
SIZES = {PREVIEW1: 48, "wasi_unstable": 56}


def poll(world, *wanted, module=PREVIEW1):
    """The events that come; wanted: (userdata, CLOCK, clock, timeout in ns, flags) or (userdata, READ or WRITE, fd)."""
    for i, (userdata, kind, *rest) in enumerate(wanted):
        start = SIZES[module] * i
        struct.pack_into("<QB", world.memory, start, userdata, kind)
        if kind == CLOCK:
            layout = "<I4xQQH" if module == PREVIEW1 else "<8xI4xQQH"
            number, timeout, flags = rest
            struct.pack_into(layout, world.memory, start + 16, number, timeout, 0, flags)
        else:
            struct.pack_into("<I", world.memory, start + 16, *rest)
    answer = world.call("poll_oneoff", 0, 2000, len(wanted), 4000, module=module)
    if answer:
        return answer
    return [world.numbers(2000 + 32 * i, "QHB5xQH") for i in range(world.numbers(4000, "I")[0])]


@pytest.mark.parametrize("module", SIZES)
def test_a_sleep_is_as_long_as_asked_and_through_the_host(module):
    world = World()
    assert poll(world, (7, CLOCK, 1, 250_000_000, 0), module=module) == [(7, 0, CLOCK, 0, 0)]
    assert world.slept == [250]


def test_of_several_clocks_the_first_due_ends_the_sleep():
    world = World()
    events = poll(world, (1, CLOCK, 1, 5 * 10**9, 0), (2, CLOCK, 0, 10**6, 0), (3, CLOCK, 1, 10**6, 0))
    assert events == [(2, 0, CLOCK, 0, 0), (3, 0, CLOCK, 0, 0)]
    assert world.slept == [1]


def test_a_clock_can_be_given_as_a_point_in_time():
    world = World()
    assert poll(world, (1, CLOCK, 0, time.time_ns() + 10**9, 1)) == [(1, 0, CLOCK, 0, 0)]
    assert 900 < world.slept[0] <= 1000
    assert poll(world, (1, CLOCK, 1, 5, 1)) == [(1, 0, CLOCK, 0, 0)]
    assert world.slept[1:] == [0]


def test_a_sleep_without_end_is_the_hosts_to_cut():
    world = World()
    poll(world, (1, CLOCK, 1, 2**64 - 1, 0))
    assert world.slept == [(2**64 - 1) / 1e6]


def test_streams_are_ready_at_once():
    world = World(stdin=b"abc")
    events = poll(world, (1, READ, 0), (2, WRITE, 1), (3, CLOCK, 1, 10**9, 0), (4, CLOCK, 1, 0, 0))
    assert events == [(1, 0, READ, 3, 0), (2, 0, WRITE, 1000, 0), (4, 0, CLOCK, 0, 0)]
    assert world.slept == []
    assert poll(World(), (1, READ, 0)) == [(1, 0, READ, 0, 1)]  # at its end: hung up


def test_a_wrong_subscription_is_an_event_with_an_error():
    events = poll(World(), (1, READ, 1), (2, WRITE, 9), (3, CLOCK, 9, 1, 0), (4, 5, 0))
    assert [(event[0], event[1]) for event in events] == [(1, BADF), (2, BADF), (3, INVAL), (4, INVAL)]
    assert poll(World()) == INVAL


# Pointers

POINTERS = {  # name: arguments with one pointer (or count) at their end that does not fit
    "args_sizes_get": [(END, 0), (0, END), (-1, 0)],
    "args_get": [(END, 0), (0, END), (0, -4)],
    "environ_get": [(SIZE, 0), (0, END)],
    "clock_time_get": [(0, 0, END - 6), (0, 0, -1)],
    "clock_res_get": [(0, END)],
    "fd_read": [(0, 0, 1, END), (0, END, 1, 0), (0, -8, 1, 0)],
    "fd_write": [(1, 0, 1, END), (1, END, 1, 0), (1, SIZE - 8, 2, 0)],
    "fd_fdstat_get": [(0, SIZE - 23)],
    "fd_filestat_get": [(1, SIZE - 63)],
    "poll_oneoff": [(SIZE - 47, 0, 1, 0), (0, SIZE - 31, 1, 0), (0, 0, 1, SIZE - 3)],
    "random_get": [(0, SIZE + 1), (1, SIZE), (0, -1), (-1, 2)],
}


@pytest.mark.parametrize(("name", "arguments"), [(name, one) for name, many in POINTERS.items() for one in many])
@pytest.mark.parametrize("memory", [True, False], ids=["a page", "no memory"])
def test_a_pointer_outside_the_memory_is_a_fault_and_nothing_is_written(name, arguments, memory):
    world = World(env={"A": "b"}, stdin=b"x", memory=memory)
    assert world.call(name, *arguments) == FAULT
    assert untouched(world)
    assert world.slept == []


def test_one_bad_vector_spoils_the_call():
    world = World(stdin=b"abcdef")
    assert world.call("fd_read", 0, *world.vectors(0, (100, 3), (END, 2)), 50) == FAULT
    assert world.memory[100:103] == b"\xaa" * 3
    assert world.call("fd_write", 1, *world.vectors(0, (100, 3), (0xFFFFFFFF, 1)), 50) == FAULT
    assert world.system.stdout == b""
    assert world.call("fd_read", 0, *world.vectors(0, (100, 3)), 50) == 0
    assert world.memory[100:103] == b"abc"  # the input is where it was


def test_a_call_whose_answer_has_no_place_does_nothing():
    world = World(stdin=b"abc")
    assert world.call("fd_read", 0, *world.vectors(0, (100, 3)), END) == FAULT
    assert world.memory[100:103] == b"\xaa" * 3
    assert world.call("fd_read", 0, *world.vectors(0, (100, 3)), 50) == 0
    assert world.memory[100:103] == b"abc"
    assert world.call("fd_write", 1, *world.vectors(0, (100, 3)), END) == FAULT
    assert world.system.stdout == b""
    struct.pack_into("<QBxxxxxxxI4xQQH", world.memory, 0, 1, CLOCK, 1, 10**9, 0, 0)
    assert world.call("poll_oneoff", 0, END, 1, 50) == world.call("poll_oneoff", 0, 200, 1, END) == FAULT
    assert world.slept == []
    assert world.call("poll_oneoff", 0, 200, 1, 50) == 0


def test_more_vectors_than_any_system_takes_are_refused():
    world = World()
    assert world.call("fd_write", 1, 0, 1025, 50) == INVAL
    assert world.call("fd_write", 1, 0, -1, 50) == INVAL
    assert world.call("poll_oneoff", 0, 0, 1025, 50) == INVAL


@pytest.mark.parametrize("name", ["random_get", "args_get", "clock_time_get"])
def test_pointers_are_unsigned(name):
    """wasm3 gives an i32 signed; beyond 2 GiB it is negative. Here -SIZE would be 0 if it were taken as it comes."""
    world = World()
    arguments = {"random_get": (-SIZE, 4), "args_get": (-SIZE, 0), "clock_time_get": (0, 0, -SIZE)}[name]
    assert world.call(name, *arguments) == FAULT
    assert untouched(world)


LIKELY = [0, 1, 2, 3, 8, 100, END - 8, END, SIZE, -1, -8, -SIZE]


def test_whatever_a_module_passes_it_gets_a_number_or_is_ended():
    chance = random.Random(1)
    for _ in range(effort(20_000)):
        world = World("a", env={"A": "b"}, stdin=b"some input", output_bytes=100)
        world.memory[:200] = bytes(chance.choices([0, 0, 1, 2, 100, 255], k=200))
        module, name = chance.choice(list(world.functions))
        for _ in range(5):
            values = [
                chance.choice(LIKELY) if chance.random() < 0.7 else chance.getrandbits(bits) - (1 << bits - 1)
                for bits in [32 if letter == "i" else 64 for letter in SIGNATURES[name][2:-1]]
            ]
            try:
                answer = world.call(name, *values, module=module)
            except (Exit, TaskFailure):
                break
            assert 0 <= answer <= 76  # preview1's highest error
        assert len(world.memory) == SIZE
