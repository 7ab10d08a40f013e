"""Names and passwords for registries and web servers, out of a file in the form of Docker's config.json."""

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from hub.modules.references import DOCKER
from shared.errors import BadRequest

MAX_FILE = 1 << 20
_DOCKER = ("index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True, slots=True)
class Login:
    """What one host is told. identity: a token that is exchanged for others, registry: one that is used as it is."""

    name: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)
    registry: str = field(default="", repr=False)

    def basic(self) -> str:
        """The header Authorization."""
        return "Basic " + base64.b64encode(f"{self.name}:{self.password}".encode()).decode()


class _Entry(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class _File(msgspec.Struct):
    auths: dict[str, _Entry] = {}
    credsStore: str = ""
    credHelpers: dict[str, str] = {}


def read(path: str) -> dict[str, Login]:
    """{host or host:port: login} of the file; BadRequest `bad_config`, without a word of what is in it."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        _refuse(path, f"cannot be read: {error.strerror}")
    if len(raw) > MAX_FILE:
        _refuse(path, "is over 1 MiB")
    try:
        file = msgspec.json.decode(raw, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _refuse(path, 'is not Docker\'s config.json: {"auths": {"HOST": {"auth": "…"}}}')
    logins = {_host(key): login for key, entry in file.auths.items() if (login := _login(path, key, entry))}
    if not logins and (file.credsStore or file.credHelpers):
        _refuse(path, "leaves its passwords to a helper of Docker, which the hub does not run: write them as `auth`")
    return logins


def _login(path: str, key: str, entry: _Entry) -> Login | None:
    name, password = entry.username, entry.password
    if entry.auth:
        try:
            name, colon, password = base64.b64decode(entry.auth, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            _refuse(path, f"has a wrong `auth` for {key[:80]}: it is base64 of NAME:PASSWORD")
    login = Login(name, password.rstrip("\0"), entry.identitytoken, entry.registrytoken)
    return login if login != Login() else None


def _host(key: str) -> str:
    """ "docker.io" of "https://index.docker.io/v1/", the form in which Docker itself writes it."""
    host = urlsplit(key if "://" in key else f"//{key}").netloc.lower()
    return DOCKER if host in _DOCKER else host


def _refuse(path: str, sentence: str) -> NoReturn:
    raise BadRequest(f"registry_auth: {path} {sentence}", "bad_config")
