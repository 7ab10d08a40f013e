"""Registries: images by tag, digest and platform, tokens and logins, and everything that may be wrong with them."""

import base64
import hashlib
import json

import pytest
from starlette.responses import RedirectResponse, Response

from tests.images.servers import INDEX, TLS, WASM, Registry, Site, digest_of, refusal
from tests.images.test_unpack import pack, tar

MODULE = b"\0asm\x01\0\0\0 and so on"
LOGIN = ("ann", "hunter2")


@pytest.fixture
def registry(start):
    registry = start(Registry)
    registry.push("o/n:v1", MODULE)
    return registry


@pytest.fixture
def images(make_images):
    return make_images("127.0.0.1")


def auth_file(tmp_path, host, login=LOGIN, **more):
    path = tmp_path / "auth.json"
    entry = {"auth": base64.b64encode(":".join(login).encode()).decode(), **more}
    path.write_text(json.dumps({"auths": {host: entry}}))
    return path


async def test_an_image_by_tag_and_by_digest(registry, images):
    digest = registry.push("o/n:v2", MODULE + b"2")
    assert await images.fetch(f"{registry.at}/o/n:v1") == MODULE
    assert await images.fetch(f"oci://{registry.at}/o/n:v1@{digest}") == MODULE + b"2"
    manifest = registry.seen[0]
    assert "application/vnd.oci.image.index.v1+json" in manifest.headers["accept"]
    assert "application/vnd.docker.distribution.manifest.list.v2+json" in manifest.headers["accept"]


async def test_docker_io_is_the_registry_behind_it(make_images):
    asked = []

    async def resolve(host, port):
        asked.append((host, port))
        raise OSError("not today")

    assert "registry-1.docker.io" in await refusal(make_images("docker.io", resolve=resolve), "myorg/extract:v1")
    assert set(asked) == {("registry-1.docker.io", 443)}
    assert "may not fetch from docker.io" in await refusal(make_images("ghcr.io"), "extract")


async def test_a_registry_that_is_not_listed_is_not_asked(registry, make_images):
    for hosts in ((), ("docker.io",), ("*",)):
        assert "--image-host" in await refusal(make_images(*hosts), f"{registry.at}/o/n:v1")
    assert registry.seen == []


async def test_only_a_listed_registry_on_this_machine_speaks_http(start, make_images):
    registry = start(Registry, **TLS)
    registry.push("o/n:v1", MODULE)
    names = {"registry.test": ["127.0.0.1"]}
    images = make_images("registry.test", "127.0.0.1", names=names)
    assert await images.fetch(f"registry.test:{registry.port}/o/n:v1") == MODULE
    plain = start(Registry)
    assert "cannot be reached" in await refusal(images, f"registry.test:{plain.port}/o/n:v1")
    assert plain.seen == []


# --- which bytes of the image


@pytest.mark.parametrize("kind", [WASM, "application/wasm", "application/vnd.module.wasm.content.layer.v1+wasm"])
async def test_the_layer_whose_type_says_wasm_among_others(registry, images, kind):
    layers = [registry.layer("o/n", b"text", "text/plain"), registry.layer("o/n", MODULE, kind)]
    registry.tag("o/n", "many", {"layers": layers})
    assert await images.fetch(f"{registry.at}/o/n:many") == MODULE
    assert digest_of(b"text") not in str(registry.paths())


async def test_the_layer_whose_title_is_a_wasm_file(registry, images):
    title = "org.opencontainers.image.title"
    kind = "application/vnd.oci.image.layer.v1.tar"
    layers = [
        registry.layer("o/n", b"text", kind, annotations={title: "README"}),
        registry.layer("o/n", MODULE, kind, annotations={title: "x.wasm"}),
    ]
    registry.tag("o/n", "oras", {"layers": layers})
    assert await images.fetch(f"{registry.at}/o/n:oras") == MODULE


