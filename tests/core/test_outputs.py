"""A result that is text has a value too: JSON where it is JSON, else the text."""

import pytest

from hub.core.outputs import MAX_DEPTH, of_text


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ("", []),
        ("\n", [""]),
        ("30\n", [30]),
        ("30", [30]),
        ('{"a": [1, null, true, 2.5, "ü"]}\n', [{"a": [1, None, True, 2.5, "ü"]}]),
        ('"quoted"', ["quoted"]),
        ("two\nlines\n", ["two\nlines"]),
        ("dos\r\n", ["dos"]),
        ("twice\n\n", ["twice\n"]),
        (" [1] \n", [[1]]),
        ("hello", ["hello"]),
        ("1 2", ["1 2"]),
        ("NaN", ["NaN"]),
        ("[1, Infinity]", ["[1, Infinity]"]),
        ("1e999", ["1e999"]),
        ("12345678901234567890123", [12345678901234567890123]),
        ("9" * 5000, ["9" * 5000]),
        (r'"\ud83d\ude00"', ["😀"]),
        (r'"\ud83d"', [r'"\ud83d"']),
        (r'{"\udc00": 1}', [r'{"\udc00": 1}']),
    ],
)
def test_the_value_of_a_text(text, outputs):
    assert of_text(text) == outputs


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_json_too_deep_stays_text(left, right):
    for depth, is_text in ((MAX_DEPTH, False), (MAX_DEPTH + 1, True), (20_000, True)):
        text = left * depth + "1" + right * depth
        assert (of_text(text) == [text]) is is_text
