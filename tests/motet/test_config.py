"""Options: flag over environment over file over default, and errors that say where a value came from."""

import dataclasses
from pathlib import Path

import pytest

import hub.modules.hosts
from motet.config import EdgeConfig, HubConfig, options, resolve, split_address
from shared.errors import BadRequest
from shared.topics import valid_device


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(kind: type, flags: dict[str, object], file: str | None = None, **environ: str) -> str:
    with pytest.raises(BadRequest) as caught:
        resolve(kind, flags, file, environ)
    assert caught.value.code == "bad_config"
    assert "\n" not in caught.value.message
    return caught.value.message


def test_defaults() -> None:
    assert resolve(HubConfig, {}, environ={}) == HubConfig(
        host="127.0.0.1",
        port=7070,
        mqtt_port=1883,
        data="motet-data",
        insecure=False,
        tls_cert="",
        tls_key="",
        recover=False,
        beat_s=10.0,
        lease_s=30.0,
        task_timeout_s=300.0,
        max_pending=100_000,
        keep_tasks=10_000,
        keep_mb=32,
        keep_days=7.0,
        history_mb=512,
        history_days=0.0,
        image_host=("docker.io", "ghcr.io", "quay.io"),
        image_dir="",
        registry_auth="",
        log_format="text",
        log_level="info",
    )
    edge = resolve(EdgeConfig, {"id": "d1"}, environ={})
    assert dataclasses.asdict(edge) == {
        "broker": "127.0.0.1:1883",
        "id": "d1",
        "data": "motet-edge-d1",
        "slots": 4,
        "labels": {},
        "tls": False,
        "ca": "",
        "board": "",
        "log_format": "text",
        "log_level": "info",
    }
    assert edge.address == ("127.0.0.1", 1883)


@pytest.mark.parametrize(
    ("hostname", "device"),
    [("pi", "pi"), ("pi.local", "pi.local"), ("Bürö 1", "B-r--1"), ("...", "edge"), ("x" * 99, "x" * 64), ("", "edge")],
)
def test_id_from_the_hostname(hostname: str, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: hostname)
    assert EdgeConfig().id == device
    assert valid_device(device)


def test_flag_over_environment_over_file_over_default(folder: Path) -> None:
    (folder / "motet.toml").write_text('[hub]\nport = 1\nmqtt_port = 2\ndata = "file"\n[edge]\nslots = 2\n')
    environ = {"MOTET_PORT": "10", "MOTET_MQTT_PORT": "20", "MOTET_SLOTS": "3", "MOTET_BEAT_S": "2.5"}
    hub = resolve(HubConfig, {"port": "100", "mqtt_port": None, "host": None}, environ=environ)
    assert (hub.port, hub.mqtt_port, hub.data, hub.beat_s, hub.host) == (100, 20, "file", 2.5, "127.0.0.1")
    assert resolve(EdgeConfig, {}, environ=environ).slots == 3
    assert resolve(EdgeConfig, {}, environ={}).slots == 2


def test_another_file_replaces_the_one_in_this_folder(folder: Path) -> None:
    (folder / "motet.toml").write_text("[hub]\nport = 1\n")
    (folder / "other.toml").write_text("[hub]\nmqtt_port = 2\ninsecure = true\nlease_s = 60\n")
    hub = resolve(HubConfig, {}, "other.toml", {})
    assert (hub.port, hub.mqtt_port, hub.insecure, hub.lease_s) == (7070, 2, True, 60.0)
    assert resolve(HubConfig, {}, "/dev/null", {}).port == 7070


def test_the_environment_names() -> None:
    names = [name.upper() for name, option in options(HubConfig).items() if not option.flag_only]
    assert (
        " ".join(names) == "HOST PORT MQTT_PORT DATA INSECURE TLS_CERT TLS_KEY BEAT_S LEASE_S TASK_TIMEOUT_S "
        "MAX_PENDING KEEP_TASKS KEEP_MB KEEP_DAYS HISTORY_MB HISTORY_DAYS IMAGE_HOST IMAGE_DIR REGISTRY_AUTH "
        "LOG_FORMAT LOG_LEVEL"
    )
    assert resolve(HubConfig, {}, environ={"MOTET_RECOVER": "1"}).recover is False
    assert resolve(HubConfig, {"recover": True}, environ={}).recover is True


def test_hosts_of_images_are_a_list_in_every_form(folder: Path) -> None:
    assert resolve(HubConfig, {"image_host": ["ghcr.io", "a.test, [::1]:5000"]}, environ={}).image_host == (
        "ghcr.io",
        "a.test",
        "[::1]:5000",
    )
    assert resolve(HubConfig, {}, environ={"MOTET_IMAGE_HOST": "*,localhost:5000"}).image_host == (
        "*",
        "localhost:5000",
    )
    assert resolve(HubConfig, {}, environ={"MOTET_IMAGE_HOST": "none"}).image_host == ()
    for text, hosts in (("[]", ()), ('["a.test"]', ("a.test",)), ('"a.test,b.test"', ("a.test", "b.test"))):
        (folder / "motet.toml").write_text(f"[hub]\nimage_host = {text}\n")
        assert resolve(HubConfig, {}, environ={}).image_host == hosts
    # The default is that of the hub without this file.
    assert HubConfig().image_host == hub.modules.hosts.DEFAULT


@pytest.mark.parametrize(("raw", "value"), [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("false", False)])
def test_switches(raw: str, value: bool) -> None:
    assert resolve(HubConfig, {}, environ={"MOTET_INSECURE": raw}).insecure is value


