"""How much a body holds, looked at before anything is made of it: three bytes there may be hundreds here."""

from functools import cache
from itertools import count
from typing import Any

import msgspec

from shared.errors import TooLarge

# An empty task takes 430 bytes for its three: a body of nothing else took 2.9 GB and kept everybody waiting for 6 s.
MAX_TASKS = 20_000
# Of a field but `file`, and of all tasks of a body without their files. JSON of empty lists takes twenty times its size
# in memory, and as a whole body kept everybody else waiting for seconds.
MAX_FIELD = 1 << 20
MAX_DEFINITIONS = 8 << 20

_NONE = msgspec.Raw(b"")


class _Tasks(msgspec.Struct):
    tasks: list[msgspec.Raw] = []


_tasks_of = msgspec.json.Decoder(_Tasks).decode


def check_sizes(raw: bytes, kind: type[msgspec.Struct], of_task: type[msgspec.Struct]) -> None:
    """Raises TooLarge, or an error of msgspec when the body is no JSON or its tasks are none.

    kind: what the body is; of_task: what its `tasks` are, where it has any.
    """
    has_tasks = "tasks" in kind.__struct_fields__
    if has_tasks:
        _check_count(raw)
    if len(raw) <= MAX_FIELD:
        return
    total = _check_fields(raw, kind)
    if has_tasks:
        total += sum(_check_fields(task, of_task) for task in _tasks_of(raw).tasks)
    if total > MAX_DEFINITIONS:
        raise TooLarge(f"without their files, the tasks have {total} bytes, over {MAX_DEFINITIONS}")


def _check_count(raw: bytes) -> None:
    if raw.count(b"{") <= MAX_TASKS:
        return
    seen = count(1)

    class Task(msgspec.Struct):
        """One of which nothing is kept, so that the first too many ends it."""

        def __post_init__(self) -> None:
            if next(seen) > MAX_TASKS:
                raise TooLarge(f"a body has at most {MAX_TASKS} tasks: send them in several")

    class Group(msgspec.Struct):
        tasks: list[Task] = []

    msgspec.json.decode(raw, type=Group)


def _check_fields(raw: Any, kind: type[msgspec.Struct]) -> int:
    """The bytes of an object without its `file` and `tasks`."""
    found = _fields_of(kind).decode(raw)
    apart = [_size(getattr(found, name, _NONE)) for name in ("file", "tasks")]
    total = _size(raw) - sum(apart)
    if total <= MAX_FIELD:
        return total
    sizes = {name: _size(getattr(found, name)) for name in kind.__struct_fields__ if name not in ("file", "tasks")}
    sizes["what is unknown to the hub"] = total - sum(sizes.values())
    for name, size in sizes.items():
        if size > MAX_FIELD:
            raise TooLarge(f"{name} has {size} bytes, over {MAX_FIELD}")
    return total


@cache
def _fields_of(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    """Takes the fields of that kind as they are, and leaves the others where they are."""
    names = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    fields = [(name, msgspec.Raw, _NONE) for name in names]
    return msgspec.json.Decoder(msgspec.defstruct(f"{kind.__name__}Fields", fields, rename=names))


def _size(raw: Any) -> int:
    return memoryview(raw).nbytes