async def test_an_image_of_docker_build(registry, images):
    layer = pack(tar(("x.wasm", MODULE)))
    registry.push("o/n:built", layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")
    assert await images.fetch(f"{registry.at}/o/n:built") == MODULE


@pytest.mark.parametrize(
    ("platforms", "chosen"),
    [
        (["linux/amd64", "wasi/wasm"], 1),
        (["linux/amd64", "wasip1/wasm32"], 1),
        (["wasi/wasm", "wasip1/wasm"], 1),
        (["js/wasm", "linux/arm64"], 0),
        (["linux/amd64"], 0),
        (["", "attestation"], 0),
    ],
)
async def test_an_index_gives_the_variant_for_wasm_or_the_only_one(registry, images, platforms, chosen):
    manifests = []
    for n, platform in enumerate(platforms):
        digest = registry.push(f"o/n:part{n}", MODULE + bytes([n]))
        entry = {"mediaType": "m", "digest": digest, "size": 1}
        if platform == "attestation":
            entry["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
            platform = "unknown/unknown"
        if platform:
            entry["platform"] = dict(zip(("os", "architecture"), platform.split("/"), strict=True))
        manifests.append(entry)
    registry.tag("o/n", "index", {"manifests": manifests}, INDEX)
    assert await images.fetch(f"{registry.at}/o/n:index") == MODULE + bytes([chosen])


async def test_an_index_without_one_for_wasm_names_what_there_is(registry, images):
    entries = [
        {"digest": registry.push(f"o/n:{arch}", MODULE), "size": 1, "platform": {"os": "linux", "architecture": arch}}
        for arch in ("amd64", "arm64")
    ]
    registry.tag("o/n", "index", {"manifests": entries}, INDEX)
    assert "there are: linux/amd64, linux/arm64" in await refusal(images, f"{registry.at}/o/n:index")
    registry.tag("o/n", "empty", {"manifests": []}, INDEX)
    assert "there are: none" in await refusal(images, f"{registry.at}/o/n:empty")


async def test_an_index_of_indexes_ends(registry, images):
    digest = registry.push("o/n:v1", MODULE)
    for depth in range(3):
        digest = registry.tag("o/n", f"{depth}", {"manifests": [{"digest": digest, "size": 1}]}, INDEX)
    assert await images.fetch(f"{registry.at}/o/n:1") == MODULE
    assert "an index that names an index" in await refusal(images, f"{registry.at}/o/n:2")


async def test_a_layer_that_the_hub_has_is_not_fetched_again(registry, make_images):
    images = make_images("127.0.0.1", kept={digest_of(MODULE).removeprefix("sha256:"): MODULE}.get)
    assert await images.fetch(f"{registry.at}/o/n:v1") == MODULE
    assert registry.paths() == ["/v2/o/n/manifests/v1"]


# --- what may be wrong


async def test_what_is_missing(registry, images):
    registry.pages["/v2/o/n/manifests/gone"] = Response(
        json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest\nunknown"}]}), 404
    )
    assert f"{registry.at} has no o/n with gone (manifest unknown)" in await refusal(images, f"{registry.at}/o/n:gone")
    assert f"{registry.at} has no o/m with v1: is the name right" in await refusal(images, f"{registry.at}/o/m:v1")
    del registry.pages[f"/v2/o/n/blobs/{digest_of(MODULE)}"]
    assert "127.0.0.1 answers 404" in await refusal(images, f"{registry.at}/o/n:v1")


async def test_a_manifest_and_a_layer_that_are_not_what_their_digest_says(registry, images):
    digest = registry.push("o/n:v2", MODULE)
    registry.pages[f"/v2/o/n/manifests/{digest}"] = registry.pages["/v2/o/n/manifests/v1"]
    registry.push("o/n:v1", MODULE + b"other")
    registry.pages[f"/v2/o/n/manifests/{digest}"] = registry.pages["/v2/o/n/manifests/v1"]
    assert "the manifest is not the one of its digest" in await refusal(images, f"{registry.at}/o/n@{digest}")
    registry.tag("o/n", "index", {"manifests": [{"digest": digest, "size": 1}]}, INDEX)
    assert "the manifest is not the one of its digest" in await refusal(images, f"{registry.at}/o/n:index")
    registry.pages[f"/v2/o/n/blobs/{digest_of(MODULE)}"] = Response(MODULE[:-1] + b"X")
    assert "the layer is not the one of its digest" in await refusal(images, f"{registry.at}/o/n:v2")


async def test_a_sha512_digest(registry, images):
    digest = "sha512:" + hashlib.sha512(MODULE).hexdigest()
    registry.pages[f"/v2/o/n/blobs/{digest}"] = Response(MODULE)
    layer = {"mediaType": WASM, "digest": digest, "size": len(MODULE)}
    registry.tag("o/n", "sha512", {"layers": [layer]})
    assert await images.fetch(f"{registry.at}/o/n:sha512") == MODULE


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        ({"layers": []}, "(none): push an image of the module alone"),
        ({"layers": [{"digest": "sha256:" + "0" * 64, "size": 1}] * 2}, "(?, ?): push"),
        ({"layers": [{"digest": "sha256:" + "0" * 64, "size": 1, "mediaType": WASM}] * 2}, "cannot be told"),
        ({"layers": [{"digest": "sha256:" + "0" * 64, "size": (8 << 20) + 1, "mediaType": WASM}]}, "8388609 bytes"),
        ({"layers": [{"digest": "sha256:" + "0" * 64, "size": (16 << 20) + 1}]}, "16777217 bytes"),
        ({"layers": [{"digest": "md5:00", "size": 1}]}, "'md5:00' is no digest"),
        ({"layers": [{"digest": "../../secret", "size": 1}]}, "'../../secret' is no digest"),
        ({"manifests": [{"digest": "../../secret", "size": 1}]}, "'../../secret' is no digest"),
        ({"layers": [{"digest": "sha256:" + "0" * 64, "size": -1}]}, "its manifest cannot be read"),
        ({"layers": "many"}, "its manifest cannot be read"),
        ({"schemaVersion": 1, "fsLayers": []}, "neither layers nor manifests"),
    ],
)
async def test_a_manifest_that_makes_no_sense(registry, images, manifest, says):
    registry.tag("o/n", "bad", manifest)
    assert says in await refusal(images, f"{registry.at}/o/n:bad")


