"""Sources as a board's compiler gets them: the same program in fewer bytes, for each file carries its names with it."""

import ast
from collections.abc import Iterable

Value = int | str | bytes
# A text that is longer costs less when it stands in one place.
LONGEST = 16

# Words that every MicroPython has in its own table, and that shadow nothing: as parameters they cost a file no byte.
_FREE = ("_", "value", "key", "index", "start", "end", "step", "stop", "args", "values", "count", "send", "sep")

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def slim(source: str, shorter: dict[str, str], values: dict[str, Value]) -> str:
    """The source without what only CPython and mypy need, and with short parameters where nobody can see them.

    shorter: private names and what stands in their place; values: constants and theirs, which stand where they are
    used. Both are of all sources that are used together, of `prefixes` and `constants`.
    """
    tree = _Fold(values).visit(_Leave().visit(ast.parse(source)))
    for node in ast.walk(tree):
        for field in ("id", "attr", "name"):
            name = getattr(node, field, None)
            if isinstance(name, str):
                setattr(node, field, shorter.get(name, name))
    for function in [node for node in ast.walk(tree) if isinstance(node, _FUNCTIONS)]:
        _shorten(function)
    return ast.unparse(tree)


def join(texts: dict[str, str], module: str, parts: tuple[str, ...]) -> dict[str, str]:
    """The texts with these parts before what is in a module, and imports of them from there. All are names of files.

    They must be imported by `from part import name`, and must not import the module.
    """
    moved = {_dotted(part) for part in parts}
    trees = {name: _Redirect(moved, _dotted(module)).visit(ast.parse(text)) for name, text in texts.items()}
    body = [node for name in (*parts, module) for node in trees[name].body]
    if module.endswith("__init__.py"):  # which its parts import
        body = [node for name in (module, *parts) for node in trees[name].body]
    trees[module].body = [node for node in body if getattr(node, "module", "") != _dotted(module)]
    return {name: ast.unparse(tree) for name, tree in trees.items() if name not in parts}


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class _Redirect(ast.NodeTransformer):
    def __init__(self, moved: set[str], package: str) -> None:
        self._moved = moved
        self._package = package

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        if node.module in self._moved:
            node.module = self._package
        return node


def constants(sources: Iterable[str], asked: Iterable[str]) -> dict[str, Value]:
    """Numbers and short texts that these sources name in capital letters, unless two of them have one name.

    asked: the sources whose names are asked for when the program runs, so they stay.
    """
    found = _capitals(sources)
    names = [name for name, _ in found] + [name for name, _ in _capitals(asked)]
    return {name: value for name, value in found if value is not None and names.count(name) == 1}


def _capitals(sources: Iterable[str]) -> list[tuple[str, Value | None]]:
    trees = [_Leave().visit(ast.parse(source)) for source in sources]
    nodes = [node for tree in trees for node in tree.body if isinstance(node, ast.Assign)]
    pairs = [(node.targets[0], node.value) for node in nodes]
    return [(name.id, _value(value)) for name, value in pairs if isinstance(name, ast.Name) and name.id.isupper()]


def _value(node: ast.expr) -> Value | None:
    """What an expression is that needs no name; None for any other."""
    if all(isinstance(part, (ast.Constant, ast.BinOp, ast.operator)) for part in ast.walk(node)):
        value = eval(compile(ast.Expression(node), "", "eval"))
        if type(value) is int or (type(value) in (str, bytes) and len(value) <= LONGEST):
            return value  # type: ignore[no-any-return]
    return None


class _Fold(ast.NodeTransformer):
    """Puts the constants where they are used, and leaves out what defines and imports them."""

    def __init__(self, values: dict[str, Value]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(self._values[node.id]) if node.id in self._values else node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if node.attr in self._values and isinstance(node.value, ast.Name):
            return ast.Constant(self._values[node.attr])
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        target = node.targets[0]
        return None if isinstance(target, ast.Name) and target.id in self._values else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        node.names = [alias for alias in node.names if alias.name not in self._values]
        return node if node.names else None


def prefixes(sources: Iterable[str]) -> dict[str, str]:
    """Private names of these sources and for each the least of its letters that no other name there begins with.

    So a traceback still says who it was. Names of constants are left alone: the compiler puts numbers in their place.
    """
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    made = {node.name for node in nodes if isinstance(node, (*_FUNCTIONS, ast.ClassDef))}
    made |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    private = {name for name in made if name[0] == "_" and name[:2] != "__"}
    names = {getattr(node, field, None) for node in nodes for field in ("id", "attr", "name", "arg", "module")}
    return {name: _least(name, {str(other) for other in names - {name}}) for name in private}


def _least(name: str, others: set[str]) -> str:
    for size in range(3, len(name)):
        if not any(other.startswith(name[:size]) for other in others):
            return name[:size]
    return name


class _Leave(ast.NodeTransformer):
    """Leaves out TYPE_CHECKING and what stands below it, what is for CPython only, and the import of const, which
    MicroPython's compiler knows."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        if node.module == "shared":
            node.names = [alias for alias in node.names if alias.name != "const"]
        return node if node.names else None

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if _is_typing(node.targets[0]) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        if _is_typing(node.test):
            return None
        self.generic_visit(node)
        return (node.orelse or [ast.Pass()]) if _is_cpython(node.test) else node

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return node.orelse if _is_cpython(node.test) else node


def _is_cpython(node: ast.AST) -> bool:
    return ast.unparse(node) == "sys.implementation.name == 'cpython'"


def _is_typing(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


def _shorten(function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
    """Gives its parameters names of _FREE. One with defaults is left alone: such are called with keywords."""
    given = function.args
    if given.defaults or given.kwonlyargs:
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
