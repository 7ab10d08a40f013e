"""The metrics of a hub, for Prometheus: read from its counters when they are asked for."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hub.api.counting import Requests
from hub.api.events import Feed
from hub.archivist import Archivist
from hub.core.counts import Histogram
from hub.core.engine import Engine
from hub.link.bridge import Bridge
from hub.runtime import Runtime
from hub.telemetry import LOG, PUBLISH, Telemetry
from shared import VERSION, states

_OUTCOMES = ("completed", "failed", "lost", "cancelled")
# counter of the link: what it counts, for metric motet_mqtt_<name>_total
_LINK = {
    "received": ("messages_received", "Messages from devices"),
    "sent": ("messages_sent", "Messages queued for devices"),
    "unsent": ("messages_unsent", "Messages for devices that could not take them"),
    "accepted": ("connections_accepted", "Connections of devices that were let in"),
    "taken_over": ("connections_taken_over", "Connections that ended because the device came anew"),
    "kicked": ("connections_kicked", "Connections that the hub ended because of a limit or a fault"),
    "denied": ("denied", "Publishes and subscribes outside a device's own topics"),
    "held_back": ("held_back", "Times a device was not read for a while because of its rate"),
    "errors": ("errors", "Faults of the hub while it heard a device"),
}
_REFUSED = ("full", "connect", "login")


def registry_of(
    runtime: Runtime, archivist: Archivist, bridge: Bridge, telemetry: Telemetry, feed: Feed, requests: Requests
) -> CollectorRegistry:
    """A registry of these parts and of the process; a new one each, so that hubs side by side do not meet."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_HubCollector(runtime, archivist, bridge, telemetry, feed, requests))
    return registry


class _HubCollector(Collector):
    def __init__(
        self,
        runtime: Runtime,
        archivist: Archivist,
        bridge: Bridge,
        telemetry: Telemetry,
        feed: Feed,
        requests: Requests,
    ) -> None:
        self._runtime = runtime
        self._archivist = archivist
        self._bridge = bridge
        self._telemetry = telemetry
        self._feed = feed
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        engine = self._runtime.engine
        yield _labelled(GaugeMetricFamily, "motet_info", "The hub, always 1", "version", {VERSION: 1})
        failed = self._runtime.failure is not None
        yield GaugeMetricFamily("motet_read_only", "1 when the store has failed and nothing can change", failed)
        yield from _tasks(engine)
        yield from _proplets(engine)
        yield from self._link()
        yield from self._store()
        yield from self._past()
        yield GaugeMetricFamily("motet_event_readers", "Open streams of events", self._feed.readers)
        yield from self._http()

    def _link(self) -> Iterator[Metric]:
        counters = self._bridge.link.counters
        for counter, (name, what) in _LINK.items():
            yield CounterMetricFamily(f"motet_mqtt_{name}", what, counters.get(counter, 0))
        refused = {why: counters.get(f"refused_{why}", 0) for why in _REFUSED}
        text = "Connections that were not let in: too many, no proper CONNECT, wrong credentials"
        yield _labelled(CounterMetricFamily, "motet_mqtt_connections_refused", text, "reason", refused)
        text = "Messages of devices that are not what the protocol says"
        yield _labelled(CounterMetricFamily, "motet_mqtt_messages_dropped", text, "kind", self._bridge.dropped)
        dropped = {kind: self._telemetry.dropped[kind] for kind in (LOG, PUBLISH)}
        text = "Log lines and messages of attempts that are not the current ones, or that are not allowed"
        yield _labelled(CounterMetricFamily, "motet_said_dropped", text, "kind", dropped)

    def _store(self) -> Iterator[Metric]:
        journal, modules = self._runtime.journal, self._runtime.engine.world.modules
        used, snapshot = journal.size_bytes
        yield GaugeMetricFamily("motet_journal_bytes", "Size of the journal in use", used)
        yield GaugeMetricFamily("motet_snapshot_bytes", "Size of the last snapshot", snapshot)
        yield CounterMetricFamily("motet_journal_changes", "Changes in the store, since it was new", journal.lsn)
        yield CounterMetricFamily("motet_journal_written_bytes", "Bytes written to the journal", journal.written_bytes)
        text = "Time of a write to the journal with its fdatasync"
        yield _histogram("motet_journal_fsync_seconds", text, (), [((), journal.syncs)])
        sizes = [module.doc.get("size_bytes", 0) + module.doc.get("prepared_size", 0) for module in modules.values()]
        yield GaugeMetricFamily("motet_modules", "Modules", len(sizes))
        quarantined = sum(1 for module in modules.values() if module.doc.get("quarantined"))
        yield GaugeMetricFamily("motet_modules_quarantined", "Modules that run nowhere until released", quarantined)
        yield GaugeMetricFamily("motet_module_bytes", "Bytes of all modules, as uploaded and as prepared", sum(sizes))

    def _past(self) -> Iterator[Metric]:
        archivist, history = self._archivist, self._archivist.history
        counts = {"task": history.tasks, "workflow": history.workflows, "job": history.jobs}
        yield _labelled(GaugeMetricFamily, "motet_history", "What has ended and is in the history", "kind", counts)
        yield GaugeMetricFamily("motet_history_bytes", "Size of the history", history.size_bytes)
        text = "Tasks that went to the history, came back from it, and left it for good"
        moved = {"moved": archivist.moved, "recalled": archivist.recalled, "discarded": archivist.discarded}
        yield _labelled(CounterMetricFamily, "motet_history_tasks", text, "way", moved)

    def _http(self) -> Iterator[Metric]:
        labels = ("method", "route", "status")
        answered = CounterMetricFamily("motet_http_requests", "Requests by route and status", labels=labels)
        for (method, route, status), count in self._requests.answered.items():
            answered.add_metric((method, route, str(status)), count)
        yield answered
        text = "Time from a request to the beginning of its answer"
        yield _histogram("motet_http_request_seconds", text, labels[:2], self._requests.seconds.items())


