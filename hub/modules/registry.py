"""Pulls a module out of a registry: the pull half of the OCI distribution protocol, which Docker's speak too."""

from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlencode

import msgspec
from httpx2 import URL

from hub.modules import digests
from hub.modules.credentials import Login
from hub.modules.download import Answer, Session
from hub.modules.header import MAX_MODULE
from hub.modules.reader import refuse
from hub.modules.references import DOCKER, Image
from hub.modules.unpack import MAX_LAYER

MAX_MANIFEST = 1 << 20
MAX_TOKEN = 64 << 10
# An index may name an index, but not for ever.
MAX_DEPTH = 3

_ACCEPT = ", ".join(
    (
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)
# From what names a bare core module to what may be one.
_MODULE_TYPES = (
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
)
_TITLE = "org.opencontainers.image.title"
_SYSTEMS = ("wasip1", "wasi", "")


class _Platform(msgspec.Struct):
    architecture: str = ""
    os: str = ""


class Descriptor(msgspec.Struct):
    """One layer, or one variant of an image."""

    digest: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    mediaType: str = ""
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.platform.os}/{self.platform.architecture}" if self.platform else self.mediaType or "?"


class _Manifest(msgspec.Struct):
    """A manifest has layers, an index has manifests."""

    layers: list[Descriptor] | None = None
    manifests: list[Descriptor] | None = None


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


Json = TypeVar("Json", bound=msgspec.Struct)


class Pull:
    """One pull of one image. login: what the registry may be told, if it asks."""

    def __init__(self, image: Image, session: Session, login: Login | None, plain: bool) -> None:
        """plain: http in place of https."""
        host = "registry-1.docker.io" if image.registry == DOCKER else image.registry
        self.image = image
        self._session = session
        self._login = login
        self._base = f"http{'' if plain else 's'}://{host}/v2/{image.repository}"
        self._authorization = ""

    async def layer(self) -> Descriptor:
        """The layer that holds the module, from the manifest of the image."""
        wanted, digest = self.image.wanted, self.image.digest
        for _ in range(MAX_DEPTH):
            manifest = await self._manifest(wanted, digest)
            if manifest.manifests is None:
                return _layer(manifest.layers or [])
            wanted = digest = digests.check(_platform(manifest.manifests).digest)
        refuse("its index names an index that names an index")

    async def blob(self, layer: Descriptor) -> bytes:
        """The bytes of a layer, checked against its digest."""
        body = (await self._get(f"blobs/{digests.check(layer.digest)}", "*/*", layer.size)).body
        digests.verify("layer", body, layer.digest)
        return body

    async def _manifest(self, wanted: str, digest: str | None) -> _Manifest:
        answer = await self._get(f"manifests/{wanted}", _ACCEPT, MAX_MANIFEST)
        if digest:
            digests.verify("manifest", answer.body, digest)
        manifest = _json(answer.body, _Manifest, "manifest")
        if manifest.layers is None and manifest.manifests is None:
            refuse("its manifest has neither layers nor manifests: push the image again with a tool of today")
        return manifest

    # --- asking

    async def _get(self, path: str, accept: str, most: int) -> Answer:
        url = f"{self._base}/{path}"
        answer = await self._session.get(url, most, self._headers(accept))
        # What another host answers, to which the registry redirects, is no question to us.
        if answer.status == 401 and not self._authorization and answer.url.origin == URL(url).origin:
            self._authorization = await self._authorize(answer)
            answer = await self._session.get(url, most, self._headers(accept))
        if answer.status != 200:
            self._explain(answer)
        return answer

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, **({"Authorization": self._authorization} if self._authorization else {})}

    def _explain(self, answer: Answer) -> NoReturn:
        registry, repository, said = self.image.registry, self.image.repository, _said(answer.body)
        if answer.status == 404 and answer.url.path.endswith(f"/{self.image.wanted}"):
            refuse(f"{registry} has no {repository} with {self.image.wanted}{said}: is the name right, was it pushed?")
        if answer.status in (401, 403):
            wanted = "another login" if self._login else "a login"
            refuse(
                f"{registry} does not give out {repository}{said}: is the name right? "
                f"If it is, the hub needs {wanted} for {registry} (--registry-auth)"
            )
        refuse(f"{answer.url.host} answers {answer.status}{said}")

    # --- being let in

    async def _authorize(self, answer: Answer) -> str:
        """The header Authorization that the challenge asks for."""
        challenges = answer.challenges()
        if self._login and self._login.registry:
            return f"Bearer {self._login.registry}"
        if "bearer" in challenges:
            return f"Bearer {await self._token(challenges['bearer'])}"
        if "basic" in challenges and self._login:
            return self._login.basic()
        self._explain(answer)

    async def _token(self, challenge: dict[str, str]) -> str:
        realm = self._realm(challenge.get("realm", ""))
        scope = challenge.get("scope") or f"repository:{self.image.repository}:pull"
        asked = {"service": challenge.get("service", ""), "scope": scope}
        if self._login and self._login.identity:
            form = {"grant_type": "refresh_token", "client_id": "motet", "refresh_token": self._login.identity, **asked}
            answer = await self._session.post(realm, MAX_TOKEN, form)
        else:
            headers = {"Authorization": self._login.basic()} if self._login else {}
            separator = "&" if "?" in realm else "?"
            answer = await self._session.get(f"{realm}{separator}{urlencode(asked)}", MAX_TOKEN, headers)
        if answer.status != 200:
            self._explain(answer)
        token = _json(answer.body, _Token, "token")
        found = token.token or token.access_token
        if not found.isascii() or not found.isprintable() or not found:
            refuse(f"{answer.url.host} answers without a token")
        return found

    def _realm(self, realm: str) -> str:
        """The token service; a name and a password must not go there in the open."""
        if realm.startswith("https://") or (realm.startswith("http://") and self._base.startswith("http://")):
            return realm
        refuse(f"{self.image.registry} names the token service {realm[:80]!r}, which is no https")


