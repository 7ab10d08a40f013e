"""The command: usage, exit codes, and what it must not import."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from motet import cli, logs
from motet import client as client_module
from shared import VERSION

EXAMPLES = Path(__file__).parents[2] / "examples"
ADDITION = str(EXAMPLES / "addition.wasm")


class Hub:
    """Answers as a hub that has one task; keeps the requests. ended: the task when the stream says done."""

    def __init__(self, **ended: Any) -> None:
        self.ended = {"id": "t-1", "state": 3, "state_name": "Completed", "results": "30\n", **ended}
        self.requests: list[tuple[str, Any]] = []
        self.stream: Callable[[], bytes] = lambda: b"event: done\ndata: {}\n\n"
        self.done = False

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        line = f"{request.method} {request.url.path}"
        self.requests.append((line, json.loads(request.content) if request.content else None))
        if line == "GET /events":
            return httpx2.Response(200, content=self.stream())
        if line == "GET /tasks/t-1":
            running = {"id": "t-1", "state": 0, "state_name": "Pending", "pending_reason": "no proplet is alive"}
            document, self.done = (self.ended if self.done else running), True
            return httpx2.Response(200, json=document)
        return httpx2.Response(200, json={"id": "t-1", "started": True})

    @property
    def created(self) -> Any:
        return self.requests[0][1]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    stub = Hub()
    whole = client_module.Client
    monkeypatch.setattr(client_module, "Client", lambda url: whole(url, transport=httpx2.MockTransport(stub)))
    return stub


def motet(*argv: str) -> int:
    """The exit code, also of argparse's own exits."""
    try:
        return cli.main(list(argv))
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code


def test_run(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert motet("run", ADDITION, "--function", "main", "10", "20") == 0
    assert capsys.readouterr() == ("30\n", "waiting: no proplet is alive\n")
    assert hub.created == {
        "name": "main",
        "function": "main",
        "file": "AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL",
        "inputs": [10, 20],
    }
    assert [line for line, _ in hub.requests] == [
        "POST /tasks",
        "POST /tasks/t-1/start",
        "GET /events",
        "GET /tasks/t-1",
        "GET /tasks/t-1",
    ]


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        (["10", "-20", "+3"], [10, -20, 3]),
        (["1.5", "-.5", "1e3", "-1E-3", "5."], [1.5, -0.5, 1000.0, -0.001, 5.0]),
        (["abc", "", "1x", " a b "], ["abc", "", "1x", " a b "]),
        (["0x10", "-0x10", "nan", "-inf", "1e999"], ["0x10", "-0x10", "nan", "-inf", "1e999"]),
        (["--", "-x", "-5"], ["-x", -5]),
        (["9" * 30, "9" * 2000], [int("9" * 30), "9" * 2000]),
        (["\u0661", "\u00b2"], ["\u0661", "\u00b2"]),
        ([], []),
    ],
)
def test_inputs(words: list[str], inputs: list[Any], hub: Hub) -> None:
    assert motet("run", ADDITION, *words) == 0
    assert hub.created["inputs"] == inputs
    assert hub.created["name"] == "addition"
    assert "function" not in hub.created
    assert [type(value) for value in hub.created["inputs"]] == [type(value) for value in inputs]


def test_options_may_stand_anywhere(hub: Hub) -> None:
    assert motet("run", "--function", "main", ADDITION, "1", "--name", "sum", "-2", "--timeout", "5") == 0
    assert (hub.created["name"], hub.created["function"], hub.created["inputs"]) == ("sum", "main", [1, -2])


