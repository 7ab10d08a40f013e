"""Modules of the ABIs of a Linux edge, run by wasm3: C, Rust, and by hand where it has to be exact."""

import asyncio
import json
import time
from pathlib import Path

import pytest
import wasmtime

from edge import call, engine
from edge.cpython import abis, extism, host, wasi
from edge.cpython.m3 import Library
from edge.cpython.pool import Pool, wasm3_file
from edge.port import Port
from hub.modules.accept import accept

EXAMPLES = Path(__file__).parents[2] / "examples"
TYPES = {"i": "i32", "I": "i64", "v": ""}


@pytest.fixture(params=["pywasm3", "ctypes"])
def load(request):
    return engine.Instance if request.param == "pywasm3" else Library(wasm3_file()).load


@pytest.fixture
def play(load):
    """A task from its upload to its result; its log lines are in play.log."""

    def run(data, abi, function="_start", **start):
        message = {
            "task": "t1",
            "attempt": 2,
            "name": "program",
            "abi": abi,
            "function": function,
            "limits": {},
            **start,
        }
        port = Port(lambda kind, fields: run.log.append((kind, fields)))
        result = call.run(load, message, accept(data).prepared, port, lambda: None, abis.find)
        assert not result["ok"] or result["fuel"] > 0
        return result

    run.log = []
    return run


def example(name):
    return (EXAMPLES / f"{name}.wasm").read_bytes()


def module(body, names="", of=wasi.SIGNATURES, source="wasi_snapshot_preview1", pages="1"):
    """A module of WAT that imports these functions under their own names and has a page of memory."""
    lines = []
    for name in names.split():
        result, parameters = of[name].rstrip(")").split("(")
        types = " ".join(TYPES[letter] for letter in parameters)
        lines.append(f'(import "{source}" "{name}" (func ${name} (param {types}) (result {TYPES[result]})))')
    text = "\n".join(lines)
    return bytes(wasmtime.wat2wasm(f'(module {text} (memory (export "memory") {pages}) {body})'))


def code(result):
    assert result["ok"] is False
    return result["error"]["code"]


# WASI


def test_a_c_program_has_arguments_environment_input_and_output(play):
    given = {"cli_args": ["Ada", "Bob"], "env": {"GREETING": "Bonjour"}, "stdin": "one\ntwo"}
    result = play(example("hello"), "wasi", **given)
    assert result["ok"]
    assert result["stdout"] == "Bonjour, Ada!\nBonjour, Bob!\n1: one\n2: two\n"
    assert (result["stderr"], result["exit_code"]) == ("lines: 2\n", 0)
    assert "text" not in result and "outputs" not in result  # the same again would halve what fits into a message


def test_a_c_program_that_fails_says_its_exit_code(play):
    result = play(example("hello"), "wasi")
    assert code(result) == "exit_code"
    assert result["error"]["message"] == "exit code 2"
    assert (result["exit_code"], result["stderr"]) == (2, "usage: program NAME...\n")
    assert result["duration_ms"] >= 0


def test_a_rust_program_counts_the_words_of_an_object(play):
    result = play(example("words"), "wasi", cli_args=["4"], inputs={"wind": "north", "sky": "grey grey"})
    assert json.loads(result["stdout"]) == {"grey": 2, "north": 1, "wind": 1}
    result = play(example("words"), "wasi", cli_args=["four"])
    assert (code(result), result["exit_code"], result["stderr"]) == ("exit_code", 2, "LEAST is a number of letters\n")