# --- choosing


def _platform(manifests: list[Descriptor]) -> Descriptor:
    """The one for wasm with WASI, else the only one; attestations of BuildKit are none."""
    real = [one for one in manifests if (one.annotations or {}).get("vnd.docker.reference.type") is None]
    wasm = [one for one in real if one.platform and one.platform.architecture.startswith("wasm")]
    for system in _SYSTEMS:
        named = [one for one in wasm if one.platform and one.platform.os == system]
        if named:
            return named[0]
    for choice in (wasm, real):
        if len(choice) == 1:
            return choice[0]
    names = ", ".join(str(one)[:40] for one in real[:10]) or "none"
    refuse(f"it has no variant for wasi/wasm; there are: {names}")


def _layer(layers: list[Descriptor]) -> Descriptor:
    """The one whose type says wasm, else whose title does, else the only one."""
    for wanted in _MODULE_TYPES:
        typed = [one for one in layers if one.mediaType.partition(";")[0] == wanted]
        if typed:
            return _only(typed, layers)
    titled = [one for one in layers if (one.annotations or {}).get(_TITLE, "").endswith(".wasm")]
    return _only(titled or layers, layers)


def _only(choice: list[Descriptor], layers: list[Descriptor]) -> Descriptor:
    if len(choice) != 1:
        types = ", ".join(one.mediaType[:80] or "?" for one in layers[:5]) or "none"
        refuse(f"which of its layers is the module cannot be told ({types}): push an image of the module alone")
    layer = choice[0]
    if layer.size > MAX_LAYER or (layer.mediaType in _MODULE_TYPES[:2] and layer.size > MAX_MODULE):
        refuse(f"its layer has {layer.size} bytes, a module at most {MAX_MODULE} (8 MiB)")
    return layer


# --- checking


def _json(body: bytes, kind: type[Json], what: str) -> Json:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refuse(f"its {what} cannot be read: {str(error)[:200]}")


def _said(body: bytes) -> str:
    """ " (manifest unknown)": what the registry itself says, for the end of a sentence."""
    try:
        errors: Any = msgspec.json.decode(body)
        text = str(errors["errors"][0]["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return ""
    text = "".join(c if c.isprintable() else " " for c in text).strip()[:200]
    return f" ({text})" if text else ""
