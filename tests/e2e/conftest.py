import pytest

from tests.e2e.world import World


@pytest.fixture
def make_world(tmp_path):
    worlds = []

    def make(*options: str) -> World:
        worlds.append(World(tmp_path, *options))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world):
    return make_world()
