"""Certificates of the tests: an authority of their own, and what it has signed."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Certificates:
    """Paths: ca (PEM), ca_der, cert and key of a hub that is reached as localhost or 127.0.0.1."""

    ca: str
    ca_der: str
    cert: str
    key: str

    @property
    def hub(self) -> tuple[str, ...]:
        """The hub's options."""
        return ("--tls-cert", self.cert, "--tls-key", self.key)


def make(folder: Path) -> Certificates:
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    signed = authority.issue_cert("localhost", "127.0.0.1")
    paths = [str(folder / name) for name in ("ca.pem", "ca.der", "cert.pem", "key.pem")]
    ca, ca_der, cert, key = paths
    authority.cert_pem.write_to_path(ca)
    Path(ca_der).write_bytes(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode()))
    for at, blob in enumerate(signed.cert_chain_pems):
        blob.write_to_path(cert, append=at > 0)
    signed.private_key_pem.write_to_path(key)
    return Certificates(ca, ca_der, cert, key)
