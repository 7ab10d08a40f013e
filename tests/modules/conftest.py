"""wasmtime, the second opinion on what is valid."""

from collections.abc import Iterator

import pytest
from wasmtime import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Closed before the interpreter ends, which wasmtime would complain about."""
    engine = Engine()
    yield engine
    engine.close()
