"""/health: whether the hub is well, and which one it is."""

from starlette.requests import Request
from starlette.responses import Response

from hub.api.answers import answer, runtime_of
from shared import VERSION


async def health(request: Request) -> Response:
    """200 and "pass"; 503 and "fail" when the hub is read-only."""
    runtime = runtime_of(request)
    view = {
        "status": "pass" if runtime.failure is None else "fail",
        "version": VERSION,
        "commit": "",
        "description": "motet hub",
        "build_time": "",
        "instance_id": request.app.state.instance_id,
    }
    if runtime.failure is not None:
        return answer({**view, "output": runtime.failure.message}, 503)
    return answer(view)
