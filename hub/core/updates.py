"""Updates of the edge on boards: asked for here, told by the device, kept or given up by it."""

from typing import Any

from hub.core.commands import AskUpdate, UpdateSaid
from hub.core.model import Doc
from hub.core.proplet import Proplet
from hub.core.world import World
from shared.errors import Conflict

# What a device may say, and the types of it.
SLOT = {"state": str, "package": str, "slot": int, "mpy": int}
# What stands at a proplet that was not told yet how it ended.
UNDER_WAY = ("asked", "fetching")
# The word of a hello for the update that was asked for last, and what has become of it.
_TOLD = {"": "done", "on_trial": "on_trial", "failed": "failed", "ready": "ready"}
_GIVEN_UP = "its edge did not come as far as a heartbeat, or the board was reset before; the edge before runs again"


def typed(said: Any, fields: dict[str, type]) -> Doc:
    """Of an object, those of the fields that are there and of their type; of a text at most 256 characters."""
    found = {key: said[key] for key, kind in fields.items() if type(said.get(key)) is kind}
    return {key: value[:256] if isinstance(value, str) else value for key, value in found.items()}


def ask(world: World, command: AskUpdate) -> Proplet:
    """Has a device fetch this package. Conflict: it cannot, or not now."""
    proplet = world.proplet(command.id)
    refusal = _refusal(proplet, command.mpy)
    if refusal is not None:
        raise Conflict(f"proplet {proplet.id} {refusal[1]}", refusal[0])
    total = command.files.count("\n") + 1
    slot = proplet.doc["slot"]
    runs = slot.get("package") == command.package and not slot.get("state")
    update = {"package": command.package, "state": "done" if runs else "asked", "total": total}
    world.write(proplet, {"update": {**update, "left": 0 if runs else total, "asked_at": world.now.wall}})
    if not runs:
        world.send(proplet.id, "update", {"package": command.package, "files": command.files})
    return proplet


def _refusal(proplet: Proplet, mpy: int) -> tuple[str, str] | None:
    slot = proplet.doc.get("slot")
    if not (proplet.connected and proplet.greeted):
        return "not_connected", "is not connected: an update starts when it is"
    if not slot:
        runtime = str(proplet.doc.get("runtime"))
        if not runtime.startswith("micropython"):
            return "not_updatable", "is no board: update its package where it runs"
        return "not_updatable", (
            "runs an edge that lies in none of its slots: it is frozen in the firmware, which a new firmware updates, "
            "or was not put there by `motet flash`"
        )
    if slot.get("mpy") != mpy:
        return "not_updatable", f"runs bytecode {slot.get('mpy')}, this hub has {mpy}: it needs another MicroPython"
    if slot.get("state") == "on_trial":
        return "on_trial", "runs an update that is not confirmed yet: wait for its next heartbeats"
    return None


def said(world: World, command: UpdateSaid) -> None:
    """How it goes on."""
    proplet = world.proplets.get(command.device)
    update = proplet and proplet.doc.get("update")
    fields = command.fields
    if proplet is None or not update or update["package"] != fields["package"]:
        return
    changes = {key: fields[key] for key in ("state", "left", "error") if fields.get(key) not in (None, "")}
    world.write(proplet, {"update": {**update, **changes}})
    if fields["state"] == "done":
        world.write(proplet, {"slot": {**(proplet.doc.get("slot") or {}), "state": ""}})


def greeted(proplet: Proplet, fields: Doc) -> Doc:
    """What a hello changes of the document: the slot that runs, and how the last update has ended."""
    slot = typed(fields.get("update") or {}, SLOT) or None
    update = proplet.doc.get("update")
    changes: Doc = {"slot": slot}
    if slot and update and slot.get("package") == update["package"] and update["state"] not in ("done", "failed"):
        state = _TOLD.get(slot.get("state", ""), "failed")
        changes["update"] = {**update, "state": state, **({"error": _GIVEN_UP} if state == "failed" else {})}
    return changes
