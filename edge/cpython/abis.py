"""The ABIs of a Linux edge: `call`, `edge`, `wasi` and `extism`.

Every one of them offers the functions of `edge` and of WASI, for a C library imports WASI whatever its program is for.
The ABI decides where a task's inputs go and what is its result. WASI and Extism are imported by the worker that needs
them: an idle edge stays small.
"""

from edge import abi, functions, limits
from edge.limits import limit
from edge.values import I32
from shared.errors import TaskFailure
from shared.faults import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from edge.cpython.wasi import System

_PAGE = 65536


def find(name: str) -> "Any":
    """The class of an ABI, None when there is none of this name."""
    return {"": Call, "call": Call, "edge": Edge, "extism": Extism, "wasi": Wasi}.get(name)


class Call(abi.Call):
    """What a module prints is beside its result."""

    # Made when the module turns out to import something.
    _system: "System | None" = None

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        from edge.cpython.wasi import System

        self._system = System(
            [self.start["name"], *(self.start.get("cli_args") or [])],
            environment(self.start),
            stdin(self.start),
            limit(self.start, "output_bytes", limits.OUTPUT),
            self.memory,
            self.host.sleep,
        )
        return {**abi.Call.functions(self), **self._system.functions()}

    def result(self, returned: "tuple[int | float, ...]", types: "tuple[int, ...]") -> "dict[str, Any]":
        return {**abi.Call.result(self, returned, types), **self.leftovers()}

    def exited(self, code: int) -> "dict[str, Any]":
        if not code:
            return {**self.result((), ()), "exit_code": 0}
        return {**failure("exit_code", "exit code %d" % code), **self.leftovers(), "exit_code": code}

    def leftovers(self) -> "dict[str, Any]":
        """stdout and stderr, where something stands there."""
        if self._system is None:
            return {}
        fields = {}
        if self._system.stdout:
            fields.update(self._printed(self._system.stdout))
        if self._system.stderr:
            fields["stderr"] = self._system.stderr.decode("utf-8", "replace")
        return fields

    def _printed(self, data: bytearray) -> "dict[str, Any]":
        return {"stdout": data.decode("utf-8", "replace")}


class Edge(Call, abi.Edge):
    pass


class Wasi(Edge):
    """What a program prints is its result: `stdout`, or `output` in base64 where that is no UTF-8.

    One that prints nothing answers as in `edge`, so that a library's function may be called too.
    """

    def result(self, returned: "tuple[int | float, ...]", types: "tuple[int, ...]") -> "dict[str, Any]":
        if self._output.data or self._system is None or not self._system.stdout:
            fields = Edge.result(self, returned, types)
        else:
            fields = {"ok": True, **self.leftovers()}
        fields["exit_code"] = 0
        return fields

    def _printed(self, data: bytearray) -> "dict[str, Any]":
        fields = abi.text_fields(data)
        return {"stdout": fields["text"]} if "text" in fields else fields


class Extism(Call):
    """A plug-in's function reads the payload; what it sets as output is the result, and an error it sets a failure."""

    # As Extism looks for them.
    initializers = ("__wasm_call_ctors", "_initialize")

    def __init__(self, start: "dict[str, Any]", host: "Any", memory: "abi.Memory") -> None:
        from edge.cpython.extism import Kernel

        Call.__init__(self, start, host, memory)
        self._kernel = Kernel(
            functions.payload(start),
            start.get("env") or {},
            limit(start, "memory_pages", limits.PAGES) * _PAGE,
            limit(start, "output_bytes", limits.OUTPUT),
            host.log,
        )

    def functions(self) -> "dict[tuple[str, str], tuple[str, Callable[..., Any]]]":
        return {**Call.functions(self), **self._kernel.functions()}

    def arguments(self, function: "Any") -> "list[int | float]":
        if function.arg_types or function.ret_types not in ((), (I32,)):
            raise TaskFailure("a plug-in's function takes nothing and returns an i32, this one does not", "bad_module")
        return []

    def result(self, returned: "tuple[int | float, ...]", types: "tuple[int, ...]") -> "dict[str, Any]":
        code = int(returned[0]) if returned else 0
        error = self._kernel.error
        if code or error:
            fields = failure("exit_code", error or "exit code %d" % code)
        else:
            fields = {"ok": True, **abi.text_fields(self._kernel.output())}
        return {**fields, **self.leftovers(), "exit_code": code & 0xFFFFFFFF}


def environment(start: "dict[str, Any]") -> "dict[str, str]":
    """What getenv finds: the task's `env`, its inputs as JSON, and which attempt of which task this is."""
    given = dict(start.get("env") or {})
    if start.get("inputs") is not None:
        given["INPUTS"] = functions.to_json(start["inputs"])
    given["MOTET_TASK_ID"] = start["task"]
    given["MOTET_TASK_NAME"] = start["name"]
    given["MOTET_ATTEMPT"] = str(start["attempt"])
    return given


def stdin(start: "dict[str, Any]") -> bytes:
    """Standard input: the task's `stdin`, or else inputs that are an object, as JSON."""
    if start.get("stdin") is None and not isinstance(start.get("inputs"), dict):
        return b""
    return functions.payload(start)
