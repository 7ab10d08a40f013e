"""client.wait_proplet, and what waits by it: `motet flash` for a board, `motet update` for its new edge."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hub import mpy
from motet import flash, update
from motet.client import Client, WaitTimeout
from motet.testing.transport import Bridge
from shared import PROTOCOL
from shared.errors import MotetError, NotFound, Unavailable
from tests.api.stage import Stage
from tests.motet.test_client import Streams, client_of, event, no_sleep  # noqa: F401

UNKNOWN = NotFound("no such proplet", "unknown_proplet")
AWAY = Unavailable("no hub answers")


def roof(**fields: Any) -> dict[str, Any]:
    return {"id": "roof", "alive": True, **fields}


class Scripted(Streams):
    """Streams whose answers to GET /proplets/roof are scripted too: a document, or an error. The last one stays."""

    def __init__(self, answers: list[dict[str, Any] | MotetError], *streams: list[bytes | Exception]) -> None:
        super().__init__(*streams)
        self.answers = answers

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/events":
            return super().__call__(request)
        self.reads += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Unavailable):
            raise httpx2.ConnectError("refused")
        if isinstance(answer, NotFound):
            return httpx2.Response(404, json={"error": answer.message, "code": answer.code})
        return httpx2.Response(200 if request.method == "GET" else 202, json=answer)


def boot(name: str) -> Callable[[dict[str, Any]], bool]:
    return lambda proplet: proplet.get("boot") == name


def test_what_is_so_already_is_told_at_once() -> None:
    hub = Scripted([roof(boot="b")], [])
    assert client_of(hub).wait_proplet("roof", boot("b"), timeout=5) == roof(boot="b")
    assert (hub.asked, hub.reads) == ([("", None)], 1)


def test_each_change_is_looked_at_as_it_comes_and_the_hub_is_asked_once() -> None:
    changes = [
        event(1, "proplet", roof(boot="b")),
        event(2, "proplet", {"id": "other", "alive": True, "boot": "c"}),
        event(3, "task", roof(boot="c")),
        event(4, "proplet", {"id": "roof"}),  # it is gone by now
        event(5, "proplet", roof(boot="c")),
    ]
    seen: list[str] = []

    def until(proplet: dict[str, Any]) -> bool:
        seen.append(proplet["boot"])
        return proplet["boot"] == "c"

    hub = Scripted([roof(boot="a")], changes)
    assert client_of(hub).wait_proplet("roof", until) == roof(boot="c")
    assert seen == ["a", "b", "c"]
    assert (hub.asked, hub.reads) == ([("", None)], 1)


def test_a_stream_that_breaks_is_opened_again_and_what_came_meanwhile_is_seen(no_sleep: list[float]) -> None:  # noqa: F811
    hub = Scripted(
        [roof(boot="a"), AWAY, roof(boot="b")],
        [event(7, "proplet", roof(boot="a")), httpx2.ReadError("reset")],
        [],
        [event(8, "proplet", roof(boot="c"))],
    )
    assert client_of(hub).wait_proplet("roof", boot("b")) == roof(boot="b")
    assert [last for _, last in hub.asked] == [None, "7", "7"]
    assert len(no_sleep) == 2


def test_one_that_the_hub_does_not_know_is_an_error_or_waited_for() -> None:
    change = event(1, "proplet", roof(boot="b"))
    with pytest.raises(NotFound, match="no such proplet"):
        client_of(Scripted([UNKNOWN], [change])).wait_proplet("roof", boot("b"))
    hub = Scripted([UNKNOWN], [change])
    assert client_of(hub).wait_proplet("roof", boot("b"), missing_ok=True) == roof(boot="b")


def test_one_that_is_deleted_meanwhile_is_an_error_or_waited_for() -> None:
    deleted = [
        event(1, "deleted", {"kind": "task", "id": "roof"}),
        event(2, "deleted", {"kind": "proplet", "id": "shed"}),
        event(3, "deleted", {"kind": "proplet", "id": "roof"}),
        event(4, "proplet", roof(boot="b")),
    ]
    with pytest.raises(NotFound, match="proplet roof was deleted"):
        client_of(Scripted([roof()], deleted)).wait_proplet("roof", boot("b"))
    assert client_of(Scripted([roof()], deleted)).wait_proplet("roof", boot("b"), missing_ok=True)


# -- over a hub in process


class Watched(Bridge):
    """For a client in another thread: what it has asked, as soon as it is answered."""

    def __init__(self, stage: Stage) -> None:
        self._of_the_test = asyncio.get_running_loop()
        super().__init__(stage.parts.app, self._of_the_test)
        self.answered: asyncio.Queue[str] = asyncio.Queue()
        self.asked: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        self.asked.append(f"{request.method} {request.url.path}")
        self._of_the_test.call_soon_threadsafe(self.answered.put_nowait, self.asked[-1])
        return response

    def forget(self) -> None:
        self.answered = asyncio.Queue()
        self.asked = []

    async def until(self, line: str) -> None:
        async with asyncio.timeout(10):
            while await self.answered.get() != line:
                pass


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def watched(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The way of every client of the commands."""
    watched = Watched(stage)

    def client(url: str) -> Client:
        return Client(url, watched)

    monkeypatch.setattr("motet.client.Client", client)
    monkeypatch.setattr("motet.update.Client", client)
    return watched


SLOT = {"state": "", "package": "", "slot": 0, "mpy": 6}


