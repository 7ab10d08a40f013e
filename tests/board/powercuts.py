"""Power cuts at each operation of a device in memory, on MicroPython's own file systems.

A scenario is some steps on a file system, whose device keeps what it was told to program and erase. For each of these
operations there is then a device that had its power cut there: the operation is not done, or half, and nothing after
it. On each of them the edge starts anew, and must find what was there before the step or after it. Then it goes on: a
cut may leave a file system on which only the next write does the harm.

A scenario has

    prepare()       makes what is there at first
    steps()         functions, one step each
    look()          a boot: what it finds, to be compared
    more()          the steps of a device that goes on; follows(before, after) says whether what it then has is right
    allows(state, before, after=None)   whether a cut within a step, or after the last one, may leave this state
    lost(state, n)  what a state lacks after n steps, None when nothing
"""

import vfs

ROOT = "/m"


class Device:
    """`log` has (block, offset, data) of what was programmed, and of an erase with data None."""

    block = 512

    def __init__(self, memory):
        self.memory = memory
        self.log = []

    def ioctl(self, what, block):
        if what == 4:
            return len(self.memory) // self.block
        if what == 5:
            return self.block
        if what == 6 and self.erases:
            self._do(block, 0, None)
        return 0

    def readblocks(self, block, buffer, offset=0):
        at = block * self.block + offset
        buffer[:] = memoryview(self.memory)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        for at in range(0, len(buffer), self.block):  # FatFs writes several at once, and a cut comes in between, too
            self._do(block + at // self.block, offset, bytes(buffer[at : at + self.block]))

    def _do(self, *operation):
        self.log.append(operation)
        apply(self.memory, self.block, operation, 1)


class Lfs(Device):
    """With blocks so small that LittleFS compacts often, which is when it moves most."""

    erases = True
    blocks = 96

    def mount(self):
        vfs.mount(vfs.VfsLfs2(self, readsize=512, mtime=True), ROOT)

    def format(self):
        vfs.VfsLfs2.mkfs(self, readsize=512)


class Fat(Device):
    erases = False
    blocks = 128

    def mount(self):
        vfs.mount(vfs.VfsFat(self), ROOT)

    def format(self):
        vfs.VfsFat.mkfs(self)


def apply(memory, block_bytes, operation, share):
    """Do an operation, or the first share of it."""
    block, offset, data = operation
    if data is None:
        data = b"\xff" * block_bytes
    at = block * block_bytes + offset
    count = int(len(data) * share)
    memory[at : at + count] = data[:count]


def on(device, function, *arguments):
    """What a function gives with this device's file system in its place."""
    device.mount()
    try:
        return function(*arguments)
    finally:
        vfs.umount(ROOT)


class Run:
    """Steps from a memory on: states[n] is what a boot finds after n of them, ends[n] the operations done by then."""

    def __init__(self, look, kind, memory, steps):
        self.kind = kind
        self.base = bytes(memory)
        device = kind(bytearray(memory))
        self.log = device.log
        self.states = [found(look, kind, memory)]
        self.ends = [0]
        for step in steps:
            on(device, step)
            self.states.append(found(look, kind, device.memory))
            self.ends.append(len(device.log))

    def cuts(self):
        """(where, memory, steps) of each; steps: the numbers of them that may have been done by then, at least one."""
        memory = bytearray(self.base)
        for at in range(len(self.log) + 1):
            last = sum([end <= at for end in self.ends]) - 1
            steps = [number for number, end in enumerate(self.ends) if end == at] or [last]
            yield "before operation %d" % at, bytearray(memory), steps
            if at < len(self.log):
                half = bytearray(memory)
                apply(half, self.kind.block, self.log[at], 0.5)
                yield "in operation %d" % at, half, [last]
                apply(memory, self.kind.block, self.log[at], 1)


def found(look, kind, memory):
    """What a boot finds in this memory, which stays as it is."""
    return on(kind(bytearray(memory)), look)


class Check:
    """`cuts` made and `faults` found. second: each nth device has its power cut again, at each operation of its life
    after the first; 0: none."""

    def __init__(self, scenario, kind, second):
        self.scenario = scenario
        self.kind = kind
        self.second = second
        self.cuts = 0
        self.faults = []

    def run(self):
        device = self.kind(bytearray(self.kind.blocks * self.kind.block))
        device.format()
        on(device, self.scenario.prepare)
        run = Run(self.scenario.look, self.kind, device.memory, self.scenario.steps())
        for where, memory, steps in run.cuts():
            self.cuts += 1
            self._try("cut %s of %d" % (where, len(run.log)), self._after, run, memory, steps)
            if self.second and self.cuts % self.second == 0:
                self._cut_again(memory)

    def _try(self, where, function, *arguments):
        try:
            fault = function(*arguments)
        except Exception as error:
            fault = repr(error)
        if fault:
            self.faults.append(where + ": " + fault)

    def _after(self, run, memory, steps):
        look, follows = self.scenario.look, self.scenario.follows
        state = found(look, self.kind, memory)
        lost = [fault for fault in [self.scenario.lost(state, number) for number in steps] if fault]
        fault = lost[0] if lost else self._differs(state, run, steps)
        if fault:
            return fault
        device = self.kind(bytearray(memory))
        on(device, self._go_on)
        last = found(look, self.kind, device.memory)
        return None if follows(state, last) else "%r, and when it has gone on %r" % (state, last)

    def _go_on(self):
        self.scenario.look()
        for step in self.scenario.more():
            step()

    def _cut_again(self, memory):
        life = self.scenario.more()
        life.insert(0, self.scenario.look)
        going = Run(self.scenario.look, self.kind, memory, life)
        for where, memory, steps in going.cuts():
            self.cuts += 1
            self._try("a cut, and one %s of %d" % (where, len(going.log)), self._after_both, going, memory, steps)

    def _after_both(self, going, memory, steps):
        return self._differs(found(self.scenario.look, self.kind, memory), going, steps)

    def _differs(self, state, run, steps):
        allowed = run.states[steps[-1] : steps[-1] + 2]
        if not self.scenario.allows(state, *allowed):
            return "%r, which is none of %r" % (state, allowed)
        return None
