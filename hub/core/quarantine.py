"""A module that takes down workers of two proplets is kept from all of them, until somebody releases it."""

from hub.core.abi import Module
from hub.core.commands import Release
from hub.core.world import World
from shared.errors import Conflict

PROPLETS = 2
# Deaths further apart than a day have causes of their own, such as a device short of memory.
WITHIN_S = 86_400.0


def worker_died(world: World, module: Module, proplet: str) -> None:
    """An attempt with the module has killed the process that ran it."""
    now = world.now.wall
    before: dict[str, float] = module.doc.get("deaths") or {}
    deaths = {id: wall for id, wall in before.items() if now - wall <= WITHIN_S and id != proplet} | {proplet: now}
    world.write(module, {"deaths": deaths})
    if len(deaths) >= PROPLETS and not module.doc.get("quarantined"):
        names = list(deaths)
        reason = f"it killed workers on {' and '.join(names)}"
        world.write(module, {"quarantined": {"reason": reason, "since": now, "proplets": names}})
        module.read()


def release(world: World, command: Release) -> Module:
    module = world.module(command.id)
    if not module.doc.get("quarantined"):
        raise Conflict(f"module {module.id} is not quarantined", "not_quarantined")
    world.write(module, {"quarantined": None, "deaths": None})
    module.read()
    return module
