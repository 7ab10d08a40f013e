"""motet.testing: a hub for users' own tests."""

import importlib.util
import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from motet import Client, Workflow
from motet.demo_modules import ADDITION, TRAP
from motet.testing import MODULE, AsyncHub, Clock, Hub, TaskFailure
from shared.errors import Unavailable
from tests.e2e.world import module


def one(name: str, module: bytes = MODULE, **fields: Any) -> Workflow:
    wf = Workflow()
    wf.task(name, module, **fields)
    return wf


def value(hub: Hub, name: str, **fields: Any) -> Any:
    return hub.client().run(one(name, **fields)).node_results[name].result


def error(hub: Hub, name: str, **fields: Any) -> tuple[str, str]:
    failure = hub.client().run(one(name, **fields), on_task_error="continue").node_results[name].error
    assert failure is not None
    return failure.code, failure.message


def test_real_modules(hub: Hub) -> None:
    pytest.importorskip("wasm3")
    assert value(hub, "add", module=ADDITION, inputs=[40, 2]) == 42
    assert error(hub, "main", module=TRAP)[0] == "trap_unreachable"
    assert error(hub, "add", module=ADDITION, inputs=[1])[0] == "bad_inputs"


class Greenhouse:
    def __init__(self) -> None:
        self.levels: dict[int, int] = {}

    def sensor(self, channel: int) -> float:
        return 30.5

    def gpio_write(self, pin: int, value: int) -> None:
        self.levels[pin] = value


def test_modules_that_read_sensors_and_write_pins() -> None:
    pytest.importorskip("wasm3")
    greenhouse = Greenhouse()
    allow = ["sensor:0", "gpio_write:2", "publish:alarm"]
    with Hub(board=greenhouse) as hub:
        assert "30.5" in str(value(hub, "alarm", module=module("alarm"), inputs=[25_000], allow=allow))
        assert greenhouse.levels == {2: 1}
        assert error(hub, "alarm", module=module("alarm"), inputs=[1], allow=["sensor:7", *allow[1:]])[0] == "denied"


def test_neither_a_function_nor_wasm3(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("motet.testing.edge.find_spec", lambda name: None if name == "wasm3" else found(name))
    code, message = error(hub, "add", module=ADDITION)
    assert code == "bad_module"
    assert 'hub.on("add", function), or pip install "motet[edge]"' in message


def test_functions(hub: Hub) -> None:
    async def later(x: int) -> int:
        return x + 1

    hub.on("none", lambda: None)
    hub.on("two", lambda: (1, 2))
    hub.on("list", lambda: [1])
    hub.on("text", lambda: "x")
    hub.on("object", lambda inputs: inputs["a"])
    hub.on("later", later)
    assert [value(hub, name) for name in ("none", "two", "list", "text")] == [None, [1, 2], [1], "x"]
    assert value(hub, "object", inputs={"a": 5}) == 5
    assert value(hub, "later", inputs=[1]) == 2


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (ValueError("bad"), "trap_unreachable", "ValueError: bad"),
        (TaskFailure("no room", "memory_limit"), "memory_limit", "no room"),
        (TimeoutError(), "timeout", "over its time"),
    ],
)
def test_what_functions_raise(hub: Hub, raised: Exception, code: str, words: str) -> None:
    def fail() -> None:
        raise raised

    hub.on("t", fail)
    assert error(hub, "t") == (code, f"task t: {words}")


def test_a_function_whose_value_is_no_json(hub: Hub) -> None:
    hub.on("t", lambda: object())
    assert (
        error(hub, "t")[1] == "task t: the function's value is not JSON: Object of type object is not JSON serializable"
    )


def test_gates(hub: Hub) -> None:
    gate = hub.hold("t")
    run = hub.client().submit(one("t"))
    hub.settle()
    assert run["t"].status().status.value == "running"
    gate.release(3)
    gate.release(4)
    assert run["t"].result(timeout=5) == 3
    failing = hub.hold("t")
    failing.fail(TaskFailure("no", "denied"))
    assert error(hub, "t") == ("denied", "task t: no")


def test_a_clock_stands_still_until_it_is_told(clock: Clock) -> None:
    assert clock.time == datetime(2026, 1, 1, tzinfo=UTC)
    clock.advance(1.5)
    assert (clock().mono, clock().wall - Clock()().wall) == (1.5, 1.5)
    assert Clock(60.0).time == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="backwards"):
        clock.advance(-1)


def test_times_are_the_clocks(clock: Clock) -> None:
    def slow() -> None:
        clock.advance(2)

    with Hub(clock) as hub:
        hub.on("slow", slow)
        result = hub.client().run(one("slow"))
    assert (result.node_results["slow"].duration_seconds, result.total_duration_seconds) == (2, 2)
    clock.advance(1)  # a hub that is closed does not mind


def test_a_limit_of_time_by_the_clock(clock: Clock) -> None:
    with Hub(clock, slots=1) as hub:
        gate = hub.hold("first")
        wf = one("first")
        wf.task("second", MODULE, queue_timeout=10)
        run = hub.client().submit(wf)
        hub.settle()
        clock.advance(11)
        hub.settle()
        assert run["second"].status().status.value == "timed-out"
        gate.release()
        assert run.wait(timeout=5).succeeded == 1


def test_a_clock_of_a_year_later_loses_nothing(clock: Clock) -> None:
    with Hub(clock) as hub:
        gate = hub.hold("t")
        run = hub.client().submit(one("t", timeout=None))
        hub.settle()
        clock.advance(365 * 86400)
        gate.release(1)
        assert run["t"].result(timeout=5) == 1


def test_firings_come_once(clock: Clock) -> None:
    with Hub(clock) as hub:
        hub.on("t", lambda: 1)
        hub.client().create_task("t", file=MODULE, every=60)
        clock.advance(60)
        hub.settle()
        assert [handle.name for handle in hub.tick()] == ["t"]
        assert hub.tick() == []


async def test_async_hub(clock: Clock) -> None:
    async with Hub(clock) as hub:
        assert isinstance(hub, AsyncHub)
        gate = hub.hold("t")
        run = await hub.async_client().submit(one("t"))
        await hub.settle()
        assert (await run.status()).node_results["t"].status.value == "running"
        gate.release(2)
        assert await run["t"] == 2


def test_a_hub_closes_on_those_who_wait() -> None:
    opened, failures = threading.Event(), []

    def wait(client: Client, task_id: str) -> None:
        try:
            client.wait_task(task_id, on_event=lambda _: opened.set())
        except Exception as failure:
            failures.append(failure)

    with Hub() as hub:
        hub.hold("t")
        client = hub.client()
        run = client.submit(one("t"))
        thread = threading.Thread(target=wait, args=[client, run["t"].id])
        thread.start()
        assert opened.wait(5)
    thread.join(5)
    assert not thread.is_alive()
    assert len(failures) == 1


def test_a_client_outlives_its_hub() -> None:
    with Hub() as hub:
        transport = hub.transport()
    with Client(transport=transport) as client, pytest.raises(Unavailable):
        client.health()


def test_two_hubs_know_nothing_of_each_other() -> None:
    with Hub() as one_hub, Hub() as other:
        one_hub.on("t", lambda: 1)
        other.on("t", lambda: 2)
        assert [value(hub, "t") for hub in (one_hub, other)] == [1, 2]
        assert other.client().workflows()["total"] == 1
