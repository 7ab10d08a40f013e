"""A board without hardware, for trying things: sensors that follow waves, pins that remember what was written.

Sensor 0 is a temperature in degrees Celsius, 1 the relative humidity in percent, 2 the air pressure in hPa. Values
depend on the clock alone, so that two readings of one moment are the same.
"""

import math
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DAY_S = 86400
# channel: mean, amplitude and length of its wave
_WAVES = ((21.5, 4.0, 600.0), (55.0, 15.0, 900.0), (1013.25, 8.0, _DAY_S))


class Board:
    """clock: seconds, from anywhere."""

    sensor_channels = range(len(_WAVES))
    pins = range(32)
    adc_channels = range(8)

    def __init__(self, clock: "Callable[[], float]" = time.time) -> None:
        self._clock = clock
        self._levels: dict[int, int] = {}

    def sensor(self, channel: int) -> float:
        mean, amplitude, length_s = _WAVES[channel]
        return round(mean + amplitude * self._wave(length_s), 3)

    def gpio_read(self, pin: int) -> int:
        return self._levels.get(pin, 0)

    def gpio_write(self, pin: int, value: int) -> None:
        self._levels[pin] = int(value != 0)

    def adc(self, channel: int) -> int:
        """A converter of 12 bits; each channel's wave is ten seconds longer than the one's before."""
        return round(2047.5 * (1 + self._wave(60.0 + 10 * channel)))

    def _wave(self, length_s: float) -> float:
        return math.sin(2 * math.pi * (self._clock() % length_s) / length_s)
