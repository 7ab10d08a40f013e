"""Calls of the example modules that need nothing from outside and end by themselves."""

from random import Random
from typing import Any

from hub.modules.inspect import inspect
from tests.differential.calls import Call
from tests.differential.generate import Function
from tests.differential.inputs import inputs
from tests.e2e.world import EXAMPLES
from tests.edge.wasms import F32, F64, I32, I64

TYPES = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}
# module: the greatest input where the running time grows with it; the least is 1.
_MOST = {"fibonacci": 100, "spin": 50_000, "checksum": 70_000, "sha256": 8, "collatz": 1 << 40}


def example_calls(each: int) -> list[Call]:
    """So many calls of each function."""
    calls = []
    for path in sorted(EXAMPLES.glob("*.wasm")):
        data = path.read_bytes()
        info = inspect(data)
        if info.imports or path.stem == "endless":
            continue
        for export in info.exports:
            if export.signature is not None:
                params, results = (tuple(TYPES[type_] for type_ in types) for types in
                                   (export.signature.params, export.signature.results))  # fmt: skip
                function = Function(export.name, params, results)
                random = Random(f"{path.stem}.{export.name}")
                calls += [Call(path.name, data, function, _inputs(random, path.stem, params)) for _ in range(each)]
    return calls


def _inputs(random: Random, module: str, params: tuple[int, ...]) -> list[Any]:
    if module in _MOST:
        return [random.randint(1, _MOST[module]) for _ in params]
    return inputs(random, params)
