"""ctypes binding to the wasm3 C API that pywasm3's extension exports: the engine of the worker processes.

Over pywasm3's own API it frees what it made (1,000 instances: 0.2 MB, there 160 MB), checks the arguments' count and
runs a start function with index 0. The extension is opened by its path, so that a worker needs no site-packages.
"""

import ctypes
import struct

from edge.values import F32, F64, I32, I64

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


class Library:
    """wasm3, opened from the file of pywasm3's extension. `load` is an engine as edge.call describes it."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path)
        for name, (result, *arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments
        self.api = library

    def load(self, data: bytes, stack_bytes: int) -> "Instance":
        """A module in a fresh runtime, its start function done."""
        return Instance(self.api, data, stack_bytes)


class Instance:
    def __init__(self, api: ctypes.CDLL, data: bytes, stack_bytes: int) -> None:
        self._api = api
        # Kept: wasm3 reads the code from these bytes when it compiles a function, at its first use.
        self._data = data
        self._environment = api.m3_NewEnvironment()
        self.runtime = api.m3_NewRuntime(self._environment, stack_bytes, None)
        try:
            self._load()
        except RuntimeError:
            self.close()
            raise

    def _load(self) -> None:
        module = _POINTER()
        parsed = self._api.m3_ParseModule(self._environment, ctypes.byref(module), self._data, len(self._data))
        self.check(parsed)
        error = self._api.m3_LoadModule(self.runtime, module)
        if error:  # the module belongs to the runtime only once it is loaded
            text = self.text(error)
            self._api.m3_FreeModule(module)
            raise RuntimeError(text)
        self.check(self._api.m3_RunStart(module))

    def text(self, error: int) -> str:
        """wasm3's text for an error, in pywasm3's form: "<error> (<detail>)"."""
        words = ctypes.string_at(error).decode("utf-8", "replace")
        info = _ErrorInfo()
        self._api.m3_GetErrorInfo(self.runtime, ctypes.byref(info))
        detail = (info.message or b"").decode("utf-8", "replace")
        return "%s (%s)" % (words, detail) if detail else words

    def check(self, error: "int | None") -> None:
        """RuntimeError when a call of the C API returned an error."""
        if error:
            raise RuntimeError(self.text(error))

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
