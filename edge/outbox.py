"""Results wait here until the hub has acknowledged them, across reboots."""

import json

from edge import files
from shared import const
from shared.faults import TooLarge, failure
from shared.messages import MAX_OUTPUTS, MAX_RESULT, make_up

TYPE_CHECKING = const(False)
if TYPE_CHECKING:
    from typing import Any


def encode(fields: "dict[str, Any]", max_bytes: int = MAX_RESULT) -> bytes:
    """The `result` message; one that is over max_bytes or has too many outputs becomes the failure output_limit."""
    why = "over %d outputs" % MAX_OUTPUTS
    if len(fields.get("outputs", ())) <= MAX_OUTPUTS:
        try:
            return make_up("result", fields, max_bytes)
        except TooLarge as error:
            why = error.message
    short = failure("output_limit", why)
    short["task"] = fields["task"]
    short["attempt"] = fields["attempt"]
    return make_up("result", short)


class Outbox:
    """One file a result, numbered in the order they came; the index in memory holds numbers only.

    A full disk loses nothing while the device is up: the result is held in memory and `put` says so.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._numbers: dict[tuple[str, int], int] = {}
        self._held: dict[tuple[str, int], bytes] = {}
        self._next = 1
        files.make_folder(folder)
        for name in files.names(folder):
            self._take(name)

    def _take(self, name: str) -> None:
        try:
            number = int(name, 16)
            fields = json.loads(files.read(self.folder + "/" + name) or b"")
            key = (fields["task"], fields["attempt"])
        except (ValueError, KeyError, TypeError):  # not ours, or torn by a file system that does not keep its word
            files.remove(self.folder + "/" + name)
            return
        self._numbers[key] = number
        self._next = max(self._next, number + 1)

    def _path(self, number: int) -> str:
        return "%s/%08x" % (self.folder, number)

    def keys(self) -> "list[tuple[str, int]]":
        """(task, attempt) of every result, oldest first."""
        return sorted(self._numbers, key=lambda key: self._numbers[key])

    def put(self, task: str, attempt: int, payload: bytes) -> bool:
        """Keep a result; False when the disk refused it and it is held in memory only."""
        key = (task, attempt)
        self._numbers[key] = self._next
        self._next += 1
        try:
            files.write(self._path(self._numbers[key]), payload)
        except OSError:
            self._held[key] = payload
            return False
        return True

    def get(self, task: str, attempt: int) -> "bytes | None":
        """The `result` message as it is published, None when it is not here (any more)."""
        key = (task, attempt)
        if key in self._held:
            return self._held[key]
        return files.read(self._path(self._numbers[key])) if key in self._numbers else None

    def drop(self, task: str, attempt: int) -> None:
        """The hub has it."""
        key = (task, attempt)
        self._held.pop(key, None)
        number = self._numbers.pop(key, 0)
        if number:
            files.remove(self._path(number))
