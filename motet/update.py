"""`motet update`: has a board fetch the hub's edge over the air, and waits until it runs or was given up."""

from typing import Any

from motet.client import Client, WaitTimeout
from shared.errors import Unavailable

_WORDS = {
    "asked": "the hub has asked it",
    "ready": "all files are there: it starts with them as soon as its tasks have ended",
    "on_trial": "it runs the new edge, on trial",
    "done": "it runs the new edge",
}


def run(url: str, id: str, wait_s: float) -> int:
    """Updates a board: 0 when it runs the new edge, or was asked and nobody waits; 1 when the update was given up."""
    said = ""

    def is_over(proplet: dict[str, Any]) -> bool:
        nonlocal said
        said = _tell(proplet["update"], said)
        return proplet["update"]["state"] in ("done", "failed")

    with Client(url) as client:
        proplet = client.update_proplet(id)
        if not is_over(proplet) and wait_s:
            try:
                proplet = client.wait_proplet(id, is_over, wait_s)
            except WaitTimeout:
                told = f"{id} was not updated in {wait_s:g} s: GET /proplets/{id} shows how it goes on"
                raise Unavailable(told) from None
    return 1 if proplet["update"]["state"] == "failed" else 0


def _tell(update: dict[str, Any], said: str) -> str:
    """Prints what has changed; what was printed last."""
    if update["state"] == "failed":
        line = f"given up: {update.get('error', 'no word why')}"
    elif update["state"] == "fetching":
        line = f"it fetches: {update['left']} of {update['total']} files to go"
    else:
        line = _WORDS[update["state"]]
    if line != said:
        print(line, flush=True)
    return line
