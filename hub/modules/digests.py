"""Digests as registries write them: "sha256:" and 64 hex digits, or sha512 and 128."""

import hashlib
import re

from hub.modules.reader import refuse

FORM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


def check(digest: str) -> str:
    """The digest itself; `bad_module` when it is none."""
    if not FORM.fullmatch(digest):
        refuse(f"{digest[:80]!r} is no digest: sha256 and sha512 are understood")
    return digest


def verify(what: str, data: bytes, digest: str) -> None:
    """`bad_module` unless the data have this digest; what: a word for them."""
    name, _, wanted = check(digest).partition(":")
    found = hashlib.new(name, data).hexdigest()
    if found != wanted:
        refuse(f"the {what} is not the one of its digest: wanted is {digest}, what came has {name}:{found}")