@pytest.mark.parametrize(
    ("name", "arguments", "variables", "stdin"),
    [
        ("hello", ["Ada", "ü"], {"GREETING": "¡Hola"}, "a\n\nb"),
        ("hello", ["Ada"], {}, ""),
        ("hello", [], {}, "x"),
        ("words", ["2"], {}, "The wind and the sky, the wind!\n" * 500),
        ("words", ["x"], {}, ""),
    ],
)
def test_programs_say_the_same_as_on_wasmtime(play, tmp_path, name, arguments, variables, stdin):
    given = tmp_path / "in"
    given.write_text(stdin)
    config = wasmtime.WasiConfig()
    config.argv = ["program", *arguments]
    config.env = list(variables.items())
    config.stdin_file, config.stdout_file, config.stderr_file = given, tmp_path / "out", tmp_path / "err"
    store = wasmtime.Store()
    store.set_wasi(config)
    linker = wasmtime.Linker(store.engine)
    linker.define_wasi()
    exit_code = 0
    try:
        linker.instantiate(store, wasmtime.Module(store.engine, example(name))).exports(store)["_start"](store)
    except wasmtime.ExitTrap as ended:
        exit_code = ended.code
    result = play(example(name), "wasi", cli_args=arguments, env=variables, stdin=stdin)
    assert result["exit_code"] == exit_code
    assert result.get("stdout", "") == (tmp_path / "out").read_text()
    assert result.get("stderr", "") == (tmp_path / "err").read_text()


ENVIRON = """
(func (export "_start") (local $i i32) (local $size i32)
  (drop (call $environ_sizes_get (i32.const 0) (i32.const 4)))
  (drop (call $environ_get (i32.const 100) (i32.const 1000)))
  (i32.store (i32.const 16) (i32.const 1000))
  (i32.store (i32.const 20) (i32.load (i32.const 4)))
  (drop (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8))))
"""


@pytest.mark.parametrize("source", ["wasi_snapshot_preview1", "wasi_unstable"])
def test_the_environment_tells_the_inputs_and_the_attempt(play, source):
    data = module(ENVIRON, "environ_sizes_get environ_get fd_write", source=source)
    given = {"env": {"A": "ü", "MOTET_ATTEMPT": "9", "PARENT_RESULTS": '{"a": [7]}'}, "inputs": [1, "zwei"]}
    variables = dict(one.split("=", 1) for one in play(data, "wasi", **given)["stdout"].split("\0") if one)
    assert variables == {
        "A": "ü",
        "PARENT_RESULTS": '{"a": [7]}',
        "INPUTS": '[1,"zwei"]',
        "MOTET_TASK_ID": "t1",
        "MOTET_TASK_NAME": "program",
        "MOTET_ATTEMPT": "2",
    }
    assert "INPUTS" not in play(data, "wasi")["stdout"]


def test_an_impossible_environment_is_bad_inputs(play):
    assert (
        code(play(module(ENVIRON, "environ_sizes_get environ_get fd_write"), "wasi", env={"A=B": ""})) == "bad_inputs"
    )


# writes argument 1 times the eight bytes at 100 to the stream in argument 0
WRITE = """
(data (i32.const 16) "\\64\\00\\00\\00\\08\\00\\00\\00")
(data (i32.const 100) "%s")
(func $write (param $fd i32) (param $times i32)
  (loop
    (drop (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)))
    (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1))))))
"""


def test_output_over_the_limit_is_output_limit_and_what_fitted_is_kept(play):
    start = (
        '(func (export "_start") (call $write (i32.const 2) (i32.const 1)) (call $write (i32.const 1) (i32.const 9)))'
    )
    data = module(WRITE % "1234567\\0a" + start, "fd_write")
    result = play(data, "wasi", limits={"output_bytes": 64})
    assert code(result) == "output_limit"
    assert (result["stdout"], result["stderr"]) == ("1234567\n" * 8, "1234567\n")
    assert play(data, "wasi", limits={"output_bytes": 72})["ok"]


def test_output_that_is_no_text_comes_in_base64(play):
    start = '(func (export "_start") (call $write (i32.const 1) (i32.const 1)))'
    result = play(module(WRITE % "\\ff\\00345678" + start, "fd_write"), "wasi")
    assert (result["ok"], result["output"]) == (True, "/wAzNDU2Nzg=")
    assert "stdout" not in result


def test_what_stood_on_the_streams_survives_a_trap(play):
    start = '(func (export "_start") (call $write (i32.const 1) (i32.const 1)) unreachable)'
    result = play(module(WRITE % "partial\\0a" + start, "fd_write"), "wasi")
    assert (code(result), result["stdout"]) == ("trap_unreachable", "partial\n")


