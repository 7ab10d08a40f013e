"""The page about reliability names tests and faults that there are, and all of them."""

import re
from importlib import import_module

import pytest

from tests.docs.pages import ROOT
from tests.docs.tables import DOCS
from tests.effort import SOAK
from tests.sim.mutants import MUTANTS
from tests.sim.test_simulation import PATIENCE

PAGE = (DOCS / "reliability.md").read_text()
# What the table of real processes says of the numbers in the code.
COUNTS = [("kills", "KILLS"), ("forged", "RESULTS"), ("network", "CUTS"), ("edges", "KILLS")]


def table(marker: str) -> list[list[str]]:
    """The cells of the rows between two markers."""
    text = PAGE.partition(f"<!-- {marker} -->\n")[2].partition(f"<!-- /{marker} -->")[0]
    return [re.split(r"\s*\|\s*", row[1:-1].strip()) for row in text.splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`(tests/[^`]+)`", PAGE)
    assert len(named) > 30
    for name in named:
        path, _, function = name.partition("::")
        assert (ROOT / path).exists(), name
        assert not function or f"def {function}(" in (ROOT / path).read_text(), name


def test_every_promise_has_a_test_and_a_figure():
    promises = table("promises")
    assert len(promises) >= 6
    for promise, tests, _, figure in promises:
        assert any(name.startswith("tests/") for name in names(tests)), promise
        assert re.search(r"\d", figure), promise


def test_every_fault_that_is_put_in_breaks_a_promise_and_is_explained():
    found_out = {name for row in table("promises") for name in names(row[2])}
    assert {name for name in found_out if not name.startswith("tests/")} == set(MUTANTS)
    explained = {names(fault)[0]: (says, int(seeds)) for fault, says, seeds in table("mutants")}
    assert {name: says for name, (says, _) in explained.items()} == {name: one.says for name, one in MUTANTS.items()}
    assert all(seeds <= PATIENCE for _, seeds in explained.values())


def test_every_test_with_real_processes_is_named():
    assert {path.name for path in (ROOT / "tests" / "faults").glob("test_*.py")} <= set(
        re.findall(r"test_\w+\.py", PAGE)
    )


@pytest.mark.parametrize(("module", "constant"), COUNTS)
def test_the_counts_are_those_of_the_code(module, constant):
    (row,) = [
        line for line in PAGE.splitlines() if f"| `tests/faults/test_{module}.py` |" in line and "the same" not in line
    ]
    count = getattr(import_module(f"tests.faults.test_{module}"), constant)
    assert row.split(" | ")[3 if SOAK else 2].split()[0] == f"{count:,}"
