"""Run by MicroPython: what the edge keeps in files, under power cuts at each operation; see tests.board.powercuts.

    micropython power.py lfs|fat SCENARIO MUTATION|- SECOND

A mutation is a fault put into the edge. Prints a JSON object: how many `cuts`, and the `faults` found.
"""

import gc
import json
import os
import sys
from binascii import hexlify
from hashlib import sha256

sys.path.pop(0)  # the folder of this file: a board has no tests
import board_config
import board_main
import motet_slots

from edge import agent, files, main, tasks
from edge.modules import Modules
from edge.outbox import Outbox
from tests.board.powercuts import ROOT, Check, Fat, Lfs

DATA = ROOT + "/motet"
gc.threshold(-1)  # edge.board has it small


class Scenario:
    def allows(self, state, before, after=None):
        return state in (before, after)

    def lost(self, state, done):
        return None


class Results(Scenario):
    """The outbox: results come, and go when the hub has them. As many as a board keeps: a folder of several blocks."""

    folder = DATA + "/outbox"

    def prepare(self):
        files.make_folder(self.folder)
        for name in "abcdefghijklm":
            self._put(name)()

    def steps(self):
        return [self._put("n"), self._put("o"), self._put("p"), self._drop("b"), self._put("q"), self._drop("o")]

    def _result(self, name):
        return json.dumps({"task": name, "attempt": 1, "ok": True, "text": name * 100}).encode()

    def _put(self, name):
        return lambda: Outbox(self.folder).put(name, 1, self._result(name))

    def _drop(self, name):
        return lambda: Outbox(self.folder).drop(name, 1)

    def look(self):
        outbox = Outbox(self.folder)
        tasks = [task for task, _ in outbox.keys()]  # noqa: SIM118 (it is no dict)
        for task in tasks:
            if outbox.get(task, 1) != self._result(task):
                return "the result of %s is %r" % (task, outbox.get(task, 1))
        return tasks

    def more(self):
        return [self._put("x"), self._put("y")]

    def follows(self, before, after):
        return after == [name for name in before if name not in "xy"] + ["x", "y"]


class Pairs(Scenario):
    """A file that is written again and again: what ran here."""

    path = DATA + "/seen"

    def prepare(self):
        files.make_folder(DATA + "/modules")
        files.make_folder(DATA + "/outbox")
        for name in ("/last", "/fault"):  # all that is in this folder: on FAT it matters in which block a name is
            files.write(DATA + name, b"x")

    def steps(self):
        return [self._write(number) for number in range(4)]

    def _write(self, number):
        return lambda: files.write(self.path, json.dumps([["task", number]] * 50).encode(), sync=False)

    def look(self):
        pairs = tasks.seen(self.path)
        if pairs not in ([], [("task", pairs and pairs[0][1])] * 50):
            return "torn: %r" % pairs
        return pairs[0][1] if pairs else -1

    def more(self):
        def step():
            self._write(self.look() + 1)()

        return [step, step]

    def follows(self, before, after):
        return after == before + 2


class Config(Pairs):
    """motet.json as `motet flash` writes it, among the other files of a board."""

    path = ROOT + "/" + board_main.CONFIG

    def prepare(self):
        files.make_folder(ROOT + "/lib/edge")
        for name in ("boot.py", "main.py", "lib/edge/main.mpy", "a file of its own.txt", "and another one.txt"):
            files.write(ROOT + "/" + name, name.encode() * 60)
        self._write(0)()

    def _write(self, number):
        def write():
            board_config.settle(self.path)
            with open(self.path + board_main.NEW, "w") as file:
                json.dump({"number": number, "wifi": ["x" * 200] * 3}, file)
            board_config.settle(self.path)

        return write

    def look(self):
        config = board_main.configuration(self.path)
        return config["number"] if config["wifi"] == ["x" * 200] * 3 else "torn: %r" % config


class Cache(Scenario):
    """Modules that come in chunks, to a cache that holds three of them."""

    folder = DATA + "/modules"

    def prepare(self):
        files.make_folder(self.folder)
        for step in self._add(0) + self._add(1) + self._add(2):
            step()

    def steps(self):
        return [step for number in (3, 4) for step in self._add(number)]

    def _content(self, number):
        return bytes([number, 7]) * 750

    def _add(self, number):
        """Each chunk as after a boot, which finds the part that is there."""
        data = self._content(number)
        name = hexlify(sha256(data).digest()).decode()

        def chunk():
            cache = Modules(self.folder, 5000)
            at = cache.part_size(name)
            if cache.path(name) is None:
                cache.append(name, at, len(data), data[at : at + 600], ())

        return [chunk] * 3

    def look(self):
        cache = Modules(self.folder, 5000)
        found = []
        for name in [name for name in cache.order if len(name) == 64]:
            path = cache.path(name)
            if path is None:
                return "a module is another"
            with open(path, "rb") as file:
                found.append(file.read(1)[0])
        return sorted(found)

    def allows(self, state, before, after=None):
        """A module that makes room goes before the chunk comes."""
        if after is None or isinstance(state, str):
            return state == before
        return set(before) & set(after) <= set(state) <= set(before) | set(after)

    def more(self):
        return self._add(11) + self._add(12)

    def follows(self, before, after):
        return after[-1] == 12 and set(after) <= set(before) | {11, 12}


class Hub:
    """The other end of an edge's link."""

    def __init__(self):
        self.posted = []

    def post(self, *message):
        self.posted.append(message)

    def welcomed(self, silence_s):
        pass


class Runner:
    def start(self, start, path, on_started, on_finished, on_event):
        self.finish = lambda: on_finished(start["task"], start["attempt"], {"ok": True, "text": "r" * 500})


