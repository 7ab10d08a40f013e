from tests.e2e.conftest import make_world, world

__all__ = ["make_world", "world"]
