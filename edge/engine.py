"""The engine of edge.call for a `wasm3` module in this process: MicroPython's firmware, or pywasm3."""

import sys

import wasm3

from edge import binary
from shared import const
from shared.faults import TaskFailure
from shared.host import FUEL

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


# pywasm3 takes bytes alone, our firmware any buffer: a board has no room for a copy.
_immutable = bytes if sys.implementation.name == "cpython" else lambda data: data


class Function:
    """An exported function; takes exactly the arguments of its type: with fewer, pywasm3 reads garbage or crashes."""

    def __init__(self, function: "Any") -> None:
        self._function = function
        self.arg_types = function.arg_types
        self.ret_types = function.ret_types

    def __call__(self, *arguments: "int | float") -> "tuple[int | float, ...]":
        returned = self._function(*arguments)
        if returned is None:
            return ()
        return returned if isinstance(returned, tuple) else (returned,)


class Instance:
    """A module loaded into a fresh runtime. pywasm3 0.5.0 never frees one: fit for tests, not for a Linux edge."""

    def __init__(self, data: "bytes | bytearray", stack_bytes: int) -> None:
        if binary.start_function(data) == 0:
            raise TaskFailure("wasm3 0.5.0 does not run a start function with index 0", "bad_module")
        self._raised: BaseException | None = None
        self._environment = wasm3.Environment()
        self.runtime = self._environment.new_runtime(stack_bytes)
        try:
            # Kept: the runtime points into the module's bytes.
            self.module = self._environment.parse_module(_immutable(data))
            self.runtime.load(self.module)
        except RuntimeError:
            self.close()
            raise

    def link(self, module: str, name: str, signature: str, function: "Callable[..., Any]") -> None:
        def called(*arguments: "int | float") -> "Any":
            try:
                return _signed(signature[0], function(*arguments))
            except BaseException as error:
                self._raised = error
                raise

        self.module.link_function(module, name, signature, called)

    def start(self) -> None:
        """wasm3 does it itself, when the first export is found."""

    def find(self, name: str) -> "Function | None":
        try:
            return Function(self.runtime.find_function(name))
        except RuntimeError as error:
            if self._raised is not None:  # in the start function: wasm3 has put its own words in the place of it
                raise self._raised  # noqa: B904
            if "function lookup failed" in str(error):
                return None
            raise

    def memory(self) -> "memoryview | None":
        return self.runtime.get_memory(0)  # type: ignore[no-any-return]

    def fuel(self) -> int:
        """What is left in the tank of a metered module."""
        left: int = self.module.get_global(FUEL)
        return int(_signed("i", left))

    def close(self) -> None:
        if hasattr(self.runtime, "close"):  # of our firmware: a board cannot wait for its collector
            self.runtime.close()
            self._environment.close()
        self.runtime = self.module = None


def _signed(result: str, value: "Any") -> "Any":
    """pywasm3 takes a signed result only, of any other it makes -1 and an error nobody sees."""
    if result not in ("i", "I"):
        return value
    bits = 32 if result == "i" else 64
    number = value & ((1 << bits) - 1)
    return number - (1 << bits) if number >> (bits - 1) else number