@pytest.mark.parametrize("body", [b"", b"no json", b"\xff\xfe", b"[" * 100_000, b"null", b"x" * ((1 << 20) + 1)])
async def test_a_manifest_that_is_none(registry, images, body):
    registry.pages["/v2/o/n/manifests/bad"] = Response(body)
    sentence = await refusal(images, f"{registry.at}/o/n:bad")
    assert "its manifest cannot be read" in sentence or "sends more than 1 MiB" in sentence


async def test_a_layer_of_more_bytes_than_the_manifest_says(registry, images):
    layer = registry.layer("o/n", MODULE)
    registry.tag("o/n", "long", {"layers": [{**layer, "size": 5}]})
    assert "sends more than 5 bytes" in await refusal(images, f"{registry.at}/o/n:long")


# --- redirects


async def test_a_layer_is_fetched_from_the_store_the_registry_points_to(start, make_images, tmp_path):
    registry, cdn = start(Registry, auth="basic", login=LOGIN), start(Site)
    registry.push("o/n:v1", MODULE)
    cdn.pages["/store"] = Response(MODULE)
    blob = f"/v2/o/n/blobs/{digest_of(MODULE)}"
    registry.pages[blob] = RedirectResponse(f"http://cdn.test:{cdn.port}/store?signature=s")
    auth = auth_file(tmp_path, registry.at)
    images = make_images("127.0.0.1", names={"cdn.test": ["127.0.0.1"]}, auth=auth)
    assert await images.fetch(f"{registry.at}/o/n:v1") == MODULE
    assert "authorization" in registry.seen[-1].headers
    assert "authorization" not in cdn.seen[0].headers


