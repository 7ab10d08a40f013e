"""The functions of module `edge`, through wasm3 in this process and through the workers' binding."""

import base64
import json

import pytest
from wasmtime import wat2wasm

from edge import call, engine
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from edge.port import Port
from hub.modules.prepare import prepare
from shared.errors import TaskFailure
from shared.host import functions

OUTPUT = '(import "edge" "output" (func $output (param i32 i32) (result i32)))'
OUTPUT_BYTE = '(import "edge" "output_byte" (func $output_byte (param i32)))'
LEN = '(import "edge" "input_len" (func $len (result i32)))'
READ = '(import "edge" "input_read" (func $read (param i32 i32 i32) (result i32)))'
BYTE = '(import "edge" "input_byte" (func $byte (param i32) (result i32)))'
# the payload, copied to the output
ECHO = f"""(module {LEN} {READ} {OUTPUT} (memory 2)
  (func (export "main") (drop (call $output (i32.const 7) (call $read (i32.const 7) (i32.const 0) (call $len))))))"""


class Board:
    """A thermometer at 21.5, pins that remember."""

    functions = ("sensor", "gpio_read", "gpio_write", "adc")

    def __init__(self):
        self.pins = {}

    def sensor(self, channel):
        if channel == 9:
            raise OSError("no answer")
        if channel == 8:
            raise TaskFailure("channel 8 is not for tasks", "denied")
        return -21.5

    def gpio_read(self, pin):
        return self.pins.get(pin, 0)

    def gpio_write(self, pin, value):
        self.pins[pin] = value

    def adc(self, channel):
        return 4095 if channel == 1 else -1


class Runs:
    """Runs of modules, and what they said."""

    def __init__(self, load, metered):
        self._load = load
        self._metered = metered
        self.events = []
        self.board = Board()

    def __call__(self, wat, inputs=None, board=True, **fields):
        data = bytes(wat2wasm(wat))
        if self._metered:
            data = prepare(data)
        port = Port(lambda kind, said: self.events.append((kind, said)), self.board if board else None)
        start = {"task": "t", "attempt": 3, "name": "näme", "function": "main", "abi": "edge", "inputs": inputs}
        return call.run(self._load, {**start, "limits": {}, **fields}, data, port, lambda: None)


@pytest.fixture(params=["pywasm3", "ctypes"])
def run(request):
    """Metered on the engine of the workers, as it comes on the other."""
    if request.param == "pywasm3":
        return Runs(engine.Instance, False)
    return Runs(Library(wasm3_file()).load, True)


def code(result):
    assert result["ok"] is False
    return result["error"]["code"]


def get(function, *arguments, result="(result i32)"):
    """A module whose main returns what a host function answers."""
    signature = functions()[function]
    params = "(param" + " i32" * (len(signature) - 3) + ")"
    given = " ".join(f"(i32.const {argument})" for argument in arguments)
    return f"""(module (import "edge" "{function}" (func $f {params} {result})) (memory 1)
      (data (i32.const 0) "abcdefgh") (func (export "main") {result} (call $f {given})))"""


# Input


@pytest.mark.parametrize(
    ("fields", "payload"),
    [
        ({}, ""),
        ({"inputs": []}, ""),
        ({"inputs": ["grüße"]}, "grüße"),
        ({"inputs": [""]}, ""),
        ({"inputs": [7]}, "[7]"),
        ({"inputs": ["a", "b"]}, '["a","b"]'),
        ({"inputs": {"a": [1, None], "ü": True}}, '{"a":[1,null],"ü":true}'),
        ({"inputs": ["a"], "stdin": "typed"}, "typed"),
        ({"inputs": ["a"], "stdin": ""}, ""),
        ({"stdin": "line\n"}, "line\n"),
        ({"stdin": "x" * 30_000}, "x" * 30_000),
    ],
)
def test_the_payload(run, fields, payload):
    result = run(ECHO, **fields)
    if not payload:  # nothing was written, so what main returned counts
        assert (result["outputs"], result["text"]) == ([], "")
    else:
        assert result["text"] == payload
        assert "outputs" not in result


def test_the_payload_byte_by_byte_without_a_memory(run):
    wat = f"""(module {BYTE} {OUTPUT_BYTE} (func (export "main") (local $i i32) (local $b i32)
      (loop $next (local.set $b (call $byte (local.get $i))) (if (i32.ge_s (local.get $b) (i32.const 0)) (then
        (call $output_byte (local.get $b)) (local.set $i (i32.add (local.get $i) (i32.const 1))) (br $next))))))"""
    assert run(wat, ["héllo"])["text"] == "héllo"


