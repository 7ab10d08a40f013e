"""The command `motet`. Nothing heavy is imported before a command needs it: `motet --help` answers at once."""

import argparse
import contextlib
import dataclasses
import math
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared import VERSION
from shared.errors import MotetError, Unavailable
from shared.states import COMPLETED

if TYPE_CHECKING:
    from edge.cpython.boards import Board
    from motet.client import Client
    from motet.config import Config
    from motet.sse import Event

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 4
TIMEOUT = 124
INTERRUPTED = 130

_USAGE_CODES = ("bad_config", "bad_url", "missing_extra")
# Faults of this machine, not of a way to a hub.
_HERE = ("disk_full", "store_failed", "store_busy")
_EXIT_CODES = "exit codes: 0 done, 1 the task failed, 2 wrong usage, 4 no hub there, 124 timeout, 130 Ctrl-C"
_INTEGER = re.compile(r"[+-]?\d{1,1000}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.?\d+)([eE][+-]?\d+)?", re.ASCII)
_NEGATIVE = re.compile(r"-(\.?\d|inf|nan)", re.ASCII)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; the exit code. Errors are one sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog="motet",
        description="WebAssembly tasks on edge devices: a hub, its edges, and a way to try them.",
        epilog="commands:\n"
        + "".join(f"  {name:8} {command.__doc__}\n" for name, command in COMMANDS.items())
        + "\n`motet COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"motet {VERSION}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="what to do")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="its options")
    given = parser.parse_args(argv)
    try:
        return COMMANDS[given.command](given.rest)
    except MotetError as error:
        _say(error.message)
        if error.code in _USAGE_CODES:
            return USAGE
        return UNREACHABLE if isinstance(error, Unavailable) and error.code not in _HERE else FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def hub(argv: list[str]) -> int:
    """the REST API, the broker, the store and the scheduler, in one process"""
    from motet.config import HubConfig
    from motet.extras import need

    config, _ = _configured("hub", HubConfig, argv)
    need("hub", "motet hub needs")
    from hub.main import Settings
    from hub.main import run as run_hub
    from motet.logs import configure

    configure(config.log_format, config.log_level, "%(asctime)s %(levelname)s %(name)s: %(message)s")
    ours = ("log_format", "log_level")
    return run_hub(Settings(**{name: value for name, value in dataclasses.asdict(config).items() if name not in ours}))


def edge(argv: list[str]) -> int:
    """an edge device on this machine: runs the hub's tasks"""
    from motet.config import EdgeConfig
    from motet.extras import need

    config, _ = _configured("edge", EdgeConfig, argv)
    need("edge", "motet edge needs")
    import logging

    from edge.cpython.app import main as run_edge
    from motet.logs import configure

    configure(config.log_format, config.log_level, "%(message)s", proplet=config.id)
    log = logging.getLogger("motet.edge")
    host, port = config.address
    ssl = None
    if config.tls or config.ca:
        from edge.tls import context  # only then: OpenSSL takes 5 MB

        ssl = context(config.ca or None)
    with _board(config.board) as board:
        return run_edge(
            host,
            port,
            config.id,
            config.data,
            config.slots,
            log.info,
            log.error,
            ssl=ssl,
            labels=config.labels,
            board=board,
        )


def demo(argv: list[str]) -> int:
    """a hub and three edges that play a workflow, a failure and two jobs"""
    parser = argparse.ArgumentParser(prog="motet demo", description=demo.__doc__)
    parser.add_argument("--keep", action="store_true", help="leave hub and edges running until Ctrl-C")
    given = parser.parse_args(argv)
    from motet.demo import main as run_demo

    return run_demo(keep=given.keep)


def run(argv: list[str]) -> int:
    """one module, once: uploads it, starts it, waits, prints its results"""
    parser = _run_parser()
    # A leading space keeps argparse from taking -1e5 for an option; reading a number drops it.
    given = parser.parse_intermixed_args([f" {word}" if _NEGATIVE.match(word) else word for word in argv])
    try:
        module = Path(given.file).read_bytes()
    except OSError as error:
        parser.error(f"{given.file}: {error.strerror}")
    from motet.client import Client

    fields: dict[str, Any] = {"file": module, "inputs": [_value(word) for word in given.inputs]}
    if given.function:
        fields["function"] = given.function
    with Client(given.url) as client:
        task = client.create_task(given.name or given.function or Path(given.file).stem, **fields)
        return _play(client, task["id"], given.timeout)


