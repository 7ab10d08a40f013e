"""http and https: what is fetched, what is not, and how a fetch that goes wrong says so."""

import asyncio
import base64
import json
import threading
from dataclasses import replace

import pytest
from starlette.responses import RedirectResponse, Response, StreamingResponse

from hub.modules.header import MAX_MODULE
from tests.images.conftest import BOUNDS
from tests.images.servers import TLS, Site, digest_of, refusal
from tests.images.test_unpack import pack

MODULE = b"\0asm\x01\0\0\0 and so on"


@pytest.fixture
def site(start):
    site = start(Site)
    site.pages["/x.wasm"] = Response(MODULE)
    return site


@pytest.fixture
def secure(start):
    """A site with TLS, as cdn.test and registry.test."""
    site = start(Site, **TLS)
    site.pages["/x.wasm"] = Response(MODULE)
    return site


async def test_a_module_of_a_host_that_is_listed(site, make_images):
    assert await make_images("127.0.0.1").fetch(f"http://{site.at}/x.wasm") == MODULE
    (request,) = site.seen
    assert request.headers["host"] == site.at
    assert request.headers["user-agent"].startswith("motet/")
    assert request.headers["accept-encoding"] == "identity"


async def test_a_host_that_is_not_listed_is_not_asked(site, make_images):
    for hosts in ((), ("docker.io",), ("127.0.0.1:1",), ("*",)):
        assert "--image-host" in await refusal(make_images(*hosts), f"http://{site.at}/x.wasm")
    assert site.seen == []


@pytest.mark.parametrize(
    "host",
    "localhost 127.1 127.0.1 0177.0.0.1 0x7f.1 0x7f000001 2130706433 017700000001 0 0.0.0.0 [::1] [::] "
    "[::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] 127.0.0.1. LOCALHOST "
    "①②⑦.⓪.⓪.① 127。0。0。1 ::1".split(),
)
async def test_no_spelling_of_this_machine_passes_as_public(site, make_images, host):
    """With the resolver of the system, which takes more of them for an address than Python does."""
    assert await refusal(make_images("*"), f"http://{host}:{site.port}/x.wasm")
    assert site.seen == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_into_the_own_network_is_refused(site, make_images, address):
    images = make_images("*", names={"evil.test": ["8.8.8.8", address]})
    assert f"evil.test is at {address}, a " in await refusal(images, f"http://evil.test:{site.port}/x.wasm")
    assert site.seen == []


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(site, make_images):
    """A name that changes between two look-ups (DNS rebinding) is looked up once for a connection."""
    asked = []

    async def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    images = make_images("site.test", "127.0.0.1", resolve=rebinding)
    assert await images.fetch(f"http://site.test:{site.port}/x.wasm") == MODULE
    assert asked == ["site.test"]
    assert site.seen[0].headers["host"] == f"site.test:{site.port}"


async def test_the_next_address_is_tried_when_one_does_not_answer(site, make_images):
    images = make_images("site.test", "127.0.0.1", "127.0.0.2", names={"site.test": ["127.0.0.2", "127.0.0.1"]})
    assert await images.fetch(f"http://site.test:{site.port}/x.wasm") == MODULE


