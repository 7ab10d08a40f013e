"""What a seed stands for: devices, weather, what people ask for and which faults come, each at its time.

A plan is data. Steps do not depend on each other's existence, so that any of them can be left out: what a person asks
of a task that is not there is refused, and that is all.
"""

import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.sim.device import Model
from tests.sim.modules import NAMES
from tests.sim.network import CALM, Weather


@dataclass(frozen=True)
class Step:
    """at: seconds from the beginning. verb: a method of People or Faults without its `do_`."""

    at: float
    verb: str
    what: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.at:8.3f} {self.verb:10} " + " ".join(f"{key}={value!r}" for key, value in self.what.items())


@dataclass(frozen=True)
class Plan:
    """calm: when the faults end. failing: the share of executions that fail."""

    seed: int
    devices: tuple[Model, ...]
    weather: Weather
    steps: tuple[Step, ...]
    calm: float
    failing: float

    def __str__(self) -> str:
        head = f"seed {self.seed}, calm from {self.calm:.0f} s, {self.failing:.0%} of executions fail"
        return "\n".join([head, str(self.weather), *map(str, self.devices), *map(str, self.steps)])

    @property
    def gentle(self) -> bool:
        """Nothing goes wrong in it: then nothing that a device runs is ever given up."""
        return self.weather.quick and all(step.verb not in FAULTS for step in self.steps)

    def without(self, at: int, count: int) -> "Plan":
        return replace(self, steps=self.steps[:at] + self.steps[at + count :])


# The verbs of Faults, and how often each.
FAULTS = {
    **{"crash": 8, "restart": 2, "flush_cut": 4, "journal_cut": 3, "snapshot_cut": 2},
    **{"disk_full": 1, "slow_disk": 1, "freeze_hub": 1},
    **{"wall": 2, "cut": 5, "reboot": 4, "freeze": 2, "forge": 2},
}


def make(seed: int) -> Plan:
    return _Maker(seed).plan()


