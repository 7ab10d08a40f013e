"""TLS for all who reach the hub: one certificate for the API and the broker."""

import ssl

from shared.errors import BadRequest


def server_context(cert: str, key: str) -> ssl.SSLContext | None:
    """The context of these two PEM files, TLS 1.2 at least; None when neither is named.

    BadRequest (`bad_config`) when one is missing, cannot be read, or is not the other's.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        raise BadRequest("--tls-cert and --tls-key belong together: give both, or neither", "bad_config")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise BadRequest(f"no TLS with {cert} and {key}: {error}", "bad_config") from None
    return context


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted: give one that is not, readable by the hub's user only")
