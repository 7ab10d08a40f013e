"""The modules of simulated tasks, and the documents that the hub keeps of them: the only place that makes them."""

import hashlib
import random
from typing import Any

from hub.modules.prepare import FORM

_SIZES = (60, 900, 9000)


def _bytes(size: int) -> bytes:
    return b"\0asm\1\0\0\0" + random.Random(size).randbytes(size)


# sha256: what a device gets
MODULES = {hashlib.sha256(data).hexdigest(): data for data in map(_bytes, _SIZES)}
NAMES = tuple(MODULES)


def document(sha256: str, data: bytes) -> dict[str, Any]:
    """As hub.api makes it of an upload."""
    function = {"name": "main", "kind": "func", "params": [], "results": ["i32"]}
    forms = {"prepared": sha256, "prepared_size": len(data), "form": FORM}
    return {"id": sha256, "size_bytes": len(data), **forms, "imports": [], "exports": [function]}
