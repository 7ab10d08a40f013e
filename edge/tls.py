"""TLS to the hub: the context that checks its certificate."""

import ssl

from shared import const
from shared.faults import BadRequest

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any


def context(ca: "str | None" = None) -> "Any":
    """An SSLContext that accepts a hub whose certificate one in the file `ca` has signed.

    The file is DER, on CPython also PEM; without one the system's own are asked, which a board lacks. BadRequest: the
    file cannot be read or holds no certificate.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.verify_mode = ssl.CERT_REQUIRED
    try:
        if ca is None:
            made.load_default_certs()
        else:
            with open(ca, "rb") as file:
                data = file.read()
            made.load_verify_locations(cadata=data.decode() if data[:5] == b"-----" else data)
    except (OSError, ValueError, AttributeError) as error:
        raise BadRequest("no certificates in %s: %s" % (ca or "the system", error), "bad_config")  # noqa: B904
    return made
