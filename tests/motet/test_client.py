"""The client: what it sends, what it makes of answers and errors, and streams that break."""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from motet.calls import Call
from motet.client import Client, WaitTimeout
from motet.port import BlockingPort
from motet.sse import EventParser
from shared.errors import BadRequest, Conflict, MotetError, NotFound, TooLarge, TooMany, Unavailable

Handler = Callable[[httpx2.Request], httpx2.Response]


def client_of(handler: Handler, **options: Any) -> Client:
    return Client(transport=httpx2.MockTransport(handler), **options)


class Recorder:
    """Answers everything with one document and keeps the requests."""

    def __init__(self, document: Any = None, status: int = 200) -> None:
        self.document = {} if document is None else document
        self.status = status
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return httpx2.Response(self.status, json=self.document)


@pytest.mark.parametrize(
    ("call", "line", "body"),
    [
        (
            lambda c: c.create_task("main", file=b"\0asm", inputs=[1]),
            "POST /tasks",
            {"file": "AGFzbQ==", "inputs": [1]},
        ),
        (lambda c: c.create_task("main", file="AGFzbQ=="), "POST /tasks", {"name": "main", "file": "AGFzbQ=="}),
        (lambda c: c.start_task("t 1/2"), "POST /tasks/t%201%2F2/start", None),
        (lambda c: c.stop_task("t"), "POST /tasks/t/stop", None),
        (lambda c: c.stop_task("t", error_message="no"), "POST /tasks/t/stop", {"error_message": "no"}),
        (lambda c: c.task("t"), "GET /tasks/t", None),
        (lambda c: c.tasks(), "GET /tasks", None),
        (lambda c: c.tasks(limit=5, state=3, job_id=None), "GET /tasks?limit=5&state=3", None),
        (lambda c: c.tasks(metadata={"a": "b"}), "GET /tasks?metadata=%7B%22a%22%3A+%22b%22%7D", None),
        (lambda c: c.results("t"), "GET /tasks/t/results", None),
        (lambda c: c.create_workflow([{"name": "a", "file": b"x"}]), "POST /workflows", {"tasks": [{"file": "eA=="}]}),
        (lambda c: c.create_workflow([], name="w"), "POST /workflows", {"name": "w", "tasks": []}),
        (lambda c: c.start_workflow("w"), "POST /workflows/w/start", None),
        (lambda c: c.workflow("w"), "GET /workflows/w", None),
        (lambda c: c.create_job("j", [], execution_mode="parallel"), "POST /jobs", {"execution_mode": "parallel"}),
        (lambda c: c.start_job("j"), "POST /jobs/j/start", None),
        (lambda c: c.job("j"), "GET /jobs/j", None),
        (lambda c: c.proplets(status="active"), "GET /proplets?status=active", None),
        (lambda c: c.logs("t", level="error"), "GET /tasks/t/logs?level=error", None),
        (lambda c: c.modules(export="main"), "GET /modules?export=main", None),
        (lambda c: c.module("0" * 64), f"GET /modules/{'0' * 64}", None),
        (lambda c: c.release_module("0" * 64), f"POST /modules/{'0' * 64}/release", None),
        (lambda c: c.health(), "GET /health", None),
        (lambda c: c.update_task("t", file=b"x", cost=2), "PUT /tasks/t", {"file": "eA==", "cost": 2}),
        (lambda c: c.delete_task("t"), "DELETE /tasks/t", None),
        (lambda c: c.delete_workflow("w"), "DELETE /workflows/w", None),
        (lambda c: c.delete_job("j"), "DELETE /jobs/j", None),
        (lambda c: c.workflows(limit=1), "GET /workflows?limit=1", None),
        (lambda c: c.stop_workflow("w", running="finish"), "POST /workflows/w/stop", {"running": "finish"}),
        (lambda c: c.stop_job("j"), "POST /jobs/j/stop", None),
        (lambda c: c.retry_task("t"), "POST /tasks/t/retry", None),
        (lambda c: c.retry_workflow("w", **{"from": "all"}), "POST /workflows/w/retry", {"from": "all"}),
        (lambda c: c.copy_task("t", children=True), "POST /tasks/t/copy", {"children": True}),
        (lambda c: c.copy_workflow("w", link=["a"]), "POST /workflows/w/copy", {"link": ["a"]}),
        (lambda c: c.link_task("t", user_id="u"), "POST /tasks/t/link", {"user_id": "u"}),
        (lambda c: c.link_workflow("w"), "POST /workflows/w/link", None),
        (lambda c: c.archive_task("t"), "POST /tasks/t/archive", None),
        (lambda c: c.archive_workflow("w"), "POST /workflows/w/archive", None),
        (lambda c: c.plan("w"), "GET /workflows/w/plan", None),
        (lambda c: c.plan("w", workers=2), "GET /workflows/w/plan?workers=2", None),
        (lambda c: c.trace("w", "chrome"), "GET /workflows/w/trace?format=chrome", None),
        (lambda c: c.graph("w", "dot"), "GET /workflows/w/graph?format=dot", None),
    ],
)
def test_requests(call: Callable[[Client], Any], line: str, body: dict[str, Any] | None) -> None:
    recorder = Recorder()
    call(client_of(recorder))
    [request] = recorder.requests
    assert f"{request.method} {request.url.raw_path.decode()}" == line
    sent = json.loads(request.content) if request.content else None
    if body is None:
        assert sent is None
    else:
        assert _part(sent, body)


