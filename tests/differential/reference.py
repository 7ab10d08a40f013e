"""What wasmtime says to a call: the reference that Motet is compared with."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import wasmtime

from tests.differential.inputs import argument
from tests.edge.wasms import F32, F64, I32, I64

PAGE = 65536
# The limit of a task that names none.
PAGES = 256

CODES = {
    wasmtime.TrapCode.STACK_OVERFLOW: "trap_stack",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "trap_oob",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "trap_undefined_element",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "trap_undefined_element",
    wasmtime.TrapCode.BAD_SIGNATURE: "trap_call_type",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "trap_int_overflow",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "trap_div0",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "trap_int_conversion",
    wasmtime.TrapCode.UNREACHABLE: "trap_unreachable",
}
_TYPES = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}


@dataclass(frozen=True)
class Outcome:
    """bits: of each result as an integer, None for a NaN of whatever payload; trap: our code of one instead."""

    bits: tuple[int | None, ...] | None = None
    trap: str = ""


def bits(type_: int, value: Any) -> int | None:
    """The bits of a result, given as wasmtime or as Motet's JSON does ("nan", "inf", "-inf")."""
    if type_ in (I32, I64):
        return int(value) & ((1 << (32 if type_ == I32 else 64)) - 1)
    number = float(value)
    if math.isnan(number):
        return None
    return int.from_bytes(struct.pack("<f" if type_ == F32 else "<d", number), "little")


class Reference:
    """One module in wasmtime; every call in an instance of its own."""

    def __init__(self, engine: wasmtime.Engine, data: bytes) -> None:
        self._engine = engine
        self.module = wasmtime.Module(engine, data)

    def call(self, function: str, inputs: list[Any]) -> Outcome:
        store = wasmtime.Store(self._engine)
        store.set_limits(memory_size=PAGES * PAGE)
        try:
            called = self._instance(store).exports(store)[function]
            assert isinstance(called, wasmtime.Func)
            types = called.type(store)
            params = [_TYPES[str(type_)] for type_ in types.params]
            returned = called(store, *map(argument, params, inputs))
        except wasmtime.Trap as trap:
            return Outcome(trap=CODES[trap.trap_code])
        results = [_TYPES[str(type_)] for type_ in types.results]
        values = returned if isinstance(returned, list) else [] if returned is None else [returned]
        return Outcome(tuple(map(bits, results, values)))

    def _instance(self, store: wasmtime.Store) -> wasmtime.Instance:
        """Of a module without imports, or of a prepared one, which imports the tick of its fuel alone."""
        if not self.module.imports:
            return wasmtime.Instance(store, self.module, [])
        tick = wasmtime.Func(store, self.module.imports[0].type, lambda: 1 << 30)
        return wasmtime.Instance(store, self.module, [tick])
