"""A hub in process for the tests that run something, and what they look at."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from motet.testing import Clock, Hub


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken streams are opened again without a wait."""
    monkeypatch.setattr(random, "random", lambda: 0.0)


class Calls:
    """Callbacks that note what they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def on_node_start(self, name: str) -> None:
        self.told.append(("start", name))

    def on_node_complete(self, name: str, result: Any) -> None:
        self.told.append(("complete", name, result))

    def on_node_error(self, name: str, error: Exception) -> None:
        self.told.append(("error", name, type(error).__name__))

    def on_node_skip(self, name: str) -> None:
        self.told.append(("skip", name))


@pytest.fixture
def calls() -> Calls:
    return Calls()