def _part(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(name in whole and _part(whole[name], value) for name, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(_part, whole, part))
    return bool(whole == part)


def test_upload_is_multipart() -> None:
    recorder = Recorder({"id": "t"})
    assert client_of(recorder).upload("t", b"\0asm") == {"id": "t"}
    [request] = recorder.requests
    assert (request.method, request.url.path) == ("PUT", "/tasks/t/upload")
    assert b'name="file"; filename="module.wasm"' in request.content
    assert b"\0asm" in request.content


def test_cron_preview() -> None:
    recorder = Recorder({"times": ["2026-01-01T09:00:00Z"]})
    client = client_of(recorder)
    assert client.cron_preview("0 9 * * *", "Europe/Riga", from_="2026-01-01", count=1) == ["2026-01-01T09:00:00Z"]
    [request] = recorder.requests
    assert dict(request.url.params) == {
        "schedule": "0 9 * * *",
        "timezone": "Europe/Riga",
        "from": "2026-01-01",
        "count": "1",
    }


@pytest.mark.parametrize(("document", "text"), [({"results": "30\n"}, "30\n"), ({"results": None}, ""), ({}, "")])
def test_results_are_text(document: dict[str, Any], text: str) -> None:
    assert client_of(Recorder(document)).results("t") == text


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadRequest),
        (404, NotFound),
        (405, BadRequest),
        (409, Conflict),
        (413, TooLarge),
        (415, BadRequest),
        (429, TooMany),
        (500, MotetError),
        (503, Unavailable),
        (507, Unavailable),
    ],
)
def test_errors(status: int, kind: type[MotetError]) -> None:
    def hub(_: httpx2.Request) -> httpx2.Response:
        document = {"error": "that is wrong", "code": "so_wrong", "detail": {"cycle": ["a"]}}
        return httpx2.Response(status, json=document, headers={"Retry-After": "3"})

    with pytest.raises(MotetError) as caught:
        client_of(hub).task("t")
    assert type(caught.value) is kind
    assert caught.value.message == "that is wrong"
    assert caught.value.code == "so_wrong"
    assert caught.value.detail == {"cycle": ["a"], "retry_after": "3"}


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b"{}", b'{"error": 5}', b""])
@pytest.mark.parametrize("status", [302, 404, 502])
def test_no_hub_behind_the_address(status: int, body: bytes) -> None:
    with pytest.raises(Unavailable, match="as no Motet hub does") as caught:
        client_of(lambda _: httpx2.Response(status, content=body)).health()
    assert caught.value.code == "not_a_hub"


def test_a_page_where_json_should_be() -> None:
    with pytest.raises(Unavailable, match="answered 200 as no Motet hub does"):
        client_of(lambda _: httpx2.Response(200, content=b"<html>")).health()


