"""What `motet hub` and `motet edge` can be told, resolved once: flag over environment over TOML file over default."""

import contextlib
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from motet.logs import FORMATS, LEVELS
from shared.errors import BadRequest
from shared.topics import MAX_ID, valid_device

FILE = "motet.toml"


@dataclass(frozen=True, slots=True)
class Option:
    """One option beyond its name. read: value of a flag, variable or file, or ValueError(what is allowed).

    default: None where it is computed. flag_only: an act, not a setting; neither environment nor file may ask for it.
    repeated: the flag may be given again and again, its values are a list.
    """

    read: Callable[[object], Any]
    help: str
    default: Any
    flag_only: bool = False
    repeated: bool = False


def _whole(low: int, high: int) -> Callable[[object], int]:
    def read(raw: object) -> int:
        if isinstance(raw, str) and raw.isascii() and raw.isdigit():
            raw = int(raw[:20])
        if isinstance(raw, int) and not isinstance(raw, bool) and low <= raw <= high:
            return raw
        raise ValueError(f"a whole number from {low} to {high} is allowed")

    return read


def _seconds(low: float, high: float, unit: str = "seconds") -> Callable[[object], float]:
    def read(raw: object) -> float:
        with contextlib.suppress(ValueError, OverflowError):
            if isinstance(raw, (str, int, float)) and not isinstance(raw, bool) and low <= float(raw) <= high:
                return float(raw)
        raise ValueError(f"{unit} from {low:g} to {high:g} are allowed")

    return read


def _days(low: float, high: float) -> Callable[[object], float]:
    return _seconds(low, high, "days")


def _text(raw: object) -> str:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError("text is allowed, and not none")
    return raw


def _one_of(*words: str) -> Callable[[object], str]:
    def read(raw: object) -> str:
        if raw in words:
            return str(raw)
        raise ValueError(f"{', '.join(words[:-1])} or {words[-1]} is allowed")

    return read


def _switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    value = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(str(raw).lower())
    if value is None:
        raise ValueError("true or false is allowed")
    return value


def _device(raw: object) -> str:
    if not isinstance(raw, str) or not valid_device(raw):
        raise ValueError(f"1 to {MAX_ID} of A-Z a-z 0-9 . _ - are allowed")
    return raw


def _broker(raw: object) -> str:
    try:
        split_address(_text(raw), 1883)
    except ValueError:
        raise ValueError("HOST or HOST:PORT is allowed, an IPv6 address in [brackets]") from None
    return str(raw)


def _labels(raw: object) -> dict[str, str]:
    """{"site": "roof"} of "site=roof,floor=3", or of a table in the file."""
    if isinstance(raw, str):
        parts = [part.partition("=") for part in raw.split(",")]
        pairs: Mapping[object, object] = {name.strip(): value.strip() for name, _, value in parts}
    else:
        pairs = raw if isinstance(raw, Mapping) else {"": None}
    labels = {name: value for name, value in pairs.items() if isinstance(name, str) and isinstance(value, str)}
    if labels != pairs or not all(name and value for name, value in labels.items()):
        raise ValueError("NAME=VALUE,NAME=VALUE is allowed, in the file a table of texts")
    return labels


def _hosts(raw: object) -> tuple[str, ...]:
    """("ghcr.io", "localhost:5000") of "ghcr.io,localhost:5000", of several of these, or of a list in the file."""
    from hub.modules.hosts import ANY, split

    words = [raw] if isinstance(raw, str) else raw
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("a list of hosts is allowed")
    hosts = [host.strip() for word in words for host in word.split(",")]
    if "none" in hosts:
        if hosts != ["none"]:
            raise ValueError("none stands alone")
        return ()
    for host in hosts:
        try:
            host == ANY or split(host)
        except ValueError:
            raise ValueError("HOST, HOST:PORT, * for any, or none is allowed") from None
    return tuple(hosts)