async def test_a_store_that_asks_for_a_login_gets_none(registry, start, make_images, tmp_path):
    """Whoever is redirected to could name a token service of its own, and read the login there."""
    cdn, service = start(Site), start(Site)
    registry.pages["/v2/o/n/manifests/v1"] = RedirectResponse(f"http://{cdn.at}/")
    challenge = f'Bearer realm="http://{service.at}/token"'
    cdn.pages["/"] = Response(status_code=401, headers={"WWW-Authenticate": challenge})
    images = make_images("127.0.0.1", auth=auth_file(tmp_path, registry.at))
    assert "does not give out o/n" in await refusal(images, f"{registry.at}/o/n:v1")
    assert service.seen == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
async def test_a_registry_cannot_point_into_the_own_network(registry, start, make_images, address):
    inner = start(Site)
    registry.pages[f"/v2/o/n/blobs/{digest_of(MODULE)}"] = RedirectResponse(f"http://cdn.test:{inner.port}/")
    names = {"cdn.test": [address]}
    images = make_images(registry.at, names=names)
    assert f"cdn.test is at {address}" in await refusal(images, f"{registry.at}/o/n:v1")
    assert inner.seen == []


async def test_a_token_service_in_the_own_network_is_not_asked(start, make_images):
    registry, inner = start(Registry, auth="token"), start(Site)
    registry.pages["/v2/"] = Response(status_code=404)
    challenge = f'Bearer realm="http://127.0.0.1:{inner.port}/token"'
    registry.page = lambda request: Response(status_code=401, headers={"WWW-Authenticate": challenge})
    assert "127.0.0.1 is a loopback address" in await refusal(make_images(registry.at), f"{registry.at}/o/n:v1")
    assert inner.seen == []


async def test_a_registry_with_tls_cannot_have_the_login_sent_in_the_open(start, make_images, tmp_path):
    registry, open_service = start(Registry, **TLS), start(Site)
    challenge = f'Bearer realm="http://registry.test:{open_service.port}/token"'
    registry.page = lambda request: Response(status_code=401, headers={"WWW-Authenticate": challenge})
    at = f"registry.test:{registry.port}"
    names = {"registry.test": ["127.0.0.1"]}
    images = make_images("registry.test", "127.0.0.1", names=names, auth=auth_file(tmp_path, at))
    assert "which is no https" in await refusal(images, f"{at}/o/n:v1")
    assert open_service.seen == []


# --- tokens and logins


async def test_a_token_for_everybody(start, images):
    registry = start(Registry, auth="token")
    registry.push("o/n:v1", MODULE)
    assert await images.fetch(f"{registry.at}/o/n:v1") == MODULE
    tokens = [request for request in registry.seen if request.url.path == "/token"]
    (token,) = tokens
    assert dict(token.query_params) == {"service": "the registry", "scope": "repository:r:pull"}
    assert "authorization" not in token.headers
    assert registry.seen[-1].headers["authorization"] == "Bearer good"


@pytest.mark.parametrize("auth", ["token", "basic"])
async def test_a_login(start, make_images, tmp_path, auth, caplog):
    registry = start(Registry, auth=auth, login=LOGIN)
    registry.push("o/n:v1", MODULE)
    url = f"{registry.at}/o/n:v1"
    path = auth_file(tmp_path, registry.at)
    images = make_images("127.0.0.1", auth=path)
    with caplog.at_level("DEBUG", "motet.hub"):
        assert await images.fetch(url) == MODULE
        assert f"the hub needs a login for {registry.at} (--registry-auth)" in await refusal(
            make_images("127.0.0.1"), url
        )
        # The file is read anew: logins of clouds last for hours.
        auth_file(tmp_path, registry.at, ("ann", "hunter2-but-wrong"))
        assert f"the hub needs another login for {registry.at}" in await refusal(images, url)
        path.unlink()
        assert "registry_auth: " in await refusal(images, url)
    assert "hunter2" not in caplog.text