def greet(stage: Stage, boot: str, slot: dict[str, Any] = SLOT) -> None:
    """The board roof connects."""
    stage.link.devices["roof"] = lambda kind, fields: None
    stage.bridge.connected("roof")
    hello = {"proto": PROTOCOL, "boot": boot, "agent": "0", "runtime": "micropython 1.28 rp2", "caps": {},
             "mem_free": 1, "mem_total": 1, "slots": 1, "running": [], "outbox": [], "update": slot}  # fmt: skip
    stage.say("roof", "hello", hello)


@pytest.mark.parametrize("connected", [True, False])
async def test_flash_waits_for_the_first_hello_of_a_board_without_asking_again(
    stage: Stage, watched: Watched, connected: bool
) -> None:
    assert await asyncio.to_thread(flash._boot, "http://hub", "roof") is None
    if connected:
        stage.bridge.connected("roof")  # it is alive, but has not said which boot this is
        assert await asyncio.to_thread(flash._boot, "http://hub", "roof") is None
    watched.forget()
    waiting = asyncio.create_task(asyncio.to_thread(flash._await, "http://hub", "roof", None, 20))
    await watched.until("GET /proplets/roof")
    assert (await stage.call("GET", "/proplets?status=active")).json()["total"] == connected
    greet(stage, "first")
    await waiting
    assert watched.asked == ["GET /events", "GET /proplets/roof"]


@pytest.mark.parametrize("connected", [True, False])
async def test_flash_waits_for_a_new_boot_of_a_board_that_the_hub_knows(
    stage: Stage, watched: Watched, connected: bool
) -> None:
    greet(stage, "before")
    if not connected:
        stage.bridge.disconnected("roof")
    before = await asyncio.to_thread(flash._boot, "http://hub", "roof")
    assert before == "before"
    waiting = asyncio.create_task(asyncio.to_thread(flash._await, "http://hub", "roof", before, 20))
    await watched.until("GET /events")
    greet(stage, "now")
    await waiting


async def test_flash_says_so_when_all_that_comes_is_the_boot_before(stage: Stage, watched: Watched) -> None:
    greet(stage, "before")
    waiting = asyncio.create_task(asyncio.to_thread(flash._await, "http://hub", "roof", "before", 0.5))
    await watched.until("GET /proplets/roof")
    stage.bridge.disconnected("roof")
    greet(stage, "before")
    with pytest.raises(Unavailable, match=r"the hub has not heard of roof in 0\.5 s") as caught:
        await waiting
    assert not isinstance(caught.value, WaitTimeout)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """An edge of one file, which no compiler makes."""
    monkeypatch.setattr(mpy, "package", lambda bytecode: {"edge/main.mpy": b"new"})


@pytest.mark.parametrize(
    "last, code, words", [("done", 0, "it runs the new edge"), ("failed", 1, "given up: the flash is full")]
)
async def test_update_follows_the_board_to_the_end(
    stage: Stage, watched: Watched, package: None, capsys: pytest.CaptureFixture[str], last: str, code: int, words: str
) -> None:
    greet(stage, "first")
    updating = asyncio.create_task(asyncio.to_thread(update.run, "http://hub", "roof", 20))
    await watched.until("GET /proplets/roof")
    name = (await stage.call("GET", "/proplets/roof")).json()["update"]["package"]
    stage.say("roof", "update", {"package": name, "state": "fetching", "left": 1, "error": ""})
    stage.say("roof", "update", {"package": name, "state": "ready", "left": 0, "error": ""})
    stage.bridge.disconnected("roof")
    greet(stage, "second", {**SLOT, "package": name, "slot": 1, "state": "on_trial"})
    error = words.partition(": ")[2]
    stage.say("roof", "update", {"package": name, "state": last, "left": 0, "error": error})
    assert await updating == code
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("the hub has asked it", words)
    assert watched.asked == ["POST /proplets/roof/update", "GET /events", "GET /proplets/roof"]


async def test_update_says_so_when_it_takes_too_long(stage: Stage, watched: Watched, package: None) -> None:
    greet(stage, "first")
    with pytest.raises(Unavailable, match=r"roof was not updated in 0\.3 s"):
        await asyncio.to_thread(update.run, "http://hub", "roof", 0.3)


async def test_update_that_nobody_waits_for(stage: Stage, watched: Watched, package: None) -> None:
    greet(stage, "first")
    assert await asyncio.to_thread(update.run, "http://hub", "roof", 0) == 0
    assert watched.asked == ["POST /proplets/roof/update"]


def test_update_tells_each_step_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def step(state: str, left: int = 0) -> dict[str, Any]:
        return roof(update={"state": state, "left": left, "total": 2})

    steps = [step("fetching", 2), step("fetching", 1), step("fetching", 1), step("ready"), step("on_trial")]
    events = [event(number, "proplet", one) for number, one in enumerate([*steps, step("done")])]
    hub = Scripted([step("asked", 2)], events)
    monkeypatch.setattr("motet.update.Client", lambda url: client_of(hub))
    assert update.run("http://hub", "roof", 20) == 0
    assert capsys.readouterr().out.splitlines() == [
        "the hub has asked it",
        "it fetches: 2 of 2 files to go",
        "it fetches: 1 of 2 files to go",
        "all files are there: it starts with them as soon as its tasks have ended",
        "it runs the new edge, on trial",
        "it runs the new edge",
    ]
