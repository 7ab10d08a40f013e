"""What an image_url may be: a web address, a file of the hub, or a reference to an image in a registry.

The one parser of these; whether the hub may fetch what it names is decided when it does.
"""

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from hub.modules import digests
from hub.modules.hosts import split
from shared.errors import BadRequest

MAX_LENGTH = 2048
MAX_REPOSITORY = 255
DOCKER = "docker.io"

_OFFICIAL = "library/"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_FORMS = "a http(s) or file URL, or a reference such as docker.io/myorg/extract:v1"


@dataclass(frozen=True, slots=True)
class Web:
    """A http or https URL without its fragment; origin: "host" or "host:port". digest: what it must have, or None."""

    url: str
    origin: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class LocalFile:
    """An absolute path on the hub. digest: what the module must have, or None."""

    path: str
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a registry ("ghcr.io", "localhost:5000"), by digest ("sha256:…") where it has one, else by tag."""

    registry: str
    repository: str
    tag: str
    digest: str | None = None

    @property
    def wanted(self) -> str:
        """What a registry is asked for: a digest goes before a tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}"
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"


def parse(text: str) -> Web | LocalFile | Image:
    """What an image_url names; BadRequest `bad_image_url` says what is wrong with it.

    References are those of Docker: without a registry docker.io is meant, there without a folder the official images,
    without a tag `latest`; a first part is a registry when it has a dot or a port, or is localhost.
    A URL may end in #sha256=<hex>, which its module must have.
    """
    if len(text) > MAX_LENGTH:
        _refuse(f"is over {MAX_LENGTH} characters")
    if not text.isprintable() or " " in text:
        _refuse(f"is {_FORMS}, without blanks")
    scheme, colon, rest = text.partition("://")
    if not colon:
        return _image(text)
    kind = scheme.lower()
    if kind == "oci":
        return _image(rest)
    if kind not in ("http", "https", "file"):
        _refuse(f"begins with {scheme[:20]}://: it is {_FORMS}")
    return _url(text, kind)


def _url(text: str, kind: str) -> Web | LocalFile:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        _refuse(f"is no URL: {error}")
    if parts.username is not None or parts.password is not None:
        _refuse("has a name or password in it, which everybody could read: give the hub a file with --registry-auth")
    digest = _fragment(parts.fragment)
    if kind == "file":
        path = unquote(parts.path)
        if host not in ("", "localhost") or parts.query or not path.startswith("/") or "\0" in path:
            _refuse("is no file of the hub: write file:///, then its absolute path")
        return LocalFile(path, digest)
    if not host or port == 0:
        _refuse("names no host: write https://HOST/PATH")
    return Web(text.partition("#")[0], parts.netloc.lower(), digest)


def _fragment(text: str) -> str | None:
    name, equals, value = text.partition("=")
    digest = f"{name}:{value.lower()}"
    if text and not (equals and digests.FORM.fullmatch(digest)):
        _refuse(f"ends in #{text[:40]}: only #sha256=<64 hex digits> may stand there")
    return digest if text else None


def _image(text: str) -> Image:
    name, at, digest = text.partition("@")
    if at and not digests.FORM.fullmatch(digest):
        _refuse("has a wrong digest: write @sha256: and 64 hex digits in lower case")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, name = _registry(first), rest
    else:
        registry = DOCKER
    name, colon, tag = name.partition(":")
    if colon and not _TAG.fullmatch(tag):
        _refuse(f"has a wrong tag {tag[:40]!r}: 1 to 128 of A-Z a-z 0-9 _ . - are allowed, no . or - first")
    if not _REPOSITORY.fullmatch(name) or len(name) > MAX_REPOSITORY:
        lower = " (names of images are in lower case)" if name != name.lower() else ""
        _refuse(f"is {_FORMS}, not {text[:80]!r}{lower}")
    if registry == DOCKER and "/" not in name:
        name = _OFFICIAL + name
    return Image(registry, name, tag or "latest", digest or None)


def _registry(text: str) -> str:
    try:
        split(text)
    except ValueError:
        _refuse(f"has a wrong registry {text[:80]!r}: write HOST or HOST:PORT")
    name = text.lower()
    return DOCKER if name in ("index.docker.io", "registry-1.docker.io") else name


def _refuse(sentence: str) -> NoReturn:
    raise BadRequest(f"image_url {sentence}", "bad_image_url")
