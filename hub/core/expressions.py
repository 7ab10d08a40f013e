"""`when`: a small expression over the values of a task's parents, walked node by node; nothing of it is executed.

    a.result > 10 and b.state == "completed"
    parents["task-001"].outputs[0] in [1, 2, 3]

Of a parent: result (its one value, else the list), outputs, results (text), state (a word), error.
"""

import ast
import operator
from collections.abc import Callable, Iterable
from typing import Any

from hub.core.model import Task
from shared import states
from shared.errors import BadRequest, TaskFailure

MAX_LENGTH = 500
FIELDS = ("result", "outputs", "results", "state", "error")
PARENTS = "parents"

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_CONSTANTS = (int, float, str, bool, type(None))


def check(text: str, parents: Iterable[str]) -> None:
    """BadRequest when the expression cannot be read or names what the task does not depend on."""
    known = set(parents)
    for node in ast.walk(_parse(text)):
        if isinstance(node, ast.Attribute):
            if node.attr not in FIELDS:
                raise _bad(f"{node.attr} is not one of {', '.join(FIELDS)}")
        elif isinstance(node, ast.Name) and node.id != PARENTS and node.id not in known:
            raise _bad(f"{node.id} is not in depends_on")
        elif isinstance(node, ast.Constant) and not isinstance(node.value, _CONSTANTS):
            raise _bad(f"{node.value!r} is not allowed")
        elif isinstance(node, ast.Subscript) and _is_parents(node.value):
            name = node.slice.value if isinstance(node.slice, ast.Constant) else None
            if name not in known:
                raise _bad(f"{name!r} is not in depends_on")
        elif not isinstance(node, _ALLOWED):
            raise _bad(f"{type(node).__name__} is not allowed: comparisons, and, or, not, indexing are")


_ALLOWED = (ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Subscript,
            ast.List, ast.Tuple, ast.Name, ast.Constant, ast.Attribute, ast.Load, *_COMPARE)  # fmt: skip


def _parse(text: str) -> ast.Expression:
    if len(text) > MAX_LENGTH:
        raise _bad(f"it is over {MAX_LENGTH} characters")
    try:
        return ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _bad("it is not an expression") from None


def _bad(why: str) -> BadRequest:
    return BadRequest(f"when: {why}", "bad_expression")


def _is_parents(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == PARENTS


def holds(text: str, parents: dict[str, Task]) -> bool:
    """The expression's truth; TaskFailure `bad_expression` when a value is not there or cannot be compared."""
    try:
        return bool(_value(_parse(text).body, parents))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, RecursionError) as error:
        raise TaskFailure(f"when: {text} cannot be decided: {error}", "bad_expression") from None


def _value(node: ast.AST, parents: dict[str, Task]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return parents[name]
        case ast.Attribute(value=inner, attr=field):
            return _field(_value(inner, parents), field)
        case ast.Subscript(value=inner, slice=index):
            container = parents if _is_parents(inner) else _value(inner, parents)
            return container[_value(index, parents)]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, parents) for item in items]
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, parents)
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            return -_value(inner, parents)
        case ast.BoolOp(op=ast.And(), values=values):
            return all(_value(item, parents) for item in values)
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(_value(item, parents) for item in values)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compare(_value(left, parents), ops, others, parents)
    raise TypeError(f"{type(node).__name__} is not allowed")


def _compare(left: Any, ops: list[ast.cmpop], others: list[ast.expr], parents: dict[str, Task]) -> bool:
    for op, other in zip(ops, others, strict=True):
        right = _value(other, parents)
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True


def _field(parent: Any, field: str) -> Any:
    if not isinstance(parent, Task):
        raise TypeError(f"only a task of depends_on has .{field}")
    doc = parent.origin_of_values.doc
    if field == "state":
        return states.NAMES[parent.state].lower()
    if field == "result":
        outputs = doc.get("outputs")
        return outputs[0] if outputs is not None and len(outputs) == 1 else outputs
    return doc.get(field)
