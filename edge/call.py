"""What every runner does with a task: check it, load it, link what it imports, call its function, report.

An engine is a function load(data, stack_bytes) -> instance; RuntimeError carries wasm3's text.

    instance.link(module, name, signature, function)   before anything runs; see edge.abi for both
    instance.start()      runs the start function, if there is one
    instance.find(name)   None, or a function: arg_types and ret_types hold wasm3's numbers of the types,
                          function(*arguments) takes exactly those and returns a tuple
    instance.memory()     the linear memory as a writable memoryview, None without one; anew after each host call
    instance.fuel()       what is left in a metered module's tank
    instance.close()      frees it

What a linked function raises comes out of start() and of a function's call unchanged.
"""

from edge import abi as abis
from edge import binary, limits
from edge.clock import precise_ms
from edge.host import Host
from edge.limits import limit
from edge.traps import failed
from shared import const
from shared.faults import TaskFailure
from shared.host import MODULE, PRIVILEGED, TICK

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def find_abi(name: str) -> "Any":
    """The class of an ABI that every device has, None for another."""
    return {"": abis.Call, "call": abis.Call, "edge": abis.Edge}.get(name)


def run(
    load: "Callable[[bytes | bytearray, int], Any]",
    start: "dict[str, Any]",
    data: "bytes | bytearray",
    port: "Any",
    on_started: "Callable[[], None]",
    find_abi: "Callable[[str], Any]" = find_abi,
) -> "dict[str, Any]":
    """Run a task to its end: the fields of its `result`, but task and attempt.

    start is the `start` message, data the module (its memory's maximum is changed in place when it is a bytearray),
    port what edge.host describes. on_started is called when the module is loaded, the inputs fit and the task's code
    is about to run. Never raises for what a module or its inputs do.
    """
    try:
        host = Host(start, port)
        name = start.get("abi") or ""
        make = find_abi(name)
        if make is None:
            raise TaskFailure("this device does not run modules of abi " + name, "bad_module")
        data = _fit(start, data)
        instance = load(data, min(limit(start, "stack_bytes", limits.STACK), limits.MAX_STACK))
    except Exception as error:
        return failed(error)
    try:
        return _Run(start, host, instance, make).run(binary.imports(data), binary.start_function(data), on_started)
    except Exception as error:
        return failed(error)
    finally:
        instance.close()
        host.close()


def _fit(start: "dict[str, Any]", data: "bytes | bytearray") -> "bytes | bytearray":
    """The module with the task's limit of memory in it."""
    pages = binary.memory_pages(data)
    most = limit(start, "memory_pages", limits.PAGES)
    if pages > most:
        raise TaskFailure("the module needs %d memory pages at once, the limit is %d" % (pages, most), "memory_limit")
    return binary.limit_memory(data, most)


class _Run:
    def __init__(self, start: "dict[str, Any]", host: Host, instance: "Any", make: "Any") -> None:
        self._start = start
        self.host = host
        self.instance = instance
        self.abi = make(start, host, instance.memory)
        self._metered = False

    def run(
        self, imports: "list[tuple[str, str, str]]", start_function: int, on_started: "Callable[[], None]"
    ) -> "dict[str, Any]":
        self._link(imports)
        begun = precise_ms()
        try:
            result = self._end(start_function, on_started)
        except Exception as error:
            result = failed(error)
            result.update(self.abi.leftovers())
        result["duration_ms"] = round(precise_ms() - begun, 3)
        if self._metered:
            result["fuel"] = self.host.granted - self.instance.fuel()
        return result

    def _link(self, imports: "list[tuple[str, str, str]]") -> None:
        offered: dict[tuple[str, str], tuple[str, Any]] | None = None
        for module, name, signature in imports:
            if (module, name) == (MODULE, TICK):
                self._metered = True
                self.instance.link(module, name, "i()", self.host.tick)
                continue
            if offered is None:
                offered = self.abi.functions()
            if (module, name) not in offered:
                raise TaskFailure(
                    "the module imports %s.%s, which this device lacks" % (module, name), "missing_import"
                )
            wanted, function = offered[module, name]
            if wanted != signature:
                why = "the module imports %s.%s as %s, it is %s" % (module, name, signature, wanted)
                raise TaskFailure(why, "bad_module")
            if module == MODULE and name in PRIVILEGED:
                self.host.require(name)
            self.instance.link(module, name, signature, function)

    def _end(self, start_function: int, on_started: "Callable[[], None]") -> "dict[str, Any]":
        try:
            return self._call(start_function, on_started)
        except abis.Exit as error:
            result: dict[str, Any] = self.abi.exited(error.code)
            return result

    def _call(self, start_function: int, on_started: "Callable[[], None]") -> "dict[str, Any]":
        if start_function >= 0:  # its code runs before its exports can be found
            on_started()
        self.instance.start()
        function = self._choose()
        arguments = self.abi.arguments(function)
        if start_function < 0:
            on_started()
        for name in self.abi.initializers:
            initialize = self.instance.find(name)
            if initialize is not None and not initialize.arg_types:
                initialize()
                break
        result: dict[str, Any] = self.abi.result(function(*arguments), function.ret_types)
        return result

    def _choose(self) -> "Any":
        name = self._start.get("function") or self._start["name"]
        function = self.instance.find(name) if _is_name(name) else None
        if function is None:
            raise TaskFailure("the module exports no function " + name, "missing_export")
        return function


def _is_name(name: str) -> bool:
    """A C string ends at the first zero byte: "main\\0x" would find main. Half a UTF-16 pair is no UTF-8."""
    try:
        return b"\0" not in name.encode()
    except ValueError:
        return False
