"""Where the hub may fetch modules from: the hosts it was given, and which addresses may stand behind them."""

import ipaddress
import re
from collections.abc import Iterable

from hub.modules.reader import refuse

DEFAULT = ("docker.io", "ghcr.io", "quay.io")
ANY = "*"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(one) for one in text.split())


_PRIVATE = _networks("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 fc00::/7 fec0::/10")
# Where clouds tell a machine its secrets; three of them lie in networks that look private or public.
_METADATA = _networks("169.254.169.254 168.63.129.16 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254")
# What Python's is_global lets pass, in some of its versions or in all.
_SPECIAL = _networks("0.0.0.0/8 192.0.0.0/24 192.88.99.0/24 2001::/23 2001:db8::/32 3fff::/20")
_GLOBAL_6 = ipaddress.ip_network("2000::/3")
_ENTRY = re.compile(r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?", re.ASCII)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Hosts:
    """The allow-list. An entry is HOST, HOST:PORT (that port only) or `*` (every host).

    What may stand behind a host that is looked up, so that a name cannot lead into the hub's own network by surprise:

    - `*` and every entry: public addresses
    - a name: private addresses too (a registry of one's own), and for localhost loopback
    - an address: itself, whatever it is
    """

    def __init__(self, entries: Iterable[str]) -> None:
        entries = list(entries)
        self._listed = {split(entry) for entry in entries if entry != ANY}
        self._any = ANY in entries

    def opened(self) -> "Hosts":
        """The same and every public address: for what a listed registry points to, whose digest is checked."""
        hosts = Hosts((ANY,))
        hosts._listed = self._listed
        return hosts

    def lists(self, host: str, port: int) -> bool:
        """Whether an entry other than `*` names it."""
        host = _plain(host)
        return (host, None) in self._listed or (host, port) in self._listed

    def is_local(self, host: str, port: int) -> bool:
        """Whether it is this machine, and listed."""
        return self.lists(host, port) and (_is_localhost(host) or _kind_of_text(host) == "loopback")

    def check_host(self, host: str, port: int) -> None:
        """Refuses (`bad_module`) a host that no entry permits."""
        if not self._any and not self.lists(host, port):
            refuse(f"the hub may not fetch from {host}: who runs it can allow that with --image-host", host=host)

    def check_address(self, host: str, port: int, text: str) -> None:
        """Refuses (`bad_module`) an address that may not stand behind the host."""
        kind = kind_of(ipaddress.ip_address(text))
        if not kind or self.lists(text, port):
            return
        if self.lists(host, port) and (kind == "private" or (kind == "loopback" and _is_localhost(host))):
            return
        what = f"{host} is at {text}, " if _plain(host) != text else f"{text} is "
        refuse(f"{what}a {kind} address: the hub fetches from there only if --image-host lists {text}", host=host)


def split(entry: str) -> tuple[str, int | None]:
    """("registry.test", 5000) of "registry.test:5000", None for any port; ValueError when it is no such entry."""
    try:
        return str(ipaddress.ip_address(entry)), None
    except ValueError:
        found = _ENTRY.fullmatch(entry)
    if not found or not 0 < int(found["port"] or 1) < 65536:
        raise ValueError("HOST or HOST:PORT")
    return _plain(found["host"]), int(found["port"]) if found["port"] else None


def kind_of(address: Address) -> str:
    """ "" for a public address, else loopback, link-local, metadata, private, multicast or reserved."""
    if isinstance(address, ipaddress.IPv6Address) and (inner := _inner(address)) is not None:
        return kind_of(inner)
    for kind, networks in (("metadata", _METADATA), ("private", _PRIVATE), ("reserved", _SPECIAL)):
        if any(address in network for network in networks):
            return kind
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    return "" if address.is_global and (address.version == 4 or address in _GLOBAL_6) else "reserved"


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _kind_of_text(host: str) -> str:
    try:
        return kind_of(ipaddress.ip_address(_plain(host)))
    except ValueError:
        return ""


def _is_localhost(host: str) -> bool:
    return f".{_plain(host)}".endswith(".localhost")


def _plain(host: str) -> str:
    """One spelling of a host: lower case, no brackets, no last dot, an address as it is printed."""
    host = host.removeprefix("[").removesuffix("]").lower().rstrip(".")
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host
