"""Inputs become wasm arguments by the parameters' types, results become JSON and text."""

import math
import struct

import pytest

from edge.values import F32, F64, I32, I64, arguments, outputs, text
from shared.faults import TaskFailure


@pytest.mark.parametrize(
    ("value", "type_", "argument"),
    [
        (7, I32, 7),
        (-(2**31), I32, -(2**31)),
        (2**31, I32, -(2**31)),
        (2**32 - 1, I32, -1),
        (2**64 - 1, I64, -1),
        (-(2**63), I64, -(2**63)),
        (True, I32, 1),
        (False, I64, 0),
        ("-12", I32, -12),
        ("+12", I32, 12),
        ("0xff", I32, 255),
        ("-0x10", I64, -16),
        ("0XFFFFFFFF", I32, -1),
        (3, F64, 3.0),
        (0.5, F32, 0.5),
        ("1e3", F64, 1000.0),
        ("0x10", F64, 16.0),
        ("-inf", F32, -math.inf),
        ("Inf", F64, math.inf),
    ],
)
def test_an_input_fits_its_parameter(value, type_, argument):
    (got,) = arguments([value], (type_,))
    assert got == argument
    assert type(got) is type(argument)


def test_nan_is_an_input():
    assert math.isnan(arguments(["nan"], (F64,))[0])


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (2**32, I32),
        (-(2**31) - 1, I32),
        (2**64, I64),
        (1.0, I32),
        ("1.5", I32),
        ("", I32),
        ("0x", I32),
        ("-", I64),
        ("1_0", I32),
        ("٣", I32),  # a digit of another script
        ("9" * 5000, I64),
        (None, I32),
        ([1], I64),
        (True, F64),
        ("infinity", F64),
        ("1e", F32),
        ("", F64),
        (1e39, F32),
        (3.4028235677973366e38, F32),
        ("1e999", F64),
        (10**400, F64),
        ({}, F64),
        (1, 0),
    ],
)
def test_what_does_not_fit_is_refused_by_position_and_type(value, type_):
    with pytest.raises(TaskFailure) as refused:
        arguments([0, value], (I32, type_))
    assert refused.value.code == "bad_inputs"
    if type_:
        assert refused.value.message.startswith("input 2 (" + {I32: "i32", I64: "i64", F32: "f32", F64: "f64"}[type_])
    assert len(refused.value.message) < 120


@pytest.mark.parametrize("inputs", [[], [1], [1, 2, 3], {"a": 1}, "12", 5])
def test_the_count_must_fit(inputs):
    with pytest.raises(TaskFailure) as refused:
        arguments(inputs, (I32, F64))
    assert refused.value.code == "bad_inputs"


def test_no_inputs_may_be_left_out():
    assert arguments(None, ()) == []


def test_outputs_and_text():
    got = outputs((30, -1, 0.5, math.inf, -math.inf, math.nan), (I32, I64, F64, F64, F32, F32))
    assert got == [30, -1, 0.5, "inf", "-inf", "nan"]
    assert text(got) == "30\n-1\n0.5\ninf\n-inf\nnan\n"
    assert text(outputs((), ())) == ""


def f32(number: float) -> float:
    return struct.unpack("<f", struct.pack("<f", number))[0]


@pytest.mark.parametrize("short", [0.1, 1e-45, 3.4028235e38, 16777216.0, 1.1, -2.5, 0.0, 1e10, 5.877472e-39])
def test_an_f32_is_its_shortest_decimal(short):
    (got,) = outputs((f32(short),), (F32,))
    assert repr(got) == repr(short)
