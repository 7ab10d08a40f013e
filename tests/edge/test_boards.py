"""Boards: loading them, the hardware they drive, and what tasks may touch."""

import sys
from types import ModuleType

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory

from edge.cpython import boards
from edge.cpython.boards import load_board, simulated
from shared.errors import BadRequest, TaskFailure


def code(board, function, *arguments):
    with pytest.raises(TaskFailure) as failed:
        getattr(board, function)(*arguments)
    return failed.value.code


def refusal(name):
    with pytest.raises(BadRequest) as refused:
        load_board(str(name))
    assert refused.value.code == "bad_config"
    return refused.value.message


@pytest.fixture
def written(tmp_path):
    """A board file of these lines, loaded."""

    def write(text):
        path = tmp_path / "board.py"
        path.write_text(text)
        return path

    return write


def test_the_simulated_board_has_everything():
    board = load_board("simulated")
    assert board.functions == ["adc", "gpio_read", "gpio_write", "sensor"]
    assert board.gpio_read(4) == 0
    board.gpio_write(4, 5)
    assert board.gpio_read(4) == 1
    board.gpio_write(4, 0)
    assert board.gpio_read(4) == 0
    assert 17.5 <= board.sensor(0) <= 25.5
    assert 0 <= board.adc(7) <= 4095


def test_simulated_sensors_follow_the_clock_and_nothing_else():
    now = 0.0
    first, second = simulated.Board(lambda: now), simulated.Board(lambda: now)
    assert [first.sensor(channel) for channel in range(3)] == [21.5, 55.0, 1013.25]
    now = 150.0  # a quarter of the temperature's wave
    assert first.sensor(0) == second.sensor(0) == 25.5
    assert first.adc(0) == second.adc(0)
    now += 600.0
    assert first.sensor(0) == 25.5


def test_a_board_file_is_functions(written):
    board = load_board(str(written("def sensor(channel):\n    return channel / 4\n\ndef helper():\n    pass\n")))
    assert board.functions == ["sensor"]
    assert board.sensor(7) == 1.75
    assert code(board, "adc", 0) == "denied"


def test_or_names_an_object_that_has_them(written):
    text = """
from edge.cpython.boards.simulated import Board

class Roof(Board):
    pins = [17]

board = Roof()
"""
    board = load_board(str(written(text)))
    assert board.gpio_read(17) == 0
    assert code(board, "gpio_read", 18) == code(board, "gpio_write", 18, 1) == "denied"
    assert code(board, "sensor", 3) == code(board, "sensor", -1) == "denied"


def test_hardware_that_fails_is_the_attempts_failure(written):
    text = "def sensor(channel):\n    if channel:\n        raise OSError('no answer on the bus')\n    return 'warm'\n"
    text += "def adc(channel):\n    return (2 ** 31 - 1, 2 ** 31, 1.5, float('nan'))[channel]\n"
    board = load_board(str(written(text)))
    assert code(board, "sensor", 1) == code(board, "sensor", 0) == "device_error"
    assert [code(board, "adc", channel) for channel in (1, 2, 3, 4)] == ["device_error"] * 4
    assert board.adc(0) == 2**31 - 1
    with pytest.raises(TaskFailure, match="sensor of 1 failed: OSError: no answer on the bus"):
        board.sensor(1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has none of the functions sensor, gpio_read, gpio_write, adc"),
        ("def sensor(c)\n", "failed at line 1: SyntaxError"),
        (
            "import nothing_of_that_name",
            "failed at line 1: ModuleNotFoundError: No module named 'nothing_of_that_name'",
        ),
        ("x = 1\nraise ValueError('wrong wire')", "failed at line 2: ValueError: wrong wire"),
        ("pins = 'all'\ndef gpio_read(pin): return 0", "pins must be a list of whole numbers"),
        ("pins = [1, '2']\ndef gpio_read(pin): return 0", "pins must be a list of whole numbers"),
        ("board = None", "has none of the functions"),
    ],
)
def test_a_broken_board_file_is_refused_in_one_sentence(written, text, words):
    message = refusal(written(text))
    assert words in message
    assert "\n" not in message


def test_what_is_no_board_is_refused(tmp_path):
    assert refusal(tmp_path / "none.py") == f"there is no board file {tmp_path}/none.py"
    assert "simulated, gpiozero, gpiod or a file whose name ends in .py" in refusal("arduino")


# gpiozero, with its own pins without hardware


@pytest.fixture
def pi(monkeypatch):
    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    board = load_board("gpiozero")
    yield board, factory
    board.close()
    factory.reset()


