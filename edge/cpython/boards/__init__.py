"""Boards: what of a Linux device's hardware tasks may use, by name or as a file of the user's.

A board is any object with some of these functions:

    sensor(channel)         a measured value in its unit, such as 21.5; modules get it in thousandths
    gpio_read(pin)          0 or 1
    gpio_write(pin, value)  0 or 1
    adc(channel)            the converter's raw value

and, where not every number is for tasks, of these lists: `sensor_channels`, `pins`, `adc_channels`. What it lacks is
not offered to the hub. A file is a board when it has such functions itself, or names an object `board` that has.
"""

import importlib
import importlib.util
import os
import sys

from shared.errors import BadRequest, TaskFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

# function: the list that says for which numbers it may be called
LISTS = {"sensor": "sensor_channels", "gpio_read": "pins", "gpio_write": "pins", "adc": "adc_channels"}
NAMES = ("simulated", "gpiozero", "gpiod")
# The packages of the boards that need one, as pip calls them.
_PACKAGES = {"gpiozero": "gpiozero lgpio", "gpiod": "'gpiod>=2'"}

_I32 = 1 << 31


class Board:
    """A board as a runner uses it, with the names of its `functions`: checked when it is made, and at every call.

    TaskFailure denied: the board does not offer the function, or not for this pin or channel. device_error: the
    hardware, or the code that drives it, failed.
    """

    def __init__(self, name: str, board: "Any") -> None:
        """BadRequest (bad_config): it has no function of a board, or a list that is none."""
        self.name = name
        self._board = board
        self.functions = [function for function in sorted(LISTS) if callable(getattr(board, function, None))]
        self._allowed = {function: _numbers(name, board, LISTS[function]) for function in self.functions}
        if not self.functions:
            _refuse(f"board {name} has none of the functions {', '.join(LISTS)}: define at least one")

    def sensor(self, channel: int) -> float:
        return self._call("sensor", channel)

    def gpio_read(self, pin: int) -> int:
        return int(self._call("gpio_read", pin))

    def gpio_write(self, pin: int, value: int) -> None:
        self._call("gpio_write", pin, value)

    def adc(self, channel: int) -> int:
        return int(self._call("adc", channel))

    def close(self) -> None:
        """Let go of the hardware, where the board can."""
        close = getattr(self._board, "close", None)
        if callable(close):
            close()

    def _call(self, function: str, *arguments: int) -> float:
        """The function's result, which fits a module's i32; 0 of one that returns None."""
        if function not in self.functions:
            raise TaskFailure("this device's board does not offer %s" % function, "denied")
        allowed = self._allowed[function]
        if allowed is not None and arguments[0] not in allowed:
            raise TaskFailure("this device's board does not offer %s of %d" % (function, arguments[0]), "denied")
        try:
            value = getattr(self._board, function)(*arguments)
        except Exception as error:  # whatever a driver raises is the attempt's fault report, never the edge's end
            raise TaskFailure("%s of %d failed: %s" % (function, arguments[0], _words(error)), "device_error") from None
        if value is None:
            return 0
        kinds, most = ((int, float), _I32 / 1000) if function == "sensor" else ((int,), _I32)
        if not isinstance(value, kinds) or not -most <= value < most:
            raise TaskFailure(
                "%s of %d gave %.40r, which does not fit" % (function, arguments[0], value), "device_error"
            )
        return value


def load_board(name: str) -> Board:
    """The board of this name, or of this file when it ends in .py.

    BadRequest (bad_config), in one sentence: no such board or file, a package that is missing, a file that fails.
    """
    if name.endswith(".py"):
        module = _run(name)
        return Board(name, getattr(module, "board", module))
    if name not in NAMES:
        _refuse(f"there is no board {name!r}: {', '.join(NAMES)} or a file whose name ends in .py is allowed")
    try:
        return Board(name, importlib.import_module("edge.cpython.boards." + name).Board())
    except ImportError as error:
        _refuse(f"board {name} needs a package that is not installed ({error}): pip install {_PACKAGES[name]}")
    except Exception as error:
        _refuse(f"board {name} cannot be used here: {_words(error)}")


def _run(path: str) -> "ModuleType":
    if not os.path.isfile(path):
        _refuse(f"there is no board file {path}")
    spec = importlib.util.spec_from_file_location("motet_board", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["motet_board"] = module  # dataclasses and pickle look a class's module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        _refuse(f"board file {path} failed{_line(path, error)}: {_words(error)}")
    return module


def _line(path: str, error: Exception) -> str:
    """Where in the file it happened, as words."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" at line {line}" if line else ""


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _numbers(name: str, board: "Any", attribute: str) -> "set[int] | None":
    numbers = getattr(board, attribute, None)
    if numbers is None:
        return None
    if not isinstance(numbers, (list, tuple, set, frozenset, range)) or not all(type(n) is int for n in numbers):
        _refuse(f"board {name}: {attribute} must be a list of whole numbers")
    return set(numbers)


def _refuse(sentence: str) -> "NoReturn":
    raise BadRequest(sentence, "bad_config")
