"""ctypes binding to the wasm3 C API that pywasm3's extension exports: the engine of the worker processes.

Over pywasm3's own API it frees what it made (1,000 instances: 0.2 MB, there 160 MB), checks the arguments' count, runs
a start function with index 0 and prints nothing. The extension is opened by its path, so that a worker needs no
site-packages.
"""

import ctypes
import struct

from edge.values import F32, F64, I32, I64
from shared.host import FUEL

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing costs a worker memory
    from collections.abc import Callable
    from typing import Any

_POINTER = ctypes.c_void_p
_FORMATS = {I32: "<i", I64: "<q", F32: "<f", F64: "<d"}

_SIGNATURES = {
    "m3_NewEnvironment": (_POINTER,),
    "m3_FreeEnvironment": (None, _POINTER),
    "m3_NewRuntime": (_POINTER, _POINTER, ctypes.c_uint32, _POINTER),
    "m3_FreeRuntime": (None, _POINTER),
    "m3_ParseModule": (_POINTER, _POINTER, ctypes.POINTER(_POINTER), ctypes.c_char_p, ctypes.c_uint32),
    "m3_FreeModule": (None, _POINTER),
    "m3_LoadModule": (_POINTER, _POINTER, _POINTER),
    "m3_RunStart": (_POINTER, _POINTER),
    "m3_FindFunction": (_POINTER, ctypes.POINTER(_POINTER), _POINTER, ctypes.c_char_p),
    "m3_GetArgCount": (ctypes.c_uint32, _POINTER),
    "m3_GetRetCount": (ctypes.c_uint32, _POINTER),
    "m3_GetArgType": (ctypes.c_int, _POINTER, ctypes.c_uint32),
    "m3_GetRetType": (ctypes.c_int, _POINTER, ctypes.c_uint32),
    "m3_Call": (_POINTER, _POINTER, ctypes.c_uint32, _POINTER),
    "m3_GetResults": (_POINTER, _POINTER, ctypes.c_uint32, _POINTER),
    "m3_GetErrorInfo": (None, _POINTER, _POINTER),
    "m3_GetMemory": (_POINTER, _POINTER, ctypes.POINTER(ctypes.c_uint32), ctypes.c_uint32),
    "m3_FindGlobal": (_POINTER, _POINTER, ctypes.c_char_p),
    "m3_GetGlobal": (_POINTER, _POINTER, _POINTER),
    "m3_LinkRawFunctionEx": (_POINTER, _POINTER, *[ctypes.c_char_p] * 3, _POINTER, _POINTER),
}


class _ErrorInfo(ctypes.Structure):
    _fields_ = [
        ("result", ctypes.c_char_p),
        ("runtime", _POINTER),
        ("module", _POINTER),
        ("function", _POINTER),
        ("file", ctypes.c_char_p),
        ("line", ctypes.c_uint32),
        ("message", ctypes.c_char_p),
    ]


class _Context(ctypes.Structure):
    _fields_ = [("number", _POINTER), ("function", _POINTER)]


class _Value(ctypes.Union):
    _fields_ = [("i32", ctypes.c_int32), ("i64", ctypes.c_int64)]


class _Tagged(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("value", _Value)]


