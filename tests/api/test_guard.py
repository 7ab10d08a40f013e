"""A page in a browser does not reach a hub on loopback behind a person's back."""

import pytest
from starlette.requests import Request

from hub.api import guard
from shared.errors import Forbidden

NAMES = guard.LOOPBACK


def request(method: str = "GET", **headers: str) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": "/", "headers": raw})


@pytest.mark.parametrize("host", ["127.0.0.1:7070", "localhost", "LOCALHOST:1", "[::1]:7070"])
def test_the_hubs_own_names_are_taken_with_any_port(host):
    guard.check(request("POST", host=host), NAMES)
    guard.check(request("POST", host=host, origin=f"http://{host}"), NAMES)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7070", "", "127.0.0.1.evil.example", "[::1", "localhost@evil"]
)
def test_another_name_is_refused(host):
    with pytest.raises(Forbidden) as caught:
        guard.check(request(host=host), NAMES)
    assert caught.value.code == "bad_host"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8080", "file://"])
def test_a_page_of_another_site_reads_nothing_new_and_changes_nothing(origin):
    for method in ("POST", "PUT", "DELETE"):
        with pytest.raises(Forbidden) as caught:
            guard.check(request(method, host="localhost:7070", origin=origin), NAMES)
        assert caught.value.code == "bad_origin"
    guard.check(request("GET", host="localhost:7070", origin=origin), NAMES)


def test_a_hub_that_others_may_reach_takes_any_name_and_still_no_other_site():
    guard.check(request("POST", host="gateway.local"), None)
    with pytest.raises(Forbidden):
        guard.check(request("POST", host="gateway.local", origin="http://evil.example"), None)


async def test_a_refusal_is_403_with_a_sentence(stage):
    answer = await stage.http.post("/tasks", json={"name": "x"}, headers={"Origin": "http://evil.example"})
    assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin")
    assert (await stage.call("GET", "/tasks")).json()["total"] == 0
