"""A task of the `call` ABI: the same results from wasm3 in this process and from the workers' binding."""

import math

import pytest

from edge import call, engine
from edge.cpython.m3 import Library
from edge.cpython.pool import wasm3_file
from edge.port import Port
from tests.edge import wasms
from tests.edge.wasms import F32, F64, I32, I64, function, module, one


@pytest.fixture(params=["pywasm3", "ctypes"])
def load(request):
    return engine.Instance if request.param == "pywasm3" else Library(wasm3_file()).load


def start(inputs=None, name="main", limits=None, **fields):
    return {"task": "t", "attempt": 1, "name": name, "inputs": inputs, "limits": limits or {}, **fields}


def run(load, data, *args, **fields):
    begun = []
    port = Port(lambda *event: None)
    result = call.run(load, start(*args, **fields), data, port, lambda: begun.append(True))
    result["begun"] = bool(begun)
    return result


def code(result):
    assert result["ok"] is False
    assert result["error"]["message"]
    return result["error"]["code"]


def test_thirty(load):
    result = run(load, wasms.ADDER, [10, 20])
    assert result["ok"]
    assert result["outputs"] == [30]
    assert result["text"] == "30\n"
    assert 0 <= result["duration_ms"] < 1000
    assert result["begun"]


@pytest.mark.parametrize(
    ("type_", "value", "output"),
    [
        (I32, 2**32 - 1, -1),
        (I64, 2**63, -(2**63)),
        (F32, 0.1, 0.1),
        (F64, 0.1, 0.1),
        (F64, "inf", "inf"),
        (F32, "nan", "nan"),
        (F64, -0.0, -0.0),
    ],
)
def test_every_type_comes_back(load, type_, value, output):
    result = run(load, one(wasms.GET0, (type_,), (type_,)), [value])
    assert result["outputs"] == [output]
    if isinstance(output, float):
        assert math.copysign(1, result["outputs"][0]) == math.copysign(1, output)


def test_several_results_and_none(load):
    two = one(b"\x41\x01\x42\x02", (), (I32, I64))
    assert run(load, two)["text"] == "1\n2\n"
    nothing = run(load, one(b"\x01"))
    assert (nothing["outputs"], nothing["text"]) == ([], "")


@pytest.mark.parametrize(
    ("data", "inputs", "expected"),
    [
        (one(wasms.UNREACHABLE), [], "trap_unreachable"),
        (one(wasms.DIV, (I32, I32), (I32,)), [1, 0], "trap_div0"),
        (one(wasms.DIV, (I32, I32), (I32,)), [-(2**31), -1], "trap_int_overflow"),
        (one(wasms.TRUNCATE, (F64,), (I32,)), ["nan"], "trap_int_conversion"),
        (one(wasms.CALL0), [], "trap_stack"),
        (module(function("main", wasms.LOAD0, (I32,), (I32,)), pages=1), [-1], "trap_oob"),
        (module(function("main", wasms.CALL_INDIRECT, (I32,)), table=2), [1], "trap_undefined_element"),
        (module(function("main", wasms.CALL0), imports=(("env", "missing", "v()"),)), [], "missing_import"),
    ],
)
def test_every_trap_has_its_code(load, data, inputs, expected):
    assert code(run(load, data, inputs)) == expected


@pytest.mark.parametrize("data", [b"", b"\0asm", b"\0asm\x0d\0\x01\0", wasms.ADDER[:20], b"\0asm\x01\0\0\0\x05\x09"])
def test_what_is_no_module(load, data):
    assert code(run(load, data, [1, 2])) in ("bad_module", "missing_export")


def test_wrong_inputs_are_refused_before_the_call(load):
    result = run(load, wasms.ADDER, [1])
    assert code(result) == "bad_inputs"
    assert not result["begun"]
    assert code(run(load, wasms.ADDER, [1, 2**33])) == "bad_inputs"
    assert code(run(load, wasms.ADDER, {"a": 1})) == "bad_inputs"