def _tasks(engine: Engine) -> Iterator[Metric]:
    world = engine.world
    counts = world.counts
    names = [name.lower() for name in states.NAMES]
    now = {name: counts.tasks(state) for state, name in enumerate(names)}
    moves = {name: counts.reached(state) for state, name in enumerate(names)}
    yield _labelled(GaugeMetricFamily, "motet_tasks", "Tasks in the store by state", "state", now)
    yield _labelled(CounterMetricFamily, "motet_task_transitions", "Times a task came to a state", "state", moves)
    yield GaugeMetricFamily("motet_queue_length", "Tasks that wait for a proplet", world.placer.length)
    yield GaugeMetricFamily("motet_workflows", "Workflows in the store", len(world.workflows))
    yield GaugeMetricFamily("motet_jobs", "Jobs in the store", len(world.jobs))
    sent = counts.reached(states.SCHEDULED)
    yield CounterMetricFamily("motet_dispatches", "Attempts that were sent to a proplet", sent)
    ended = {outcome: counts.attempts[outcome] for outcome in _OUTCOMES}
    yield _labelled(CounterMetricFamily, "motet_attempts", "Attempts that ended, by outcome", "outcome", ended)
    results = {"recorded": counts.recorded, "superseded": counts.superseded}
    text = "Results of proplets: recorded, or too late to count"
    yield _labelled(CounterMetricFamily, "motet_results", text, "kind", results)
    text = "Time from the moment a task may run to its dispatch"
    yield _histogram("motet_dispatch_latency_seconds", text, (), [((), counts.queued)])
    yield _histogram("motet_task_duration_seconds", "Time that completed tasks ran", (), [((), counts.ran)])


def _proplets(engine: Engine) -> Iterator[Metric]:
    proplets = list(engine.world.proplets.values())
    active = [proplet for proplet in proplets if proplet.alive and proplet.connected]
    status = {"active": len(active), "inactive": len(proplets) - len(active)}
    yield _labelled(GaugeMetricFamily, "motet_proplets", "Proplets by status", "status", status)
    slots = sum(proplet.slots for proplet in active)
    yield GaugeMetricFamily("motet_slots", "Slots of the active proplets", slots)
    busy = sum(len(proplet.running) for proplet in proplets)
    yield GaugeMetricFamily("motet_slots_busy", "Slots that hold a task, those of silent proplets too", busy)


def _labelled(
    kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
    name: str,
    text: str,
    label: str,
    values: Mapping[str, float],
) -> Metric:
    family = kind(name, text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def _histogram(
    name: str, text: str, labels: tuple[str, ...], found: Iterable[tuple[tuple[str, ...], Histogram]]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, histogram in found:
        bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum)
    return family