def test_gpiozero_reads_and_writes_pins(pi):
    board, factory = pi
    assert board.functions == ["gpio_read", "gpio_write"]
    wire = factory.pin(17)
    assert board.gpio_read(17) == 0
    assert wire.function == "input"
    wire.drive_high()
    assert board.gpio_read(17) == 1
    board.gpio_write(17, 0)
    assert (wire.function, wire.state) == ("output", 0)
    board.gpio_write(17, 1)
    assert (wire.state, board.gpio_read(17)) == (1, 1)
    board.gpio_write(27, 1)
    assert factory.pin(27).state == 1


def test_gpiozero_reads_a_pin_that_is_wired_to_a_pull_up(pi):
    board, factory = pi
    factory.pin(2).drive_high()
    assert board.gpio_read(2) == 1
    factory.pin(2).drive_low()
    assert board.gpio_read(2) == 0


def test_gpiozero_says_what_is_wrong_with_a_pin(pi):
    assert code(pi[0], "gpio_read", 99) == "device_error"


@pytest.mark.filterwarnings("error")
def test_gpiozero_without_a_pi_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.delenv("GPIOZERO_PIN_FACTORY", raising=False)
    message = refusal("gpiozero")
    assert "Unable to load any default pin factory" in message
    assert message.endswith("pip install gpiozero lgpio")


# gpiod, with a stand-in of what of its version 2 we use


class Value:
    INACTIVE, ACTIVE = "inactive", "active"


class Direction:
    INPUT, OUTPUT = "input", "output"


class LineSettings:
    def __init__(self, direction, output_value=Value.INACTIVE):
        self.direction, self.output_value = direction, output_value


class Chip:
    def __init__(self, path):
        if path != "/dev/gpiochip0":
            raise FileNotFoundError(2, "No such file or directory", path)
        self.wires, self.lines, self.open = {}, {}, True

    def request_lines(self, config, consumer=None):
        [(line, settings)] = config.items()
        if line in self.lines or line > 53:
            raise OSError(16, "Device or resource busy")
        assert consumer == "motet"
        self.lines[line] = settings
        return Request(self, line)

    def close(self):
        self.open = False


class Request:
    def __init__(self, chip, line):
        self.chip, self.line = chip, line

    def get_value(self, line):
        settings = self.chip.lines[line]
        return settings.output_value if settings.direction == Direction.OUTPUT else self.chip.wires[line]

    def set_value(self, line, value):
        assert self.chip.lines[line].direction == Direction.OUTPUT
        self.chip.lines[line].output_value = value

    def reconfigure_lines(self, config):
        self.chip.lines.update(config)

    def release(self):
        del self.chip.lines[self.line]


@pytest.fixture
def gpiod(monkeypatch):
    package, line = ModuleType("gpiod"), ModuleType("gpiod.line")
    package.Chip, package.LineSettings = Chip, LineSettings
    line.Value, line.Direction = Value, Direction
    monkeypatch.setitem(sys.modules, "gpiod", package)
    monkeypatch.setitem(sys.modules, "gpiod.line", line)
    monkeypatch.delitem(sys.modules, "edge.cpython.boards.gpiod", raising=False)
    yield
    sys.modules.pop("edge.cpython.boards.gpiod", None)


def test_gpiod_reads_and_writes_lines(gpiod):
    board = load_board("gpiod")
    chip = board._board._chip
    chip.wires[4] = Value.ACTIVE
    assert board.gpio_read(4) == 1
    chip.wires[4] = Value.INACTIVE
    assert board.gpio_read(4) == 0
    board.gpio_write(4, 1)
    assert (chip.lines[4].output_value, board.gpio_read(4)) == (Value.ACTIVE, 1)
    board.gpio_write(4, 0)
    board.gpio_write(5, 1)
    assert [chip.lines[n].output_value for n in (4, 5)] == [Value.INACTIVE, Value.ACTIVE]
    assert code(board, "gpio_read", 54) == "device_error"
    board.close()
    assert (chip.lines, chip.open) == ({}, False)


def test_gpiod_of_another_chip_is_a_board_file(gpiod, written):
    path = written("from edge.cpython.boards.gpiod import Board\nboard = Board('/dev/gpiochip9')\n")
    assert "failed at line 2: FileNotFoundError: [Errno 2] No such file or directory: '/dev/gpiochip9'" in refusal(path)


@pytest.mark.parametrize("name", ["gpiozero", "gpiod"])
def test_a_missing_package_is_named_with_its_remedy(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"edge.cpython.boards.{name}", raising=False)
    message = refusal(name)
    assert f"board {name} needs a package that is not installed" in message
    assert f"pip install {boards._PACKAGES[name]}" in message
