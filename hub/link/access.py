"""What a device may say and hear: topics as the broker reads them, shared.topics builds them."""

from shared import topics


def parse_up(topic: str) -> tuple[str, str] | None:
    """(device, kind) of a topic below up/, None for any other."""
    if not topic.startswith(topics.ROOT):
        return None
    device, sep, kind = topic[len(topics.ROOT) :].partition(topics.UP)
    if not sep or not kind or "/" in kind or not topics.valid_device(device):
        return None
    return device, kind


def may_publish(device: str, topic: str) -> bool:
    """The access rule: a device speaks below its own up/ only."""
    parsed = parse_up(topic)
    return parsed is not None and parsed[0] == device


def may_subscribe(device: str, filter_: str) -> bool:
    """The access rule: a device hears its own down topic only, no wildcard."""
    return filter_ == topics.down(device)
