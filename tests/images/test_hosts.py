"""Which hosts and addresses the hub may fetch from: what an allow-list permits, and what nobody gets by surprise."""

import ipaddress

import pytest

from hub.modules.hosts import Hosts, kind_of, split
from shared.errors import BadRequest

ADDRESSES = {
    "": "8.8.8.8 1.1.1.1 172.15.0.1 172.32.0.1 192.167.0.1 2606:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 "
    "64:ff9b::808:808 2002:808:808::1",
    "loopback": "127.0.0.1 127.0.0.53 127.255.255.254 ::1 ::ffff:127.0.0.1 ::ffff:7f00:1 64:ff9b::7f00:1 2002:7f00:1::",
    "private": "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 fc00::1 fd12:3456::1 fec0::1 "
    "::ffff:10.0.0.1 64:ff9b::c0a8:101 2002:a00:1::1",
    "link-local": "169.254.0.1 169.254.170.2 fe80::1 fe80::1%eth0 ::ffff:169.254.1.1",
    "metadata": "169.254.169.254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 168.63.129.16 100.100.100.200 192.0.0.192 "
    "fd00:ec2::254 fd20:ce::254",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
    "reserved": "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 240.0.0.1 "
    "255.255.255.255 :: ::127.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 3fff::1 4000::1",
}  # fmt: skip
TABLE = [(kind, text) for kind, texts in ADDRESSES.items() for text in texts.split()]


@pytest.mark.parametrize(("kind", "text"), TABLE)
def test_what_an_address_is(kind, text):
    assert kind_of(ipaddress.ip_address(text)) == kind


@pytest.mark.parametrize(("kind", "text"), TABLE)
def test_any_host_means_public_addresses_only(kind, text):
    hosts = Hosts(["*"])
    hosts.check_host("evil.test", 443)
    if kind:
        assert f"a {kind} address" in refusal(lambda: hosts.check_address("evil.test", 443, text))
        assert f"a {kind} address" in refusal(lambda: hosts.check_address(text, 443, text))
    else:
        hosts.check_address("evil.test", 443, text)


@pytest.mark.parametrize(("kind", "text"), TABLE)
def test_a_listed_name_may_be_in_a_private_network_and_no_more(kind, text):
    hosts = Hosts(["registry.test"])
    if kind in ("", "private"):
        hosts.check_address("registry.test", 443, text)
    else:
        assert "--image-host lists" in refusal(lambda: hosts.check_address("registry.test", 443, text))


@pytest.mark.parametrize(("kind", "text"), TABLE)
def test_an_address_that_is_listed_is_permitted_whatever_it_is(kind, text):
    Hosts([text]).check_address(text, 443, text)
    Hosts(["registry.test", text]).check_address("registry.test", 443, text)


def test_localhost_may_be_this_machine_when_it_is_listed():
    for name in ("localhost", "LOCALHOST", "registry.localhost"):
        Hosts([name]).check_address(name.lower(), 80, "127.0.0.1")
        Hosts([name]).check_address(name.lower(), 80, "::1")
        refusal(lambda name=name: Hosts([name]).check_address(name.lower(), 80, "169.254.169.254"))
    refusal(lambda: Hosts(["notlocalhost"]).check_address("notlocalhost", 80, "127.0.0.1"))


def test_a_host_that_is_not_listed_is_refused_with_the_option_that_allows_it():
    hosts = Hosts(["ghcr.io", "localhost:5000", "[::1]:5000", "10.0.0.1"])
    hosts.check_host("GHCR.IO.", 443)
    hosts.check_host("localhost", 5000)
    hosts.check_host("::1", 5000)
    for host, port in (("evil.test", 443), ("x.ghcr.io", 443), ("localhost", 5001), ("::1", 80), ("10.0.0.2", 80)):
        assert "--image-host" in refusal(lambda host=host, port=port: hosts.check_host(host, port))


def test_the_port_of_an_address_counts():
    hosts = Hosts(["registry.test", "127.0.0.1:5000"])
    hosts.check_address("registry.test", 5000, "127.0.0.1")
    refusal(lambda: hosts.check_address("registry.test", 22, "127.0.0.1"))


def test_an_opened_list_permits_public_addresses_too():
    hosts = Hosts(["localhost:5000"]).opened()
    hosts.check_host("cdn.test", 443)
    hosts.check_address("cdn.test", 443, "8.8.8.8")
    hosts.check_address("localhost", 5000, "127.0.0.1")
    refusal(lambda: hosts.check_address("cdn.test", 443, "10.0.0.1"))


def test_only_what_is_listed_as_this_machine_is_local():
    hosts = Hosts(["*", "localhost:5000", "127.0.0.1", "ghcr.io", "10.0.0.1"])
    assert hosts.is_local("localhost", 5000)
    assert hosts.is_local("127.0.0.1", 80)
    for host, port in (("localhost", 5001), ("127.0.0.2", 80), ("ghcr.io", 443), ("10.0.0.1", 80)):
        assert not hosts.is_local(host, port)


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("Ghcr.IO", ("ghcr.io", None)),
        ("localhost:5000", ("localhost", 5000)),
        ("::1", ("::1", None)),
        ("[::1]", ("::1", None)),
        ("[0:0::1]:5000", ("::1", 5000)),
        ("10.0.0.1:80", ("10.0.0.1", 80)),
    ],
)
def test_entries(entry, meant):
    assert split(entry) == meant


@pytest.mark.parametrize("entry", ["", " ", "a b", "http://x", "x/y", "user@x", "x:", "x:0", "x:99999", "*.x", "[::1"])
def test_what_is_no_entry(entry):
    with pytest.raises(ValueError, match=r"."):
        split(entry)


def refusal(check) -> str:
    with pytest.raises(BadRequest) as caught:
        check()
    assert caught.value.code == "bad_module"
    return caught.value.message
