"""A line of the log is one JSON object with what it is about; secrets of tasks are in none."""

import json
import logging
import os
import sys
from pathlib import Path

import pytest

from motet.logs import JsonFormatter
from tests.api.stage import FILE, Stage
from tests.e2e.world import Process


def formatted(message: str, *args: object, **more: object) -> dict[str, object]:
    record = logging.LogRecord("motet.hub", logging.WARNING, "x.py", 1, message, args, None)
    record.__dict__.update(more)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    document: dict[str, object] = json.loads(line)
    return document


def test_a_line_has_time_level_logger_message_and_what_it_is_about() -> None:
    line = formatted("lost %s\nthen", "ü", proplet="d1", task="t", sha256="", other="never")
    assert str(line.pop("time")).endswith("Z")
    assert line == {"level": "warning", "logger": "motet.hub", "message": "lost ü\nthen", "proplet": "d1", "task": "t"}


def test_a_fault_comes_with_its_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = formatted("a fault", exc_info=sys.exc_info())
    assert "ValueError: broken" in str(line["exception"])


async def test_what_a_task_is_given_and_answers_is_in_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At every level of our own loggers, over a run that fails, one that ends well, and refused requests."""
    for name in ("motet", "hub"):
        caplog.set_level(logging.DEBUG, name)
    secret = "s3cr3t-value"
    async with Stage(tmp_path) as stage:
        stage.join("a", answers=False)
        for id, ok in (("good", True), ("bad", False)):
            await stage.call(
                "POST", "/tasks", {"id": id, "name": "main", "file": FILE, "env": {"KEY": secret}, "stdin": secret,
                                   "inputs": [secret], "cli_args": [secret], "metadata": {"k": secret}},
                headers={"Authorization": f"Bearer {secret}"},
            )  # fmt: skip
            await stage.call("POST", f"/tasks/{id}/start")
            start = await stage.held.get()
            assert start["env"]["KEY"] == secret
            text = {"ok": True, "text": secret} if ok else {"ok": False, "error": {"code": "x", "message": secret}}
            stage.say("a", "result", {"task": id, "attempt": start["attempt"], **text})
            await stage.ended(id)
        fetched = {"id": "url", "name": "main", "image_url": f"https://example.org/a.wasm?key={secret}"}
        await stage.call("POST", "/tasks", fetched)
        await stage.call("POST", "/tasks/url/start")
        await stage.ended("url")
        await stage.call("POST", "/tasks", {"name": "main", "env": {"KEY": [secret]}})
        await stage.http.post("/tasks", content=f'{{"name": "{secret}', headers={"Content-Type": "application/json"})
        stage.bridge.message("a", "result", json.dumps({"text": secret}).encode())
    assert any(record.name == "motet.devices" for record in caplog.records)
    ours = [record for record in caplog.records if record.name.startswith(("motet", "hub"))]
    assert not [line for line in map(JsonFormatter().format, ours) if secret in line]


def test_hub_and_edge_write_json_and_leave_out_what_is_below_the_level(tmp_path: Path) -> None:
    options = ["--config", os.devnull, "--log-format", "json"]
    hub = Process("hub", *options, "--port", "0", "--mqtt-port", "0", "--data", str(tmp_path / "hub"))
    address = hub.line(r"MQTT on (\S+),").group(1)
    edge = Process("edge", *options, "--broker", address, "--id", "d1", "--data", str(tmp_path / "edge"))
    edge.line("connected")
    quiet = Process("edge", *options, "--broker", address, "--id", "d1", "--data", str(tmp_path / "edge"),
                    "--log-level", "error")  # fmt: skip
    quiet.child.wait(20)
    for process in (edge, hub):
        assert process.stop() == 0
    assert quiet.stop() == 1
    told = [json.loads(line) for line in edge.text.splitlines()]
    assert [line["message"] for line in told][-1] == "edge d1 stopped"
    assert {(line["proplet"], line["logger"], line["level"]) for line in told} == {("d1", "motet.edge", "info")}
    ready, *lines = sorted(hub.text.splitlines(), key=lambda line: line.startswith("{"))
    assert ready.startswith("motet hub is ready")
    assert {"motet.hub", "hub.link.embedded"} <= {json.loads(line)["logger"] for line in lines}
    [refused] = map(json.loads, quiet.text.splitlines())
    assert refused["level"] == "error" and "another edge uses" in refused["message"]
