"""Schedules: a task with `schedule`, `every` or `at` is a template, and each slot that comes fires a task of its own.

All times here are wall seconds. A slot is the nominal time of a firing; its task's id is made of template and slot,
and is created in the same record that moves `next_run` on, so that no slot fires twice, whatever happens in between.

When the wall clock is set back, the rule is that of Debian's cron. By less than three hours: slots go on where they
were, once that time has come again. By more: the old time was wrong, and slots go on by the new one at once.
`decided_at` is the time up to which a template's slots are decided, `corrections` how often such a time was given up.
That count is part of a slot's key: a nominal time that a corrected clock shows again is another slot. Where the clock
jumps on to a time that was `given_up`, as at a gateway that starts in the past until it has a network, it was right:
what was decided up to it counts.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import islice

from hub.core import flow, removal
from hub.core.cron import cron, zone
from hub.core.model import Doc, Task
from hub.core.timing import SLOT
from hub.core.world import World
from shared import states
from shared.errors import BadRequest

OVERLAPS = ("skip", "allow", "queue", "replace")
CATCHUPS = ("none", "latest", "all")
CATCHUP_MOST = 100
MISFIRE_GRACE_S = 60.0
EVERY_LEAST_S = 0.1
# As cron(8) of Debian: a clock that is set back by so much was wrong.
CORRECTED_S = 3 * 3600.0
GIVEN_UP_KEPT = 8
# A slot that is found so late came by a jump of the clock, or a hub that stood still.
LATE_S = 5.0
# Ended firings that stay beside their template.
FIRINGS_KEPT = 100
KINDS = ("schedule", "every", "at")
TIMED = frozenset(KINDS)
# What decides when a template is due: a change of one of these arms it anew.
TIMING = (*KINDS, "timezone", "is_recurring", "enabled", "start_at", "end_at", "max_runs")
# What a firing takes over from its template.
INHERITED = """
    name kind module image_url function abi params cli_args inputs env stdin allow limits daemon pinned_to user_id
    priority timeout metadata retries backoff backoff_base backoff_max backoff_jitter retry_on queue_timeout
    on_device_lost lost_after idempotent stop_grace_s cost placement resources cache
""".split()
_FAN = ["broadcast", "for_each", "max_items"]


def check(definition: Doc, wall: float) -> None:
    """Refuses a schedule that cannot be meant, before anything is kept; wall is now."""
    given = [key for key in KINDS if definition.get(key) is not None]
    if len(given) > 1:
        raise BadRequest(f"give one of schedule, every and at, not {' and '.join(given)}", "bad_schedule")
    if definition.get("timezone"):
        zone(definition["timezone"])
    if definition.get("schedule") is not None:
        cron(definition["schedule"], definition.get("timezone") or "UTC")
    if definition.get("at") is not None and definition["at"] <= wall:
        raise BadRequest("at is a time that has passed", "bad_at")
    if given and definition.get("depends_on"):
        raise BadRequest("a scheduled task starts by the clock: it cannot have depends_on", "bad_schedule")


def recurring(doc: Doc) -> bool:
    """is_recurring as it is printed: true by default with schedule and every."""
    value = doc.get("is_recurring")
    return doc.get("at") is None if value is None else value


# --- arming


def arm(world: World, task: Task) -> None:
    """Sets the template's next slot from now on; none when it is not to fire."""
    doc, wall = task.doc, world.now.wall
    decided = doc.get("decided_at") or wall
    same_slots = doc.get("schedule") is not None or (doc.get("every") is not None and doc.get("anchor") is not None)
    if doc.get("anchor") is None:
        world.write(task, {"anchor": _anchor(doc, wall)})
    if decided - wall >= CORRECTED_S:
        _give_up_time(world, task)
    elif same_slots:
        wall = max(wall, decided)
    _set_next(world, task, _first_slot(task.doc, wall))


