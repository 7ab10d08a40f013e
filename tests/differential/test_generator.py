"""The generator: what it makes is valid, ends, is the same each time, and reaches what the comparison is there for."""

import wasmtime

from tests.differential import opcodes
from tests.differential.calls import generated_calls
from tests.differential.generate import generate
from tests.differential.reference import CODES, Reference

MODULES = 60


def test_a_seed_makes_the_same_module_each_time() -> None:
    assert all(generate(seed) == generate(seed) for seed in range(10))
    assert len({generate(seed).data for seed in range(50)}) == 50


def test_its_modules_are_valid_and_every_call_ends_and_every_kind_of_trap_comes() -> None:
    engine = wasmtime.Engine()
    traps: list[str] = []
    for seed in range(MODULES):
        reference = Reference(engine, generate(seed).data)
        traps += [reference.call(call.function.name, call.inputs).trap for call in generated_calls(seed, 2)]
    assert set(traps) == {"", *CODES.values()}
    assert 0.5 < traps.count("") / len(traps) < 0.9


def test_every_instruction_is_there() -> None:
    tables = (opcodes.UNARY, opcodes.BINARY, opcodes.COMPARE, opcodes.CONVERT, opcodes.TRUNCATE, opcodes.REINTERPRET)
    wanted = {code for table in tables for codes in table.values() for code in codes}
    code = b"".join(generate(seed).data for seed in range(40))
    assert not [one.hex() for one in wanted if one not in code]
