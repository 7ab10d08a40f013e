"""Random modules from seeds: valid, sure to end, and full of what engines may see differently."""

from dataclasses import dataclass
from random import Random

from tests.differential import opcodes as op
from tests.differential.body import Body, Context, Signature, Types
from tests.differential.inputs import edge_value
from tests.differential.opcodes import constant
from tests.edge.wasms import I32, leb, name, section, vector

HEADER = b"\0asm\x01\0\0\0"
_NO_TYPES = Signature((), ())


@dataclass
class Function:
    """An exported function."""

    name: str
    params: Types
    results: Types


@dataclass
class Generated:
    data: bytes
    functions: list[Function]


def generate(seed: int) -> Generated:
    """The module of this seed, the same one each time."""
    random = Random(seed)
    context = Context(
        random,
        types=[],
        globals=[(random.choice(op.TYPES), random.random() < 0.8) for _ in range(random.randint(0, 6))],
        pages=random.choice((None, 1, 1, 1, 2)),
        bulk=random.random() < 0.7,
        padded=random.random() < 0.3,
    )
    starts = random.random() < 0.2
    bodies = []
    if starts and random.random() < 0.5:
        bodies.append(_function(context, _NO_TYPES))  # a start function with index 0
    leaves = random.randint(1, 3)
    # One function has a large frame at times: more of them would need more stack than a task has.
    bodies.append(_function(context, _signature(random), random.choice((0, 0, 0, 0, 60, 300))))
    bodies += [_function(context, _signature(random)) for _ in range(leaves - 1)]
    if random.random() < 0.7:
        context.table = [random.choice((None, *range(len(bodies)))) for _ in range(random.randint(0, 6))]
        context.table += range(len(bodies))
    bodies += [_function(context, _signature(random)) for _ in range(random.randint(1, 4))]
    start = None
    if starts:
        start = next((at for at, one in enumerate(context.functions) if one == _NO_TYPES), None)
    exported = [
        Function(_name(random, at), one.params, one.results) for at, one in enumerate(context.functions) if at != start
    ]
    if random.random() < 0.3:
        exported.append(_endless(context, bodies))
    return Generated(_module(context, bodies, exported, start), exported)


def large(seed: int, size: int) -> bytes:
    """A module of about so many bytes: many functions, the first of them exported as `main` () -> i32."""
    random = Random(seed)
    context = Context(random, types=[], globals=[(type_, True) for type_ in op.TYPES], pages=1)
    bodies = [_function(context, Signature((), (I32,)))]
    while sum(map(len, bodies)) < size - 300:
        bodies.append(_function(context, _signature(random)))
    return _module(context, bodies, [Function("main", (), (I32,))], None)


def _signature(random: Random) -> Signature:
    results = random.choices(op.TYPES, k=random.choice((0, 1, 1, 1, 1, 1, 2, 3, 9)))
    params = random.choices(op.TYPES, k=random.choice((0, 1, 2, 3, 4, 4, 14)))
    return Signature(tuple(params), tuple(results))


def _function(context: Context, signature: Signature, more_locals: int = 0) -> bytes:
    body = Body(context, signature, more_locals)
    written = body.write(context.random.randint(1, 5))
    context.functions.append(signature)
    context.costs.append(body.cost)
    return written


def _endless(context: Context, bodies: list[bytes]) -> Function:
    """A function that calls itself until the stack is at its end."""
    at = len(context.functions)
    signature = Signature((I32,), (I32,))
    code = bytes([op.LOCAL_GET, 0]) + constant(I32, 1) + bytes([op.I32_ADD, op.CALL]) + leb(at) + bytes([op.END])
    context.functions.append(signature)
    bodies.append(leb(len(code) + 1) + b"\0" + code)
    return Function("deeper", signature.params, signature.results)


def _name(random: Random, at: int) -> str:
    return f"f{at}" if random.random() < 0.9 else random.choice((f"grüße-{at}", f"a b {at}", f"$.{at}/λ"))


def _module(context: Context, bodies: list[bytes], exported: list[Function], start: int | None) -> bytes:
    random = context.random
    indices = [context.type_index(one) for one in context.functions]
    types = [_type(one) for one in context.types]
    own = [at for at in range(len(bodies)) if at != start]
    exports = [name(one.name) + b"\x00" + leb(at) for one, at in zip(exported, own, strict=False)]
    data = b""
    sections = [(1, vector(types)), (3, vector([leb(index) for index in indices]))]
    if context.table:
        limits = leb(len(context.table)) * 2
        sections.append((4, vector([b"\x70\x01" + limits])))
    if context.pages is not None:
        most = random.choice((None, context.pages, context.pages + 2))
        sections.append((5, vector([_limits(context.pages, most)])))
        exports.append(name("memory") + b"\x02\x00")
    if context.globals:
        sections.append((6, vector([_global(random, *one) for one in context.globals])))
    sections.append((7, vector(exports)))
    if start is not None:
        sections.append((8, leb(start)))
    if context.table:
        sections.append((9, vector(_elements(context.table))))
    sections.append((10, vector(bodies)))
    if context.pages is not None:
        sections.append((11, vector([_data(random) for _ in range(random.randint(0, 3))])))
    for number, body in sections:
        if random.random() < 0.1:
            data += section(0, name("producers") + random.randbytes(random.randint(0, 40)))
        data += section(number, body)
    return HEADER + data


def _type(signature: Signature) -> bytes:
    return (
        b"\x60" + leb(len(signature.params)) + bytes(signature.params) + vector([bytes([t]) for t in signature.results])
    )


def _limits(least: int, most: int | None) -> bytes:
    return b"\x00" + leb(least) if most is None else b"\x01" + leb(least) + leb(most)


def _global(random: Random, type_: int, variable: bool) -> bytes:
    return bytes([type_, variable]) + constant(type_, edge_value(random, type_)) + bytes([op.END])


def _elements(table: list[int | None]) -> list[bytes]:
    """A segment for each run of functions; what no segment sets is empty."""
    segments = []
    for at, function in enumerate(table):
        if function is not None:
            segments.append(b"\x00" + constant(I32, at) + bytes([op.END]) + vector([leb(function)]))
    return segments


def _data(random: Random) -> bytes:
    data = random.randbytes(random.randint(0, 60))
    return b"\x00" + constant(I32, random.randint(0, 0x7FFF)) + bytes([op.END]) + leb(len(data)) + data
