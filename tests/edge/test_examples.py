"""The example modules that talk to their device, from the upload to the result: accepted and prepared, called as the
hub says to call them, run in a worker beside a board."""

import asyncio
import json

import pytest

from edge.cpython import boards
from edge.cpython.pool import Pool
from hub.core.abi import Module, call_of
from hub.core.model import Policy
from hub.modules.accept import accept
from shared.errors import TaskFailure
from tests.e2e.world import module

ALARM = ["sensor:0", "gpio_write:2", "publish:alarm"]
HEATER = ["sensor:0", "gpio_read:5", "gpio_write:5"]
ENDLESS = 2**31 - 1


class Greenhouse:
    """A sensor that says what it is told to, and the pins."""

    def __init__(self):
        self.reading = 0.0
        self.pins_written = {}

    def sensor(self, channel):
        return {0: self.reading}[channel]

    def gpio_read(self, pin):
        return self.pins_written.get(pin, 0)

    def gpio_write(self, pin, value):
        self.pins_written[pin] = value


class Device:
    """Runs example modules as tasks; what they said is in `events`."""

    def __init__(self, folder):
        self.folder = folder
        self.board = Greenhouse()
        self.pool = Pool(board=boards.Board("greenhouse", self.board))
        self.events = []
        self.said = asyncio.Event()

    def start(self, name, **task):
        """A future of the result."""
        accepted = accept(module(name))
        document = {"name": name, **task}
        call = call_of(document, Module({"id": "m", "prepared": "p", **accepted.info.to_doc()}), Policy())
        path = self.folder / name
        path.write_bytes(accepted.prepared)
        ended = asyncio.get_running_loop().create_future()
        self.pool.start(
            {"task": "t", "attempt": 1, "limits": {}, **document, **call._asdict()},
            str(path),
            lambda *key: None,
            lambda task, attempt, result: ended.set_result(result),
            self._on_event,
        )
        return ended

    def _on_event(self, task, attempt, kind, fields):
        self.events.append((kind, fields))
        self.said.set()

    async def run(self, name, **task):
        result = await self.start(name, **task)
        assert result["ok"], result
        return result


@pytest.fixture
async def device(tmp_path):
    device = Device(tmp_path)
    await device.pool.open()
    yield device
    await device.pool.close()


async def test_the_alarm_warns_publishes_and_switches_above_its_limit(device):
    device.board.reading = 31.7
    result = await device.run("alarm", inputs=[30000], allow=ALARM)
    assert json.loads(result["text"]) == {"reading": 31.7, "limit": 30, "alarm": True}
    assert device.board.pins_written == {2: 1}
    assert device.events == [
        ("log", {"level": "warning", "text": "above the limit"}),
        ("publish", {"topic": "alarm", "text": result["text"]}),
    ]


@pytest.mark.parametrize(("reading", "text"), [(-0.05, "-0.050"), (0.0, "0.000"), (-273.15, "-273.150")])
async def test_the_alarm_is_off_below(device, reading, text):
    device.board.reading = reading
    result = await device.run("alarm", inputs=[100], allow=ALARM)
    assert result["text"] == f'{{"reading": {text}, "limit": 0.100, "alarm": false}}'
    assert (device.board.pins_written, device.events) == ({2: 0}, [])


async def test_the_alarm_may_not_do_what_is_not_allowed(device):
    with pytest.raises(TaskFailure, match="gpio_write"):
        device.start("alarm", inputs=[0], allow=["sensor", "publish"])
    device.board.reading = 1.0
    result = await device.start("alarm", inputs=[0], allow=["sensor", "publish", "gpio_write:3"])
    assert result["error"]["code"] == "denied"
    assert (device.board.pins_written, device.events) == ({}, [])


@pytest.mark.parametrize(("reading", "hot"), [(25.001, 1), (25.0, 0), (-40.0, 0)])
async def test_too_hot_compares_thousandths(device, reading, hot):
    device.board.reading = reading
    assert (await device.run("too_hot", inputs=[25000], allow=["sensor:0"]))["outputs"] == [hot]


async def test_the_thermostat_switches_below_and_above_and_keeps_between(device):
    outputs = []
    for reading in (17.0, 19.0, 21.5, 19.0):
        device.board.reading = reading
        outputs += (await device.run("thermostat", function="keep", inputs=[18000, 21000], allow=HEATER))["outputs"]
    assert outputs == [1, 1, 0, 0]
    assert device.board.pins_written == {5: 0}


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"stdin": "grüße, 1 z\n"}, "GRüßE, 1 Z\n"),
        ({"stdin": "abcdefgh" * 2000}, "ABCDEFGH" * 2000),
        ({"inputs": ["one text"]}, "ONE TEXT"),
        ({"inputs": {"a": [1]}}, '{"A":[1]}'),
    ],
)
async def test_upper_answers_its_payload(device, payload, text):
    assert (await device.run("upper", **payload))["text"] == text


async def test_upper_of_nothing_is_nothing(device):
    assert (await device.run("upper"))["outputs"] == []


@pytest.mark.parametrize(("n", "found"), [(-1, 0), (0, 0), (3, 1), (1000, 168), (100_000, 9592)])
async def test_primes_are_counted(device, n, found):
    assert (await device.run("progress", function="primes", inputs=[n]))["outputs"] == [found]
    assert device.events[0][0] == "progress"


async def test_a_stopped_count_of_primes_keeps_what_it_has(device):
    ended = device.start("progress", function="primes", inputs=[ENDLESS])
    await device.said.wait()
    device.pool.stop("t", 1, 30_000)
    result = await ended
    assert result["ok"], result
    assert 0 <= result["outputs"][0] < 10_000_000
    assert device.events[-1] == ("log", {"level": "info", "text": "stopped early"})


async def test_rot13_twice_is_what_it_was(device):
    text = "Hello, Wörld! az AZ @[`{"
    once = (await device.run("rot13", inputs=[text]))["text"]
    assert once == "Uryyb, Jöeyq! nm NM @[`{"
    assert (await device.run("rot13", inputs=[once]))["text"] == text


async def test_vowels_are_counted_and_nothing_is_an_error(device):
    result = await device.run("vowels", function="count_vowels", inputs=["Aeiou, xyz"])
    assert json.loads(result["text"]) == {"vowels": 5, "length": 10}
    result = await device.start("vowels", function="count_vowels")
    assert result["error"] == {"code": "exit_code", "message": "there is nothing to count"}


async def test_hello_greets_and_numbers_lines(device):
    result = await device.run("hello", cli_args=["Ada"], env={"GREETING": "Moin"}, stdin="one\n\ntwo")
    assert result["stdout"] == "Moin, Ada!\n1: one\n2: \n3: two\n"
    assert (result["stderr"], result["exit_code"]) == ("lines: 3\n", 0)


async def test_words_are_counted_although_rust_exports_main_beside_start(device):
    result = await device.run("words", cli_args=["3"], stdin="The cat and the dog.\nA cat!")
    assert json.loads(result["stdout"]) == {"and": 1, "cat": 2, "dog": 1, "the": 2}


async def test_the_call_abi_through_the_same_way(device):
    assert (await device.run("sha256", inputs=[1]))["outputs"] == [-34948692]
    assert (await device.run("collatz", inputs=[27]))["outputs"] == [111]
    [celsius] = (await device.run("dewpoint", function="dew_point", inputs=[20, 50]))["outputs"]
    assert celsius == pytest.approx(9.26, abs=0.01)
