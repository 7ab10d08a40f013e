"""Which task goes next and which proplet takes it: a heap by priority, round robin over proplets with a free slot."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from hub.core.model import Doc, Entry, Proplet, Queue, Task


class Need(NamedTuple):
    """Who may take a task: labels and capabilities the proplet has, memory it has free, who must not."""

    labels: tuple[tuple[str, Any], ...] = ()
    capabilities: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    memory_kb: int = 0


ANYONE = Need()


def need_of(doc: Doc) -> Need:
    placement, resources = doc.get("placement") or {}, doc.get("resources") or {}
    if not placement and not resources:
        return ANYONE
    return Need(
        tuple(sorted((placement.get("labels") or {}).items())),
        tuple(sorted(placement.get("capabilities") or ())),
        tuple(sorted(placement.get("forbid") or ())),
        resources.get("memory_kb") or 0,
    )


def capabilities(proplet: Proplet) -> set[str]:
    """Every word that the proplet's hello offers: members of its lists, names that are true."""
    words: set[str] = set()
    for name, value in (proplet.doc.get("caps") or {}).items():
        if isinstance(value, list):
            words.update(str(item) for item in value)
        elif value:
            words.add(name)
    return words


def misfit(proplet: Proplet, need: Need, ever: bool = False) -> str | None:
    """Why the proplet cannot take the task now (or `ever`, with nothing on it), None when it can."""
    labels = proplet.doc.get("labels") or {}
    for name, value in need.labels:
        if labels.get(name) != value:
            return f"has the label {name}={value}"
    missing = set(need.capabilities) - capabilities(proplet)
    if missing:
        return f"offers {min(missing)}"
    if proplet.id in need.forbid:
        return "is not forbidden"
    memory = proplet.doc.get("mem_total") or 0 if ever else proplet.mem_free
    if need.memory_kb * 1024 > memory:
        return f"has {need.memory_kb} KiB of memory" + ("" if ever else " free")
    return None


class _Line:
    """Tasks of one need, and the proplets with a free slot that may take them, next in the round first."""

    def __init__(self) -> None:
        self.queue = Queue()
        self.free: dict[str, Proplet] = {}

    def next(self) -> Proplet:
        """The proplet whose turn it is, moved to the end of the round."""
        device = next(iter(self.free))
        self.free[device] = proplet = self.free.pop(device)
        return proplet


class Placer:
    """Matches queued tasks with proplets.

    A task goes to the proplet it is pinned to, or else to the next in the round of all alive proplets with a free slot
    that fit it. The cost of a match does not depend on how many tasks or proplets there are, but on how many different
    needs are waiting.
    """

    def __init__(self) -> None:
        self.length = 0
        self._tickets = 0
        self._anyone = _Line()
        self._lines: dict[Need, _Line] = {}
        self._pinned: dict[str, _Line] = {}
        # Of the pinned lines, those whose proplet has a free slot.
        self._ready: dict[str, _Line] = {}

    def issue(self, task: Task) -> None:
        """Gives the task a new place in line; any entry it had before no longer stands."""
        self._tickets += 1
        task.ticket = self._tickets

    def push(self, task: Task) -> None:
        self.issue(task)
        self.length += 1
        self._line(task).queue.push(task)

    def remove(self, task: Task) -> None:
        task.ticket = 0
        self.length -= 1

    def update(self, proplet: Proplet) -> None:
        """Tells that a proplet's free slots, or what it has to offer, may have changed."""
        free = proplet.free > 0
        _enlist(self._anyone, proplet, free)
        for need, line in self._lines.items():
            _enlist(line, proplet, free and misfit(proplet, need) is None)
        line_of_pin = self._pinned.get(proplet.id)
        if line_of_pin is not None:
            _enlist(line_of_pin, proplet, free)
            if free:
                self._ready[proplet.id] = line_of_pin
            else:
                self._ready.pop(proplet.id, None)

    def _line(self, task: Task) -> _Line:
        pin = task.pin
        if pin is not None:
            if pin not in self._pinned:
                line = self._pinned[pin] = _Line()
                if pin in self._anyone.free:
                    line.free[pin] = self._anyone.free[pin]
                    self._ready[pin] = line
            return self._pinned[pin]
        need = need_of(task.doc)
        if need == ANYONE:
            return self._anyone
        if need not in self._lines:
            line = self._lines[need] = _Line()
            line.free = {id: one for id, one in self._anyone.free.items() if misfit(one, need) is None}
        return self._lines[need]

    def matches(self) -> Iterator[tuple[Task, Proplet]]:
        """Pairs in the order of dispatch. The caller takes the slot and calls update() before it asks for more."""
        while self._anyone.free:
            chosen = self._anyone
            best: Entry | None = chosen.queue.peek()
            for line in self._others() if self._ready or self._lines else ():
                entry = line.queue.peek()
                if entry is not None and (best is None or entry < best):
                    best, chosen = entry, line
            if best is None:
                return
            task = chosen.queue.pop()
            self.remove(task)
            proplet = chosen.next()
            if chosen is not self._anyone:
                # A turn taken here is a turn taken in the round of all.
                self._anyone.free[proplet.id] = self._anyone.free.pop(proplet.id)
            yield task, proplet

    def _others(self) -> Iterator[_Line]:
        """The special lines with a proplet for their first task; those that have run empty go."""
        for pin, line in list(self._ready.items()):
            if line.queue.peek() is not None:
                yield line
            else:
                del self._ready[pin], self._pinned[pin]
        for need, line in list(self._lines.items()):
            if line.queue.peek() is None:
                del self._lines[need]
            elif line.free:
                yield line


def _enlist(line: _Line, proplet: Proplet, free: bool) -> None:
    if not free:
        line.free.pop(proplet.id, None)
    elif proplet.id not in line.free:
        line.free[proplet.id] = proplet


def why_waiting(proplets: list[Proplet], task: Task) -> str:
    """What a queued task waits for, in words."""
    pin = task.pin
    if pin is not None:
        proplet = next((one for one in proplets if one.id == pin), None)
        if proplet is None:
            return f"proplet {pin} has never been seen"
        return f"proplet {pin} is busy" if proplet.alive and proplet.connected else f"proplet {pin} is away"
    need = need_of(task.doc)
    never = [misfit(proplet, need, ever=True) for proplet in proplets]
    if never and all(never):
        return f"no known proplet {never[0]}"
    alive = [proplet for proplet in proplets if proplet.alive and proplet.connected]
    if not alive:
        return "no proplet is alive"
    now = [misfit(proplet, need) for proplet in alive]
    return f"no alive proplet {now[0]}" if all(now) else "every proplet is busy"