async def test_tls_is_checked_against_the_name_in_the_url(secure, make_images):
    names = {"cdn.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]}
    images = make_images("cdn.test", "other.test", "127.0.0.1", names=names)
    assert await images.fetch(f"https://cdn.test:{secure.port}/x.wasm") == MODULE
    assert "ertificate" in await refusal(images, f"https://other.test:{secure.port}/x.wasm")
    assert "ertificate" in await refusal(images, f"https://127.0.0.1:{secure.port}/x.wasm")
    assert len(secure.seen) == 1


async def test_proxies_and_passwords_of_the_environment_are_not_used(site, make_images, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login ann password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await make_images("127.0.0.1").fetch(f"http://{site.at}/x.wasm") == MODULE
    assert "authorization" not in site.seen[0].headers


# --- redirects


async def test_redirects_within_a_listed_host_and_to_another_that_is_listed(site, start, make_images):
    cdn = start(Site)
    cdn.pages["/blob"] = Response(MODULE)
    site.pages["/a"] = RedirectResponse("b")
    site.pages["/b"] = RedirectResponse(f"http://cdn.test:{cdn.port}/blob", 301)
    images = make_images("127.0.0.1", "cdn.test", names={"cdn.test": ["127.0.0.1"]})
    assert await images.fetch(f"http://{site.at}/a") == MODULE
    assert cdn.seen[0].headers["host"] == f"cdn.test:{cdn.port}"


@pytest.mark.parametrize(
    "target",
    "//[::1]:{port}/x http:// http://a%20b/ gopher:x ftp://site.test/x file:///etc/passwd http://elsewhere.test/ "
    "http://169.254.169.254/latest/meta-data "
    "http://127.0.0.1:{port}/x http://127.1:{port}/x http://localhost:{port}/x http://0/x http://[::ffff:127.0.0.1]:{port}/x".split(),
)
async def test_a_redirect_to_what_may_not_be_fetched_is_refused(site, start, make_images, target):
    inner = start(Site)
    site.pages["/a"] = Response(status_code=302, headers={"Location": target.format(port=inner.port)})
    names = {"site.test": ["127.0.0.1"]}
    images = make_images("site.test", f"127.0.0.1:{site.port}", names=names)
    assert await refusal(images, f"http://site.test:{site.port}/a")
    assert inner.seen == []


async def test_five_redirects_are_followed_and_no_sixth(site, make_images):
    for n in range(6):
        site.pages[f"/{n}"] = RedirectResponse(f"/{n + 1}")
    site.pages["/6"] = Response(MODULE)
    images = make_images("127.0.0.1")
    assert await images.fetch(f"http://{site.at}/1") == MODULE
    assert "redirects more than 5 times" in await refusal(images, f"http://{site.at}/0")


async def test_https_is_not_left_for_http(secure, site, make_images):
    secure.pages["/a"] = RedirectResponse(f"http://cdn.test:{site.port}/x.wasm")
    images = make_images("cdn.test", "127.0.0.1", names={"cdn.test": ["127.0.0.1"]})
    assert "redirects from https to http://cdn.test" in await refusal(images, f"https://cdn.test:{secure.port}/a")
    assert site.seen == []


# --- sizes and times


async def test_what_is_too_large_is_refused_before_it_is_read(site, make_images):
    site.pages["/fits"] = Response(bytes(MAX_MODULE))
    site.pages["/said"] = Response(bytes(MAX_MODULE + 1))

    async def endless():
        while True:
            yield bytes(1 << 16)
            await asyncio.sleep(0)

    async def silent():
        await asyncio.Event().wait()
        yield b""

    site.pages["/endless"] = lambda request: StreamingResponse(endless())
    length = {"Content-Length": str(MAX_MODULE + 1)}
    site.pages["/announced"] = lambda request: StreamingResponse(silent(), headers=length)
    images = make_images("127.0.0.1")
    assert len(await images.fetch(f"http://{site.at}/fits")) == MAX_MODULE
    for path in ("said", "endless", "announced"):
        assert "sends more than 8 MiB" in await refusal(images, f"http://{site.at}/{path}")


async def test_a_module_that_is_packed_on_the_way(site, make_images):
    site.pages["/x"] = Response(pack(MODULE), headers={"Content-Encoding": "gzip"})
    assert await make_images("127.0.0.1").fetch(f"http://{site.at}/x") == MODULE


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("gzip", pack(bytes(64 << 20)), "over 8 MiB when it is unpacked"),
        ("gzip", b"no gzip", "damaged"),
        ("br", b"x", "the encoding br"),
        ("gzip, gzip", pack(pack(MODULE)), "the encoding gzip, gzip"),
    ],
)
async def test_what_is_packed_to_hurt_or_in_another_way_is_refused(site, make_images, encoding, body, says):
    site.pages["/x"] = Response(body, headers={"Content-Encoding": encoding})
    assert says in await refusal(make_images("127.0.0.1"), f"http://{site.at}/x")


async def test_a_server_that_falls_silent_and_one_that_never_ends(site, make_images):
    async def silent():
        yield b"\0asm"
        await asyncio.Event().wait()

    async def dribble():
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    site.pages["/silent"] = lambda request: StreamingResponse(silent())
    site.pages["/dribble"] = lambda request: StreamingResponse(dribble())
    images = make_images("127.0.0.1", bounds=replace(BOUNDS, silence_s=0.2))
    assert "fell silent" in await refusal(images, f"http://{site.at}/silent")
    images = make_images("127.0.0.1", bounds=replace(BOUNDS, whole_s=0.5))
    assert "took over 0.5 s" in await refusal(images, f"http://{site.at}/dribble")


async def test_a_server_that_is_busy_is_asked_again(site, make_images):
    answers = [Response(status_code=503), Response(status_code=429, headers={"Retry-After": "0"}), Response(MODULE)]
    site.pages["/x"] = lambda request: answers.pop(0)
    images = make_images("127.0.0.1")
    assert await images.fetch(f"http://{site.at}/x") == MODULE
    site.pages["/x"] = Response(status_code=503)
    assert "answers 503" in await refusal(images, f"http://{site.at}/x")
    assert site.paths() == ["/x"] * 6


async def test_what_is_not_there_is_said_at_once(site, make_images):
    images = make_images("127.0.0.1", "nowhere.test", names={})
    assert "127.0.0.1 answers 404: is the path right?" in await refusal(images, f"http://{site.at}/none")
    assert len(site.seen) == 1
    assert "nowhere.test cannot be reached: its name cannot be looked up" in await refusal(
        images, "https://nowhere.test/x"
    )


