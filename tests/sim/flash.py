"""A device's files, in memory: what its processes see, and what would be there after a power cut.

Two kinds. `journalled` is Linux: a file's content is safe once it was synced, a name (made, renamed or removed) once
its folder was, and until then a power cut undoes the newest changes of names. The other is littlefs on a board: both
are safe when the call returns, but for a file that is still open.
"""

import io
import os
import random
import stat

from tests.sim.loop import Process


class _File:
    def __init__(self) -> None:
        self.data = b""
        self.safe = b""
        self.changed = 0


class Flash:
    """now: gives the time for what stat() says."""

    def __init__(self, journalled: bool, chance: random.Random) -> None:
        self.journalled = journalled
        self.chance = chance
        self.files: dict[str, _File] = {}
        self.folders: set[str] = {""}
        # Names as they would be after a power cut, and what has changed since: (name, file | None).
        self._safe: dict[str, _File] = {}
        self._changes: list[tuple[str, _File | None]] = []
        self._ticks = 0

    # --- what a program does

    def open(self, path: str, mode: str = "r") -> "_Stream":
        file = self.files.get(path)
        if "w" in mode or ("a" in mode and file is None):
            if _folder(path) not in self.folders:
                raise FileNotFoundError(path)
            file = _File()
            self._name(path, file)
        elif file is None:
            raise FileNotFoundError(path)
        return _Stream(self, file, mode)

    def rename(self, old: str, new: str) -> None:
        file = self._at(old)
        self._name(old, None)
        self._name(new, file)

    def remove(self, path: str) -> None:
        self._at(path)
        self._name(path, None)

    def listdir(self, folder: str) -> list[str]:
        return sorted(os.path.basename(path) for path in self.files if _folder(path) == folder)

    def mkdir(self, path: str) -> None:
        if path in self.folders:
            raise FileExistsError(path)
        self.folders.add(path)

    def stat(self, path: str) -> os.stat_result:
        file = self._at(path)
        return os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, len(file.data), 0, file.changed, 0))

    def sync_names(self) -> None:
        """As fsync of a folder does; for all folders, as one journal holds them."""
        for path, file in self._changes:
            self._keep_name(path, file)
        self._changes = []

    def power_cut(self) -> None:
        """Back to what is safe, with some of what was not."""
        for path, file in self._changes[: self.chance.randrange(len(self._changes) + 1)]:
            self._keep_name(path, file)
        self._changes = []
        self.files = dict(self._safe)
        for file in self.files.values():
            if file.data != file.safe:
                # Nothing, all, or the beginning.
                keep = self.chance.choice((0, len(file.data), self.chance.randrange(len(file.data) + 1)))
                file.data = file.safe = file.data[: max(len(file.safe), keep)]

    # --- parts

    def written(self, file: _File, data: bytes) -> None:
        self._ticks += 1
        file.data, file.changed = data, self._ticks

    def _at(self, path: str) -> _File:
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path]

    def _name(self, path: str, file: _File | None) -> None:
        if file is None:
            del self.files[path]
        else:
            self.files[path] = file
        if self.journalled:
            self._changes.append((path, file))
        else:
            self._keep_name(path, file)

    def _keep_name(self, path: str, file: _File | None) -> None:
        if file is None:
            self._safe.pop(path, None)
        else:
            self._safe[path] = file


class _Stream(io.BytesIO):
    """An open file."""

    def __init__(self, flash: Flash, file: _File, mode: str) -> None:
        super().__init__(b"" if "w" in mode else file.data)
        self._flash, self._file, self._mode = flash, file, mode
        if "a" in mode:
            self.seek(0, 2)

    def flush(self) -> None:
        if self._mode[0] in "wa":
            self._flash.written(self._file, self.getvalue())

    def fileno(self) -> "_Stream":  # type: ignore[override]
        return self

    def sync(self) -> None:
        self._file.safe = self._file.data

    def close(self) -> None:
        if not self.closed:
            self.flush()
            if not self._flash.journalled:
                self.sync()
        super().close()


def _folder(path: str) -> str:
    return os.path.dirname(path)


class SyscallsOfEdge:
    """Stands in for the module `os` in the edge's modules, and for `open` and `fsync` there."""

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    @staticmethod
    def _flash() -> Flash:
        return Process.current().machine.disk  # type: ignore[no-any-return]

    def file(self, path: str, mode: str = "r") -> _Stream:
        return self._flash().open(path, mode)

    def open(self, path: str, flags: int) -> Flash:
        """Only folders are opened this way, to be synced."""
        return self._flash()

    def close(self, folder: Flash) -> None:
        pass

    def fsync(self, what: "_Stream | Flash") -> None:
        if isinstance(what, Flash):
            what.sync_names()
        else:
            what.sync()

    def rename(self, old: str, new: str) -> None:
        self._flash().rename(old, new)

    def remove(self, path: str) -> None:
        Process.current().machine.removes(path)
        self._flash().remove(path)

    def listdir(self, folder: str) -> list[str]:
        return self._flash().listdir(folder)

    def mkdir(self, path: str) -> None:
        self._flash().mkdir(path)

    def stat(self, path: str) -> os.stat_result:
        return self._flash().stat(path)

    @staticmethod
    def urandom(count: int) -> bytes:
        return Process.current().machine.chance.randbytes(count)  # type: ignore[no-any-return]
