"""Where topics are built; hub.link.access reads them.

up:    motet/v1/d/<device>/up/<kind>    a device publishes only below its own up/
down:  motet/v1/d/<device>/down         the one exact filter that a device subscribes
"""

from shared import const

ROOT = "motet/v1/d/"
UP = "/up/"
_DOWN = const("/down")

MAX_ID = 64
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


def valid_device(device: object) -> bool:
    """A device's id is 1-64 of A-Za-z0-9._-"""
    if not isinstance(device, str) or not 0 < len(device) <= MAX_ID:
        return False
    return all(c in LETTERS for c in device)


def up(device: str, kind: str) -> str:
    return ROOT + device + UP + kind


def down(device: str) -> str:
    return ROOT + device + _DOWN