def test_exit_code_zero_is_success_from_deep_inside(play):
    start = (
        '(func (export "_start") (call $write (i32.const 1) (i32.const 1)) (call $proc_exit (i32.const 0)) unreachable)'
    )
    result = play(module(WRITE % "1234567\\0a" + start, "fd_write proc_exit"), "wasi")
    assert (result["ok"], result["stdout"], result["exit_code"]) == (True, "1234567\n", 0)


def test_a_program_that_prints_nothing_has_no_result(play):
    result = play(module('(func (export "_start"))', "fd_write"), "wasi")
    assert (result["ok"], result["outputs"], result["text"], result["exit_code"]) == (True, [], "", 0)


SLEEP = """
(func (export "_start")
  (i32.store (i32.const 16) (i32.const 1))
  (i64.store (i32.const 24) (i64.const %d))
  (drop (call $poll_oneoff (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))))
"""


def test_a_sleeping_program_is_woken_by_its_deadline(play):
    begun = time.monotonic()
    result = play(module(SLEEP % 60e9, "poll_oneoff"), "wasi", limits={"timeout_ms": 200})
    assert code(result) == "timeout"
    assert 0.2 <= time.monotonic() - begun < 5


def test_the_longest_sleep_is_woken_too(play):
    assert code(play(module(SLEEP % -1, "poll_oneoff"), "wasi", limits={"timeout_ms": 50})) == "timeout"


def test_a_program_sleeps(play):
    assert play(module(SLEEP % 50e6, "poll_oneoff"), "wasi")["duration_ms"] >= 50


GROW = """
(func (export "_start")
  (i32.store (i32.const 16) (i32.const 65536))
  (i32.store (i32.const 20) (i32.const 4))
  (i32.store (i32.const 40) (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
  (drop (memory.grow (i32.const 1)))
  (i64.store (i32.const 65536) (i64.const 0x0a6b6f))
  (i32.store (i32.const 44) (call $fd_write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
  (if (i32.ne (i32.load (i32.const 40)) (i32.const 21)) (then unreachable))
  (if (i32.load (i32.const 44)) (then unreachable)))
"""


def test_memory_that_has_grown_is_seen_and_before_that_is_a_fault(play):
    result = play(module(GROW, "fd_write", pages="1 2"), "wasi")
    assert (result["ok"], result["stdout"]) == (True, "ok\n\0")


REACTOR = """
(global $ready (mut i32) (i32.const 0))
(func (export "_initialize") (global.set $ready (i32.const 100)))
(func (export "add") (param i32) (result i32) (i32.add (global.get $ready) (local.get 0)))
(func (export "say") (call $write (i32.const 1) (i32.const 1)))
(func (export "leave") (param i32) (call $write (i32.const 2) (i32.const 1)) (call $proc_exit (local.get 0)))
(func (export "both") (result i32) (call $write (i32.const 1) (i32.const 1)) (i32.const 5))
"""


def reactor():
    return module(WRITE % "printed\\0a" + REACTOR, "fd_write proc_exit")


def test_a_librarys_function_is_called_after_its_initialisation(play):
    result = play(reactor(), "wasi", "add", inputs=[5])
    assert (result["outputs"], result["text"], result["exit_code"]) == ([105], "105\n", 0)
    assert play(reactor(), "wasi", "say")["stdout"] == "printed\n"
    assert code(play(reactor(), "wasi", "add")) == "bad_inputs"


@pytest.mark.parametrize("abi", ["call", "edge"])
def test_in_other_abis_what_is_printed_stands_beside_the_result(play, abi):
    result = play(reactor(), abi, "both")
    assert (result["outputs"], result["text"], result["stdout"]) == ([5], "5\n", "printed\n")
    result = play(reactor(), abi, "leave", inputs=[3])
    assert (code(result), result["exit_code"], result["stderr"]) == ("exit_code", 3, "printed\n")
    result = play(reactor(), abi, "leave", inputs=[0])
    assert (result["ok"], result["outputs"], result["exit_code"]) == (True, [], 0)
    assert "exit_code" not in play(reactor(), abi, "add", inputs=[1])


