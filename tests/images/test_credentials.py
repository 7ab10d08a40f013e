"""Docker's config.json as a file of logins, and what is said of a wrong one: never what is in it."""

import base64
import json

import pytest

from hub.modules.credentials import Login, read
from shared.errors import BadRequest


def write(tmp_path, document) -> str:
    path = tmp_path / "config.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_what_docker_login_and_podman_login_write(tmp_path):
    auths = {
        "https://index.docker.io/v1/": {"auth": packed("ann:se:cret")},
        "ghcr.io": {"username": "bob", "password": "pw"},
        "localhost:5000": {"auth": packed("c:d")},
        "https://Registry.test/v2/": {"auth": packed("00000000-0000-0000-0000-000000000000:"), "identitytoken": "t"},
        "given.test": {"registrytoken": "r"},
        "empty.test": {},
    }
    logins = read(write(tmp_path, {"auths": auths, "credsStore": "desktop", "HttpHeaders": {"a": "b"}}))
    assert logins == {
        "docker.io": Login("ann", "se:cret"),
        "ghcr.io": Login("bob", "pw"),
        "localhost:5000": Login("c", "d"),
        "registry.test": Login("00000000-0000-0000-0000-000000000000", "", "t"),
        "given.test": Login(registry="r"),
    }
    assert logins["ghcr.io"].basic() == "Basic Ym9iOnB3"


def test_a_login_does_not_print_its_secrets():
    text = repr(Login("ann", "pw-1", "id-2", "tok-3"))
    assert "ann" in text
    assert not any(secret in text for secret in ("pw-1", "id-2", "tok-3"))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("no json: hunter2", "is not Docker's config.json"),
        ("[" * 100_000, "is not Docker's config.json"),
        ({"auths": {"x": {"auth": 5, "password": "hunter2"}}}, "is not Docker's config.json"),
        ({"auths": {"x": {"auth": "hunter2!"}}}, "wrong `auth` for x"),
        ({"auths": {"x": {"auth": packed("hunter2")}}}, "wrong `auth` for x"),
        ({"auths": {"x": {"auth": "//79"}}}, "wrong `auth` for x"),
        ({"auths": {"x": {}}, "credsStore": "desktop"}, "a helper of Docker"),
        ({"credHelpers": {"x": "ecr"}}, "a helper of Docker"),
        (" " * ((1 << 20) + 1), "over 1 MiB"),
    ],
)
def test_a_wrong_file_is_refused_without_a_word_of_what_is_in_it(tmp_path, document, says):
    with pytest.raises(BadRequest) as caught:
        read(write(tmp_path, document))
    assert caught.value.code == "bad_config"
    assert says in caught.value.message
    assert "hunter2" not in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(BadRequest, match="cannot be read: No such file"):
        read(str(tmp_path / "none"))
