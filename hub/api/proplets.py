"""/proplets: the devices."""

from starlette.requests import Request
from starlette.responses import Response

from hub.api import params
from hub.api.answers import answer, nothing, runtime_of
from hub.api.views import proplet_view, time_text
from hub.core import commands
from hub.core.proplet import Proplet
from hub.updates import Updates


def _proplet(request: Request) -> Proplet:
    return runtime_of(request).engine.world.proplet(request.path_params["id"])


async def list_proplets(request: Request) -> Response:
    proplets = list(runtime_of(request).engine.world.proplets.values())
    status = params.choice(request, "status", ("active", "inactive"))
    if status is not None:
        proplets = [one for one in proplets if (one.alive and one.connected) == (status == "active")]
    frame, shown = params.cut(request, "proplets", proplets, len(proplets))
    return answer({**frame, "proplets": [proplet_view(proplet) for proplet in shown]})


async def get_proplet(request: Request) -> Response:
    return answer(proplet_view(_proplet(request)))


async def delete_proplet(request: Request) -> Response:
    await runtime_of(request).do(commands.Delete("proplet", request.path_params["id"]))
    return nothing()


async def update_proplet(request: Request) -> Response:
    """Has a board fetch this hub's edge and try it; 409 when it cannot. How that goes on stands at the proplet."""
    updates: Updates = request.app.state.updates
    proplet: Proplet = await updates.ask(request.path_params["id"])
    return answer(proplet_view(proplet), 202)


async def alive_history(request: Request) -> Response:
    """When it came, at most the last ten times."""
    history = _proplet(request).doc.get("alive_history") or []
    frame, shown = params.cut(request, "history", history, len(history))
    return answer({**frame, "history": [time_text(wall) for wall in shown]})
