"""Runs the examples of a page of the documentation, block by block, against a real hub with real edges.

A fenced block is what its first line says:

    bash         run by bash, to its end; it has to succeed. Port 7070 stands for that of the page's hub, `motet run`
                 finds that hub, and examples/ is there. The JSON behind -d may name only fields that the hub knows.
    bash start   a command that stays. A `motet edge` joins the page's hub and stays to the end of the page; without
                 such a block the hub has the edges edge-1 and edge-2. A `motet hub` with options becomes the page's
                 hub, one without is ended again. `python3 -m http.server 8000 --directory DIR` serves files: port
                 8000 stands for its port.
    sh           not run: it installs or builds something. Only the commands of NOT_RUN may stand there.
    python       run in one namespace a page
    toml         read as a motet.toml, so that a wrong option or value is seen
    json         right behind a bash block: what its last commands print. Elsewhere the body of a request, or some
                 fields of a task, checked as the hub checks them
    text         right behind a block that runs: its output, line by line. Elsewhere free

What is printed is compared, what is not printed may be anything: an object may have more fields. `…` stands for
anything (alone on a line of text, for any lines), a time for any time that has come, a UUID or a sha256 for any other.
A block that only asks (a `curl` without -X, -d, -F) is repeated until it answers what is printed: a reader is slow.
"""

import contextlib
import functools
import io
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec

from hub.api import bodies, definitions
from motet.config import TABLES, resolve
from tests.e2e.world import ROOT, Process, World

_FOLDERS = (ROOT / "examples", ROOT / "firmware")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *(folder / "README.md" for folder in _FOLDERS)])
NOT_RUN = ("pip", "CFLAGS=", "./scripts/", ".venv/bin/", "wat2wasm", "clang", "rustc", "git", "cd", "python3",
           "oras", "docker")  # fmt: skip
PATIENCE_S = 10
_USUAL = ":7070 (MQTT on 127.0.0.1:1883, data in motet-data)"
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{64}")
_ASKS = re.compile(r"curl (?!.* -(X|d|F)\b)[^|;&>]*", re.DOTALL)
# Text is kept as it is; ", …}" leaves an object open, any other … is a value.
_OPEN = re.compile(r'(?P<text>"(?:\\.|[^"\\])*")|,\s*…\s*(?P<end>\})|…')
_BODY = re.compile(r"-d '(.*?)'|<<BODY\n(.*?)\nBODY", re.DOTALL)
_REFUSED = re.compile(r'(^|[}\n])\{"error":')
_KINDS = (bodies.TaskIn, bodies.WorkflowIn, bodies.JobIn, bodies.StopIn, bodies.RetryIn, bodies.DuplicateIn)