async def test_a_login_goes_to_its_own_registry_only(start, make_images, tmp_path):
    mine, other = start(Registry, auth="basic", login=LOGIN), start(Registry, auth="basic", login=LOGIN)
    for registry in (mine, other):
        registry.push("o/n:v1", MODULE)
    images = make_images("127.0.0.1", auth=auth_file(tmp_path, mine.at))
    assert await images.fetch(f"{mine.at}/o/n:v1") == MODULE
    assert "needs a login" in await refusal(images, f"{other.at}/o/n:v1")
    assert all("authorization" not in request.headers for request in other.seen)


async def test_an_identity_token_is_exchanged(start, make_images, tmp_path):
    """https://distribution.github.io/distribution/spec/auth/oauth/"""
    registry = start(Registry, auth="token", login=LOGIN)
    registry.push("o/n:v1", MODULE)
    registry.pages["/token"] = Response(json.dumps({"access_token": "good"}))
    auth = auth_file(tmp_path, registry.at, ("00000000", ""), identitytoken="refresh-me")
    assert await make_images("127.0.0.1", auth=auth).fetch(f"{registry.at}/o/n:v1") == MODULE
    (asked,) = [request for request in registry.seen if request.url.path == "/token"]
    assert asked.method == "POST"
    assert "authorization" not in asked.headers


async def test_a_registry_token_is_sent_as_it_is(start, make_images, tmp_path):
    registry = start(Registry, auth="token", login=LOGIN)
    registry.push("o/n:v1", MODULE)
    auth = auth_file(tmp_path, registry.at, registrytoken="good")
    assert await make_images("127.0.0.1", auth=auth).fetch(f"{registry.at}/o/n:v1") == MODULE
    assert "/token" not in registry.paths()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Response(json.dumps({"token": "bad"})), "does not give out o/n (authentication required)"),
        (Response("{}"), "answers without a token"),
        (Response(json.dumps({"token": "a\r\nX-Evil: 1"})), "answers without a token"),
        (Response(json.dumps({"token": 5})), "its token cannot be read"),
        (Response("<html>"), "its token cannot be read"),
        (Response(status_code=500), "127.0.0.1 answers 500"),
        (RedirectResponse("http://169.254.169.254/"), "a metadata address"),
    ],
)
async def test_a_token_service_that_gives_no_good_token(start, images, answer, says):
    registry = start(Registry, auth="token")
    registry.push("o/n:v1", MODULE)
    registry.pages["/token"] = answer
    assert says in await refusal(images, f"{registry.at}/o/n:v1")


@pytest.mark.parametrize(
    ("challenge", "says"),
    [
        ("", "does not give out o/n"),
        ("Negotiate", "does not give out o/n"),
        ("Digest a=b", "does not give out o/n"),
        ("Basic" + " ," * 9000, "does not give out o/n"),
        ("Bearer", "which is no https"),
        ('Bearer realm=""', "which is no https"),
        ('Bearer realm="', "which is no https"),
        ('Bearer realm="file:///etc/passwd"', "which is no https"),
        ('Bearer realm="http://[::1/"', "is no URL"),
        ('Bearer realm="http://elsewhere.test/"', "elsewhere.test cannot be reached"),
    ],
)
async def test_a_challenge_that_cannot_be_met(start, make_images, challenge, says):
    registry = start(Registry)
    registry.page = lambda request: Response(status_code=401, headers={"WWW-Authenticate": challenge})
    assert says in await refusal(make_images("127.0.0.1", names={}), f"{registry.at}/o/n:v1")


async def test_a_challenge_among_others(start, images):
    registry = start(Registry, auth="token")
    registry.push("o/n:v1", MODULE)
    plain = registry.page
    challenge = f'Negotiate abc==, Basic realm="a, \\"b\\"", BEARER service=s , Realm="http://{registry.at}/token"'

    def page(request):
        answer = plain(request)
        if answer.status_code == 401:
            answer.headers["WWW-Authenticate"] = challenge
        return answer

    registry.page = page
    assert await images.fetch(f"{registry.at}/o/n:v1") == MODULE
    (token,) = [request for request in registry.seen if request.url.path == "/token"]
    assert dict(token.query_params) == {"service": "s", "scope": "repository:o/n:pull"}