def test_no_byte_is_before_the_first(run):
    assert run(get("input_byte", -1), ["x"])["outputs"] == [-1]


def test_reading_on_from_an_offset(run):
    assert run(get("input_read", 0, 2, 100), ["abcdef"])["outputs"] == [4]
    assert run(get("input_read", 0, 6, 100), ["abcdef"])["outputs"] == [0]
    assert run(get("input_read", 0, -1, 100), ["abcdef"])["outputs"] == [0]
    assert run(get("input_read", 0, 0, -1), ["abcdef"])["outputs"] == [6]


def test_a_function_with_parameters_gets_the_inputs(run):
    wat = f'(module {LEN} (func (export "main") (param i32) (result i32) (i32.add (local.get 0) (call $len))))'
    assert run(wat, [30])["outputs"] == [34]  # [30] is four bytes of payload
    assert code(run(wat, [])) == "bad_inputs"
    assert code(run(wat, {"a": 1})) == "bad_inputs"


@pytest.mark.parametrize("inputs", [["\ud800"], {"a": "\ud800"}])
def test_half_a_character_is_refused(run, inputs):
    assert code(run(ECHO, inputs)) == "bad_inputs"


def test_deep_inputs_pass_or_are_refused(run):
    for depth in (500, 100_000):
        inputs = []
        for _ in range(depth):
            inputs = [inputs]
        result = run(ECHO, {"a": inputs})
        assert result["ok"] or code(result) == "bad_inputs"


# Output


def test_bytes_that_are_no_text_come_as_base64(run):
    wat = f"""(module {OUTPUT} (memory 1) (data (i32.const 0) "\\ff\\00a")
      (func (export "main") (drop (call $output (i32.const 0) (i32.const 3)))))"""
    result = run(wat)
    assert base64.b64decode(result["output"]) == b"\xff\0a"
    assert "text" not in result
    json.dumps(result)


def test_what_was_written_goes_before_what_is_returned(run):
    wat = f"""(module {OUTPUT_BYTE} (func (export "main") (result i32)
      (call $output_byte (i32.const 0x141)) (i32.const 7)))"""
    assert run(wat)["text"] == "A"


