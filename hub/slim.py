"""Sources as a board's compiler gets them: the same program in fewer bytes, for each file carries its names with it."""

import ast

# Words that every MicroPython has in its own table, and that shadow nothing: as parameters they cost a file no byte.
_FREE = ("_", "value", "key", "index", "start", "end", "step", "stop", "args", "values", "count", "send", "sep")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def slim(source: str) -> str:
    """The source without what only CPython and mypy need, and with short parameters where nobody can see them."""
    tree = _Leave().visit(ast.parse(source))
    for function in [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]:
        _shorten(function)
    return ast.unparse(tree)


class _Leave(ast.NodeTransformer):
    """Leaves out TYPE_CHECKING, what stands below it, and the import of const: MicroPython's compiler knows const()."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module == "shared":
            node.names = [alias for alias in node.names if alias.name != "const"]
        return node if node.names else None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if _is_typing(node.targets[0]) else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if _is_typing(node.test) else self.generic_visit(node)


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


def _shorten(function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Gives its parameters names of _FREE. One with defaults is left alone: such are called with keywords."""
    given = function.args
    if given.defaults or given.kw_defaults or given.vararg or given.kwarg:
        return
    used = _names(function)
    free = [name for name in _FREE if name not in used]
    bound = {name for node in ast.walk(function) if isinstance(node, _SCOPES) and node is not function
             for name in _bound(node)}  # fmt: skip
    for parameter in given.args:
        if parameter.arg not in ("self", *_FREE) and parameter.arg not in bound and free:
            new = free.pop(0)
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and node.id == parameter.arg:
                    node.id = new
            parameter.arg = new


def _bound(scope: ast.AST) -> set[str]:
    """Names that an inner scope may have for itself."""
    parameters = {node.arg for node in ast.walk(scope) if isinstance(node, ast.arg)}
    stored = {node.id for node in ast.walk(scope) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return parameters | stored


def _names(function: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return names | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
