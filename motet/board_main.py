"""main.py of a board, which `motet flash` puts there: joins the Wi-Fi and is an edge. It is told by motet.json:

    {"host": "192.168.1.10", "port": 1883, "id": "greenhouse",
     "wifi": ["name", "key"], "password": "…", "labels": {"site": "roof"}, "ca": "ca.der", "data": "motet",
     "watchdog": 8, "trial": 300}

host and id must be there. ca: a file with the certificate that signs the hub's, and then the connection is TLS.
watchdog: seconds after which the board starts anew when the edge hangs; trial: seconds that an update of the edge has
to be confirmed by the hub.
"""

import asyncio
import json
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONFIG = "motet.json"
NEW = ".new"
DATA = "motet"
JOIN_S = 30
LOOK_S = 10
TRIAL_S = 300
LIB = "lib"


def main() -> None:
    """Be an edge for ever. After a fault, such as no memory or no Wi-Fi, the board starts anew: results are on disk."""
    data = DATA
    try:
        config = configuration(CONFIG)
        data = config.get("data", DATA)
        sys.path.insert(0, _slot(config.get("trial", TRIAL_S)))
        asyncio.run(_main(config, data))
    except Exception as error:
        sys.print_exception(error)  # type: ignore[attr-defined]
        _keep(data, error)
        time.sleep(5)
        import machine  # type: ignore[import-not-found]

        machine.reset()


def _slot(trial_s: float) -> str:
    """The folder of the edge to start. Files that were copied go before what the firmware has frozen in it."""
    sys.path.insert(0, LIB)
    try:
        from motet_slots import choose  # type: ignore[import-not-found]
    except ImportError:  # it was not copied: the edge is in the firmware
        return LIB
    return choose(trial_s)  # type: ignore[no-any-return]


def configuration(path: str) -> "dict[str, Any]":
    """What `motet flash` wrote last: beside the file, for as long as it was not yet put into the file itself."""
    for name in (path + NEW, path):
        try:
            with open(name) as file:
                config: dict[str, Any] = json.load(file)
            return config
        except (OSError, ValueError) as error:
            why = error
    raise why


def _keep(data: str, error: Exception) -> None:
    """Why it starts anew: the next boot tells the hub."""
    try:
        if data not in os.listdir():
            os.mkdir(data)
        with open(data + "/fault", "w") as file:
            file.write(repr(error)[:200])
    except OSError:  # the disk is full, or what failed
        pass


def _watchdog(seconds: "float | None") -> "Any":
    if not seconds:
        return None
    try:
        from machine import WDT
    except ImportError:
        print("this board has no watchdog")
        return None
    return WDT(timeout=int(seconds * 1000))


async def _main(config: "dict[str, Any]", data: str) -> None:
    wlan = join(config["wifi"]) if config.get("wifi") else None
    joined = wlan and asyncio.create_task(_stay(wlan, config["wifi"]))  # kept: a loop may hold its tasks weakly
    ssl = None
    if config.get("ca"):
        from edge.tls import context

        ssl = context(config["ca"])
    from edge.main import run

    await run(
        config["host"],
        config.get("port", 1883),
        config["id"],
        data,
        password=config.get("password"),
        ssl=ssl,
        labels=config.get("labels"),
        log=print,
        watchdog=_watchdog(config.get("watchdog")),
        trial_s=config.get("trial", TRIAL_S),
    )
    del joined


def join(wifi: "list[str]") -> "Any":
    """The board's Wi-Fi, joined. OSError when the network cannot be joined."""
    from network import STA_IF, WLAN  # type: ignore[import-not-found]

    wlan = WLAN(STA_IF)
    wlan.active(True)
    wlan.connect(wifi[0], wifi[1])
    for _ in range(JOIN_S * 10):
        if wlan.isconnected():
            return wlan
        time.sleep(0.1)
    raise OSError(f"the Wi-Fi {wifi[0]} cannot be joined: is its key right?")


async def _stay(wlan: "Any", wifi: "list[str]") -> None:
    """Join again whenever the network was lost, which some boards do not by themselves."""
    while True:
        await asyncio.sleep(LOOK_S)
        if not wlan.isconnected():
            wlan.connect(wifi[0], wifi[1])


if __name__ == "__main__":
    main()
