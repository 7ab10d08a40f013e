"""Runs the list of cases as a device does, under both interpreters: what it answers is compared.

A case is what tests.firmware.cases makes: `start` (the fields of the start message), `module` (its file), `board`
(whether there is one) and `grace_ms` (of a stop that has come before, or None). Floats among the inputs come as bytes:
MicroPython before 1.27 reads some with an error in the 16th digit, and here the rest is compared.
"""

import json
import struct
import sys
from binascii import hexlify, unhexlify

from edge import call, files
from edge.port import Port


class Board:
    """Answers by its arguments alone."""

    functions = ("sensor", "gpio_read", "gpio_write", "adc")

    def sensor(self, channel):
        if channel == 9:
            raise OSError("no answer")
        return channel - 21.5

    def gpio_read(self, pin):
        return pin & 1

    def gpio_write(self, pin, value):
        pass

    def adc(self, channel):
        return 4095 - channel


class Watched:
    """A function of a module, and in `returned` the bytes of what it returned: before anything is made text."""

    def __init__(self, function, returned):
        self._function = function
        self._returned = returned
        self.arg_types = function.arg_types
        self.ret_types = function.ret_types

    def __call__(self, *arguments):
        values = self._function(*arguments)
        self._returned[:] = [exactly(value) for value in values]
        return values


def exact_inputs(given):
    """Inputs with the floats that exactly() wrote."""
    if not isinstance(given, list):
        return given
    return [_float(value["float"]) if isinstance(value, dict) and "float" in value else value for value in given]


def _float(digits):
    return struct.unpack(">d", unhexlify(digits))[0]


def exactly(value):
    if not isinstance(value, float) or value != value:
        return str(value)
    return hexlify(struct.pack(">d", value)).decode()


def run(load, case, folder):
    """The result of a case, what its function returned, the events before it, and whether it was said to begin."""
    events, returned, begun = [], [], []
    port = Port(lambda kind, fields: events.append([kind, fields]), Board() if case["board"] else None)
    if case["grace_ms"] is not None:
        port.stop(case["grace_ms"])

    def load_watched(data, stack_bytes):
        instance = load(data, stack_bytes)
        find = instance.find

        def find_watched(name):
            function = find(name)
            return function and Watched(function, returned)

        instance.find = find_watched
        return instance

    data = files.load(folder + "/" + case["module"])
    start = dict(case["start"], inputs=exact_inputs(case["start"]["inputs"]))
    result = call.run(load_watched, start, data, port, lambda: begun.append(True))
    return {"result": result, "returned": returned, "events": events, "begun": bool(begun)}


def main(folder):
    from edge.engine import Instance

    with open(folder + "/cases.json") as file:
        cases = json.load(file)
    for case in cases:
        sys.stdout.write(json.dumps(run(Instance, case, folder)) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