def check(argv: list[str]) -> int:
    """whether a hub can run here, and whether what it keeps is whole"""
    from motet.config import HubConfig
    from motet.extras import need

    config, given = _configured(
        "check",
        HubConfig,
        argv,
        ("host", "port", "mqtt_port", "data"),
        lambda parser: parser.add_argument("--json", action="store_true", help="print JSON"),
    )
    need("hub", "motet check needs")
    from hub.check.run import as_json, as_text, failed, findings

    found = list(findings(Path(config.data), config.host, config.port, config.mqtt_port))
    print(as_json(found) if given["json"] else as_text(found))
    return FAILED if failed(found) else OK


def backup(argv: list[str]) -> int:
    """one file with all that a hub keeps, of its folder and while it runs"""
    data, file = _data_and_file("backup", argv)
    from hub.store.backup import back_up

    summary = back_up(data, file)
    print(
        f"{file}: {summary.documents} documents up to change {summary.lsn}, {summary.ended} ended tasks of the history "
        f"and {summary.blobs} files of modules"
    )
    if summary.missing:
        _say(f"without {', '.join(summary.missing)}: missing or damaged, motet check says more")
    return OK


def restore(argv: list[str]) -> int:
    """a hub's folder out of a backup"""
    data, file = _data_and_file("restore", argv)
    from hub.store.backup import restore as restore_backup

    summary = restore_backup(file, data)
    made = f"{summary.documents} documents, {summary.ended} ended tasks of the history and {summary.blobs} files"
    print(f"{data}: {made} of modules, as of {summary.created_at}")
    return OK


def export(argv: list[str]) -> int:
    """the documents of a hub as JSON that TinyDB opens"""
    data, file = _data_and_file("export", argv)
    from hub.store.export import export as export_documents

    count, lsn = export_documents(data, file)
    print(f"{file}: {count} documents up to change {lsn}")
    return OK


def _data_and_file(command: str, argv: list[str]) -> tuple[Path, Path]:
    from motet.config import HubConfig
    from motet.extras import need

    config, given = _configured(
        command, HubConfig, argv, ("data",), lambda parser: parser.add_argument("file", metavar="FILE")
    )
    need("hub", f"motet {command} needs")
    return Path(config.data), Path(given["file"])


def flash(argv: list[str]) -> int:
    """the edge onto a board that runs MicroPython, over its serial port"""
    parser = argparse.ArgumentParser(
        prog="motet flash",
        description=flash.__doc__,
        epilog="What is asked for is remembered. MOTET_WIFI_KEY holds the key of the Wi-Fi, where nobody can be asked.",
    )
    parser.add_argument("--port", help="the board's serial port (default: the only one there is)")
    parser.add_argument("--id", help="the device's id (default: board- and what the chip is called)", type=_device)
    parser.add_argument("--hub", help="the hub's MQTT address as the board sees it, HOST or HOST:PORT")
    parser.add_argument("--ssid", help="the name of the Wi-Fi")
    parser.add_argument("--force", action="store_true", help="replace a main.py that is not ours")
    parser.add_argument(
        "--url", default="http://127.0.0.1:7070", help="the hub's API, to wait until the board is there"
    )
    parser.add_argument("--wait", type=float, default=60, help="how long, in seconds; 0: not at all (default: 60)")
    given = parser.parse_args(argv)
    from motet.extras import need

    need("flash", "motet flash needs")
    from motet import flash as flashing

    wanted = flashing.Wanted(given.port, given.id, given.hub, given.ssid, given.force, sys.stdin.isatty())
    if given.wait:
        need("client", "motet flash --wait needs")
    return flashing.run(wanted, given.url, given.wait)


def update(argv: list[str]) -> int:
    """the hub's edge onto a board over the air; what does not work there goes back by itself"""
    parser = argparse.ArgumentParser(prog="motet update", description=update.__doc__)
    parser.add_argument("id", help="the device's id", type=_device)
    parser.add_argument("--url", default="http://127.0.0.1:7070", help="the hub's API")
    parser.add_argument("--wait", type=float, default=600, help="how long, in seconds; 0: not at all (default: 600)")
    given = parser.parse_args(argv)
    from motet.extras import need

    need("client", "motet update needs")
    from motet.update import run as run_update

    return run_update(given.url, given.id, given.wait)


