"""The only place where topics are built or parsed.

up:    motet/v1/d/<device>/up/<kind>    a device publishes only below its own up/
down:  motet/v1/d/<device>/down         the one exact filter that a device subscribes
"""

ROOT = "motet/v1/d/"
UP = "/up/"
DOWN = "/down"

MAX_ID = 64
_ID = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


def valid_device(device: object) -> bool:
    """A device's id is 1-64 of A-Za-z0-9._-"""
    if not isinstance(device, str) or not 0 < len(device) <= MAX_ID:
        return False
    return all(c in _ID for c in device)


def up(device: str, kind: str) -> str:
    return ROOT + device + UP + kind


def down(device: str) -> str:
    return ROOT + device + DOWN


def parse_up(topic: str) -> "tuple[str, str] | None":
    """(device, kind) of a topic below up/, None for any other."""
    if not topic.startswith(ROOT):
        return None
    device, sep, kind = topic[len(ROOT) :].partition(UP)
    if not sep or not kind or "/" in kind or not valid_device(device):
        return None
    return device, kind


def may_publish(device: str, topic: str) -> bool:
    """The access rule: a device speaks below its own up/ only."""
    parsed = parse_up(topic)
    return parsed is not None and parsed[0] == device


def may_subscribe(device: str, filter_: str) -> bool:
    """The access rule: a device hears its own down topic only, no wildcard."""
    return filter_ == down(device)