def _first_slot(doc: Doc, wall: float) -> float | None:
    """The first slot after a moment at which the template may fire."""
    start = doc.get("start_at")
    after = wall if start is None else max(wall, math.nextafter(start, -math.inf))
    return _allowed(doc, _slot_after(doc, after))


def _anchor(doc: Doc, wall: float) -> float:
    """Where the intervals of `every` are counted from: the first is one interval after it."""
    start = doc.get("start_at")
    return wall if start is None or doc.get("every") is None else start - doc["every"]


def disarm(world: World, task: Task) -> None:
    world.write(task, {"next_run": None, "queued_slot": None})


def _set_next(world: World, task: Task, slot: float | None) -> None:
    wall = world.now.wall
    # What is decided stays so while the clock is a little back.
    world.write(task, {"next_run": slot, "decided_at": max(wall, task.doc.get("decided_at") or wall)})
    world.latest_wall = max(world.latest_wall, wall)
    if slot is not None:
        world.slots.add(slot, SLOT, task.id)


def _slot_after(doc: Doc, wall: float) -> float | None:
    """The first slot strictly after a moment, of the times alone."""
    if doc.get("schedule") is not None:
        return cron(doc["schedule"], doc.get("timezone") or "UTC").after(wall)
    if doc.get("every") is not None:
        anchor, every = doc["anchor"], doc["every"]
        # Counted from the anchor, not added up: no drift, and each slot has one value however it is reached.
        count = math.floor((wall - anchor) / every)
        while anchor + count * every <= wall:
            count += 1
        slot: float = anchor + count * every
        return slot
    at: float = doc["at"]
    return at if at > wall else None


def _allowed(doc: Doc, slot: float | None) -> float | None:
    """The slot, unless the template must not fire (any more)."""
    if slot is None or doc.get("enabled") is False or (doc.get("at") is None and not recurring(doc)):
        return None
    if doc.get("end_at") is not None and slot > doc["end_at"]:
        return None
    if doc.get("max_runs") is not None and doc.get("run_count", 0) >= doc["max_runs"]:
        return None
    return slot


# --- firing


def fire_due(world: World) -> None:
    """Fires every slot whose time has come. Called with each turn of time."""
    _notice_correction(world)
    for _, template in world.slots.due(world.now.wall):
        task = world.tasks.get(template)
        slot = None if task is None else task.doc.get("next_run")
        if task is None or slot is None:
            continue
        if slot > world.now.wall:
            continue  # moved since: that slot has an entry of its own
        grace = task.doc.get("misfire_grace")
        late_from = world.now.wall - (MISFIRE_GRACE_S if grace is None else grace)
        if slot < world.now.wall - LATE_S:
            slot = _undecided(task.doc, slot, world.now.wall)
        if slot is not None and slot < late_from:
            slot = _pass_over(world, task, slot, late_from)
        if slot is not None and slot <= world.now.wall:
            _fire(world, task, slot)
            slot = _allowed(task.doc, _slot_after(task.doc, slot))
        _advance(world, task, slot)


def _notice_correction(world: World) -> None:
    """Has the slots that wait for a time that was wrong go on by the present one."""
    wall = world.now.wall
    if world.latest_wall - wall < CORRECTED_S:
        world.latest_wall = max(world.latest_wall, wall)
        return
    world.latest_wall = wall
    for template in world.slots.names():
        task = world.tasks.get(template)
        if task is not None and task.doc.get("next_run") is not None and (task.doc.get("decided_at") or wall) > wall:
            _give_up_time(world, task)
            _advance(world, task, _first_slot(task.doc, wall))


def _give_up_time(world: World, task: Task) -> None:
    doc = task.doc
    given_up = [*(doc.get("given_up") or ()), doc["decided_at"]][-GIVEN_UP_KEPT:]
    world.write(task, {"decided_at": None, "given_up": given_up, "corrections": doc.get("corrections", 0) + 1})


