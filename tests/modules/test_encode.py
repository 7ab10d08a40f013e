"""Numbers in their shortest form, whatever form they had."""

from hypothesis import given
from hypothesis import strategies as st

from hub.modules.encode import five_bytes, shorter, shorter_signed, signed, signed_value, unsigned, value_of


def padded(raw: bytes, size: int, sign: int) -> bytes:
    """The same number in more bytes; sign: what the bits above it are."""
    fill = bytes([sign & 0x7F | 0x80]) * (size - len(raw) - 1) + bytes([sign & 0x7F])
    return raw[:-1] + bytes([raw[-1] | 0x80]) + fill if size > len(raw) else raw


@given(st.integers(0, 2**64 - 1), st.integers(1, 10))
def test_unsigned(number: int, size: int) -> None:
    raw = unsigned(number)
    assert value_of(raw) == number
    assert shorter(padded(raw, size, 0)) == raw
    assert len(raw) == max(1, -(-number.bit_length() // 7))


@given(st.integers(-(2**63), 2**63 - 1) | st.integers(-300, 300), st.integers(1, 10))
def test_signed(number: int, size: int) -> None:
    raw = signed(number)
    assert signed_value(raw) == number
    assert shorter_signed(padded(raw, size, 0x7F if number < 0 else 0)) == raw
    bits = (~number if number < 0 else number).bit_length() + 1
    assert len(raw) == -(-bits // 7)


@given(st.integers(0, 2**32 - 1))
def test_five_bytes(number: int) -> None:
    raw = five_bytes(number)
    assert len(raw) == 5
    assert value_of(raw) == number
    assert shorter(raw) == unsigned(number)
