"""Hubs that are processes of their own, as in tests/e2e."""

from tests.e2e.conftest import make_world

__all__ = ["make_world"]
