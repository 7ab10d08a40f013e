"""TLS from end to end: one certificate for the API and the broker, and edges that check it."""

import os
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Certificates, make
from tests.e2e.world import Process, World


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def world(tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca)  # for the clients, and for `--tls`
    world = World(tmp_path, *certificates.hub)
    yield world
    world.close()


def test_a_task_over_tls(world: World, certificates: Certificates) -> None:
    assert world.url.startswith("https://")
    world.start_edge("pem", "--ca", certificates.ca)
    world.start_edge("der", "--ca", certificates.ca_der)
    world.start_edge("system", "--tls")
    world.client.wait_proplets(3, 10)
    assert world.run("t", "main", "addition", [10, 20])["results"] == "30\n"


def test_an_edge_leaves_a_hub_it_cannot_check(world: World, tmp_path: Path) -> None:
    other = make(tmp_path / "other")
    broker = ("--broker", f"{world.mqtt_host}:{world.mqtt_port}", "--config", os.devnull)
    stranger = Process("edge", "--id", "stranger", "--data", str(tmp_path / "s"), "--ca", other.ca, *broker)
    plain = Process("edge", "--id", "plain", "--data", str(tmp_path / "p"), *broker)
    world.processes += [stranger, plain]
    stranger.line("edge stranger lost .*certificate verify failed.*trying again")
    plain.line("edge plain lost .*trying again")
    assert world.call("GET", "/proplets")["proplets"] == []


def test_nobody_speaks_an_old_tls_or_none(world: World) -> None:
    context = ssl.create_default_context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    with urllib.request.urlopen(world.url + "/health", context=context) as answer:
        assert answer.status == 200
    with pytest.raises(OSError):
        urllib.request.urlopen(world.url.replace("https", "http") + "/health", timeout=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tls-cert", "CERT"), "belong together"),
        (("--tls-cert", "CERT", "--tls-key", "OTHER"), "no TLS with"),
        (("--tls-cert", "/nowhere", "--tls-key", "KEY"), "No such file"),
    ],
)
def test_a_certificate_that_cannot_be_used(
    tmp_path: Path, certificates: Certificates, options: tuple[str, ...], words: str
) -> None:
    names = {"CERT": certificates.cert, "KEY": certificates.key, "OTHER": make(tmp_path / "other").key}
    given = [names.get(option, option) for option in options]
    hub = Process("hub", "--port", "0", "--mqtt-port", "0", "--data", str(tmp_path / "hub"), *given)
    hub.line(words)
    assert hub.child.wait(15) == 1
    hub.stop()
    assert not (tmp_path / "hub").exists()


def test_an_edge_names_the_file_that_is_no_certificate(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("no certificate")
    edge = Process("edge", "--id", "e", "--data", str(tmp_path / "e"), "--ca", str(tmp_path / "ca"))
    edge.line("no certificates in .*/ca: ")
    assert edge.child.wait(15) == 2
    edge.stop()
