"""What a board gets of a source: the same program without what costs it memory for nothing."""

import ast
from pathlib import Path

from hub import mpy
from hub.slim import constants, join, prefixes, slim

ROOT = Path(__file__).parents[2]


def run(source, call):
    names = {}
    exec(slim(source, {}, {}), names)
    return eval(call, names)


def test_nothing_that_only_cpython_needs():
    source = "from shared import VERSION, const\nTYPE_CHECKING = const(False)\nif TYPE_CHECKING:\n    import typing\n"
    assert slim(source + "_STEP = const(4)\n", {}, {}).splitlines() == [
        "from shared import VERSION",
        "_STEP = const(4)",
    ]
    assert slim("from shared import const\n", {}, {}) == ""


def test_parameters_are_words_that_every_micropython_has():
    assert (
        slim("def area(width, height):\n    return width * height", {}, {})
        == "def area(_, value):\n    return _ * value"
    )


def test_not_one_that_may_be_given_by_its_name():
    source = "def area(width, height=1):\n    return width * height"
    assert slim(source, {}, {}) == source
    assert run("def join(*parts, between):\n    return between.join(parts)", "join('a', 'b', between='-')") == "a-b"


def test_a_branch_for_cpython_is_left_out():
    source = "import sys\nif sys.implementation.name == 'cpython':\n    x = 1\nelse:\n    x = 2\n"
    assert slim(source, {}, {}) == "import sys\nx = 2"
    assert slim("x = 1 if sys.implementation.name == 'cpython' else 2", {}, {}) == "x = 2"


def test_private_names_are_as_short_as_they_can_be_told_apart():
    one = "def _remove(): pass\nclass A:\n    def f(self):\n        self._reads = self.name\n"
    two = "from one import _remove\n_remote = _remove()\n_LIMIT = const(3)\n"
    shorter = prefixes([one, two])
    assert shorter == {"_remove": "_remov", "_reads": "_rea"}
    assert "self._rea = self.name" in slim(one, shorter, {})
    assert prefixes(["def _remember(): pass"]) == {"_remember": "_re"}


def test_a_word_that_the_function_has_already_is_not_taken():
    assert run("def f(one, two):\n    value = one + 1\n    return value, two", "f(1, 5)") == (2, 5)
    assert run("value = 7\ndef f(one, two):\n    return value, one, two", "f(1, 2)") == (7, 1, 2)


def test_inner_scopes_mean_what_they_meant():
    closure = "def outer(one):\n    def inner(two):\n        return one, two\n    return inner"
    assert run(closure, "outer(1)(2)") == (1, 2)
    assert run("def f(items):\n    return [items for items in items]", "f([1, 2])") == [1, 2]
    assert run("def f(item, items):\n    return [item for item in items], item", "f(0, [1, 2])") == ([1, 2], 0)
    assert run("def f(one):\n    return (lambda one: one + 1)(one)", "f(1)") == 2


def test_no_function_without_defaults_is_called_by_the_names_of_its_parameters():
    """For their names are others on a board."""
    sources = [*(ROOT / "edge").glob("*.py"), *(ROOT / "shared").glob("*.py"), ROOT / "motet" / "board_main.py"]
    trees = [ast.parse(path.read_text()) for path in sources]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [(node.name, node) for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            functions += [(node.name, inner) for inner in node.body if getattr(inner, "name", "") == "__init__"]
    renamed = {(name, a.arg) for name, f in functions if not f.args.defaults for a in f.args.args}
    called = {
        (getattr(node.func, "attr", getattr(node.func, "id", "")), keyword.arg)
        for node in nodes
        if isinstance(node, ast.Call)
        for keyword in node.keywords
    }
    assert not renamed & called


def test_constants_stand_where_they_are_used():
    one = "SIZE = 4 * 1024\nNAME = 'edge'\nWORDS = ('a', 'b')\nLONG = 'a text that is used in more places'\n"
    values = constants([one, "SHARED = 1\n", "SHARED = 2\n"], ["ASKED = 3\n"])
    assert values == {"SIZE": 4096, "NAME": "edge"}
    assert slim(one + "x = SIZE + 1\n", {}, values).endswith("x = 4096 + 1")
    assert slim("from one import SIZE, WORDS\nimport one\nx = SIZE, one.NAME, WORDS\n", {}, values).splitlines() == [
        "from one import WORDS",
        "import one",
        "x = (4096, 'edge', WORDS)",
    ]


def test_a_name_that_is_asked_for_when_the_program_runs_is_no_constant():
    assert constants(["SLOTS = 4\n"], ["SLOTS = 1\n"]) == {}


def test_modules_become_one_and_are_imported_from_there():
    texts = {
        "edge/agent.py": "from edge.fetch import Fetch\ndef run(): return Fetch\n",
        "edge/fetch.py": "class Fetch: pass\n",
        "edge/main.py": "from edge.fetch import Fetch\n",
    }
    joined = join(texts, "edge/agent.py", ("edge/fetch.py",))
    assert sorted(joined) == ["edge/agent.py", "edge/main.py"]
    assert joined["edge/main.py"] == "from edge.agent import Fetch"
    names = {}
    exec(joined["edge/agent.py"], names)
    assert names["run"]().__name__ == "Fetch"


def test_no_two_modules_that_become_one_have_a_name_of_their_own_in_common():
    for module, parts in mpy._TOGETHER.items():
        seen = set()
        for name in (module, *parts):
            tree = ast.parse((ROOT / name).read_text())
            own = {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
            own |= {n.targets[0].id for n in tree.body if isinstance(n, ast.Assign)} - {"TYPE_CHECKING"}
            assert not own & seen
            seen |= own


def test_what_is_joined_is_imported_by_its_names():
    parts = {part.removesuffix(".py").replace("/", ".") for parts in mpy._TOGETHER.values() for part in parts}
    for path in mpy.sources().values():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not parts & {f"{node.module}.{alias.name}" for alias in node.names}, path
            elif isinstance(node, ast.Import):
                assert not parts & {alias.name for alias in node.names}, path