def named(*names):
    return module(*[function(name, b"\x41" + bytes([i]), (), (I32,)) for i, name in enumerate(names)])


@pytest.mark.parametrize(
    ("exports", "fields", "chosen"),
    [
        (("main", "job"), {"name": "job"}, 1),
        (("main", "other"), {"name": "main", "function": "other"}, 1),
    ],
)
def test_which_function_is_called(load, exports, fields, chosen):
    assert run(load, named(*exports), **fields)["outputs"] == [chosen]


@pytest.mark.parametrize(
    "fields", [{"function": "nope"}, {"function": "main\0x"}, {"function": "\ud800"}, {"name": "job"}]
)
def test_a_function_that_is_named_must_be_there(load, fields):
    assert code(run(load, named("main", "run"), **fields)) == "missing_export"


def test_nothing_to_call(load):
    assert code(run(load, named("other"))) == "missing_export"


# (global i32 mutable 0); set it to 5; get it
CELL = b"\x01\x7f\x01\x41\x00\x0b"
SET = b"\x41\x05\x24\x00"
GET = b"\x23\x00"


def test_initialize_comes_first(load):
    data = module(function("_initialize", SET), function("main", GET, (), (I32,)), globals_=CELL)
    assert run(load, data)["outputs"] == [5]


def test_a_start_function_runs(load):
    data = module(function("main", GET, (), (I32,)), function("", SET), start=1, globals_=CELL)
    assert run(load, data)["outputs"] == [5]


def test_a_start_function_with_index_0_runs_or_is_refused():
    data = module(function("", SET), function("main", GET, (), (I32,)), start=0, globals_=CELL)
    assert run(Library(wasm3_file()).load, data)["outputs"] == [5]
    # pywasm3 0.5.0 would leave it out without a word
    assert code(run(engine.Instance, data)) == "bad_module"


def test_a_fresh_instance_for_each_run(load):
    data = module(function("main", GET + b"\x41\x01\x6a\x24\x00" + GET, (), (I32,)), globals_=CELL)
    assert [run(load, data)["outputs"] for _ in range(2)] == [[1], [1]]


def test_memory_above_the_limit_is_refused(load):
    data = module(function("main", b"\x01"), pages=3)
    assert run(load, data, limits={"memory_pages": 3})["ok"]
    assert code(run(load, data, limits={"memory_pages": 2})) == "memory_limit"
    assert code(run(load, module(function("main", b"\x01"), pages=32768))) == "memory_limit"


def test_results_above_the_limit_are_refused(load):
    data = one(b"\x42\x00" * 20, (), (I64,) * 20)
    assert code(run(load, data, limits={"output_bytes": 39})) == "output_limit"
    assert run(load, data, limits={"output_bytes": 40})["ok"]


@pytest.mark.parametrize("limits", [{"stack_bytes": "x"}, {"memory_pages": -1}, {"output_bytes": True}])
def test_limits_are_numbers(load, limits):
    assert code(run(load, wasms.ADDER, [1, 2], limits=limits)) == "bad_inputs"


def test_a_stack_as_large_as_asked_still_traps(load):
    assert code(run(load, one(wasms.CALL0), limits={"stack_bytes": 2**30})) == "trap_stack"


def test_another_abi_is_refused(load):
    assert code(run(load, wasms.ADDER, [1, 2], abi="wasi")) == "bad_module"
    assert run(load, wasms.ADDER, [1, 2], abi="call")["ok"]


def test_ctypes_frees_what_it_made():
    def resident_kb():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4

    load = Library(wasm3_file()).load
    data = module(function("main", b"\x01"), pages=2)
    for _ in range(50):
        run(load, data)
    before = resident_kb()
    for _ in range(500):
        run(load, data)
    assert resident_kb() - before < 2000  # kept, they would be 64,000


def test_a_function_of_the_binding_wants_its_arguments():
    instance = Library(wasm3_file()).load(wasms.ADDER, 16384)
    with pytest.raises(TypeError):
        instance.find("main")(1)
    instance.close()
