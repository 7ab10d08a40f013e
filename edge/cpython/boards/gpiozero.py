"""The pins of a Raspberry Pi through gpiozero, numbered as Broadcom does.

A pin that is read first is an input, floating or with the pull-up it is wired with; a pin is an output from its first
write on, and reading it gives its level. When the edge ends, gpiozero makes every pin an input again.
"""

import warnings

import gpiozero

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Board:
    def __init__(self) -> None:
        self._devices: dict[int, Any] = {}
        with warnings.catch_warnings():
            # One for each library that it tries and does not find; that it found none is an error.
            warnings.simplefilter("ignore", gpiozero.PinFactoryFallback)
            gpiozero.Device.ensure_pin_factory()

    def gpio_read(self, pin: int) -> int:
        if pin not in self._devices:
            self._devices[pin] = _input(pin)
        return int(self._devices[pin].pin.state)

    def gpio_write(self, pin: int, value: int) -> None:
        device = self._devices.get(pin)
        if isinstance(device, gpiozero.OutputDevice):
            device.value = value != 0
            return
        if device is not None:
            del self._devices[pin]
            device.close()
        self._devices[pin] = gpiozero.OutputDevice(pin, initial_value=value != 0)

    def close(self) -> None:
        while self._devices:
            self._devices.popitem()[1].close()


def _input(pin: int) -> "Any":
    try:
        return gpiozero.InputDevice(pin, pull_up=None, active_state=True)
    except gpiozero.PinFixedPull:
        return gpiozero.InputDevice(pin, pull_up=True)