def _undecided(doc: Doc, slot: float, wall: float) -> float | None:
    """The slot, or the first one after a time that was given up and is over by now."""
    over = [time for time in doc.get("given_up") or () if slot <= time <= wall]
    return _allowed(doc, _slot_after(doc, max(over))) if over else slot


def _pass_over(world: World, task: Task, slot: float, until: float) -> float | None:
    """Records the slots before a moment as missed; the first one that is not."""
    first_kept = _slot_after(task.doc, math.nextafter(until, -math.inf))
    missed = _count(task.doc, slot, math.nextafter(until, -math.inf))
    world.write(task, {"missed": task.doc.get("missed", 0) + missed, "last_missed": slot})
    return _allowed(task.doc, first_kept)


def _advance(world: World, task: Task, slot: float | None) -> None:
    _set_next(world, task, slot)
    if slot is None:
        world.write(task, {"enabled": False})
        world.ended.recent.append(task)


def _fire(world: World, task: Task, slot: float) -> None:
    """One slot: what its overlap rule makes of it while the firing before still runs."""
    running = _running(world, task)
    overlap = task.doc.get("overlap", "skip")
    if not _has_module(task.doc):
        _miss(world, task, slot)
    elif running is None or overlap == "allow":
        _launch(world, task, slot)
    elif overlap == "queue":
        if task.doc.get("queued_slot") is not None:
            _miss(world, task, slot)
        else:
            world.write(task, {"queued_slot": slot, "queued_in": task.doc.get("corrections", 0)})
    elif overlap == "replace":
        flow.stop_task(world, running, "replaced by the next firing of its schedule")
        _launch(world, task, slot)
    else:
        _miss(world, task, slot)


def _has_module(doc: Doc) -> bool:
    """Or will have one: a slot without is missed."""
    return bool(doc.get("module") or doc.get("image_url"))


def _miss(world: World, task: Task, slot: float) -> None:
    world.write(task, {"missed": task.doc.get("missed", 0) + 1, "last_missed": slot})


def _running(world: World, task: Task) -> Task | None:
    last = world.tasks.get(task.doc.get("last_firing") or "")
    return last if last is not None and last.state not in states.ENDED else None


def _launch(world: World, task: Task, slot: float, corrections: int | None = None) -> Task | None:
    """corrections: as they were when the slot came, unless it comes now."""
    if corrections is None:
        corrections = task.doc.get("corrections", 0)
    id = derived_id(task.id, (corrections, slot) if corrections else slot)
    if id in world.tasks:
        return None
    inherited = {key: task.doc[key] for key in (*INHERITED, *_FAN) if task.doc.get(key) is not None}
    origin = {"type": "schedule", "id": task.id}
    firing = world.admit({**inherited, "id": id, "origin": origin, "scheduled_for": slot}, None)
    world.write(task, {"last_run": slot, "last_firing": id, "run_count": task.doc.get("run_count", 0) + 1})
    _prune(world, task.id, id)
    flow.queue(world, firing)
    return firing