def test_a_function_of_another_type_than_wasis_is_refused(play):
    data = bytes(
        wasmtime.wat2wasm('(module (import "wasi_snapshot_preview1" "fd_close" (func)) (func (export "_start")))')
    )
    assert code(play(data, "wasi")) == "bad_module"


# Extism


def plugin(body, names):
    return module(body, names, of=extism.SIGNATURES, source="extism:host/env")


def test_a_c_plugin_counts_vowels(play):
    result = play(example("vowels"), "extism", "count_vowels", inputs=["Hello, Extism!"])
    assert result["ok"]
    assert json.loads(result["text"]) == {"vowels": 4, "length": 14}
    assert result["exit_code"] == 0


def test_a_plugins_error_is_the_failure(play):
    result = play(example("vowels"), "extism", "count_vowels")
    assert result["error"] == {"code": "exit_code", "message": "there is nothing to count"}
    assert result["exit_code"] == 1


# key is a word of up to eight letters in an i64
KEY = """
(func $key (param $word i64) (param $size i64) (result i64) (local $at i64)
  (local.set $at (call $alloc (local.get $size)))
  (loop
    (local.set $size (i64.sub (local.get $size) (i64.const 1)))
    (call $store_u8 (i64.add (local.get $at) (local.get $size))
      (i32.wrap_i64 (i64.shr_u (local.get $word) (i64.mul (local.get $size) (i64.const 8)))))
    (br_if 0 (i32.eqz (i64.eqz (local.get $size)))))
  (local.get $at))
"""


def word(text):
    return f"(i64.const {int.from_bytes(text.encode(), 'little')}) (i64.const {len(text)})"


def test_a_plugin_reads_its_configuration(play):
    body = f"""{KEY}
(func (export "greet") (result i32) (local $at i64)
  (local.set $at (call $config_get (call $key {word("greeting")[:-2]}8))))
  (if (i64.eqz (local.get $at)) (then (call $error_set (call $key {word("none")})) (return (i32.const -2))))
  (call $output_set (local.get $at) (call $length (local.get $at)))
  (i32.const 0))"""
    data = plugin(body, "alloc store_u8 config_get output_set length error_set")
    assert play(data, "extism", "greet", env={"greeting": "¡hola!"})["text"] == "¡hola!"
    result = play(data, "extism", "greet")
    assert (result["error"], result["exit_code"]) == ({"code": "exit_code", "message": "none"}, 2**32 - 2)


def test_a_plugins_variables_last_as_long_as_its_run(play):
    body = f"""{KEY}
(func $again (result i64) (local $at i64)
  (local.set $at (call $var_get (call $key {word("n")})))
  (if (i64.eqz (local.get $at)) (then (local.set $at (call $alloc (i64.const 8)))))
  (call $store_u64 (local.get $at) (i64.add (i64.const 1) (call $load_u64 (local.get $at))))
  (call $var_set (call $key {word("n")}) (local.get $at))
  (local.get $at))
(func (export "count") (result i32)
  (drop (call $again)) (drop (call $again))
  (call $output_set (call $again) (i64.const 1))
  (i32.const 0))"""
    data = plugin(body, "alloc store_u8 var_get var_set load_u64 store_u64 output_set")
    assert play(data, "extism", "count")["text"] == "\3"
    assert play(data, "extism", "count")["text"] == "\3"


def test_a_plugin_logs_and_gives_its_input_back(play):
    body = f"""{KEY}
(func (export "echo") (result i32)
  (if (i32.le_s (call $get_log_level) (i32.const 2)) (then (call $log_info (call $key {word("hi")}))))
  (call $log_error (call $input_offset))
  (call $output_set (call $input_offset) (call $input_length))
  (i32.const 0))"""
    data = plugin(body, "alloc store_u8 get_log_level log_info log_error input_offset input_length output_set")
    assert play(data, "extism", "echo", inputs={"a": [1, None]})["text"] == '{"a":[1,null]}'
    assert play.log == [
        ("log", {"level": "info", "text": "hi"}),
        ("log", {"level": "error", "text": '{"a":[1,null]}'}),
    ]
    assert play(data, "extism", "echo", stdin="x")["text"] == "x"


