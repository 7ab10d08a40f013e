"""The device's modules: a folder of files named by their sha256, the least recently used go first.

`<sha256>` is whole and was checked; `<sha256>.part` is growing. What was on the disk at boot is checked again before
its first use: a power cut may have left anything behind.
"""

import os
from binascii import hexlify
from hashlib import sha256

from edge import files
from shared import const
from shared.faults import Damaged, TooLarge

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from collections.abc import Container

_PART = const(".part")
_BLOCK = const(1024)


def digest(path: str) -> str:
    """The sha256 of a file in hex, "" when it cannot be read. In blocks: a board has no room for the whole."""
    state = sha256()
    block = memoryview(bytearray(_BLOCK))
    try:
        with open(path, "rb") as file:
            while True:
                count = file.readinto(block)
                if not count:
                    return hexlify(state.digest()).decode()
                state.update(block[:count])
    except OSError:
        return ""


class Modules:
    """At most budget_bytes of modules and parts."""

    def __init__(self, folder: str, budget_bytes: int) -> None:
        self.folder = folder
        self._budget = budget_bytes
        files.make_folder(folder)
        # Least recently used first; parts are in it under their file's name.
        self.order = files.by_age(folder)
        self._sizes = {name: files.size(folder + "/" + name) for name in self.order}
        self._checked: set[str] = set()

    def _path(self, name: str) -> str:
        return self.folder + "/" + name

    def path(self, module: str) -> "str | None":
        """The file of a module, None when it is not here whole. Counts as a use."""
        if module not in self._sizes:
            return None
        if module not in self._checked:
            if digest(self._path(module)) != module:
                self._remove(module)
                return None
            self._checked.add(module)
        self.order.remove(module)
        self.order.append(module)
        return self._path(module)

    def part_size(self, module: str) -> int:
        """Bytes that have arrived of a module that is not here whole."""
        return self._sizes.get(module + _PART, 0)

    def append(self, module: str, offset: int, total: int, data: bytes, keep: "Container[str]") -> bool:
        """Add a chunk: True when the module is whole and right.

        A chunk that does not continue the part is ignored. TooLarge: no room, even without the modules that are not in
        keep. Damaged: it is whole and its sha256 is another; the part is gone. OSError: the disk refused.
        """
        name = module + _PART
        had = self.part_size(module)
        if offset != had or not data or had + len(data) > total:
            return False
        self._make_room(module, len(data), total, keep)
        with open(self._path(name), "ab" if had else "wb") as file:
            file.write(data)
            if had + len(data) == total:
                files.flush(file)
        self._note(name, had + len(data))
        if self._sizes[name] < total:
            return False
        return self._complete(module, name)

    def _complete(self, module: str, name: str) -> bool:
        if digest(self._path(name)) != module:
            self._remove(name)
            raise Damaged("module %s arrived with another sha256" % module)
        os.rename(self._path(name), self._path(module))
        size = self._sizes[name]
        self._forget(name)
        self._note(module, size)
        self._checked.add(module)
        return True

    def _make_room(self, module: str, wanted: int, total: int, keep: "Container[str]") -> None:
        used = sum(self._sizes.values())
        for name in list(self.order):
            owner = name.replace(_PART, "")
            if used + wanted > self._budget and owner != module and owner not in keep:
                used -= self._sizes[name]
                self._remove(name)
        if used + wanted > self._budget or total > self._budget:
            raise TooLarge("no room for a module of %d bytes, the device keeps %d" % (total, self._budget))

    def _note(self, name: str, size: int) -> None:
        if name not in self._sizes:
            self.order.append(name)
        self._sizes[name] = size

    def _remove(self, name: str) -> None:
        files.remove(self._path(name))
        self._forget(name)

    def _forget(self, name: str) -> None:
        self.order.remove(name)
        del self._sizes[name]
        self._checked.discard(name)