class _Maker:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.calm = self.chance.choice((45.0, 90.0, 150.0))
        self.steps: list[Step] = []
        self.tokens = 0
        self.tasks: list[str] = []  # ids of tasks of their own
        self.groups: list[tuple[str, str]] = []
        self.templates: list[str] = []
        self.born: dict[str, float] = {}  # when each is made

    def plan(self) -> Plan:
        chance = self.chance
        count = chance.choice((1, 2, 3, 4, 5))
        faults = chance.choice((0, 8, 16, 30))
        self.roomy = not faults
        self.devices = tuple(self._device(f"d{at}") for at in range(1, count + 1))
        weather = Weather(
            loss=chance.choice((0.0, 0.0, 0.02, 0.1, 0.3)),
            double=chance.choice((0.0, 0.05, 0.3)),
            delay_s=chance.choice((0.005, 0.005, 0.005, 0.1, 1.0, 4.0)),
            reorder=chance.random() < 0.4,
        )
        if not faults and chance.random() < 0.5:
            weather = CALM
        for _ in range(chance.choice((8, 20, 40))):
            self._something()
        for _ in range(chance.choice((5, 20, 40))):
            self._interference()
        for _ in range(faults):
            self._fault()
        steps = sorted(self.steps, key=lambda step: step.at)
        return Plan(self.seed, self.devices, weather, tuple(steps), self.calm, chance.choice((0.05, 0.3, 0.6)))

    def _add(self, at: float, verb: str, **what: Any) -> None:
        self.steps.append(Step(round(min(at, self.calm - 0.1), 3), verb, what))

    def _when(self) -> float:
        return self.chance.uniform(1.0, self.calm)

    def _device(self, name: str) -> Model:
        chance = self.chance
        board = chance.random() < 0.5
        return Model(
            name,
            slots=chance.choice((1, 2)) if board else chance.choice((4, 8)),
            board=board,
            outbox=16 if self.roomy else chance.choice((2, 4, 16)),
            rate=chance.choice((1.0, 1.0, 0.97, 1.03)),
            labels=(("site", chance.choice("ab")),),
        )

    # --- what people make

    def _something(self) -> None:
        make = self.chance.choices(
            (self._task, self._workflow, self._job, self._template, self._daemon, self._fan, self._patient),
            (16, 6, 4, 4, 4, 4, 2),
        )[0]
        make(self.chance.uniform(1.0, 0.7 * self.calm))

    def _new(self, ids: list[Any], prefix: str, at: float) -> str:
        id = f"{prefix}{len(ids) + 1}"
        self.born[id] = at
        return id

    def _spec(self, **more: Any) -> dict[str, Any]:
        chance = self.chance
        self.tokens += 1
        spec: dict[str, Any] = {"name": "main", "module": chance.choice(NAMES), "inputs": [self.tokens]}

        def maybe(share: float, **fields: Any) -> None:
            if chance.random() < share:
                spec.update(fields)

        backoff = chance.choice(("none", "fixed", "fixed", "exponential"))
        maybe(0.6, retries=chance.choice((1, 2, 5, 15)), backoff=backoff, backoff_base=chance.choice((0.1, 10.0, 25.0)))
        maybe(0.2, on_device_lost=chance.choice(("retry", "fail", "wait", "interrupt")))
        maybe(0.1, idempotent=False)
        maybe(0.2, timeout=chance.choice((2.0, 30.0)))
        maybe(0.1, queue_timeout=chance.choice((5.0, 60.0)))
        maybe(0.2, priority=chance.randrange(101))
        target = chance.choice(self.devices)
        maybe(0.1, pinned_to=target.name)
        maybe(0.1, placement={"labels": dict(target.labels), "capabilities": [], "forbid": []})
        maybe(0.1, stop_grace_s=chance.choice((1.0, 5.0)))
        maybe(0.1, lost_after=chance.choice((10.0, 60.0)))
        maybe(0.05, cache={"ttl": 60.0})
        spec.update(more)
        return spec

    def _task(self, at: float) -> None:
        chance = self.chance
        id = self._new(self.tasks, "t", at)
        spec = self._spec(id=id)
        older = [other for other in self.tasks if self.born[other] < at]
        if older and chance.random() < 0.3:
            spec["depends_on"] = chance.sample(older, min(len(older), chance.choice((1, 2))))
        self.tasks.append(id)
        if chance.random() < 0.1:
            spec["dedup_key"] = "one at a time"
        workflows = [group for kind, group in self.groups if kind == "workflow" and self.born[group] < at]
        if workflows and chance.random() < 0.2:
            spec["workflow_id"] = chance.choice(workflows)
        self._add(at, "task", spec=spec)
        if chance.random() < 0.9:
            self._add(at + chance.choice((0.05, 3.0)), "start", kind="task", id=id)

    def _patient(self, at: float) -> None:
        """A request with a key, made until there is an answer: one task comes of it, which the hub names."""
        self._add(at, "patient", spec=self._spec(), key=f"key-{self.tokens}")

    def _graph(self, group: str) -> list[dict[str, Any]]:
        chance = self.chance
        specs: list[dict[str, Any]] = []
        for at in range(chance.choice((2, 3, 5))):
            spec = self._spec(id=f"{group}-{at}")
            parents = chance.sample(range(at), min(at, chance.choice((0, 1, 1, 2))))
            if parents:
                spec["depends_on"] = [f"{group}-{parent}" for parent in sorted(parents)]
                if chance.random() < 0.3:
                    spec["run_if"] = chance.choice(("failure", "always"))
                if chance.random() < 0.2:
                    spec["on_dep_failure"] = chance.choice(("fail", "run-anyway"))
                if chance.random() < 0.3:
                    spec["inputs"] = [*spec["inputs"], "$" + spec["depends_on"][0]]
            specs.append(spec)
        return specs

    def _options(self) -> dict[str, Any]:
        chance = self.chance
        options: dict[str, Any] = {}
        if chance.random() < 0.3:
            options["fail_fast"] = True
        if chance.random() < 0.3:
            options["max_parallel"] = chance.choice((1, 2))
        if chance.random() < 0.2:
            options["timeout"] = chance.choice((20.0, 100.0))
        return options

    def _workflow(self, at: float) -> None:
        id = self._new(self.groups, "w", at)
        self.groups.append(("workflow", id))
        self._add(at, "workflow", id=id, specs=self._graph(id), options=self._options())
        self._add(at + 0.1, "start", kind="workflow", id=id)

    def _job(self, at: float) -> None:
        id = self._new(self.groups, "j", at)
        self.groups.append(("job", id))
        mode = self.chance.choice(("parallel", "sequential", "configurable"))
        self._add(at, "job", id=id, mode=mode, specs=self._graph(id), options=self._options())
        self._add(at + 0.1, "start", kind="job", id=id)

    def _template(self, at: float) -> None:
        chance = self.chance
        id = self._new(self.templates, "s", at)
        self.templates.append(id)
        when: dict[str, Any] = chance.choice(
            ({"every": 7.0}, {"every": 20.5}, {"schedule": "* * * * *"}, {"at_in": chance.uniform(5, 60)})
        )
        overlap = chance.choice(("skip", "allow", "queue", "replace"))
        catchup = chance.choice(("none", "latest", "all"))
        self._add(at, "template", spec=self._spec(id=id, overlap=overlap, catchup=catchup, **when))

    def _daemon(self, at: float) -> None:
        id = self._new(self.tasks, "t", at)
        self.tasks.append(id)
        self._add(at, "task", spec=self._spec(id=id, daemon=True))
        self._add(at + 0.1, "start", kind="task", id=id)
        if self.chance.random() < 0.5:
            self._add(at + self.chance.uniform(1, 30), "stop", kind="task", id=id)

    def _fan(self, at: float) -> None:
        id = self._new(self.tasks, "t", at)
        self.tasks.append(id)
        spec = self._spec(id=id)
        if self.chance.random() < 0.5:
            spec["broadcast"] = True
        else:
            token = spec.pop("inputs")[0]
            spec["for_each"] = [[token, item] for item in range(self.chance.choice((0, 1, 4)))]
        self._add(at, "task", spec=spec)
        self._add(at + 0.1, "start", kind="task", id=id)

    # --- what people do to what there is

    def _interference(self) -> None:
        chance = self.chance
        kind, id = chance.choice([("task", id) for id in self.tasks + self.templates] + self.groups or [("task", "t1")])
        at = chance.uniform(self.born.get(id, 1.0), self.calm)
        verb = chance.choice(("stop", "stop", "start", "start", "retry", "anew", "anew", "delete", "copy", "archive",
                              "link", "change", "stop_all", "forget"))  # fmt: skip
        if verb == "stop":
            self._add(at, "stop", kind=kind, id=id, finish_running=chance.random() < 0.2)
        elif verb == "retry":
            self._add(at, "retry", kind=kind, id=id)
        elif verb == "start":
            self._add(at, "start", kind=kind, id=id, now=id in self.templates)
        elif verb == "delete" and kind != "job":
            self._add(at, "delete", kind=kind, id=id)
        elif verb == "forget":
            self._add(at, "delete", kind="proplet", id=chance.choice(self.devices).name)
        elif verb == "anew" and id in self.tasks:
            self._anew(at, id)
        elif verb in ("copy", "archive", "link") and kind != "job":
            self.tokens += 1
            self._add(at, "duplicate", mode=verb, kind=kind, id=id, fresh_id=f"c{self.tokens}")
        elif verb == "change" and id in self.tasks:
            self._add(at, "change", id=id, fields=self._change(id))
        elif verb == "stop_all" and chance.random() < 0.1:
            self._add(at, "stop_all", finish_running=chance.random() < 0.3)

    def _change(self, id: str) -> dict[str, Any]:
        older = [other for other in self.tasks if self.born[other] < self.born[id]]
        changes: list[dict[str, Any]] = [
            {"priority": self.chance.randrange(101)},
            {"queue_timeout": None},
            {"broadcast": True},
            {"depends_on": self.chance.sample(older, min(len(older), 2))},
        ]
        return self.chance.choice(changes)

    def _anew(self, at: float, id: str) -> None:
        """The same id again, for another task."""
        self._add(at, "stop", kind="task", id=id)
        gone = at + self.chance.choice((0.5, 5.0, 20.0))
        self._add(gone, "delete", kind="task", id=id)
        again = gone + self.chance.choice((0.2, 10.0))
        self._add(again, "task", spec=self._spec(id=id))
        self._add(again + 0.05, "start", kind="task", id=id)

    # --- faults

    def _fault(self) -> None:
        chance = self.chance
        at, device = self._when(), chance.choice(self.devices).name
        verb = chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        # Half of the deaths are kills; the power cuts behind them come before the next start has written, or later.
        again = chance.choice((None, None, None, 0.001, 0.004, 0.1))
        what: dict[str, Any] = {
            "crash": {"seconds": chance.choice((0.1, 0.1, 3.0, 20.0)), "again": again},
            "restart": {"seconds": 0.1},
            "flush_cut": {"after": chance.choice((1, 2, 3, 4, 10, 60)), "seconds": chance.choice((0.1, 5.0)),
                          "again": again},
            "journal_cut": {"after": chance.choice((2, 4, 5, 6, 6, 6)), "seconds": 0.1,
                            "again": chance.choice((None, 1.0, 1.0, 5.0))},
            "snapshot_cut": {"after": chance.choice((1, 2, 3)), "seconds": 0.1, "again": again},
            "disk_full": {"seconds": chance.choice((0.5, 10.0))},
            "slow_disk": {"seconds": 20.0, "flush_s": chance.choice((0.3, 0.3, 2.0, 10.0))},
            "freeze_hub": {"seconds": chance.choice((2.0, 10.0, 40.0))},
            "wall": {"seconds": chance.choice((-86400.0, -14400.0, -10.0, 10.0, 3600.0, 86400.0))},
            "cut": {"device": device, "seconds": chance.choice((0.0, 0.0, 5.0, 40.0)),
                    "device_after": chance.choice((0.0, 0.0, 0.0, 10.0, 45.0)),
                    "hub_after": chance.choice((0.0, 0.0, 10.0, 45.0))},
            "reboot": {"device": device, "power_cut": chance.random() < 0.6,
                       "seconds": chance.choice((0.1, 0.1, 5.0, 40.0))},
            "freeze": {"device": device, "seconds": chance.choice((5.0, 40.0))},
            "forge": {"device": device, "ok": chance.random() < 0.5},
        }[verb]  # fmt: skip
        self._add(at, verb, **what)