def derived_id(base: str, key: object) -> str:
    """The id of a task made out of another: the same for the same key, however often it is made."""
    digest = sha256(f"{base}\n{key!r}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"


def _prune(world: World, template: str, newest: str) -> None:
    """Lets the oldest ended firings go, so that a schedule does not grow without end."""
    firings = world.firings.setdefault(template, deque())
    firings.append(newest)
    for _ in range(len(firings) - FIRINGS_KEPT):
        oldest = world.tasks.get(firings[0])
        if oldest is not None and (oldest.state not in states.ENDED or oldest.children or oldest.links):
            break
        firings.popleft()
        if oldest is not None:
            removal.drop_task(world, oldest)


def follow(world: World, firing: Task) -> None:
    """A firing has ended: its template shows what came of it, and a queued slot goes next."""
    template = world.tasks.get(firing.doc["origin"]["id"])
    if template is None or template.doc.get("last_firing") != firing.id:
        return
    shown = {key: firing.doc.get(key) for key in ("results", "outputs", "error", "error_info")}
    world.write(template, {**shown, "updated_at": world.now.wall})
    queued = template.doc.get("queued_slot")
    if queued is not None:
        world.write(template, {"queued_slot": None})
        _launch(world, template, queued, template.doc.get("queued_in", 0))


# --- people


def start(world: World, task: Task) -> None:
    """On an armed template nothing changes; an ended or stopped one counts from 0 again and is armed."""
    if task.doc.get("next_run") is not None:
        return
    if task.state != states.PENDING:
        world.move(task, states.PENDING, {"finish_time": None, "error": None, "error_info": None})
    world.write(task, {"run_count": 0, "enabled": True, "anchor": None})
    arm(world, task)


def fire_now(world: World, task: Task) -> None:
    """One firing beside the schedule."""
    flow.check_module(task)
    _launch(world, task, world.now.wall)


def stop(world: World, task: Task, message: str | None) -> None:
    running = _running(world, task)
    disarm(world, task)
    flow.interrupt(world, task, message, "cancelled")
    if running is not None:
        flow.stop_task(world, running, message)


# --- a start of the hub


def note_firings(world: World, tasks: Iterable[Task]) -> None:
    """Finds firings of their templates among tasks, oldest first."""
    for task in tasks:
        origin = task.doc.get("origin")
        if origin and origin["type"] == "schedule":
            world.firings.setdefault(origin["id"], deque()).append(task.id)


def take_up(world: World) -> None:
    """Slots that passed while the hub was down are for `catchup` to decide."""
    note_firings(world, world.tasks.values())
    for task in list(world.tasks.values()):
        slot = task.doc.get("next_run")
        if slot is None:
            continue
        world.latest_wall = max(world.latest_wall, task.doc.get("decided_at") or -math.inf)
        if slot > world.now.wall:
            world.slots.add(slot, SLOT, task.id)
            continue
        slot = _undecided(task.doc, slot, world.now.wall)
        if slot is not None and slot <= world.now.wall:
            _catch_up(world, task, slot)
        else:
            _advance(world, task, slot)
    _notice_correction(world)


def _catch_up(world: World, task: Task, first: float) -> None:
    """Fires of the slots that passed none, the latest, or all (at most the latest 100), whatever their overlap."""
    doc, now = task.doc, world.now.wall
    until = now if doc.get("end_at") is None else min(now, doc["end_at"])
    most = {"none": 0, "latest": 1, "all": CATCHUP_MOST}[doc.get("catchup", "none")]
    fired = 0
    for slot in _latest(doc, first, until, most):
        if _allowed(task.doc, slot) is not None and _has_module(doc):
            _launch(world, task, slot)
            fired += 1
    missed = _count(doc, first, until) - fired
    if missed > 0:
        world.write(task, {"missed": task.doc.get("missed", 0) + missed, "last_missed": first})
    _advance(world, task, _allowed(task.doc, _slot_after(task.doc, now)))


def _latest(doc: Doc, first: float, until: float, most: int) -> list[float]:
    """The latest slots up to a moment, found from behind: a gateway may have been down for a year."""
    window = 60.0
    while most:
        begin = max(first, until - window)
        slots = list(_slots(doc, begin, until))
        if len(slots) >= most or begin == first:
            return slots[-most:]
        window *= 4
    return []


def _count(doc: Doc, first: float, until: float) -> int:
    """How many slots there are up to a moment, counted to a thousand: nobody needs the number beyond it."""
    return sum(1 for _ in islice(_slots(doc, first, until), 1000))


def _slots(doc: Doc, first: float, until: float) -> Iterator[float]:
    slot = _slot_after(doc, math.nextafter(first, -math.inf))
    while slot is not None and slot <= until:
        yield slot
        slot = _slot_after(doc, slot)