@pytest.mark.parametrize(
    ("kind", "flags", "environ", "message"),
    [
        (HubConfig, {"port": "99999"}, {}, "--port is '99999': a whole number from 0 to 65535 is allowed"),
        (HubConfig, {"port": "1e3"}, {}, "--port is '1e3': a whole number from 0 to 65535 is allowed"),
        (HubConfig, {"port": "9" * 5000}, {}, "a whole number from 0 to 65535 is allowed"),
        (HubConfig, {"mqtt_port": "-1"}, {}, "--mqtt-port is '-1': a whole number"),
        (HubConfig, {}, {"MOTET_PORT": ""}, "MOTET_PORT is '': a whole number"),
        (HubConfig, {"host": ""}, {}, "--host is '': text is allowed"),
        (HubConfig, {}, {"MOTET_BEAT_S": "nan"}, "MOTET_BEAT_S is 'nan': seconds from 0.1 to 3600 are allowed"),
        (HubConfig, {}, {"MOTET_INSECURE": "maybe"}, "MOTET_INSECURE is 'maybe': true or false is allowed"),
        (HubConfig, {"task_timeout_s": "0"}, {}, "--task-timeout-s is '0': seconds"),
        (HubConfig, {"image_host": ["http://x"]}, {}, "--image-host is ['http://x']: HOST, HOST:PORT, * for any"),
        (HubConfig, {"image_host": ["none", "x"]}, {}, "--image-host is ['none', 'x']: none stands alone"),
        (HubConfig, {}, {"MOTET_IMAGE_HOST": ""}, "MOTET_IMAGE_HOST is '': HOST, HOST:PORT"),
        (HubConfig, {}, {"MOTET_IMAGE_HOST": "*.test"}, "MOTET_IMAGE_HOST is '*.test': HOST, HOST:PORT"),
        (HubConfig, {"lease_s": "5"}, {}, "lease_s is 5 (--lease-s) and beat_s is 10 (default): a lease longer"),
        (EdgeConfig, {"slots": "0"}, {}, "--slots is '0': a whole number from 1 to 64 is allowed"),
        (EdgeConfig, {"id": "a/b"}, {}, "--id is 'a/b': 1 to 64 of A-Z a-z 0-9 . _ - are allowed"),
        (EdgeConfig, {}, {"MOTET_BROKER": "host:port"}, "MOTET_BROKER is 'host:port': HOST or HOST:PORT is allowed"),
    ],
)
def test_wrong_values(kind: type, flags: dict[str, object], environ: dict[str, str], message: str) -> None:
    assert message in refusal(kind, flags, **environ)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hub]\nport = '7070x'\n", "motet.toml [hub] port is '7070x': a whole number"),
        ("[hub]\nimage_host = 5\n", "motet.toml [hub] image_host is 5: a list of hosts is allowed"),
        ("[hub]\nport = true\n", "motet.toml [hub] port is True: a whole number"),
        ("[hub]\nbeat_s = 'often'\n", "motet.toml [hub] beat_s is 'often': seconds"),
        ("[hub]\nmqttport = 1\n", "motet.toml [hub]: there is no option 'mqttport', did you mean 'mqtt_port'?"),
        ("[hub]\nmqtt-port = 1\n", "did you mean 'mqtt_port'?"),
        ("[hub]\nzzz = 1\n", "allowed are host, port, mqtt_port"),
        ("[hub]\nrecover = true\n", "there is no option 'recover'"),
        ("[edge]\nslot = 1\n", "motet.toml [edge]: there is no option 'slot', did you mean 'slots'?"),
        ("[hubb]\nport = 1\n", "motet.toml: there is no table 'hubb', did you mean 'hub'?"),
        ("port = 1\n", "motet.toml: there is no table 'port', allowed are hub, edge"),
        ("hub = 1\n", "motet.toml: hub is no table"),
        ("[hub\n", "motet.toml is not TOML"),
    ],
)
def test_wrong_files(text: str, message: str, folder: Path) -> None:
    (folder / "motet.toml").write_text(text)
    assert message in refusal(HubConfig, {})


def test_files_that_cannot_be_read(folder: Path) -> None:
    assert refusal(HubConfig, {}, "none.toml") == "none.toml cannot be read: No such file or directory"
    (folder / "motet.toml").write_bytes(b"\xff\xfe")
    assert "motet.toml is not TOML" in refusal(HubConfig, {})


@pytest.mark.parametrize(
    ("address", "split"),
    [
        ("hub", ("hub", 1883)),
        ("hub.local:99", ("hub.local", 99)),
        ("[::1]", ("::1", 1883)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_addresses(address: str, split: tuple[str, int]) -> None:
    assert split_address(address, 1883) == split


@pytest.mark.parametrize("address", ["", ":1", "a:", "a:0", "a:b", "a b", "::1", "mqtt://a:1", "a:1:2", "[a", "a]"])
def test_no_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"host|brackets|number"):
        split_address(address, 1883)


def test_labels_come_as_pairs_or_as_a_table(tmp_path):
    assert resolve(EdgeConfig, {"labels": "site=roof, floor=3"}, environ={}).labels == {"site": "roof", "floor": "3"}
    file = tmp_path / "motet.toml"
    file.write_text('[edge]\nlabels = {site = "cellar"}\n')
    assert resolve(EdgeConfig, {}, str(file), {}).labels == {"site": "cellar"}
    for wrong in ("site", "=,", "a=b,c", "a=", "=b", ""):
        with pytest.raises(BadRequest, match="NAME=VALUE"):
            resolve(EdgeConfig, {"labels": wrong}, environ={})
