"""Which task goes next and which proplet takes it: a heap by priority, round robin over proplets with a free slot."""

from collections.abc import Iterator

from hub.core.model import Proplet, Queue, Task


class Placer:
    """Matches queued tasks with proplets.

    A task goes to the proplet it is pinned to, or else to the next in the round of all alive proplets with a free
    slot. Cost of a match: O(log tasks), and not a function of how many proplets there are.
    """

    def __init__(self) -> None:
        self.length = 0
        self._tickets = 0
        self._any = Queue()
        self._pinned: dict[str, Queue] = {}
        # Proplets with a free slot, next in the round first.
        self._round: dict[str, Proplet] = {}
        # Of those, the ones that tasks are pinned to.
        self._wanted: dict[str, Queue] = {}

    def issue(self, task: Task) -> None:
        """Gives the task a new place in line; any entry it had before no longer stands."""
        self._tickets += 1
        task.ticket = self._tickets

    def push(self, task: Task) -> None:
        self.issue(task)
        self.length += 1
        pin = task.doc.get("pinned_to")
        if pin is None:
            self._any.push(task)
            return
        queue = self._pinned.setdefault(pin, Queue())
        queue.push(task)
        if pin in self._round:
            self._wanted[pin] = queue

    def remove(self, task: Task) -> None:
        task.ticket = 0
        self.length -= 1

    def update(self, proplet: Proplet) -> None:
        """Tells that a proplet's free slots may have changed."""
        if not proplet.free:
            self._round.pop(proplet.id, None)
            self._wanted.pop(proplet.id, None)
        elif proplet.id not in self._round:
            self._round[proplet.id] = proplet
            queue = self._pinned.get(proplet.id)
            if queue is not None:
                self._wanted[proplet.id] = queue

    def matches(self) -> Iterator[tuple[Task, Proplet]]:
        """Pairs in the order of dispatch. The caller takes the slot and calls update() before it asks for more."""
        while self._round:
            best, pin = self._any.peek(), None
            for device, queue in list(self._wanted.items()):
                entry = queue.peek()
                if entry is None:
                    del self._wanted[device], self._pinned[device]
                elif best is None or entry[:3] < best[:3]:
                    best, pin = entry, device
            if best is None:
                return
            task = (self._any if pin is None else self._pinned[pin]).pop()
            self.remove(task)
            yield task, self._next(pin)

    def _next(self, pin: str | None) -> Proplet:
        """The proplet whose turn it is, moved to the end of the round."""
        device = next(iter(self._round)) if pin is None else pin
        proplet = self._round.pop(device)
        self._round[device] = proplet
        return proplet
