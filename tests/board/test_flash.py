"""`motet flash`, from a board with nothing on it to a device at the hub."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.boot import motet_slots
from tests.board.machine import needs_micropython
from tests.board.serial import SerialBoard
from tests.e2e.world import ROOT, World

pytestmark = needs_micropython


@pytest.fixture
def board(tmp_path: Path) -> Iterator[SerialBoard]:
    folder = tmp_path / "flash"
    folder.mkdir()
    board = SerialBoard(folder)
    yield board
    board.close()


def flash(board: SerialBoard, *options: str, key: str = "secret") -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "XDG_CONFIG_HOME": str(board.folder.parent / "config"), "MOTET_WIFI_KEY": key}
    command = [sys.executable, "-m", "motet", "flash", "--port", board.port, *options]
    return subprocess.run(command, cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=120)  # fmt: skip


def config(board: SerialBoard) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((board.folder / "motet.json").read_text())
    return found


def test_a_board_becomes_a_device_of_the_hub(world: World, board: SerialBoard) -> None:
    broker = f"{world.mqtt_host}:{world.mqtt_port}"
    done = flash(board, "--hub", broker, "--ssid", "garden", "--url", world.url)
    assert done.returncode == 0, done.stdout + done.stderr + repr(board.said[-2000:])
    id = config(board)["id"]
    assert id == "board-" + b"\x00\x01greenhouse".hex()[-8:]
    assert f"{id} is there" in done.stdout
    assert "no wasm3" in done.stderr
    (proplet,) = world.call("GET", "/proplets")["proplets"]
    assert (proplet["id"], proplet["alive"]) == (id, True)
    assert proplet["runtime"].startswith("micropython")
    assert proplet["slot"]["slot"] == 0  # so it can be updated
    assert not list((board.folder / "lib").rglob("*.py"))
    assert b"joining garden" in board.said


def test_what_was_asked_for_is_remembered_and_only_for_its_owner(board: SerialBoard) -> None:
    assert flash(board, "--hub", "10.1.2.3", "--ssid", "garden", "--wait", "0", "--id", "one").returncode == 0
    remembered = board.folder.parent / "config" / "motet" / "flash.json"
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    assert config(board) == {"host": "10.1.2.3", "port": 1883, "id": "one", "wifi": ["garden", "secret"]}


BY_HAND = {
    "host": "10.9.8.7", "port": 8883, "id": "greenhouse", "wifi": ["roof", "its own"], "ca": "ca.der", "watchdog": 8,
    "password": "hush", "labels": {"site": "roof", "height": 0.1, "floors": 12345678}, "of a later motet": [1, {}],
}  # fmt: skip


@pytest.mark.parametrize(
    "options, key, changed",
    [
        ([], "", {}),
        (["--id", "shed", "--ssid", "garden"], "secret", {"id": "shed", "wifi": ["garden", "secret"]}),
        (["--hub", "10.1.2.3"], "new", {"host": "10.1.2.3", "port": 1883, "wifi": ["roof", "new"]}),
    ],
)
def test_what_was_set_by_hand_stays_but_for_what_the_command_was_told(
    board: SerialBoard, options: list[str], key: str, changed: dict[str, Any]
) -> None:
    (board.folder / "motet.json").write_text(json.dumps(BY_HAND))
    done = flash(board, "--wait", "0", *options, key=key)
    assert done.returncode == 0, done.stderr
    assert config(board) == {**BY_HAND, **changed}
    kept = sorted(BY_HAND.keys() - changed.keys())
    assert f"keeps what its motet.json says of {', '.join(kept)}\n" in done.stdout
    assert not any(word in done.stdout + done.stderr for word in ("hush", "its own"))


@pytest.mark.parametrize("new, counts", [(BY_HAND, BY_HAND), (None, {**BY_HAND, "id": "older"})])
def test_where_the_last_flash_was_cut_off_what_is_whole_counts(board: SerialBoard, new: Any, counts: Any) -> None:
    (board.folder / "motet.json").write_text(json.dumps({**BY_HAND, "id": "older"}))
    (board.folder / "motet.json.new").write_text(json.dumps(new) if new else json.dumps(BY_HAND)[:20])
    assert flash(board, "--wait", "0", key="").returncode == 0
    assert config(board) == counts


def test_a_board_without_wifi_stays_so(board: SerialBoard) -> None:
    wired = {"host": "10.9.8.7", "id": "wired", "labels": {"site": "cellar"}}
    (board.folder / "motet.json").write_text(json.dumps(wired))
    assert flash(board, "--wait", "0").returncode == 0
    assert config(board) == wired


@pytest.mark.parametrize("text", ['{"host": "10.9.8.7", "labels": {', "[1]", ""])
def test_what_is_no_configuration_is_written_anew(board: SerialBoard, text: str) -> None:
    (board.folder / "motet.json").write_text(text)
    done = flash(board, "--hub", "10.1.2.3", "--ssid", "garden", "--wait", "0", "--id", "one")
    assert done.returncode == 0
    assert ("written anew" in done.stderr) == bool(text)
    assert config(board) == {"host": "10.1.2.3", "port": 1883, "id": "one", "wifi": ["garden", "secret"]}


def test_a_program_of_its_own_is_not_replaced(board: SerialBoard) -> None:
    (board.folder / "main.py").write_text("print('mine')")
    done = flash(board, "--hub", "10.1.2.3", "--ssid", "garden", "--wait", "0")
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert sorted(path.name for path in board.folder.iterdir()) == ["main.py"]


def test_with_nobody_to_ask_it_says_what_to_give(board: SerialBoard) -> None:
    done = flash(board, "--wait", "0")
    assert done.returncode == 1
    assert "--hub" in done.stderr
    assert not list(board.folder.iterdir())


def test_a_board_that_was_updated_starts_what_is_put_on_it(board: SerialBoard) -> None:
    root = f"{board.folder}/"
    motet_slots.choose(root=root)
    motet_slots.try_next("new", root)
    motet_slots.choose(root=root)
    motet_slots.confirm(root)
    assert motet_slots.choose(root=root) == f"{root}lib2"
    done = flash(board, "--hub", "10.1.2.3", "--ssid", "garden", "--wait", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert motet_slots.choose(root=root) == f"{root}lib"
    assert (board.folder / "lib" / "motet_slots.mpy").exists()
