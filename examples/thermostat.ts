// keep(low, high): switches the heater at pin 5 on below `low` and off above `high`, both in thousandths of what
// sensor 0 measures, and leaves it as it is in between; returns 1 when it is on. It has no memory, so it runs on the
// smallest device. Needs `allow`: sensor:0, gpio_read:5, gpio_write:5.

@external("edge", "sensor")
declare function sensor(channel: i32): i32;

@external("edge", "gpio_read")
declare function gpioRead(pin: i32): i32;

@external("edge", "gpio_write")
declare function gpioWrite(pin: i32, value: i32): void;

const HEATER: i32 = 5;

export function keep(low: i32, high: i32): i32 {
  const reading = sensor(0);
  if (reading < low) {
    gpioWrite(HEATER, 1);
    return 1;
  }
  if (reading > high) {
    gpioWrite(HEATER, 0);
    return 0;
  }
  return gpioRead(HEATER);
}
