"""A start that is decided for one connection, and still on its way to the disk when the device comes on another."""

from hub.core import commands
from tests.api.stage import FILE, Stage


async def start(stage: Stage) -> None:
    """Its turn is applied, and its effects wait for the disk."""
    stage.join("d1", answers=False)
    await stage.call("POST", "/tasks", {"id": "t", "name": "main", "file": FILE})
    stage.runtime.submit(commands.Start("task", "t"))


async def heard(stage: Stage) -> list[tuple[str, int]]:
    await stage.runtime.settled()
    await stage.call("GET", "/health")  # what was sent has arrived
    return [(said["kind"], said["attempt"]) for said in (stage.held.get_nowait() for _ in range(stage.held.qsize()))]


async def test_a_device_that_has_not_said_hello_gets_no_start(stage):
    """It may have booted, and would run what its hello is about to have given up."""
    await start(stage)
    stage.bridge.disconnected("d1")
    stage.bridge.connected("d1")
    assert await heard(stage) == []
    stage.join("d1", answers=False, boot="c")
    assert await heard(stage) == [("start", 2)]


async def test_an_attempt_that_was_given_up_meanwhile_is_not_started(stage):
    await start(stage)
    stage.bridge.disconnected("d1")
    stage.join("d1", answers=False, boot="c")
    assert await heard(stage) == [("start", 2)]


async def test_a_device_that_comes_back_as_it_was_gets_its_start_after_its_hello(stage):
    await start(stage)
    stage.bridge.disconnected("d1")
    stage.join("d1", answers=False)
    said = await heard(stage)
    assert set(said) == {("start", 1)}