def split_address(address: str, port: int) -> tuple[str, int]:
    """("::1", 1884) of "[::1]:1884"; the given port where the address has none. ValueError when it is no address."""
    host, colon, tail = address.rpartition(":")
    if address.endswith("]") or not colon:
        host = address
    else:
        port = _whole(1, 65535)(tail)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address without brackets")
    if not host or any(c.isspace() or c in "/[]" for c in host):
        raise ValueError("no host")
    return host, port


def _default_id() -> str:
    """The host's name made into a device's id."""
    name = "".join(c if valid_device(c) else "-" for c in socket.gethostname())
    return name.strip("-.")[:MAX_ID] or "edge"


def _option(
    default: Any, read: Callable[[object], Any], help_: str, flag_only: bool = False, repeated: bool = False
) -> Any:
    if callable(default):
        return field(default_factory=default, metadata={"option": Option(read, help_, None, flag_only, repeated)})
    return field(default=default, metadata={"option": Option(read, help_, default, flag_only, repeated)})


_LOG_FORMAT = ("text", _one_of(*FORMATS), "how log lines are written: text, or json, an object a line")
_LOG_LEVEL = ("info", _one_of(*LEVELS), "the least that is logged: debug, info, warning or error")


@dataclass(frozen=True, slots=True)
class HubConfig:
    """All a hub can be told; the field's name is the flag, the variable and the key in the file."""

    host: str = _option("127.0.0.1", _text, "address to listen on")
    port: int = _option(7070, _whole(0, 65535), "port of the REST API; 0 takes a free one")
    mqtt_port: int = _option(1883, _whole(0, 65535), "port of the MQTT broker; 0 takes a free one")
    data: str = _option("motet-data", _text, "folder of everything the hub keeps")
    insecure: bool = _option(False, _switch, "listen beyond this machine without keys or TLS")
    tls_cert: str = _option("", _text, "certificate (PEM, with its chain): API and broker speak TLS then")
    tls_key: str = _option("", _text, "its private key (PEM, not encrypted)")
    recover: bool = _option(False, _switch, "start from a damaged store: keep what can be read", flag_only=True)
    beat_s: float = _option(10.0, _seconds(0.1, 3600), "seconds between the heartbeats of a device")
    lease_s: float = _option(30.0, _seconds(0.2, 86400), "seconds of silence until a device's tasks are given away")
    task_timeout_s: float = _option(300.0, _seconds(0.001, 31536000), "seconds a task may run unless it says otherwise")
    max_pending: int = _option(100_000, _whole(1, 10_000_000), "tasks that may be Pending; further ones are refused")
    keep_tasks: int = _option(10_000, _whole(0, 1_000_000), "ended tasks that stay in memory; older ones: the history")
    keep_mb: int = _option(32, _whole(0, 100_000), "MiB that they take there at most, in all")
    keep_days: float = _option(7.0, _days(0, 36500), "days that they stay there at most")
    history_mb: int = _option(512, _whole(0, 1_000_000), "MiB of the history on the disk; the oldest runs go for good")
    history_days: float = _option(0.0, _days(0, 36500), "days that a run stays in the history; 0 for no limit")
    image_host: tuple[str, ...] = _option(
        ("docker.io", "ghcr.io", "quay.io"), _hosts, "host to fetch modules from by image_url; can be repeated",
        repeated=True,
    )  # fmt: skip
    image_dir: str = _option("", _text, "folder that image_url may name files of; none by default")
    registry_auth: str = _option("", _text, "file of logins for those hosts, in the form of Docker's config.json")
    log_format: str = _option(*_LOG_FORMAT)
    log_level: str = _option(*_LOG_LEVEL)


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """All an edge can be told; the field's name is the flag, the variable and the key in the file."""

    broker: str = _option("127.0.0.1:1883", _broker, "the hub's MQTT broker, HOST:PORT")
    id: str = _option(_default_id, _device, "this device's id; the host's name by default")
    data: str = _option("", _text, "folder of modules and results; motet-edge-ID by default")
    slots: int = _option(4, _whole(1, 64), "tasks this device runs at a time")
    labels: dict[str, str] = _option(dict, _labels, "what tasks may ask for: NAME=VALUE,NAME=VALUE")  # noqa: RUF009
    tls: bool = _option(False, _switch, "speak TLS with the hub, whose certificate one of the system's has signed")
    ca: str = _option("", _text, "speak TLS with the hub, whose certificate one in this file (PEM or DER) has signed")
    board: str = _option("", _text, "hardware that tasks may use: simulated, gpiozero, gpiod or a file PATH.py")
    log_format: str = _option(*_LOG_FORMAT)
    log_level: str = _option(*_LOG_LEVEL)

    def __post_init__(self) -> None:
        if not self.data:
            object.__setattr__(self, "data", f"motet-edge-{self.id}")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the broker."""
        return split_address(self.broker, 1883)


Config = TypeVar("Config", HubConfig, EdgeConfig)
TABLES: dict[str, type[HubConfig] | type[EdgeConfig]] = {"hub": HubConfig, "edge": EdgeConfig}


def options(config: type[Any]) -> dict[str, Option]:
    """The options of a command by name."""
    return {item.name: item.metadata["option"] for item in fields(config)}


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return "MOTET_" + name.upper()


def resolve(
    config: type[Config],
    flags: Mapping[str, Any],
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """The configuration from flags (None: not given), environment, the TOML file and the defaults.

    file: its path; None reads ./motet.toml where there is one. BadRequest (code `bad_config`) is one line that names
    the option, where its value came from and what is allowed.
    """
    known = options(config)
    table = next(name for name, kind in TABLES.items() if kind is config)
    found = _from_file(table, file)
    found |= _from_environment(known, os.environ if environ is None else environ)
    found |= {name: (flag(name), raw) for name, raw in flags.items() if name in known and raw is not None}
    values = {name: _value(known[name], *origin_and_raw) for name, origin_and_raw in found.items()}
    resolved = config(**values)
    if isinstance(resolved, HubConfig) and resolved.lease_s <= resolved.beat_s:
        origins = {name: found.get(name, ("default", ""))[0] for name in ("lease_s", "beat_s")}
        _refuse(
            f"lease_s is {resolved.lease_s:g} ({origins['lease_s']}) and beat_s is {resolved.beat_s:g} "
            f"({origins['beat_s']}): a lease longer than a beat is allowed, three beats are usual"
        )
    return resolved


def _value(option: Option, origin: str, raw: object) -> Any:
    try:
        return option.read(raw)
    except ValueError as error:
        _refuse(f"{origin} is {repr(raw)[:80]}: {error}")


def _from_environment(known: Mapping[str, Option], environ: Mapping[str, str]) -> dict[str, tuple[str, Any]]:
    names = {name: variable(name) for name, option in known.items() if not option.flag_only}
    return {name: (key, environ[key]) for name, key in names.items() if key in environ}


def _from_file(table: str, file: str | None) -> dict[str, tuple[str, Any]]:
    path = Path(file or FILE)
    if file is None and not path.exists():
        return {}
    import tomllib  # here and below: a command without a file, or without an error, does not pay for it

    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        _refuse(f"{path} cannot be read: {error.strerror}")
    except ValueError as error:  # tomllib's own error, or no UTF-8
        _refuse(f"{path} is not TOML: {error}")
    for name, values in document.items():
        if name not in TABLES:
            _refuse(f"{path}: there is no table {name!r}, {_nearest(name, list(TABLES))}")
        if not isinstance(values, dict):
            _refuse(f"{path}: {name} is no table: write [{name}] and the options below it")
        # A wrong key of the other command is an error as well: the file is read as a whole.
        allowed = [key for key, option in options(TABLES[name]).items() if not option.flag_only]
        for key in values:
            if key not in allowed:
                _refuse(f"{path} [{name}]: there is no option {key!r}, {_nearest(key, allowed)}")
    return {name: (f"{path} [{table}] {name}", raw) for name, raw in document.get(table, {}).items()}


def _nearest(word: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word.lower().replace("-", "_"), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"allowed are {', '.join(known)}"


def _refuse(sentence: str) -> NoReturn:
    raise BadRequest(sentence, "bad_config")