def test_output_over_its_limit(run):
    wat = f"""(module {OUTPUT_BYTE} (func (export "main") (param $n i32) (loop $next (call $output_byte (i32.const 65))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
    limits = {"output_bytes": 10}
    assert run(wat, [10], limits=limits)["text"] == "A" * 10
    result = run(wat, [11], limits=limits)
    assert code(result) == "output_limit"
    assert "11 bytes" in result["error"]["message"]
    assert code(run(wat, [40_000])) == "output_limit"  # 32 KiB without a limit of the task's own


# Pointers


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("input_read", (65535, 0, 2)),
        ("input_read", (-1, 0, 2)),
        ("output", (65536, 1)),
        ("output", (0, 65537)),
        ("output", (-8, 16)),
        ("output", (0, -1)),
        ("log", (1, 65530, 7)),
        ("random", (65535, 2)),
        ("task_name", (65534, 5)),
        ("publish", (65536, 5, 0, 1)),
        ("publish", (0, 5, 65536, 1)),
    ],
)
def test_a_pointer_that_leads_nowhere_traps(run, function, arguments):
    result = "" if function == "log" else "(result i32)"
    answer = run(get(function, *arguments, result=result), ["abc"], allow=["publish"])
    assert code(answer) == "trap_oob"
    assert "the memory has 65536" in answer["error"]["message"]
    assert run.events == []


def test_a_pointer_without_a_memory_traps(run):
    wat = f'(module {OUTPUT} (func (export "main") (drop (call $output (i32.const 0) (i32.const 1)))))'
    assert code(run(wat)) == "trap_oob"


@pytest.mark.parametrize("function", ["output", "random"])
def test_nothing_at_the_very_end_is_no_trap(run, function):
    assert run(get(function, 65536, 0))["outputs"] == [0]


def test_memory_that_grew_is_the_new_one(run):
    wat = f"""(module {OUTPUT} {READ} (memory 1)
      (func (export "main") (drop (call $read (i32.const 0) (i32.const 0) (i32.const 3)))
        (drop (memory.grow (i32.const 30)))
        (drop (call $read (i32.const 1000000) (i32.const 0) (i32.const 3)))
        (drop (call $output (i32.const 0) (i32.const 3))) (drop (call $output (i32.const 1000000) (i32.const 3)))))"""
    assert run(wat, ["abc"])["text"] == "abcabc"


# The task


def test_the_task_itself(run):
    assert run(get("attempt"))["outputs"] == [3]
    assert run(get("cancelled"))["outputs"] == [0]
    assert 0 <= run(get("millis"))["outputs"][0] < 1000
    assert run(get("task_name", 0, 2))["outputs"] == [5]  # of bytes, "ä" has two


def test_the_name_is_cut_to_its_room(run):
    wat = f"""(module {OUTPUT} (import "edge" "task_name" (func $name (param i32 i32) (result i32))) (memory 1)
      (func (export "main") (drop (call $name (i32.const 1) (i32.const 3)))
        (drop (call $output (i32.const 0) (i32.const 6)))))"""
    assert run(wat)["text"] == "\0nä\0\0"


def test_random_bytes(run):
    wat = f"""(module {OUTPUT} (import "edge" "random" (func $random (param i32 i32) (result i32))) (memory 1)
      (func (export "main") (drop (call $output (i32.const 0) (call $random (i32.const 0) (i32.const 10000))))))"""
    once, again = (base64.b64decode(run(wat)["output"]) for _ in range(2))
    assert len(once) == len(again) == 10_000
    assert once != again
    assert len(set(once)) == 256


# Events


@pytest.mark.parametrize(
    ("level", "word"), [(-5, "debug"), (0, "debug"), (1, "info"), (2, "warning"), (3, "error"), (99, "error")]
)
def test_a_log_line(run, level, word):
    assert run(get("log", level, 1, 3, result=""))["ok"]
    assert run.events == [("log", {"level": word, "text": "bcd"})]


def test_a_log_line_is_cut_and_says_so(run):
    wat = """(module (import "edge" "log" (func $log (param i32 i32 i32))) (memory 1)
      (func (export "main") (memory.fill (i32.const 0) (i32.const 65) (i32.const 1001))
        (call $log (i32.const 1) (i32.const 0) (i32.const 1001))))"""
    run(wat)
    assert run.events[0][1]["text"] == "A" * 1000 + "... (1001 characters)"


def test_a_log_line_that_is_no_text(run):
    wat = """(module (import "edge" "log" (func $log (param i32 i32 i32))) (memory 1) (data (i32.const 0) "a\\ff\\c3z")
      (func (export "main") (call $log (i32.const 1) (i32.const 0) (i32.const 4))))"""
    run(wat)
    assert run.events == [("log", {"level": "info", "text": "a??z"})]


@pytest.mark.parametrize(("said", "heard"), [(-1, 0), (500, 500), (1001, 1000)])
def test_progress(run, said, heard):
    run(get("progress", said, result=""))
    assert run.events == [("progress", {"permille": heard})]


@pytest.mark.parametrize(("size", "heard"), [(0, ""), (3, "a?c"), (256, "a?c" + "d" * 253), (300, "a?c" + "d" * 253)])
def test_progress_with_words_which_are_cut(run, size, heard):
    wat = """(module (import "edge" "progress_message" (func $tell (param i32 i32 i32))) (memory 1)
      (data (i32.const 0) "a\\ffc") (func (export "main") (param $size i32)
        (memory.fill (i32.const 3) (i32.const 100) (i32.const 297))
        (call $tell (i32.const 500) (i32.const 0) (local.get $size))))"""
    run(wat, [size])
    assert run.events == [("progress", {"permille": 500, "text": heard})]


def test_a_flood_ends_in_the_worker_and_is_counted(run):
    wat = """(module (import "edge" "log" (func $log (param i32 i32 i32))) (memory 1)
      (func (export "main") (param $n i32) (loop $next (call $log (i32.const 1) (i32.const 0) (i32.const 3))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""
    run(wat, [5000])
    lines = [said for kind, said in run.events if kind == "log" and said["level"] == "info"]
    dropped = [int(said["text"].split()[0]) for _, said in run.events if said["level"] == "warning"]
    assert 20 <= len(lines) < 100
    assert len(lines) + sum(dropped) == 5000


# The world


def test_the_board(run):
    everything = ["sensor", "gpio_read", "gpio_write:2", "adc:1"]
    assert run(get("sensor", 0), allow=everything)["outputs"] == [-21500]
    assert run(get("adc", 1), allow=everything)["outputs"] == [4095]
    assert run(get("gpio_write", 2, 7, result=""), allow=everything)["ok"]
    assert run.board.pins == {2: 1}
    assert run(get("gpio_read", 2), allow=everything)["outputs"] == [1]
    assert run(get("gpio_read", 3), allow=everything)["outputs"] == [0]


def test_a_permission_is_for_its_argument(run):
    result = run(get("gpio_write", 3, 1, result=""), allow=["gpio_write:2"])
    assert code(result) == "denied"
    assert "gpio_write:3" in result["error"]["message"]
    assert run.board.pins == {}


def test_without_a_permission_nothing_runs(run):
    wat = '(module (import "edge" "adc" (func (param i32) (result i32))) (func (export "main") (unreachable)))'
    result = run(wat, allow=["sensor"])
    assert code(result) == "denied"
    assert "edge.adc" in result["error"]["message"]


def test_what_the_device_lacks(run):
    result = run(get("adc", 1), board=False, allow=["adc"])
    assert code(result) == "missing_import"
    assert "edge.adc" in result["error"]["message"]


def test_hardware_that_fails(run):
    result = run(get("sensor", 9), allow=["sensor"])
    assert code(result) == "device_error"
    assert "no answer" in result["error"]["message"]
    assert code(run(get("sensor", 8), allow=["sensor"])) == "denied"


@pytest.mark.parametrize("allow", [[1], [None], [["adc"]]])
def test_permissions_are_texts(run, allow):
    assert code(run(ECHO, allow=allow)) == "bad_inputs"


def test_publish(run):
    assert run(get("publish", 0, 3, 4, 2), allow=["publish:abc"], board=False)["outputs"] == [2]
    assert run.events == [("publish", {"topic": "abc", "text": "ef"})]
    assert code(run(get("publish", 0, 4, 4, 2), allow=["publish:abc"])) == "denied"


def publishing(data, size, topic="ab/c"):
    return f"""(module (import "edge" "publish" (func $publish (param i32 i32 i32 i32) (result i32))) (memory 1)
      (data (i32.const 0) "{topic}") (data (i32.const 300) "{data}")
      (func (export "main") (result i32) (call $publish (i32.const 0) (i32.const {len(topic)})
        (i32.const 300) (i32.const {size}))))"""


def test_publish_what_is_no_text(run):
    assert run(publishing("\\ff\\fe", 2), allow=["publish:ab/"])["outputs"] == [2]
    assert run.events == [("publish", {"topic": "ab/c", "data": "//4="})]


@pytest.mark.parametrize("topic", ["", "a b", "a/#", "x" * 129])
def test_a_topic_that_is_none(run, topic):
    assert run(publishing("x", 1, topic), allow=["publish"])["outputs"] == [-1]
    ((kind, said),) = run.events
    assert kind == "log"
    assert "topic" in said["text"]


@pytest.mark.parametrize(("data", "size"), [("x", 8193), ("\\ff", 6145)])
def test_a_message_that_is_too_large(run, data, size):
    assert run(publishing(data, size - 1), allow=["publish"])["outputs"] == [size - 1]
    assert run(publishing(data, size), allow=["publish"])["outputs"] == [-1]
    assert [kind for kind, _ in run.events] == ["publish", "log"]


def test_more_messages_than_the_rate(run):
    wat = """(module (import "edge" "publish" (func $publish (param i32 i32 i32 i32) (result i32))) (memory 1)
      (data (i32.const 0) "a") (func (export "main") (param $n i32) (result i32) (local $sent i32)
        (loop $next
          (if (i32.ge_s (call $publish (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)) (i32.const 0))
            (then (local.set $sent (i32.add (local.get $sent) (i32.const 1)))))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sent)))"""
    (sent,) = run(wat, [2000], allow=["publish"])["outputs"]
    assert 50 <= sent < 200
    assert len([kind for kind, _ in run.events if kind == "publish"]) == sent


# What else may be imported


def test_a_foreign_function(run):
    wat = '(module (import "env" "foo" (func)) (func (export "main")))'
    result = run(wat)
    assert code(result) == "missing_import"
    assert "env.foo" in result["error"]["message"]


def test_a_function_of_another_type(run):
    wat = '(module (import "edge" "millis" (func (result i64))) (func (export "main")))'
    result = run(wat)
    assert code(result) == "bad_module"
    assert "edge.millis as I(), it is i()" in result["error"]["message"]


def test_call_has_them_too(run):
    wat = f'(module {LEN} (func (export "main") (result i32) (call $len)))'
    assert run(wat, [], abi="call", stdin="abc")["outputs"] == [3]
    assert code(run(wat, ["abc"], abi="call")) == "bad_inputs"