async def test_a_server_that_speaks_no_http(make_images):
    async def talk(reader, writer):
        writer.write(b"220 mail.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert "127.0.0.1 cannot be reached" in await refusal(make_images("127.0.0.1"), f"http://127.0.0.1:{port}/x")


# --- digests, logins, many at a time


async def test_a_url_with_a_digest_is_held_to_it_and_not_fetched_when_the_hub_has_it(site, make_images):
    sha = digest_of(MODULE).removeprefix("sha256:")
    images = make_images("127.0.0.1")
    assert await images.fetch(f"http://{site.at}/x.wasm#sha256={sha}") == MODULE
    assert "not the one of its digest" in await refusal(images, f"http://{site.at}/x.wasm#sha256={'0' * 64}")
    assert len(site.seen) == 2
    keeping = make_images("127.0.0.1", kept={sha: b"kept"}.get)
    assert await keeping.fetch(f"http://{site.at}/x.wasm#sha256={sha}") == b"kept"
    assert len(site.seen) == 2


def logins(tmp_path, **hosts):
    path = tmp_path / "auth.json"
    auths = {host: {"auth": base64.b64encode(login.encode()).decode()} for host, login in hosts.items()}
    path.write_text(json.dumps({"auths": auths}))
    return path


def guarded(request):
    if request.headers.get("authorization") == "Basic YW5uOnNlY3JldA==":
        return Response(MODULE)
    return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="modules"'})


async def test_a_login_is_sent_to_its_host_when_that_asks(site, make_images, tmp_path):
    site.pages["/x"] = guarded
    path = logins(tmp_path, **{site.at: "ann:secret"})
    assert await make_images("127.0.0.1", auth=path).fetch(f"http://{site.at}/x") == MODULE
    assert [request.headers.get("authorization") for request in site.seen] == [None, "Basic YW5uOnNlY3JldA=="]
    assert "wants a login" in await refusal(make_images("127.0.0.1"), f"http://{site.at}/x")
    path = logins(tmp_path, **{site.at: "ann:wrong"})
    sentence = await refusal(make_images("127.0.0.1", auth=path), f"http://{site.at}/x")
    assert "wants another login" in sentence
    assert "wrong" not in sentence


async def test_a_login_does_not_follow_a_redirect_to_another_host(site, start, make_images, tmp_path):
    other = start(Site)
    other.pages["/x"] = guarded
    site.pages["/x"] = lambda request: RedirectResponse(f"http://{other.at}/x")
    site.pages["/y"] = lambda request: (
        RedirectResponse(f"http://{other.at}/x") if "authorization" in request.headers else guarded(request)
    )
    images = make_images("127.0.0.1", auth=logins(tmp_path, **{site.at: "ann:secret"}))
    for path in "xy":
        assert "wants" in await refusal(images, f"http://{site.at}/{path}")
    assert len(other.seen) == 2
    assert all("authorization" not in request.headers for request in other.seen)


async def test_a_login_is_not_sent_in_the_open(site, make_images, tmp_path):
    site.pages["/x"] = guarded
    path = logins(tmp_path, **{f"site.test:{site.port}": "ann:secret"})
    images = make_images("site.test", "127.0.0.1", names={"site.test": ["127.0.0.1"]}, auth=path)
    assert "over https only" in await refusal(images, f"http://site.test:{site.port}/x")
    assert all("authorization" not in request.headers for request in site.seen)


async def test_no_secret_is_in_a_log_or_a_sentence(site, make_images, tmp_path, caplog):
    site.pages["/x"] = guarded
    path = logins(tmp_path, **{site.at: "ann:hunter2"})
    images = make_images("127.0.0.1", auth=path)
    with caplog.at_level("DEBUG", "motet.hub"):
        sentence = await refusal(images, f"http://{site.at}/x?key=hunter2")
        await images.fetch(f"http://{site.at}/x.wasm?key=hunter2")
    assert "could not fetch" in caplog.text
    assert "hunter2" not in sentence + caplog.text


async def test_the_same_is_fetched_once_at_a_time_and_few_at_once(site, make_images):
    gate, running, most = threading.Event(), 0, 0
    loop = asyncio.get_running_loop()
    full = asyncio.Event()

    async def held():
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 4:
            loop.call_soon_threadsafe(full.set)
        await asyncio.to_thread(gate.wait, 10)
        running -= 1
        yield MODULE

    site.pages.update({f"/{n}": lambda request: StreamingResponse(held()) for n in range(7)})
    images = make_images("127.0.0.1")
    urls = [f"http://{site.at}/{n}" for n in range(7)]
    fetches = [asyncio.create_task(images.fetch(url)) for url in urls * 3]
    await full.wait()
    fetches[0].cancel()
    gate.set()
    done = await asyncio.gather(*fetches, return_exceptions=True)
    assert done[1:] == [MODULE] * 20
    assert isinstance(done[0], asyncio.CancelledError)
    assert sorted(site.paths()) == [f"/{n}" for n in range(7)]
    assert most == 4
    # What is over is fetched anew.
    await images.fetch(urls[0])
    assert len(site.seen) == 8


async def test_closing_ends_what_is_being_fetched(site, make_images):
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    async def silent():
        loop.call_soon_threadsafe(asked.set)
        await asyncio.Event().wait()
        yield b""

    site.pages["/x"] = lambda request: StreamingResponse(silent())
    images = make_images("127.0.0.1")
    fetch = asyncio.create_task(images.fetch(f"http://{site.at}/x"))
    await asked.wait()
    await images.close()
    with pytest.raises(asyncio.CancelledError):
        await fetch
