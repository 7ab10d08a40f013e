"""Real servers on loopback that fetching is tried against: a web server, and a registry in front of it."""

import asyncio
import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from hub.modules.images import Images
from shared.errors import BadRequest

# For cdn.test and registry.test, good for a hundred years; a key that guards nothing.
TLS = {
    "ssl_certfile": str(Path(__file__).parent / "tls/cert.pem"),
    "ssl_keyfile": str(Path(__file__).parent / "tls/key.pem"),
}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
WASM = "application/vnd.wasm.content.layer.v1+wasm"

Page = Response | Callable[[Request], Response]


class Site:
    """A web server in a thread, at 127.0.0.1 and a free port. pages: path -> what it answers; seen: what was asked."""

    def __init__(self, **options: Any) -> None:
        self.pages: dict[str, Page] = {}
        self.seen: list[Request] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.at = f"127.0.0.1:{self.port}"
        config = uvicorn.Config(
            self._app, interface="asgi3", log_config=None, access_log=False, lifespan="off", **options
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._server.ready.wait(10)
        return self

    def __exit__(self, *exc: object) -> None:
        # A page that never ends must not hold us.
        self._server.force_exit = True
        self._server.ending.set()
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._socket.close()

    def page(self, request: Request) -> Response:
        found = self.pages.get(request.url.path, Response(status_code=404))
        return found if isinstance(found, Response) else found(request)

    def paths(self) -> list[str]:
        return [request.url.path for request in self.seen]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        self.seen.append(request)
        await self.page(request)(scope, receive, send)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready, self.ending = threading.Event(), threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Ends at once, not with the next tick."""
        await asyncio.to_thread(self.ending.wait)


class Registry(Site):
    """A registry with images. auth: "" for everybody, "basic", or "token" with the service at /token.

    login: ("name", "password") that it wants; with "token" None gives everybody a token.
    """

    def __init__(self, auth: str = "", login: tuple[str, str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.auth = auth
        self.login = login
        self.pages["/token"] = self._token

    def push(self, name: str, module: bytes, kind: str = WASM) -> str:
        """ "repository:tag" with one layer; the digest of its manifest."""
        repository, _, tag = name.partition(":")
        return self.tag(repository, tag, {"layers": [self.layer(repository, module, kind)]})

    def layer(self, repository: str, data: bytes, kind: str = WASM, **more: Any) -> dict[str, Any]:
        digest = digest_of(data)
        self.pages[f"/v2/{repository}/blobs/{digest}"] = Response(data)
        return {"mediaType": kind, "digest": digest, "size": len(data), **more}

    def tag(self, repository: str, tag: str, manifest: dict[str, Any], kind: str = MANIFEST) -> str:
        data = json.dumps({"schemaVersion": 2, "mediaType": kind, **manifest}).encode()
        digest = digest_of(data)
        for reference in (tag, digest):
            self.pages[f"/v2/{repository}/manifests/{reference}"] = Response(data, media_type=kind)
        return digest

    def page(self, request: Request) -> Response:
        if not request.url.path.startswith("/v2/") or not self.auth:
            return super().page(request)
        given = request.headers.get("authorization", "")
        wanted = "Bearer good" if self.auth == "token" else self._basic()
        if given == wanted:
            return super().page(request)
        challenge = f'Bearer realm="http://{self.at}/token",service="the registry",scope="repository:r:pull"'
        if self.auth == "basic":
            challenge = 'Basic realm="r"'
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return Response(json.dumps(body), 401, {"WWW-Authenticate": challenge})

    def _token(self, request: Request) -> Response:
        if self.login and request.headers.get("authorization") != self._basic():
            return Response(status_code=401)
        return Response(json.dumps({"token": "good"}))

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(":".join(self.login or ("", "")).encode()).decode()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


async def refusal(images: Images, url: str) -> str:
    """The sentence with which a fetch is refused, without its beginning."""
    with pytest.raises(BadRequest) as caught:
        await images.fetch(url)
    assert caught.value.code == "bad_module"
    start, _, sentence = caught.value.message.partition(": ")
    assert start.startswith("cannot fetch ")
    # What the hub says when it has not understood.
    assert "could not make sense" not in sentence
    return sentence
