"""The lines of a GPIO chip of the kernel through libgpiod's Python package, version 2: any Linux board.

Pins are the line offsets on one chip. A line that is read first is an input; it is an output from its first write on,
and reading it gives its level. The kernel takes the lines back when the edge ends.
"""

import gpiod
from gpiod.line import Direction, Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Board:
    """chip: its device file. OSError: there is none, or this user may not use it."""

    def __init__(self, chip: str = "/dev/gpiochip0") -> None:
        self._chip = gpiod.Chip(chip)
        self._requests: dict[int, Any] = {}
        self._outputs: set[int] = set()

    def gpio_read(self, pin: int) -> int:
        if pin not in self._requests:
            self._requests[pin] = self._request(pin, gpiod.LineSettings(direction=Direction.INPUT))
        return int(self._requests[pin].get_value(pin) == Value.ACTIVE)

    def gpio_write(self, pin: int, value: int) -> None:
        level = Value.ACTIVE if value else Value.INACTIVE
        if pin in self._outputs:
            self._requests[pin].set_value(pin, level)
            return
        # In one step with its level, so that the line never shows another.
        settings = gpiod.LineSettings(direction=Direction.OUTPUT, output_value=level)
        if pin in self._requests:
            self._requests[pin].reconfigure_lines({pin: settings})
        else:
            self._requests[pin] = self._request(pin, settings)
        self._outputs.add(pin)

    def close(self) -> None:
        while self._requests:
            self._requests.popitem()[1].release()
        self._chip.close()

    def _request(self, pin: int, settings: "Any") -> "Any":
        return self._chip.request_lines({pin: settings}, consumer="motet")
