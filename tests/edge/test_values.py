"""Numbers survive the way there and back. Other tests of values are in tests/both."""

import json
import struct

from hypothesis import given
from hypothesis import strategies as st

from edge.values import F32, F64, I64, arguments, outputs


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_every_f32_round_trips(number):
    (got,) = outputs((number,), (F32,))
    again = arguments([json.loads(json.dumps(got))], (F32,))[0]
    assert struct.pack("<f", again) == struct.pack("<f", number)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_f64_round_trips(number):
    (got,) = outputs((number,), (F64,))
    again = arguments([json.loads(json.dumps(got))], (F64,))[0]
    assert struct.pack("<d", again) == struct.pack("<d", number)


@given(st.integers(-(2**63), 2**64 - 1))
def test_every_i64_keeps_its_bits(number):
    (argument,) = arguments([str(number)], (I64,))
    assert (argument - number) % 2**64 == 0
    assert arguments([hex(number)], (I64,)) == [argument]
    assert outputs((argument,), (I64,)) == [argument]