@pytest.mark.parametrize(
    ("ended", "words"),
    [
        ({"state": 4, "state_name": "Failed", "error": "unreachable executed"}, "unreachable executed"),
        ({"state": 6, "state_name": "Interrupted"}, "the task is Interrupted"),
    ],
)
def test_a_failed_task(ended: dict[str, Any], words: str, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.ended |= ended
    assert motet("run", ADDITION) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == words


def test_no_results_print_nothing(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.ended["results"]
    assert motet("run", ADDITION) == 0
    assert capsys.readouterr().out == ""


def test_timeout_stops_the_task(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.ended["state"] = 2
    hub.stream = lambda: b": ping\n\n"
    assert motet("run", ADDITION, "--timeout", "0.05") == 124
    assert hub.requests[-1] == ("POST /tasks/t-1/stop", {"error_message": "motet run: timeout"})
    assert capsys.readouterr().err.endswith("timeout: stopped after 0.05 s\n")


def test_ctrl_c_stops_the_task(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> bytes:
        raise KeyboardInterrupt

    hub.stream = interrupted
    assert motet("run", ADDITION) == 130
    assert hub.requests[-1] == ("POST /tasks/t-1/stop", {"error_message": "motet run: Ctrl-C"})
    assert capsys.readouterr().err == "stopped\n"


def test_no_hub(capsys: pytest.CaptureFixture[str]) -> None:
    assert motet("run", ADDITION, "--url", "http://127.0.0.1:1") == 4
    assert capsys.readouterr().err == "no hub answers at http://127.0.0.1:1: start one with `motet hub`\n"


def test_a_refused_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole = client_module.Client
    refusal = httpx2.Response(400, json={"error": "the module is empty", "code": "bad_module"})
    transport = httpx2.MockTransport(lambda _: refusal)
    monkeypatch.setattr(client_module, "Client", lambda url: whole(url, transport=transport))
    assert motet("run", ADDITION) == 1
    assert capsys.readouterr().err == "the module is empty\n"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("fly",), "invalid choice: 'fly'"),
        (("--fly",), "required: COMMAND"),
        (("run",), "the following arguments are required: FILE.wasm"),
        (("run", "none.wasm"), "none.wasm: No such file or directory"),
        (("run", ADDITION, "--timeout", "0"), "0 is not a number of seconds above 0"),
        (("run", ADDITION, "--timeout", "-1"), "-1 is not a number of seconds above 0"),
        (("run", ADDITION, "--timeout", "soon"), "invalid"),
        (("run", ADDITION, "--url", "localhost"), "'localhost' is no address of a hub: write http://HOST:PORT"),
        (("hub", "--port", "x"), "--port is 'x': a whole number from 0 to 65535 is allowed"),
        (("hub", "--config", "none.toml"), "none.toml cannot be read: No such file or directory"),
        (("hub", "extra"), "unrecognized arguments: extra"),
        (("edge", "--id", "a b"), "--id is 'a b': 1 to 64 of"),
        (("demo", "--fly"), "unrecognized arguments: --fly"),
    ],
)
def test_usage(argv: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert motet(*argv) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("library", "argv", "sentence"),
    [
        ("uvicorn", ("hub", "--config", "/dev/null"), 'motet hub needs: pip install "motet[hub]"'),
        ("wasm3", ("edge", "--config", "/dev/null"), 'motet edge needs: pip install "motet[edge]"'),
        ("httpx2", ("run", ADDITION), 'motet\'s client needs the HTTP library: pip install "motet[client]"'),
        ("wasm3", ("demo",), 'motet demo needs hub and edge: pip install "motet[edge]"'),
    ],
)
def test_missing_extras(
    library: str,
    argv: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    assert motet(*argv) == 2
    assert capsys.readouterr() == ("", sentence + "\n")


def test_hub_and_edge_get_their_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    app = type(sys)("edge.cpython.app")
    app.main = lambda *given, labels, board, ssl: called.append((*given[:5], labels, board)) or 7  # type: ignore[attr-defined]
    main = type(sys)("hub.main")
    main.Settings = dict  # type: ignore[attr-defined]
    main.run = lambda settings: called.append(settings) or 8  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "edge.cpython.app", app)
    monkeypatch.setitem(sys.modules, "hub.main", main)
    configured: list[Any] = []
    monkeypatch.setattr(logs, "configure", lambda *given, **fields: configured.append((given[:2], fields)))
    assert motet("edge", "--config", "/dev/null", "--id", "d1", "--broker", "[::1]:99", "--labels", "site=roof") == 7
    assert called.pop() == ("::1", 99, "d1", "motet-edge-d1", 4, {"site": "roof"}, None)
    assert motet("edge", "--config", "/dev/null", "--id", "d1", "--board", "simulated") == 7
    assert called.pop()[-1].functions == ["adc", "gpio_read", "gpio_write", "sensor"]
    hosts = ("--image-host", "ghcr.io", "--image-host", "localhost:5000,*")
    assert motet("hub", "--config", "/dev/null", "--port", "0", "--insecure", "--recover", "--no-insecure", *hosts) == 8
    assert called.pop() == {
        "host": "127.0.0.1",
        "port": 0,
        "mqtt_port": 1883,
        "data": "motet-data",
        "insecure": False,
        "tls_cert": "",
        "tls_key": "",
        "recover": True,
        "beat_s": 10.0,
        "lease_s": 30.0,
        "task_timeout_s": 300.0,
        "max_pending": 100_000,
        "keep_tasks": 10_000,
        "keep_mb": 32,
        "keep_days": 7.0,
        "history_mb": 512,
        "history_days": 0.0,
        "image_host": ("ghcr.io", "localhost:5000", "*"),
        "image_dir": "",
        "registry_auth": "",
    }
    assert configured == [(("text", "info"), {"proplet": "d1"})] * 2 + [(("text", "info"), {})]
    motet("edge", "--config", "/dev/null", "--id", "d1", "--log-format", "json", "--log-level", "error")
    assert configured.pop() == (("json", "error"), {"proplet": "d1"})


def test_a_board_that_there_is_not_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert motet("edge", "--config", "/dev/null", "--id", "d1", "--board", "nowhere/board.py") == 2
    assert capsys.readouterr() == ("", "there is no board file nowhere/board.py\n")


def test_help_names_every_option_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert motet("hub", "--help") == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    for words in ("--mqtt-port", "[MOTET_TASK_TIMEOUT_S]", "(default: 7070)", "--recover", "--config FILE"):
        assert words in text
    assert "MOTET_RECOVER" not in text
    assert motet("--help") == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in ("hub", "edge", "demo", "run"))


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys\nfrom motet.cli import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'httpx2', 'starlette', 'uvicorn', 'amqtt', 'tinydb', 'asyncio', 'ssl', 'hub', 'edge', 'tomllib'}\n"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    for word in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"motet {VERSION}\n"


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "motet", "--version"], capture_output=True, text=True, timeout=30)
    assert done.stdout == f"motet {VERSION}\n"