def _device(word: str) -> str:
    from shared.topics import MAX_ID, valid_device

    if not valid_device(word):
        raise argparse.ArgumentTypeError(f"1 to {MAX_ID} of A-Z a-z 0-9 . _ - are allowed")
    return word


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "hub": hub,
    "edge": edge,
    "demo": demo,
    "run": run,
    "flash": flash,
    "update": update,
    "check": check,
    "backup": backup,
    "restore": restore,
    "export": export,
}


@contextlib.contextmanager
def _board(name: str) -> "Iterator[Board | None]":
    """The board of this name, let go of afterwards; None for no name."""
    if not name:
        yield None
        return
    from edge.cpython.boards import load_board

    with contextlib.closing(load_board(name)) as board:
        yield board


def _configured(
    command: str,
    kind: "type[Config]",
    argv: list[str],
    names: tuple[str, ...] = (),
    more: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> "tuple[Config, dict[str, Any]]":
    """The configuration of a command whose flags are the fields of its dataclass, or those of some `names`; and all
    that was given, with what `more` has added to the parser."""
    from motet.config import FILE, TABLES, flag, options, resolve, variable

    table = next(name for name, one in TABLES.items() if one is kind)
    parser = argparse.ArgumentParser(
        prog=f"motet {command}",
        description=COMMANDS[command].__doc__,
        epilog="A flag goes before its environment variable, that before the file, that before the default.",
    )
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with a [{table}] table (default: {FILE})")
    more(parser)
    for name, option in options(kind).items():
        if names and name not in names:
            continue
        text = option.help
        default = ",".join(option.default) if option.repeated else option.default
        if default not in (None, "", False):
            text += f" (default: {default})"
        if not option.flag_only:
            text += f" [{variable(name)}]"
        switch: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        form = switch if option.default is False else {"metavar": name.upper()}
        if option.repeated:
            form["action"] = "append"
        parser.add_argument(flag(name), dest=name, default=None, help=text, **form)
    given = vars(parser.parse_args(argv))
    return resolve(kind, given, given.pop("config")), given


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="motet run", description=run.__doc__, epilog=_EXIT_CODES)
    parser.add_argument("file", metavar="FILE.wasm", help="the module")
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="numbers where they look like numbers, else text")
    parser.add_argument("--function", metavar="NAME", help="the export to call (default: main, run or _start)")
    parser.add_argument("--name", help="the task's name (default: the function's, or the file's)")
    parser.add_argument("--url", default="http://127.0.0.1:7070", help="the hub (default: %(default)s)")
    parser.add_argument("--timeout", type=_positive, metavar="S", help="stop the task after so many seconds")
    return parser


def _positive(word: str) -> float:
    seconds = float(word)
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{word.strip()} is not a number of seconds above 0")
    return seconds


def _value(word: str) -> int | float | str:
    """10 and -1.5 as numbers; nan, inf and hexadecimal stay text, which devices read as numbers where they want one."""
    text = word.strip()
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text if _NEGATIVE.match(text) else word


def _play(client: "Client", task_id: str, timeout: float | None) -> int:
    """Starts a task, waits for it and prints what came of it; the exit code."""
    from motet.client import WaitTimeout

    told: set[str] = set()

    def tell_why_it_waits(event: "Event") -> None:
        reason = event["data"].get("pending_reason")
        if reason and reason not in told:
            told.add(reason)
            _say(f"waiting: {reason}")

    try:
        client.start_task(task_id)
        task = client.wait_task(task_id, timeout, tell_why_it_waits)
    except WaitTimeout:
        _stop(client, task_id, "motet run: timeout")
        _say(f"timeout: stopped after {timeout:g} s")
        return TIMEOUT
    except KeyboardInterrupt:
        _stop(client, task_id, "motet run: Ctrl-C")
        _say("stopped")
        return INTERRUPTED
    if task["state"] == COMPLETED:
        print(task.get("results", ""), end="")
        return OK
    _say(task.get("error") or f"the task is {task['state_name']}")
    return FAILED


def _stop(client: "Client", task_id: str, why: str) -> None:
    # It may have ended just now, or the hub be gone: there is nothing left to do then.
    with contextlib.suppress(MotetError):
        client.stop_task(task_id, error_message=why)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