class Whole(Results):
    """An edge that runs tasks: what has run is in its outbox for as long as the hub may not have written it down."""

    tasks = "abc"

    def prepare(self):
        files.make_folder(DATA + "/modules")
        self.module = hexlify(sha256(b"module").digest()).decode()
        files.write(DATA + "/modules/" + self.module, b"module")

    def steps(self):
        edge = main.Edge("dev", DATA, 1, {}, lambda line: None, Runner(), None)
        edge.link = Hub()
        self.ran, self.recorded = {}, {}  # task: the number of steps after which this is so
        welcome = {"epoch": 1, "time_ms": 1, "beat_s": 10, "lease_s": 30, "max_chunk": 1024}
        steps = [lambda: edge.do(edge.agent.connected(0)), self._hear(edge, "welcome", **welcome)]
        for task in self.tasks:
            start = {"task": task, "attempt": 1, "module": self.module, "size": 6, "name": "n", "limits": {}}
            steps.append(self._hear(edge, "start", **start))
            steps.append(lambda: edge.runner.finish())
            self.ran[task] = len(steps)
            steps.append(lambda task=task: edge.payload("result", (task, 1)))  # which the hub writes down
            self.recorded[task] = len(steps)
            steps.append(self._hear(edge, "ack", task=task, attempt=1))
        return steps

    def _hear(self, edge, kind, **fields):
        return lambda: edge.heard(json.dumps(dict(fields, type=kind)).encode())

    def look(self):
        edge = main.Edge("dev", DATA, 1, {}, lambda line: None, Runner(), None)
        return [task for task, _ in edge.agent.outbox]

    def lost(self, state, done):
        for task in self.tasks:
            if self.ran[task] <= done < self.recorded[task] and task not in state:
                return "the result of %s is gone, and the hub has not written it down" % task
        return None


class Slots(Scenario):
    """Updates of the edge: what a boot then starts is whole, whatever was being written."""

    root = ROOT + "/"
    names = ("edge/main.mpy", "edge/link.mpy", "shared/__init__.mpy")

    def prepare(self):
        files.make_folder(ROOT + "/motet")
        for name in self.names:
            self._write("lib/", name, 0)

    def _write(self, folder, name, version):
        files.make_folder(self.root + folder + name.split("/")[0])
        with open(self.root + folder + name, "wb") as file:
            file.write(self._content(name, version))

    def _content(self, name, version):
        return (name + str(version)).encode() * 40

    def _fill(self, name, version):
        return lambda: self._write(motet_slots.begin(self.root)[len(self.root) :] + "/", name, version)

    def _update(self, version):
        """As edge.update does it: files, the note, the start on trial, the word of the hub."""
        return [self._boot] + [self._fill(name, version) for name in self.names] + [self._ready, self._boot, self._keep]

    def _boot(self):
        motet_slots.choose(300, self.root)

    def _ready(self):
        motet_slots.try_next("package", self.root)

    def _keep(self):
        motet_slots.confirm(self.root)

    def steps(self):
        return self._update(1) + self._update(2) + self._update(3)

    def look(self):
        folder = motet_slots.choose(300, self.root) + "/"
        for version in range(10):
            if all(files.read(folder + name) == self._content(name, version) for name in self.names):
                return version
        return "what starts is not whole"

    def more(self):
        return self._update(9)

    def follows(self, before, after):
        return after == 9


SCENARIOS = {"slots": Slots, "outbox": Results, "seen": Pairs, "config": Config, "modules": Cache, "edge": Whole}


def remove_first():
    """On a file system that could rename over it."""
    nothing_beside()

    def write(path, data, sync=True):
        with open(path + ".new", "wb") as file:
            file.write(data)
        files.remove(path)
        os.rename(path + ".new", path)

    files.write = write


def half_written():
    def write(path, data, sync=True):
        for mode, half in (("wb", data[: len(data) // 2]), ("ab", data[len(data) // 2 :])):
            with open(path, mode) as file:
                file.write(half)

    files.write = write


def nothing_beside():
    """What a cut between FAT's removal and its renaming left is not looked for."""

    def read(path):
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError:
            return None

    files.read = read


def second_name_removed():
    """Of two names that FAT gave one file, the one beside goes alone, and with it the blocks of both."""

    def names(folder):
        for name in os.listdir(folder):
            if name.endswith(".new"):
                files.remove(folder + "/" + name)
        return sorted(os.listdir(folder))

    files.names = names


def dropped_before_ack():
    act = agent.Agent._act

    def eager(self, *action):
        act(self, *action)
        if action[0] == "report":
            act(self, "drop", *action[1:])

    agent.Agent._act = eager


def not_kept():
    Outbox.put = lambda self, task, attempt, payload: True


def filled_as_it_is():
    """The slot is filled while its note still says that it is to be tried."""

    def at_once(root=""):
        _, good, _, _ = motet_slots.read(root)
        motet_slots.write(good, motet_slots.READY, "x", root)
        return root + motet_slots.SLOTS[1 - good]

    motet_slots.begin = at_once


MUTATIONS = (remove_first, half_written, nothing_beside, second_name_removed, dropped_before_ack, not_kept,
             filled_as_it_is)  # fmt: skip


def start(kind, scenario, mutation, second):
    if mutation != "-":
        {known.__name__: known for known in MUTATIONS}[mutation]()
    check = Check(SCENARIOS[scenario](), {"lfs": Lfs, "fat": Fat}[kind], int(second))
    check.run()
    print(json.dumps({"cuts": check.cuts, "faults": check.faults}))


start(*sys.argv[1:])
