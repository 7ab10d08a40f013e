"""Full validation: what is valid and wasm3 runs passes with its features, the rest is refused with a sentence."""

from pathlib import Path

import pytest

from hub.modules.validate import validate
from shared.errors import BadRequest
from tests.edge.wasms import ADD, F64, I32, function, module

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.wasm")), ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert validate(path.read_bytes()).features == ()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"\x20\x00\x6a", "i32.add wants i32 i32 on the stack and finds i32"),
        (b"\x20\x02", "it names local 2, and there are 2"),
        (b"\x12\x00", "uses tail calls, which wasm3 lacks: build the module without"),
        (b"\x28\x02\x00", "i32.load needs a memory, and the module has none"),
        (b"\x0c\x01\x20\x00", "it names label 1, and there are 1"),
    ],
)
def test_refused_with_a_sentence(code: bytes, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        validate(module(function("main", code, (I32, F64), (I32,))))
    assert caught.value.code == "bad_module"
    assert words in caught.value.message


def test_valid() -> None:
    assert validate(module(function("main", ADD, (I32, I32), (I32,)))).features == ()
