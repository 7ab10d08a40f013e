"""What importing costs: nothing that a user has not asked for."""

import subprocess
import sys

import pytest

import motet


def loaded(statement: str) -> set[str]:
    """The modules that a fresh Python has after a statement."""
    code = f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_import_motet_imports_nothing() -> None:
    assert {name for name in loaded("import motet") if name.startswith(("motet.", "hub", "edge", "httpx2"))} == set()


def test_the_client_and_the_builder_need_no_hub_and_no_library() -> None:
    modules = loaded("from motet import Client, AsyncClient, Workflow, pipeline, RunResult")
    assert not {"httpx2", "hub", "edge", "starlette", "msgspec"} & modules
    assert "motet.client" in modules


def test_every_name_is_there() -> None:
    for name in motet.__all__:
        assert getattr(motet, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        motet.nothing  # noqa: B018