def test_a_plugin_may_not_speak_http(play):
    body = """(func (export "get") (result i32)
  (drop (call $http_request (i64.const 0) (i64.const 0))) (i32.const 0))"""
    result = play(plugin(body, "http_request"), "extism", "get")
    assert code(result) == "denied"
    assert "HTTP" in result["error"]["message"]


def test_a_plugin_has_the_memory_of_its_task(play):
    body = """(func (export "fill") (result i32)
  (if (i64.eqz (call $alloc (i64.const 131073))) (then (return (i32.const 1)))) (i32.const 0))"""
    data = plugin(body, "alloc")
    assert play(data, "extism", "fill", limits={"memory_pages": 3})["ok"]
    assert code(play(data, "extism", "fill", limits={"memory_pages": 2})) == "exit_code"
    echo = plugin('(func (export "f"))', "alloc")
    assert code(play(echo, "extism", "f", inputs=["x" * 70_000], limits={"memory_pages": 1})) == "memory_limit"


def test_a_plugins_function_takes_nothing(play):
    data = plugin(
        '(func (export "f") (param i32) (result i32) (i32.const 0)) (func (export "g") (result i64) (i64.const 0))',
        "alloc",
    )
    assert code(play(data, "extism", "f", inputs=[1])) == code(play(data, "extism", "g")) == "bad_module"
    assert play(plugin('(func (export "h"))', "alloc"), "extism", "h")["text"] == ""


def test_a_plugin_is_initialised_as_its_kit_wants(play):
    body = """(global $n (mut i32) (i32.const 40))
(func (export "%s") (global.set $n (i32.add (global.get $n) (i32.const 1))))
(func (export "f") (result i32) (global.get $n))"""
    for name, number in (("__wasm_call_ctors", 41), ("_initialize", 41), ("other", 40)):
        assert play(plugin(body % name, "alloc"), "extism", "f")["error"]["message"] == f"exit code {number}"
    assert play(module(body % "__wasm_call_ctors"), "call", "f")["outputs"] == [40]


def test_a_plugins_own_host_functions_are_not_there(play):
    data = module('(func (export "f"))', "length", of=extism.SIGNATURES, source="extism:host/user")
    result = play(data, "extism", "f")
    assert code(result) == "missing_import"
    assert "extism:host/user" in result["error"]["message"]


# In a worker process


@pytest.fixture
async def pool(tmp_path):
    """start(data, ...) of a task in a worker: an event of its start, a future of its result, and how to stop it."""
    pool = Pool()
    await pool.open()

    def start(data, **fields):
        path = tmp_path / "module"
        path.write_bytes(accept(data).prepared)
        message = {
            "task": "t",
            "attempt": 1,
            "name": "program",
            "function": "_start",
            "abi": "wasi",
            "limits": {},
            **fields,
        }
        begun, ended = asyncio.Event(), asyncio.get_running_loop().create_future()
        pool.start(message, str(path), lambda *key: begun.set(), lambda *given: ended.set_result(given[2]), print)
        return begun, ended, lambda: pool.stop("t", 1, 0)

    yield start
    await pool.close()


async def test_a_worker_runs_programs(pool):
    _, ended, _ = pool(example("hello"), cli_args=["Ada"], env={"GREETING": "Salut"}, stdin="x")
    result = await ended
    assert (result["stdout"], result["stderr"], result["exit_code"]) == ("Salut, Ada!\n1: x\n", "lines: 1\n", 0)
    _, ended, _ = pool(example("vowels"), abi="extism", function="count_vowels", inputs=["aeiou"])
    assert json.loads((await ended)["text"]) == {"vowels": 5, "length": 5}


async def test_a_worker_that_sleeps_for_ever_is_stopped(pool):
    begun, ended, stop = pool(module(SLEEP % -1, "poll_oneoff"))
    await begun.wait()
    await asyncio.sleep(0.05)  # so that it sleeps
    assert not ended.done()
    stop()
    result = await ended
    assert code(result) == "cancelled"
    assert "fuel" in result  # it ended by itself; of one that the pool has to kill nobody knows


def test_a_device_has_the_abis_that_it_says():
    assert all(abis.find(name) for name in host.ABIS)
    assert abis.find("component") is None