@dataclass(frozen=True)
class Block:
    """where: page and line, for people. answer: the block of text or json that prints its output."""

    language: str
    words: str
    text: str
    where: str
    answer: "Block | None" = None


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, those that print an output inside the block that makes it."""
    text = page.read_text()
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(text):
        language, words, body = match.groups()
        line = text.count("\n", 0, match.start()) + 1
        block = Block(language, words.strip(), body, f"{page.relative_to(ROOT)}:{line}")
        behind = found and not found[-1].answer and not text[end : match.start()].strip()
        if behind and language in ("json", "text") and found[-1].language in ("bash", "python"):
            last = found.pop()
            block = Block(last.language, last.words, last.text, last.where, block)
        found.append(block)
        end = match.end()
    return found


class Page:
    """One page being tried. Its hub and edges are started when a block needs them."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.blocks = blocks(page)
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "page"}
        self.started: list[Process] = []
        self._world: World | None = None
        self._files: ThreadingHTTPServer | None = None
        (folder / "examples").symlink_to(ROOT / "examples")
        # `motet` is the one under test.
        command = folder / "bin" / "motet"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m motet "$@"\n')
        command.chmod(0o755)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MOTET_")}
        self.environ = {**clean, "PATH": f"{command.parent}:{clean['PATH']}", "PYTHONPATH": str(ROOT)}

    def play(self) -> None:
        for block in self.blocks:
            player = _PLAYERS.get(f"{block.language} {block.words}".strip())
            assert player is not None, f"{block.where}: a block is one of {', '.join(_PLAYERS)}"
            player(self, block)

    def close(self) -> None:
        for process in self.started:
            process.stop()
        if self._world is not None:
            self._world.close()
        if self._files is not None:
            self._files.shutdown()
            self._files.server_close()

    @property
    def world(self) -> World:
        return self._world or self._open()

    def _open(self, *options: str) -> World:
        self._world = World(self.folder, *options)
        if not any(block.text.startswith("motet edge") for block in self.blocks if block.words == "start"):
            self._world.start_edges("edge-1", "edge-2")
        return self._world

    def bash(self, block: Block) -> None:
        for quoted, behind in _BODY.findall(block.text):
            body = quoted or re.sub(r": \$\w+", ": []", behind.replace("\\$", "$"))
            _check_fields(json.loads(body), block.where)
        command = self.here(block.text)
        deadline = time.monotonic() + (PATIENCE_S if _ASKS.fullmatch(command.strip()) else 0)
        while True:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.folder, env=self.environ,
                                  capture_output=True, text=True, timeout=30)  # fmt: skip
            # A command that fails prints why: that is an answer too.
            failed = done.returncode and (block.answer is None or block.answer.language == "json")
            wrong = done.stderr or f"exit code {done.returncode}" if failed else self._differs(block, done)
            if not wrong or time.monotonic() > deadline:
                break
        assert not wrong, f"{block.where}: {wrong}\n{done.stdout}{done.stderr}"

    def _differs(self, block: Block, done: "subprocess.CompletedProcess[str]") -> str:
        if _REFUSED.search(done.stdout) and not (block.answer and '"error"' in block.answer.text):
            return "the hub refused it"
        if block.answer is None or block.answer.language == "text":
            return differing_text(self.here(block.answer.text), done.stdout + done.stderr) if block.answer else ""
        wanted = documents(self.here(block.answer.text))
        return differing(wanted, documents(done.stdout)[-len(wanted) :])

    def start(self, block: Block) -> None:
        """A hub, an edge of the page's hub, or a server of files."""
        words = shlex.split(self.here(block.text))
        if words[:3] == ["python3", "-m", "http.server"]:
            return self._serve(*words[3:])
        command, *arguments = words[1:]
        assert command in ("hub", "edge"), block.where
        if command == "hub" and arguments:
            assert self._world is None, f"{block.where}: the page has its hub already"
            process = self._open(*arguments).hub
        else:
            there = {"MOTET_PORT": "0", "MOTET_MQTT_PORT": "0"}
            if command == "edge":
                there = {"MOTET_BROKER": f"{self.world.mqtt_host}:{self.world.mqtt_port}"}
            process = Process(command, *arguments, "--data", str(self.folder / f"own-{len(self.started)}"), **there)
            self.started.append(process)
        said = process.line("motet hub is ready.*\n|edge .* connected.*\n").group()
        if command == "hub" and not arguments:
            process.stop()
        # The addresses and the folder are those that a reader gets.
        said = re.sub(r":\d+ \(MQTT on 127.0.0.1:\d+, data in .*\)", _USUAL, said)
        assert block.answer is None or not differing_text(block.answer.text, said), f"{block.where}: {said}"

    def _serve(self, port: str, option: str, directory: str) -> None:
        assert (port, option) == ("8000", "--directory")
        handler = functools.partial(SimpleHTTPRequestHandler, directory=self.folder / directory)
        self._files = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._files.serve_forever, daemon=True).start()

    def python(self, block: Block) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.chdir(self.folder):
            exec(compile(self.here(block.text), block.where, "exec"), self.names)
        wrong = differing_text(self.here(block.answer.text), out.getvalue()) if block.answer else ""
        assert not wrong, f"{block.where}: {wrong}\n{out.getvalue()}"

    def sh(self, block: Block) -> None:
        for line in block.text.replace("\\\n", " ").splitlines():
            assert not line or line.startswith(("#", *NOT_RUN)), f"{block.where}: {line} is not run: say bash"
            assert not line.startswith("./") or (ROOT / line.split()[0]).exists(), f"{block.where}: {line}"

    def toml(self, block: Block) -> None:
        (self.folder / "motet.toml").write_text(block.text)
        for name in tomllib.loads(block.text):
            resolve(TABLES[name], {}, str(self.folder / "motet.toml"), {})

    def json(self, block: Block) -> None:
        _check_fields(body := json.loads(block.text), block.where)
        for task in body.get("tasks", [body]):
            definitions.definition(msgspec.convert(task, bodies.TaskIn))

    def here(self, text: str) -> str:
        """The text with the addresses of the page's own hub, and of its server of files."""
        if self._files is not None:
            text = text.replace("localhost:8000", f"localhost:{self._files.server_port}")
        if "7070" not in text and "motet run" not in text:
            return text
        text = re.sub(r"(localhost|127\.0\.0\.1):7070", self.world.url.removeprefix("http://"), text)
        return text.replace("motet run", f"motet run --url {self.world.url}")