def test_errors_without_code_or_with_an_odd_detail() -> None:
    with pytest.raises(Conflict) as caught:
        client_of(Recorder({"error": "no", "detail": [1]}, 409)).health()
    assert (caught.value.code, caught.value.detail) == ("error", {})


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            httpx2.ConnectError("refused"),
            "no_hub",
            "no hub answers at http://127.0.0.1:7070: start one with `motet hub`",
        ),
        (httpx2.ConnectTimeout("slow"), "no_hub", "no hub answers"),
        (httpx2.ReadTimeout("slow"), "no_answer", "did not answer in time"),
        (httpx2.RemoteProtocolError("closed"), "broken", "broke: closed"),
    ],
)
def test_broken_ways(error: httpx2.TransportError, code: str, words: str) -> None:
    def hub(_: httpx2.Request) -> httpx2.Response:
        raise error

    client = client_of(hub)
    for call in (client.health, lambda: next(client.events())):
        with pytest.raises(Unavailable) as caught:
            call()
        assert caught.value.code == code
        assert words in caught.value.message


def test_nothing_listens() -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(Unavailable, match="no hub answers"):
        client.health()


@pytest.mark.parametrize("url", ["", "localhost:7070", "ftp://a", "http://", "http://a:b", "http://[::1"])
def test_no_address(url: str) -> None:
    with pytest.raises(BadRequest, match="write http://HOST:PORT"):
        Client(url)


def test_the_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(MotetError) as caught:
        Client()
    assert caught.value.message == """motet's client needs the HTTP library: pip install "motet[client]\""""
    assert caught.value.code == "missing_extra"


# -- streams


