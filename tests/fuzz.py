"""Messages between hub and devices for Hypothesis, made from the tables of messages: valid ones, and broken ones.

A message is (kind, payload). What is valid follows from hub.link.messages.UP or shared.messages.DOWN.
"""

import json
from typing import Any

from hypothesis import strategies as st

from shared.messages import fields_of

Tables = dict[str, str]
BIG = 1 << 53
MODULES = ("a" * 64, "0" * 64)
# Attempts that the stage knows, ones of other devices, ones that never were.
TASKS = ("a", "b", "c", "nobody", "", "x" * 64)
# Stands for the attempt that is the current one when the message is sent.
CURRENT = 424242424242
ATTEMPTS = (CURRENT, CURRENT, CURRENT, 0, 1, BIG)

texts = st.text(max_size=20)
numbers = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=12,
)
# What JSON can say and no message may hold.
ODD = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"\\ud800"', '"\\udc00x"', "[" * 70 + "]" * 70, "[" * 5000,
    "9" * 400, "9" * 5000, '"', "{", "", "nul", "0x1", "01", "1e", '{"a":1,}', "\x00", '"\x00"', "\ufeff1", "[1,]",
)  # fmt: skip


def _field(name: str, what: str, limit: int) -> st.SearchStrategy[Any]:
    """A value that fits the field."""
    if name == "task":
        return st.sampled_from(TASKS)
    if name == "attempt":
        return st.sampled_from(ATTEMPTS)
    pairs = st.tuples(st.sampled_from(TASKS), st.sampled_from(ATTEMPTS)).map(list)
    return {
        "s": st.text(max_size=min(limit, 40)),
        "i": st.one_of(st.integers(0, limit), st.sampled_from((0, 1, limit))),
        "b": st.booleans(),
        "n": numbers,
        "d": st.dictionaries(texts, values, max_size=4),
        "l": st.lists(values, max_size=4),
        "p": st.lists(pairs, max_size=4),
        "h": st.sampled_from(MODULES),
        "a": values,
    }[what]


def fields(tables: Tables, kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """The fields of a valid message."""
    table = list(fields_of(tables[kind]))
    needed = {name: _field(name, what, limit) for name, must, what, limit in table if must}
    optional = {name: _field(name, what, limit) for name, must, what, limit in table if not must}
    said = st.fixed_dictionaries(needed, optional=optional)
    return said.map(lambda one: {**one, **({"proto": 1} if kind == "hello" else {}), "type": kind})


@st.composite
def broken(draw: Any, tables: Tables, kind: str) -> bytes:
    """A message with something wrong in it; now and then it is still right."""
    said = draw(fields(tables, kind))
    names = list(said)
    how = draw(st.sampled_from(("value", "odd", "lacks", "cut", "bytes", "other", "whole", "large")))
    name = draw(st.sampled_from(names))
    if how == "value":
        said[name] = draw(values)
    elif how == "lacks":
        said.pop(name, None)
    elif how == "large":
        said[name] = draw(st.sampled_from(("x" * 50_000, list(range(5000)), BIG + 1, -1, 1e308, "x" * 66_000)))
    elif how == "odd":
        said[name] = "@"
        odd = draw(st.sampled_from(ODD))
        return json.dumps(said).replace('"@"', odd, 1).encode("utf-8", "surrogatepass")
    elif how == "whole":
        return draw(st.sampled_from(ODD)).encode("utf-8", "surrogatepass")
    elif how == "other":
        return json.dumps(draw(values)).encode()
    payload = json.dumps(said).encode()
    if how == "cut":
        return payload[: draw(st.integers(0, len(payload)))]
    if how == "bytes":
        at = draw(st.integers(0, len(payload)))
        return payload[:at] + draw(st.binary(min_size=1, max_size=4)) + payload[at + 1 :]
    return payload


def messages(tables: Tables) -> st.SearchStrategy[tuple[str, bytes]]:
    """(kind, payload); some kinds that there are not. Down messages name theirs in `type`."""
    valid = [fields(tables, kind).map(lambda said, kind=kind: (kind, json.dumps(said).encode())) for kind in tables]
    wrong = [broken(tables, kind).map(lambda payload, kind=kind: (kind, payload)) for kind in tables]
    unknown = st.tuples(st.sampled_from(("", "x", "Hello", "result ", "down", "a" * 200)), st.binary(max_size=20))
    return st.one_of(*valid, *wrong, unknown)
