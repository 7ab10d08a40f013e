"""Which task goes next and which proplet takes it: a heap by priority, round robin over proplets with a free slot."""

from collections.abc import Iterator

from hub.core.abi import CALL, Module
from hub.core.model import ANYONE, Doc, Entry, Need, Queue, Task
from hub.core.proplet import Proplet


def demand(module: Module, abi: str = CALL) -> Need:
    """What a module asks for by itself, when it is called by that ABI."""
    own = module.need
    if abi == CALL or abi in own.capabilities:
        return own
    return own._replace(capabilities=tuple(sorted((*own.capabilities, abi))))


def need_of(doc: Doc, module: Module, abi: str) -> Need:
    """What the task with this document asks for, and what its module does when it is called by that ABI."""
    own = demand(module, abi)
    placement, resources = doc.get("placement"), doc.get("resources")
    if not placement and not resources:
        return own
    placement, resources = placement or {}, resources or {}
    need = Need(
        tuple(sorted((placement.get("labels") or {}).items())),
        tuple(sorted({*own.capabilities, *(placement.get("capabilities") or ())})),
        tuple(sorted(placement.get("forbid") or ())),
        max(own.memory_kb, resources.get("memory_kb") or 0),
    )
    return ANYONE if need == ANYONE else need


def lacks(proplet: Proplet, need: Need, ever: bool = False) -> Iterator[str]:
    """What the proplet would have to be to take the task now (or `ever`, with nothing on it) and is not, in words."""
    labels = proplet.doc.get("labels") or {}
    for name, value in need.labels:
        if labels.get(name) != value:
            yield f"has the label {name}={value}"
    for word in need.capabilities:
        if word not in proplet.words:
            yield f"offers {word}"
    if proplet.id in need.forbid:
        yield "is not forbidden"
    memory = proplet.doc.get("mem_total") or 0 if ever else proplet.mem_free
    if need.memory_kb * 1024 > memory:
        yield f"has {need.memory_kb} KiB of memory" + ("" if ever else " free")


def fits(proplet: Proplet, need: Need, ever: bool = False) -> bool:
    return need is ANYONE or next(lacks(proplet, need, ever), None) is None


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
        # The lines of tasks that are pinned, by their proplet; and those whose proplet has a free slot.
        self._pinned: dict[str, dict[Need, _Line]] = {}
        self._ready: dict[str, dict[Need, _Line]] = {}

    def issue(self, task: Task) -> None:
        """Gives the task a new ticket; any entry it had before no longer stands."""
        self._tickets += 1
        task.ticket = self._tickets

    def push(self, task: Task) -> None:
        """Puts the task in line, with a ticket of its own."""
        self.issue(task)
        self.length += 1
        pin = None if task.plain else task.pin
        line = self._anyone if pin is None and task.need is ANYONE else self._line(task.need, pin)
        line.queue.push(task)

    def remove(self, task: Task) -> None:
        """Takes it out of line."""
        task.ticket = 0
        self.length -= 1

    def update(self, proplet: Proplet) -> None:
        """Tells that a proplet's free slots, or what it has to offer, may have changed."""
        free = proplet.is_free()
        _enlist(self._anyone, proplet, free)
        if self._lines:
            for need, line in self._lines.items():
                _enlist(line, proplet, free and fits(proplet, need))
        pinned = self._pinned.get(proplet.id) if self._pinned else None
        if pinned is not None:
            for need, line in pinned.items():
                _enlist(line, proplet, free and fits(proplet, need))
            if free:
                self._ready[proplet.id] = pinned
            else:
                self._ready.pop(proplet.id, None)

    def _line(self, need: Need, pin: str | None) -> _Line:
        lines = self._lines if pin is None else self._pinned.setdefault(pin, {})
        if need not in lines:
            line = lines[need] = _Line()
            free = self._anyone.free
            if pin is None:
                line.free = {id: one for id, one in free.items() if fits(one, need)}
            elif pin in free:
                _enlist(line, free[pin], fits(free[pin], need))
                self._ready[pin] = lines
        return lines[need]

    def matches(self) -> Iterator[tuple[Task, Proplet]]:
        """Pairs in the order of dispatch. The caller takes the slot and calls update() before it asks for more."""
        anyone = self._anyone
        while self.length and anyone.free:
            chosen = anyone
            best: Entry | None = anyone.queue.peek()
            for line in self._others() if self._ready or self._lines else ():
                entry = line.queue.peek()
                if entry is not None and (best is None or entry < best):
                    best, chosen = entry, line
            if best is None:
                return
            task = chosen.queue.pop()
            self.remove(task)
            proplet = chosen.next()
            if chosen is not anyone:
                # A turn taken here is a turn taken in the round of all.
                anyone.free[proplet.id] = anyone.free.pop(proplet.id)
            yield task, proplet

    def _others(self) -> Iterator[_Line]:
        """The special lines with a proplet for their first task; those that have run empty go."""
        for pin, lines in list(self._ready.items()):
            yield from _useful(lines)
            if not lines:
                del self._ready[pin], self._pinned[pin]
        yield from _useful(self._lines)


def _useful(lines: dict[Need, _Line]) -> Iterator[_Line]:
    for need, line in list(lines.items()):
        if line.queue.peek() is None:
            del lines[need]
        elif line.free:
            yield line


def _enlist(line: _Line, proplet: Proplet, free: bool) -> None:
    if not free:
        line.free.pop(proplet.id, None)
    elif proplet.id not in line.free:
        line.free[proplet.id] = proplet


def why_waiting(proplets: list[Proplet], task: Task) -> str:
    """What a queued task waits for, in words."""
    pin, need = task.pin, task.need
    if pin is not None:
        proplets = [one for one in proplets if one.id == pin]
        if not proplets:
            return f"proplet {pin} has never been seen"
    alive = [proplet for proplet in proplets if proplet.alive and proplet.connected]
    never = _nobody(proplets, need, ever=True)
    if never:
        return f"proplet {pin} is not one that {never}" if pin is not None else f"no known proplet {never}"
    if not alive:
        return "no proplet is alive" if pin is None else f"proplet {pin} is away"
    now = _nobody(alive, need, ever=False)
    if now:
        return f"proplet {pin} is not one that {now}" if pin is not None else f"no alive proplet {now}"
    return "every proplet is busy" if pin is None else f"proplet {pin} is busy"


def _nobody(proplets: list[Proplet], need: Need, ever: bool) -> str | None:
    """What no proplet is or has, of that first what none has; None when one fits, or there are none."""
    if need is ANYONE or not proplets:
        return None
    missing: dict[str, int] = {}
    for proplet in proplets:
        found = list(lacks(proplet, need, ever))
        if not found:
            return None
        for one in found:
            missing[one] = missing.get(one, 0) + 1
    by_all = next((one for one, count in missing.items() if count == len(proplets)), None)
    # Each wish is met by somebody, and all of them by nobody.
    return by_all or " and ".join(missing)
