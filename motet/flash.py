"""`motet flash`: puts the edge on a board that runs MicroPython, over its serial port, by means of mpremote."""

import getpass
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge.boot import motet_slots
from hub import mpy
from motet import board_config, board_main
from motet.config import split_address
from shared import VERSION
from shared.errors import BadRequest, Conflict, NotFound, Unavailable

# Printed by the board as one line of JSON. Of its motet.json the text: its own JSON has less precise numbers.
_FACTS = (
    f"""
names = {[board_main.CONFIG + board_main.NEW, board_main.CONFIG]!r}
"""
    + """
import json, sys
from binascii import hexlify
def has(name):
    try:
        return __import__(name)
    except ImportError:
        return None
def text_of(name):
    try:
        with open(name) as file:
            return file.read()
    except (OSError, ValueError):
        return None
machine, shared = has("machine"), has("shared")
print(json.dumps({"mpy": getattr(sys.implementation, "_mpy", 0) & 255, "platform": sys.platform,
    "id": hexlify(machine.unique_id()).decode() if hasattr(machine, "unique_id") else "",
    "wasm3": bool(has("wasm3")), "network": bool(has("network")), "main": text_of("main.py"),
    "told": [text_of(name) for name in names],
    "frozen": shared.VERSION if shared and not shared.__file__.endswith((".mpy", "lib/shared/__init__.py")) else ""}))
"""
)
_FOLDER = f"""
import os
if {motet_slots.SLOTS[0]!r} not in os.listdir():
    os.mkdir({motet_slots.SLOTS[0]!r})
"""
_FIRST_SLOT = f"""
import os
for name in {motet_slots.NOTES}:
    if name in os.listdir():
        os.remove(name)
"""
_PATIENCE_S = 60
_SETTLE = Path(board_config.__file__).read_text() + f'\nsettle("{board_main.CONFIG}")\n'


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command was told; None: ask, or as last time."""

    port: str | None
    id: str | None
    hub: str | None
    ssid: str | None
    force: bool
    ask: bool


@dataclass(frozen=True, slots=True)
class Facts:
    mpy: int
    platform: str
    id: str
    wasm3: bool
    network: bool
    main: str | None
    frozen: str
    # What it has as motet.json, the newest first, each None when there is none.
    told: list[str | None]

    def config(self) -> dict[str, Any]:
        """What its next boot would be told."""
        for text in self.told:
            try:
                found = json.loads(text or "")
            except ValueError:
                continue
            if isinstance(found, dict):
                return found
        return {}


class Board:
    """A board at a serial port, talked to by mpremote. Never soft-reset: `resume`."""

    def __init__(self, port: str) -> None:
        self.port = port

    def __call__(self, *words: str) -> str:
        """The output of a command of mpremote; Unavailable with its own words when it fails."""
        command = [sys.executable, "-m", "mpremote", "connect", self.port, "resume", *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the board at {self.port} does not answer: reset it, and try again") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
            raise Unavailable(f"the board at {self.port} refused {words[0]} {words[1][:20]!r}: {said[-1]}")
        return done.stdout

    def facts(self) -> Facts:
        lines = self("exec", _FACTS).strip().splitlines()
        try:
            return Facts(**json.loads(lines[-1]))
        except (IndexError, ValueError, TypeError):
            raise Unavailable(f"what answers at {self.port} is no MicroPython") from None


def find_port() -> str:
    """The serial port of the only board there is: NotFound or Conflict for none or several."""
    from serial.tools.list_ports import comports

    ports: list[str] = [port.device for port in comports() if port.vid is not None]
    if not ports:
        raise NotFound("no board was found at a USB port: name its serial port with --port", "no_board")
    if len(ports) > 1:
        raise Conflict(f"there are several boards: choose one with --port, of {', '.join(ports)}", "several_boards")
    return ports[0]


def remembered_path() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "motet" / "flash.json"


def configuration(wanted: Wanted, facts: Facts) -> dict[str, Any]:
    """The board's motet.json: as it is there but for what the command was told. What is not there is asked for once
    and remembered, for its owner alone to read."""
    config = facts.config()
    path = remembered_path()
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        known = {}
    is_new = not config.get("host")
    if wanted.hub or is_new:
        asked = "the hub's address as the board sees it (HOST or HOST:PORT)"
        known["hub"] = wanted.hub or known.get("hub") or _ask(wanted, asked)
        try:
            config["host"], config["port"] = split_address(known["hub"], 1883)
        except ValueError:
            raise BadRequest(f"{known['hub']} is no address: HOST or HOST:PORT is allowed") from None
    config["id"] = wanted.id or config.get("id") or f"board-{facts.id[-8:] or 'new'}"
    # One that is a device without Wi-Fi has another network.
    if facts.network and (wanted.ssid or is_new or config.get("wifi")):
        config["wifi"] = _wifi(wanted, known, config.get("wifi"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(known, file)
    return config


def _wifi(wanted: Wanted, known: dict[str, Any], own: Any) -> list[str]:
    """Name and key. own: those of the board; what is not its own is remembered."""
    name, secret = own if isinstance(own, list) and len(own) == 2 else (None, None)
    ssid = wanted.ssid or name or known.get("ssid") or _ask(wanted, "the name of the Wi-Fi")
    key = os.environ.get("MOTET_WIFI_KEY") or (secret if ssid == name else None)
    if key is None:
        key = known.get("key") if ssid == known.get("ssid") else None
    if key is None:
        key = _ask(wanted, f"the key of the Wi-Fi {ssid}", secret=True)
    if [ssid, key] != own:
        known.update(ssid=ssid, key=key)
    return [ssid, key]


def _ask(wanted: Wanted, what: str, secret: bool = False) -> str:
    if not wanted.ask:
        raise BadRequest(f"{what} is not known, and nobody is there to ask: give --hub, --ssid and MOTET_WIFI_KEY")
    answer = getpass.getpass(f"{what}: ") if secret else input(f"{what}: ").strip()
    if not answer and not secret:
        raise BadRequest(f"{what} is needed")
    return answer


def run(wanted: Wanted, url: str, wait_s: float) -> int:
    """Flash a board, and wait until the hub with this API has heard of it: the exit code. wait_s: 0 for no wait."""
    board = Board(wanted.port or find_port())
    facts = board.facts()
    _check(facts, wanted.force)
    print(f"a board with {facts.platform} at {board.port}")
    if not facts.wasm3:
        print("its firmware has no wasm3, so it cannot run tasks: see docs/boards.md", file=sys.stderr)
    config, before = configuration(wanted, facts), facts.config()
    kept = [name for name, value in before.items() if config[name] == value]
    if kept:
        print(f"it keeps what its {board_main.CONFIG} says of {', '.join(sorted(kept))}")
    elif any(facts.told) and not before:
        print(f"its {board_main.CONFIG} was no JSON, and is written anew", file=sys.stderr)
    boot = _boot(url, config["id"]) if wait_s else None
    _copy(board, facts, config)
    board("reset")
    if wait_s:
        _await(url, config["id"], boot, wait_s)
        print(f"{config['id']} is there")
    return 0


def _program() -> str:
    return Path(board_main.__file__).read_text()


def _check(facts: Facts, force: bool) -> None:
    if str(facts.mpy) != mpy.BYTECODE:
        raise BadRequest(f"the board runs bytecode {facts.mpy}, not {mpy.BYTECODE}: give it MicroPython 1.22 or newer")
    ours = facts.main in (None, "", _program()) or "motet" in str(facts.main)
    if not ours and not force:
        raise Conflict("the board has a main.py of its own: --force replaces it", "other_main")


def _copy(board: Board, facts: Facts, config: dict[str, Any]) -> None:
    """main.py comes last: until then the board does what it did before."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        if facts.frozen == VERSION:
            print(f"its firmware has the edge {VERSION} in it: no files are copied")
        else:
            mpy.compile_to(root / "lib")
            board("exec", _FOLDER)  # into a folder that is there, mpremote copies alike on every board
            board(
                "fs", "cp", "-r", *[str(path) for path in sorted((root / "lib").iterdir())], f":{motet_slots.SLOTS[0]}"
            )
            board("exec", _FIRST_SLOT)  # where it was copied to, whatever was updated since
            print(f"copied the edge {VERSION}")
        board("exec", _SETTLE)  # where the last flash was cut off
        _write(board, root, board_main.CONFIG + board_main.NEW, json.dumps(config))
        board("exec", _SETTLE)
        _write(board, root, "main.py", _program())


def _write(board: Board, root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)
    board("fs", "cp", str(root / name), f":{name}")


def _await(url: str, id: str, before: str | None, timeout_s: float) -> None:
    """Until the hub has heard of the board since this boot."""
    from motet.client import Client, WaitTimeout

    def is_there(proplet: dict[str, Any]) -> bool:
        return bool(proplet["alive"]) and proplet.get("boot") != before

    with Client(url) as client:
        try:
            client.wait_proplet(id, is_there, timeout_s, missing_ok=True)
        except WaitTimeout:
            said = f"the hub has not heard of {id} in {timeout_s:g} s: `mpremote` shows what the board says"
            raise Unavailable(said) from None


def _boot(url: str, id: str) -> str | None:
    """The name of a device's latest boot, None of one that has said no hello yet."""
    from motet.client import Client

    with Client(url) as client:
        try:
            boot: str | None = client.proplet(id).get("boot")
        except NotFound:
            return None
    return boot
