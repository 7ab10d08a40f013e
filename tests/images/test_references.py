"""What an image_url may be, and what it then means."""

import pytest

from hub.modules.references import Image, LocalFile, Web, parse
from shared.errors import BadRequest

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("docker.io/myorg/extract:v1", "docker.io/myorg/extract:v1"),
        ("myorg/extract:v1", "docker.io/myorg/extract:v1"),
        ("extract", "docker.io/library/extract:latest"),
        ("docker.io/extract", "docker.io/library/extract:latest"),
        ("index.docker.io/myorg/extract", "docker.io/myorg/extract:latest"),
        ("registry-1.docker.io/myorg/extract", "docker.io/myorg/extract:latest"),
        ("extract:5000", "docker.io/library/extract:5000"),
        ("oci://ghcr.io/o/n:1", "ghcr.io/o/n:1"),
        ("GHCR.io/o/n:V1.0_a-b", "ghcr.io/o/n:V1.0_a-b"),
        (f"ghcr.io/o/n@sha256:{SHA}", f"ghcr.io/o/n@sha256:{SHA}"),
        (f"ghcr.io/o/n:v1@sha256:{SHA}", f"ghcr.io/o/n@sha256:{SHA}"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x:y", "localhost:5000/x:y"),
        ("127.0.0.1:5000/a/b/c__d:y", "127.0.0.1:5000/a/b/c__d:y"),
        ("[::1]:5000/x:y", "[::1]:5000/x:y"),
        ("registry.test/x", "registry.test/x:latest"),
    ],
)
def test_references_mean_what_docker_means_by_them(text, meant):
    found = parse(text)
    assert isinstance(found, Image)
    assert str(found) == meant


def test_a_digest_goes_before_a_tag():
    assert parse(f"ghcr.io/o/n:v1@sha256:{SHA}").wanted == f"sha256:{SHA}"
    assert parse("ghcr.io/o/n:v1").wanted == "v1"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://Host.test:8443/a%20b.wasm?key=1", Web("https://Host.test:8443/a%20b.wasm?key=1", "host.test:8443")),
        ("http://[::1]:80/x", Web("http://[::1]:80/x", "[::1]:80")),
        (f"https://h/x#sha256={SHA.upper()}", Web("https://h/x", "h", f"sha256:{SHA}")),
        ("file:///srv/a%20b.wasm", LocalFile("/srv/a b.wasm")),
        (f"FILE://localhost/x#sha256={SHA}", LocalFile("/x", f"sha256:{SHA}")),
    ],
)
def test_urls(text, meant):
    assert parse(text) == meant


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not a url", "without blanks"),
        ("docker.io/x\n", "without blanks"),
        ("x" * 2049, "over 2048"),
        ("", "docker.io/myorg/extract:v1"),
        ("ftp://host/x", "begins with ftp://"),
        ("https://", "names no host"),
        ("https:///x", "names no host"),
        ("https://host:0/x", "names no host"),
        ("https://host:99999/x", "is no URL"),
        ("https://[::1/x", "is no URL"),
        ("https://user:secret@host/x", "--registry-auth"),
        ("https://host/x#top", "only #sha256="),
        ("https://host/x#sha256=12", "only #sha256="),
        ("file://server/share/x.wasm", "no file of the hub"),
        ("file:///a%00b", "no file of the hub"),
        ("file:///a?b", "no file of the hub"),
        ("MyOrg/extract", "lower case"),
        ("docker.io/My/extract", "lower case"),
        ("docker.io/", "docker.io/myorg/extract:v1"),
        ("docker.io//x", "docker.io/myorg/extract:v1"),
        ("docker.io/a/../b", "docker.io/myorg/extract:v1"),
        ("docker.io/x:", "wrong tag"),
        ("docker.io/x:.v1", "wrong tag"),
        (f"docker.io/x:{'v' * 129}", "wrong tag"),
        ("docker.io/x@sha256:12", "wrong digest"),
        (f"docker.io/x@sha256:{SHA.upper()}", "wrong digest"),
        (f"docker.io/x@md5:{SHA}", "wrong digest"),
        ("host:99999/x", "wrong registry"),
        ("ho$st.test/x", "wrong registry"),
        (f"docker.io/{'a/' * 128}a", "docker.io/myorg/extract:v1"),
    ],
)
def test_what_is_no_reference_is_refused_with_what_is_wrong(text, says):
    with pytest.raises(BadRequest) as caught:
        parse(text)
    assert caught.value.code == "bad_image_url"
    assert says in caught.value.message
    assert "secret" not in caught.value.message
