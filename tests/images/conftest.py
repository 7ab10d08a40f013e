from contextlib import ExitStack

import pytest

from hub.modules.download import Bounds
from hub.modules.images import Images, Sources
from tests.images.servers import TLS

# Long enough for a busy machine where nothing waits on purpose.
BOUNDS = Bounds(connect_s=5, silence_s=10, whole_s=30, pauses=(0.01, 0.01))


@pytest.fixture
def start():
    """start(Site), start(Registry, …): a server until the end of the test."""
    with ExitStack() as stack:
        yield lambda kind, **options: stack.enter_context(kind(**options))


@pytest.fixture
async def make_images(monkeypatch):
    """make_images("host", …): what fetches from those hosts. names: {name: addresses}, in place of DNS."""
    monkeypatch.setenv("SSL_CERT_FILE", TLS["ssl_certfile"])
    made = []

    def make(*hosts, names=None, folder="", auth="", bounds=BOUNDS, **more):
        async def resolve(host, port):
            if host not in names:
                raise OSError("no such name")
            return names[host]

        if names is not None:
            more["resolve"] = resolve
        made.append(Images(Sources(hosts, str(folder), str(auth)), bounds=bounds, **more))
        return made[-1]

    yield make
    for images in made:
        await images.close()
