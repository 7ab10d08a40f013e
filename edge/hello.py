"""What a device says of itself: to the hub when it has connected, its last words too, and to a person at its REPL.

A board drops this when it is said.
"""

import json

from edge import files
from edge.caps import caps_of
from edge.clock import now_ms
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
    slots = platform.slots()
    if slots is not None:
        word, name = slots.state()
        fields["update"] = {"state": word, "package": name, "slot": slots.started, "mpy": platform.bytecode()}
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


def line(edge: "Any", platform: "Any") -> str:
    """For example "edge roof 0.1.0: connected to the hub, 1 of 1 tasks run, 0 results wait, 61 KiB free, up 93 s"."""
    free = "%d KiB free" % (platform.memory()[0] // 1024)
    if edge is None:
        return "edge %s: not started, %s" % (VERSION, free)
    agent = edge.agent
    return "edge %s %s: %s the hub, %d of %d tasks run, %d results wait, %s, up %d s" % (
        edge.link.device,
        VERSION,
        "connected to" if agent.welcomed else "looking for",
        len(agent.running()),
        agent.slots,
        len(agent.outbox),
        free,
        (now_ms() - edge.booted_ms) // 1000,
    )