_PLAYERS = {
    "bash": Page.bash, "bash start": Page.start, "sh": Page.sh, "python": Page.python,
    "toml": Page.toml, "json": Page.json, "text": lambda page, block: None,
}  # fmt: skip


def _check_fields(body: dict[str, Any], where: str) -> None:
    """The hub ignores fields that it does not know; a reader would not notice a wrong one."""
    known, tasks = _names(*_KINDS), _names(bodies.TaskIn)
    for fields, allowed in [(body, known), *((task, tasks) for task in body.get("tasks") or ())]:
        assert not fields.keys() - allowed, f"{where}: the hub does not know {fields.keys() - allowed}"


def _names(*kinds: type) -> set[str]:
    return {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}


# --- comparing


def documents(text: str) -> list[Any]:
    """The JSON documents of a text, one behind the other, in which … may stand for anything."""
    text = _OPEN.sub(lambda match: match["text"] or ("}" if match["end"] else '"…"'), text)
    found, at, decoder = [], 0, json.JSONDecoder()
    while text[at:].strip():
        document, at = decoder.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        found.append(document)
    return found


def differing(printed: Any, real: Any, where: str = "the answer") -> str:
    """Where a document is not what is printed; "" when it is."""
    if printed == "…" or printed == real:
        return ""
    if isinstance(printed, dict) and isinstance(real, dict):
        if missing := printed.keys() - real.keys():
            return f"{where} has no {', '.join(sorted(missing))}"
        return next(filter(None, (differing(printed[key], real[key], f"{where}.{key}") for key in printed)), "")
    if isinstance(printed, list) and isinstance(real, list):
        if printed[-1:] == ["…"]:
            printed, real = printed[:-1], real[: len(printed) - 1]
        if len(printed) == len(real):
            pairs = enumerate(zip(printed, real, strict=True))
            return next(filter(None, (differing(one, other, f"{where}[{at}]") for at, (one, other) in pairs)), "")
    if isinstance(printed, str) and isinstance(real, str):
        for generated in (_TIME, _ID):
            if generated.fullmatch(printed) and generated.fullmatch(real) and not real.startswith("0001"):
                return ""
        if "…" in printed and not differing_text(printed, real):
            return ""
    return f"{where} is {real!r}, printed is {printed!r}"


def differing_text(printed: str, real: str) -> str:
    """The same for text."""
    pattern = "\n".join(re.escape(line.rstrip()) for line in printed.strip().splitlines())
    pattern = re.sub(r"(?m)^…$", r"(?:.*\n)*?.*", pattern).replace("…", ".*")
    shown = "\n".join(line.rstrip() for line in real.strip().splitlines())
    return "" if re.fullmatch(pattern, shown) else f"printed is\n{printed}\nbut it says\n"