def event(number: int, name: str, data: Any) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Streams:
    """A hub whose event streams are scripted: for each connection the pieces, then an exception or its end."""

    def __init__(self, *streams: list[bytes | Exception], task: dict[str, Any] | None = None) -> None:
        self.streams = list(streams)
        self.task = task or {"id": "t", "state": 2}
        self.asked: list[tuple[str, str | None]] = []
        self.reads = 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/events":
            self.reads += 1
            return httpx2.Response(200, json=self.task)
        self.asked.append((request.url.query.decode(), request.headers.get("last-event-id")))
        return httpx2.Response(200, content=self._pieces(self.streams.pop(0)))

    def _pieces(self, pieces: list[bytes | Exception]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


@pytest.fixture
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_events_until_done() -> None:
    hub = Streams([b": ping\n\n", event(1, "task", {"state": 2}), event(2, "done", {"state": 3}), event(3, "task", {})])
    assert list(client_of(hub).events(workflow_id="w")) == [
        {"id": "1", "event": "task", "data": {"state": 2}},
        {"id": "2", "event": "done", "data": {"state": 3}},
    ]
    assert hub.asked == [("workflow_id=w", None)]


def test_a_broken_stream_goes_on_behind_the_last_event(no_sleep: list[float]) -> None:
    cut = event(3, "task", "lost in the middle")[:-5]
    hub = Streams(
        [event(1, "task", "a"), event(2, "task", "b"), cut],
        [httpx2.ReadError("reset")],
        [event(3, "task", "c"), httpx2.ReadTimeout("silent")],
        [event(4, "done", "d")],
    )
    assert [item["data"] for item in client_of(hub).events(task_id="t")] == ["a", "b", "c", "d"]
    assert [last for _, last in hub.asked] == [None, "2", "2", "3"]
    assert len(no_sleep) == 3


def test_a_hub_that_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    first = Streams([event(1, "task", "a")])

    def hub(request: httpx2.Request) -> httpx2.Response:
        if first.streams:
            return first(request)
        now[0] += 1
        raise httpx2.ConnectError("refused")

    events = client_of(hub).events()
    assert next(events)["data"] == "a"
    now[0] = 1000.0  # a quiet stream, and then the hub is gone: it still gets its time
    with pytest.raises(Unavailable, match="no hub answers"):
        next(events)
    assert 1030 < now[0] < 1040


def test_unknown_id_is_an_error_of_the_stream() -> None:
    with pytest.raises(NotFound, match="no such task"):
        next(client_of(Recorder({"error": "no such task", "code": "not_found"}, 404)).events(task_id="x"))


def test_events_that_are_no_json() -> None:
    with pytest.raises(MotetError, match="not JSON"):
        list(client_of(Streams([b"data: {\n\n"])).events())


def test_wait_for_a_task_that_has_ended_before() -> None:
    hub = Streams([], task={"id": "t", "state": 4})
    assert client_of(hub).wait_task("t", timeout=5) == {"id": "t", "state": 4}
    assert (len(hub.asked), hub.reads) == (1, 1)


def test_wait_reads_once_and_then_follows() -> None:
    hub = Streams([event(1, "task", {"state": 2}), event(2, "task", {"state": 3}), event(3, "done", {})])
    seen: list[tuple[str, str]] = []
    client_of(hub).wait_task("t", on_event=lambda item: seen.append((item["id"], item["event"])))
    assert seen == [("", "task"), ("1", "task"), ("2", "task")]
    assert hub.asked == [("task_id=t", None)]
    assert hub.reads == 2


@pytest.mark.parametrize("kind", ["workflow", "job"])
def test_wait_for_a_group(kind: str) -> None:
    hub = Streams([event(1, "done", {})])
    getattr(client_of(hub), f"wait_{kind}")("x")
    assert hub.asked == [(f"{kind}_id=x", None)]


def test_wait_reads_again_after_a_broken_stream(no_sleep: list[float]) -> None:
    hub = Streams([httpx2.ReadError("reset")], [event(1, "done", {})])
    client_of(hub).wait_task("t")
    assert hub.reads == 3


def test_wait_ends_in_time() -> None:
    def pings() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.02)
            yield b": ping\n\n"

    def hub(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/events":
            return httpx2.Response(200, content=pings())
        return httpx2.Response(200, json={"state": 2})

    started = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"task t has not ended within 0\.3 s") as caught:
        client_of(hub).wait_task("t", timeout=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert 0.3 <= time.monotonic() - started < 1.6


def test_the_reading_time_is_what_is_left() -> None:
    limits: list[float] = []

    def hub(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/events":
            limits.append(request.extensions["timeout"]["read"])
            return httpx2.Response(200, content=event(1, "done", {}))
        return httpx2.Response(200, json={"state": 2})

    client = client_of(hub)
    client.wait_task("t", timeout=7)
    client.wait_task("t")
    assert 6.5 < limits[0] <= 7
    assert limits[1] == 45


def test_wait_for_proplets() -> None:
    totals = iter((1, 2, 3))

    def hub(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/events":
            return httpx2.Response(200, content=b"".join(event(n, "proplet", {}) for n in range(1, 9)))
        return httpx2.Response(200, json={"total": next(totals)})

    assert client_of(hub).wait_proplets(3, timeout=5) == {"total": 3}


# -- the parser


def test_the_parser_takes_any_pieces() -> None:
    stream = (
        b": hello\n\nid: 1\nevent: task\ndata: {\ndata: }\n\n"
        b'id:2\r\ndata:  "two \xe2\x80\xa8 lines"\r\n\r\n'
        b"retry: 5\nevent: nothing\n\ndata: 3\n\n"
    )
    wanted = [
        {"id": "1", "event": "task", "data": {}},
        {"id": "2", "event": "message", "data": "two \u2028 lines"},
        {"id": "2", "event": "message", "data": 3},
    ]
    for size in (1, 2, 3, 7, len(stream)):
        parser = EventParser()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert [item for piece in pieces for item in parser.feed(piece)] == wanted


def test_a_module_travels_whole() -> None:
    recorder = Recorder()
    every_byte = bytes(range(256))
    client_of(recorder).create_task("t", file=every_byte)
    assert base64.b64decode(json.loads(recorder.requests[0].content)["file"]) == every_byte


# -- a way of one's own


class Memory(BlockingPort):
    """A hub in a dict, without HTTP."""

    url = "memory"

    async def send(self, call: Call) -> Any:
        return {"asked": f"{call.method} {call.path}"}

    @asynccontextmanager
    async def stream(self, call: Call, last_id: str, silence_s: float) -> AsyncIterator[AsyncIterator[bytes]]:
        async def pieces() -> AsyncIterator[bytes]:
            yield event(1, "task", {"state": 3})
            yield event(2, "done", {"state": 3})

        yield pieces()

    async def close(self) -> None:
        self.url = "closed"


def test_a_port_of_ones_own_needs_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    port = Memory()
    with Client(transport=port) as client:
        assert client.task("t") == {"asked": "GET /tasks/t"}
        assert [item["event"] for item in client.events(task_id="t")] == ["task", "done"]
    assert port.url == "closed"


def test_a_blocking_port_must_not_suspend() -> None:
    class Wrong(Memory):
        async def send(self, call: Call) -> Any:
            await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="must not suspend"):
        Client(transport=Wrong()).health()
