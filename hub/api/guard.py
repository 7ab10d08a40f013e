"""Who may ask: a web page that a person has open must not reach the hub behind their back.

A hub on loopback is safe from other machines, not from the browser on its own: any page may send requests there
(cross-site request forgery), or point a name of its own at 127.0.0.1 (DNS rebinding). So the Host header must be a name
of this hub, and a request that changes something must not come from another site.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

from shared.errors import Forbidden

_CHANGING = ("POST", "PUT", "DELETE")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def check(request: Request, names: frozenset[str] | None) -> None:
    """Forbidden unless Host is one of the hub's names (None: any) and Origin, where sent, is the hub itself."""
    host = request.headers.get("host", "")
    if names is not None and _name(host) not in names:
        raise Forbidden(f"this hub is not {host[:80]!r}: ask for it by its own name", "bad_host")
    origin = request.headers.get("origin")
    if origin is not None and request.method in _CHANGING and urlsplit(origin).netloc != host:
        raise Forbidden(f"a page of {origin[:80]!r} may not change anything here", "bad_origin")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