# runtime, context, stack, memory; the answer is NULL, or the text of a trap
_RAW = ctypes.CFUNCTYPE(_POINTER, _POINTER, _POINTER, _POINTER, _POINTER)
_RAISED = ctypes.create_string_buffer(b"[trap] a host function raised")
_TRAP = ctypes.addressof(_RAISED)
# Each parameter has a cell of eight bytes.
_PARAMETERS = {"i": "i4x", "I": "q", "f": "f4x", "F": "d"}
_RESULTS = {"i": ctypes.c_uint32, "I": ctypes.c_uint64, "f": ctypes.c_float, "F": ctypes.c_double}
_MASKS = {"i": 0xFFFFFFFF, "I": 0xFFFFFFFFFFFFFFFF}
_view = ctypes.PYFUNCTYPE(ctypes.py_object, _POINTER, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_WRITABLE = 0x200


class Library:
    """wasm3, opened from the file of pywasm3's extension. `load` is an engine as edge.call describes it.

    native_bytes: of this thread's own stack. wasm3 was measured to use up to eight times its own of it, and Python
    needs some as well, so a module gets a sixteenth at most.
    """

    def __init__(self, path: str, native_bytes: int = 1 << 23) -> None:
        self._most_stack = native_bytes // 16
        library = ctypes.CDLL(path)
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        self.api = library
        # Not of the C API, and not in every build: what a trap recorded of its calls is freed by the next call alone.
        self.forget_calls: Any = getattr(library, "ClearBacktrace", None)
        if self.forget_calls is not None:
            self.forget_calls.argtypes = (_POINTER,)
        # wasm3 hands the number back with every call: one callback serves all functions of all instances.
        self.links: dict[int, _Link] = {}
        self.last = 0
        self.callback = _RAW(self._called)

    def load(self, data: bytes | bytearray, stack_bytes: int) -> "Instance":
        """A module in a fresh runtime; nothing of it has run."""
        return Instance(self, data, min(stack_bytes, self._most_stack))

    def _called(self, runtime: int, context: int, stack: int, memory: int) -> int | None:
        link = self.links[_Context.from_address(context).number]
        try:
            link(stack)
        except BaseException as error:  # it must not end in ctypes; check() raises it
            link.instance.raised = error
            return _TRAP
        return None


class _Link:
    """A function of ours in an instance: takes its arguments off wasm3's stack and puts its result there."""

    def __init__(self, instance: "Instance", signature: str, function: "Callable[..., Any]") -> None:
        self.instance = instance
        self._function = function
        result, _, parameters = signature[:-1].partition("(")
        self._format = "<" + "".join([_PARAMETERS[letter] for letter in parameters])
        self._size = 8 * len(parameters)
        self._offset = 0 if result == "v" else 8
        self._cell: Any = _RESULTS.get(result)
        self._mask = _MASKS.get(result)

    def __call__(self, stack: int) -> None:
        if self._size:
            cells = ctypes.string_at(stack + self._offset, self._size)
            value = self._function(*struct.unpack(self._format, cells))
        else:
            value = self._function()
        if self._cell is not None:
            self._cell.from_address(stack).value = value if self._mask is None else value & self._mask


class Instance:
    def __init__(self, library: Library, data: bytes | bytearray, stack_bytes: int) -> None:
        self._library = library
        self._api = api = library.api
        # Kept: wasm3 reads the code from these bytes when it compiles a function, at its first use.
        self._data: Any = data
        self._numbers: list[int] = []
        self._module = _POINTER()
        self.raised: BaseException | None = None
        self._environment = api.m3_NewEnvironment()
        self.runtime = api.m3_NewRuntime(self._environment, stack_bytes, None)
        try:
            self._load()
        except RuntimeError:
            self.close()
            raise

    def _load(self) -> None:
        size = len(self._data)
        if isinstance(self._data, bytearray):
            self._data = (ctypes.c_char * size).from_buffer(self._data)
        parsed = self._api.m3_ParseModule(self._environment, ctypes.byref(self._module), self._data, size)
        self.check(parsed)
        error = self._api.m3_LoadModule(self.runtime, self._module)
        if error:  # the module belongs to the runtime only once it is loaded
            text = self.text(error)
            self._api.m3_FreeModule(self._module)
            raise RuntimeError(text)

    def link(self, module: str, name: str, signature: str, function: "Callable[..., Any]") -> None:
        """Give the module a function it imports. RuntimeError when its type is another."""
        number = self._library.last = self._library.last + 1
        self._library.links[number] = _Link(self, signature, function)
        self._numbers.append(number)
        names = (module.encode(), name.encode(), signature.encode())
        self.check(self._api.m3_LinkRawFunctionEx(self._module, *names, self._library.callback, number))

    def start(self) -> None:
        """Run the start function, if there is one."""
        self.check(self._api.m3_RunStart(self._module))

    def memory(self) -> memoryview | None:
        """The linear memory as it is now: wrong as soon as the module has run again."""
        size = ctypes.c_uint32()
        address = self._api.m3_GetMemory(self.runtime, ctypes.byref(size), 0)
        return _view(address, size.value, _WRITABLE) if address else None

    def fuel(self) -> int:
        """What is left in the tank of a metered module."""
        tagged = _Tagged()
        tank = self._api.m3_FindGlobal(self._module, FUEL.encode())
        self.check(self._api.m3_GetGlobal(tank, ctypes.byref(tagged)))
        return int(tagged.value.i32)

    def text(self, error: int) -> str:
        """wasm3's text for an error, in pywasm3's form: "<error> (<detail>)"."""
        words = ctypes.string_at(error).decode("utf-8", "replace")
        info = _ErrorInfo()
        self._api.m3_GetErrorInfo(self.runtime, ctypes.byref(info))
        detail = (info.message or b"").decode("utf-8", "replace")
        return "%s (%s)" % (words, detail) if detail else words

    def check(self, error: "int | None") -> None:
        """When a call of the C API returned an error: raise what a host function raised, or else RuntimeError."""
        if not error:
            return
        raised, self.raised = self.raised, None
        if raised is None:
            raise RuntimeError(self.text(error))
        try:
            raise raised
        finally:  # its traceback holds this frame: no cycle for a collector that does not run
            del raised

    def find(self, name: str) -> "Function | None":
        handle = _POINTER()
        error = self._api.m3_FindFunction(ctypes.byref(handle), self.runtime, name.encode())
        if error:
            # Read also where it is no error: wasm3 would give this detail with the next one, whatever that is.
            text = self.text(error)
            if text.startswith("function lookup failed"):
                return None
            raise RuntimeError(text)
        return Function(self, self._api, handle)

    def close(self) -> None:
        """Free everything; no function of this instance may be called any more."""
        for number in self._numbers:
            del self._library.links[number]
        if self._library.forget_calls is not None:
            self._library.forget_calls(self.runtime)
        self._api.m3_FreeRuntime(self.runtime)
        self._api.m3_FreeEnvironment(self._environment)


class Function:
    """An exported function. Call it with as many ints (signed) and floats as arg_types says: returns a tuple."""

    def __init__(self, instance: Instance, api: ctypes.CDLL, handle: ctypes.c_void_p) -> None:
        self._instance = instance
        self._api = api
        self._handle = handle
        self.arg_types = tuple([api.m3_GetArgType(handle, i) for i in range(api.m3_GetArgCount(handle))])
        self.ret_types = tuple([api.m3_GetRetType(handle, i) for i in range(api.m3_GetRetCount(handle))])

    def __call__(self, *arguments: float) -> tuple[float, ...]:
        if len(arguments) != len(self.arg_types):
            raise TypeError("takes %d arguments, %d given" % (len(self.arg_types), len(arguments)))
        cells, pointers = _cells(len(self.arg_types))
        for i, value in enumerate(arguments):
            struct.pack_into(_FORMATS[self.arg_types[i]], cells, 8 * i, value)
        self._instance.check(self._api.m3_Call(self._handle, len(arguments), pointers))
        cells, pointers = _cells(len(self.ret_types))
        self._instance.check(self._api.m3_GetResults(self._handle, len(self.ret_types), pointers))
        return tuple([struct.unpack_from(_FORMATS[t], cells, 8 * i)[0] for i, t in enumerate(self.ret_types)])


def _cells(count: int) -> "tuple[ctypes.Array[ctypes.c_uint64], ctypes.Array[ctypes.c_void_p]]":
    """Room for so many values, and the array of pointers to them that the C API wants."""
    cells = (ctypes.c_uint64 * count)()
    start = ctypes.addressof(cells)
    return cells, (_POINTER * count)(*[start + 8 * i for i in range(count)])
