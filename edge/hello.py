"""What a device says of itself when it has connected, its last words among it. A board drops this when it is said."""

import json

from edge import files
from edge.caps import caps_of
from shared import PROTOCOL, VERSION, const

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any

_MAX_TEXT = const(200)


def hello(edge: "Any", platform: "Any") -> "dict[str, Any]":
    """The fields of `hello` that no other message has. edge is edge.main.Edge, platform as edge.board."""
    known = edge.tasks.modules.order if edge.tasks else files.by_age(edge.data + "/modules")
    whole = [name for name in reversed(known) if len(name) == 64]  # a part's name is longer
    fields = {
        "proto": PROTOCOL,
        "agent": VERSION,
        "runtime": platform.runtime(),
        "caps": caps_of(platform.ABIS, edge.board),
        "slots": edge.agent.slots,
        "labels": edge.labels,
        "max_message": platform.MAX_MESSAGE,
        "max_chunk": platform.MAX_CHUNK,
        "flash_free": platform.flash_free(edge.data),
        "modules": whole[: platform.MAX_MODULES],
    }
    last = {} if edge.greeted else last_words(edge.data, platform.reset_cause())
    if last:
        fields["last"] = last
    return fields


def last_words(data: str, cause: str) -> "dict[str, Any]":
    """What is known of the end of the boot before: cause of the reset, task and attempt that ran last, text of a fault.

    edge.tasks writes the file `last`, whoever started the edge the file `fault`.
    """
    found: dict[str, Any] = {"cause": cause} if cause else {}
    try:
        found["task"], found["attempt"] = json.loads(files.read(data + "/last") or b"")
    except (ValueError, TypeError):  # none, or torn
        pass
    text = files.read(data + "/fault")
    if text:
        try:
            found["text"] = str(text, "utf-8")[:_MAX_TEXT]
        except ValueError:
            pass
    return found
