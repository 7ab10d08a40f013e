"""A stage for the engine: a clock that the test moves, a store that is a dictionary, devices that are names."""

from collections import Counter
from dataclasses import replace
from typing import Any

from hub.core import commands
from hub.core.checks import violations
from hub.core.ended import Unit
from hub.core.engine import Engine
from hub.core.model import ATTEMPTS, TASKS, Doc, Now, Policy, Send, Task
from hub.core.world import old_attempts
from shared import states

MODULE = "a" * 64


def spec(name: str, depends_on: list[str] | None = None, **more: Any) -> Doc:
    doc: Doc = {"id": name, "name": name, "module": MODULE, **more}
    return doc | {"depends_on": depends_on} if depends_on else doc


def copied(tables: dict[str, dict[str, Doc]], unit: Unit) -> dict[str, dict[str, Doc]]:
    """What the history gets of a unit."""
    ids = {TASKS: [task.id for task in unit.tasks], ATTEMPTS: [id for task in unit.tasks for id in old_attempts(task)]}
    for group in unit.groups:
        ids.setdefault(group.table, []).append(group.id)
    return {table: {id: tables[table][id] for id in some} for table, some in ids.items() if some}


class Play:
    """Engine.apply with time, and the invariants checked after each command."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self.engine = Engine(self.policy)
        self.mono = 1000.0
        self.wall = 1.7e9  # at the monotonic second 0
        self.tables: dict[str, dict[str, Doc]] = {}
        self.sent: list[Send] = []
        self.discarded: list[str] = []
        self.fetches: list[str] = []
        self.history: dict[int, Any] = {}
        self.module(MODULE)

    def do(self, command: Any) -> Any:
        outcome = self.engine.apply(Now(self.mono, self.wall + self.mono), command)
        self._keep(outcome)
        return outcome.reply

    def _keep(self, outcome: Any) -> None:
        assert outcome.puts or not outcome.quiet
        for put in [*outcome.puts, *outcome.quiet]:
            docs = self.tables.setdefault(put.table, {})
            if put.doc is None:
                docs.pop(put.id, None)
            elif put.changed is None:
                docs[put.id] = put.doc
            else:
                docs[put.id] = {**docs[put.id], **{key: put.doc[key] for key in put.changed}}
        self.sent += outcome.sends
        self.discarded += outcome.discards
        self.fetches += outcome.fetches
        found = violations(self.engine)
        assert found == []

    def restart(self) -> None:
        """kill -9 of the hub: all that is left is what was kept."""
        self.engine = Engine(self.policy)
        bygone = Counter(
            doc["module"] for unit in self.history.values() for doc in unit[TASKS].values() if doc.get("module")
        )
        self._keep(self.engine.load(Now(self.mono, self.wall + self.mono), self.tables, bygone))

    # --- the history: units by number, as their tables

    def archive(self, keep_tasks: int = 0, at_a_time: int = 100) -> dict[int, Any]:
        """Moves what has ended to the history, as the hub does; all that went."""
        self.engine.world.policy = replace(self.policy, keep_tasks=keep_tasks)
        moved: dict[int, Any] = {}
        while self.do(commands.Retire(at_a_time))[1]:
            units = {unit.number: copied(self.tables, unit) for unit in self.engine.world.ended.moving}
            if units:
                stale = self.do(commands.Retired())
                moved |= {number: tables for number, tables in units.items() if number not in stale}
                self.do(commands.Settled(stale))
        self.history |= moved
        return moved

    def recall(self, number: int) -> None:
        assert self.do(commands.Recall(number, self.history.pop(number)))
        self.do(commands.Settled([number]))

    # --- people

    def module(self, id: str, *functions: str, **doc: Any) -> None:
        """Adds a module of which the hub knows this; its functions, by default main, add two numbers."""
        type_ = {"kind": "func", "params": ["i32", "i32"], "results": ["i32"]}
        exports = [{"name": name, **type_} for name in functions or ("main",)]
        forms = {"id": id, "size_bytes": 41, "prepared": f"{id[:32]}{32 * 'f'}", "prepared_size": 60}
        self.do(commands.AddModule({**forms, "exports": exports, **doc}))

    def workflow(self, *specs: Doc, start: bool = True) -> None:
        self.do(commands.CreateWorkflow("wf", "wf", list(specs), [f"fresh-{at}" for at in range(len(specs))]))
        if start:
            self.do(commands.Start("workflow", "wf"))

    def job(self, mode: str, *specs: Doc, start: bool = True) -> None:
        self.do(commands.CreateJob("job", "job", mode, list(specs), [f"fresh-{at}" for at in range(len(specs))]))
        if start:
            self.do(commands.Start("job", "job"))

    def task(self, name: str, start: bool = True, **more: Any) -> None:
        self.do(commands.CreateTask(spec(name, **more), f"fresh-{name}"))
        if start:
            self.do(commands.Start("task", name))

    def form(self, id: str) -> str:
        """The prepared form of a module, as devices know it."""
        prepared: str = self.engine.world.modules[id].doc["prepared"]
        return prepared

    # --- devices

    def join(
        self, device: str, slots: int = 4, boot: str = "boot", running: Any = (), outbox: Any = (), **more: Any
    ) -> None:
        self.do(commands.Connected(device))
        self.do(commands.Hello(device, {
            "proto": 1, "boot": boot, "agent": "0", "runtime": "test", "caps": {}, "mem_free": 1, "mem_total": 1,
            "slots": slots, "running": running, "outbox": outbox, **more,
        }))  # fmt: skip

    def beat(self, device: str, *running: tuple[str, int]) -> None:
        fields = {"boot": "boot", "seq": 1, "mem_free": 1, "uptime_s": 1, "running": list(running)}
        self.do(commands.Beat(device, fields))

    def take(self, kind: str) -> list[Send]:
        """The messages of this kind since the last look at it."""
        taken = [send for send in self.sent if send.kind == kind]
        self.sent = [send for send in self.sent if send.kind != kind]
        return taken

    def starts(self) -> list[str]:
        return [send.fields["task"] for send in self.take("start")]

    def begin(self, name: str) -> None:
        task = self.at(name)
        self.do(commands.Started(task.doc["proplet_id"], name, task.attempt))

    def end(self, name: str, ok: bool = True, outputs: Any = (30,), code: str = "trap_div0") -> None:
        task = self.at(name)
        fields: Doc = {"ok": ok}
        fields |= {"outputs": list(outputs), "text": "30\n"} if ok else {"error": {"code": code, "message": "no"}}
        self.do(commands.Result(task.doc["proplet_id"], name, task.attempt, fields))

    # --- looking

    def at(self, name: str) -> Task:
        return self.engine.world.tasks[name]

    def states(self, *names: str) -> list[str]:
        return [states.NAMES[self.at(name).state] for name in names]

    def pass_time(self, seconds: float) -> None:
        """Ticks at every deadline on the way, as the runtime does."""
        end = self.mono + seconds
        while (due := self.engine.next_deadline()) is not None and due <= end:
            self.mono = max(self.mono, due)
            self.do(commands.Tick())
        self.mono = end
