"""Metrics of a worker. Enters: what tasks report; leaves: Prometheus text. Labels are bounded."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from streams.core.stage import OPEN_INCIDENTS
from streams.core.window.standing import SLOWEST, STATUSES

LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
RESTORE_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
TRANSACTION_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# What `window` counts among its readings, as outcomes of late ones.
LATE: Final = {
    ("readings", "late"): "revised",
    ("readings", "beyond_horizon"): "beyond_horizon",
    ("readings", "unavailable"): "unavailable",
}
OUTCOMES: Final = frozenset(LATE.values())

# When a counter was made is no measurement, and would double the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library declares none here


class Metrics:
    """All metrics of one worker process, in a registry of their own. Every name is part of the public contract."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.look_back = LookBackMetrics(registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"plantweave_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"plantweave_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"plantweave_{name}", text, buckets=buckets, registry=registry)

        self._records = counter("records_total", "Rows taken from input topics", "topic")
        self._written = counter("records_written_total", "Rows written to output topics", "topic")
        self._counts = counter("events_total", "Events by kind and label", "kind", "label")
        self._rejects = counter("rejects_total", "Records rejected, by reason", "reason")
        self._late = counter("late_readings_total", "Readings after the watermark, by what became of them", "outcome")
        self._discards = counter("task_discards_total", "Tasks given up and restored", "why")
        self._seeks = counter("task_seeks_total", "Lost fetches asked for again")
        self._restore = histogram("restore_seconds", "Restoring a task", RESTORE_BUCKETS)
        self._restored = counter("restored_records_total", "State records read by restores")
        self._transaction = histogram("transaction_seconds", "One transaction", TRANSACTION_BUCKETS)
        latency = "Broker time of the oldest input to the commit of what came of it"
        self._latency = histogram("latency_seconds", latency, LATENCY_BUCKETS)
        self._state_bytes = counter("state_bytes_total", "Bytes written to the state topic")
        self._open = gauge("tasks_open", "Tasks that are open")
        self._assigned = gauge("tasks_assigned", "Tasks that are assigned")
        self._ready = gauge("ready", "1 where /ready says yes")
        self._restoring = gauge("restore_progress_ratio", "Share of the state read", "partition")
        self._watermark = gauge("watermark_lag_seconds", "Now minus the task's watermark", "partition")
        self._lag = gauge("consumer_lag_records", "Last stable offset minus position", "topic", "partition")
        self._windows = gauge("open_windows", "Windows that have begun and are not closed", "partition")
        self._incidents = gauge("open_incidents", "Incidents that are open", "partition", "site")
        self._sources = gauge("sources", "Sources, by what they do to the watermark", "partition", "status")
        self._slowest = gauge(
            "slowest_source_lag_seconds", "Now minus the event time of the slowest living sources", "partition", "rank"
        )
        self._context = gauge("context_version", "Changes of context applied")
        self._rows = gauge("state_rows", "Rows in a task's tables", "partition", "table")

    def records(self, topic: str, count: int) -> None:
        """Rows of an input topic were taken."""
        self._records.labels(topic).inc(count)

    def written(self, topic: str, count: int) -> None:
        """Rows go to an output topic."""
        self._written.labels(topic).inc(count)

    def counts(self, counts: Mapping[tuple[str, str], int]) -> None:
        """What the core counted; rejects and late readings have metrics of their own."""
        for (kind, label), count in counts.items():
            if not count:
                continue
            if kind == "rejects":
                self._rejects.labels(label).inc(count)
            elif kind == "late" or (kind, label) in LATE:
                # Of a late reading `alert` counts the rules that it would have concerned: no labels of their own here.
                outcome = LATE.get((kind, label), label)
                self._late.labels(outcome if outcome in OUTCOMES else "for_alert").inc(count)
            else:
                self._counts.labels(kind, label).inc(count)

    def discarded(self, why: str) -> None:
        """A task was given up."""
        self._discards.labels(why).inc()

    def sought(self) -> None:
        """A lost fetch was asked for again."""
        self._seeks.inc()

    def restoring(self, partition: int, done: int, total: int) -> None:
        """Progress of a restore."""
        self._restoring.labels(str(partition)).set(done / total if total else 1.0)

    def restored(self, partition: int, seconds: float, records: int) -> None:
        """A restore is done."""
        self._restoring.labels(str(partition)).set(1.0)
        self._restore.observe(seconds)
        self._restored.inc(records)

    def committed(self, seconds: float, ingest_us: int | None, size: int) -> None:
        """A transaction is committed; `ingest_us` is the broker time of its oldest input, `size` that of its state."""
        self._transaction.observe(seconds)
        self._state_bytes.inc(size)
        if ingest_us is not None:
            self._latency.observe(max(0.0, time.time() - ingest_us / 1e6))

    def task(self, partition: int, watermark_us: int | None, rows: Mapping[str, int], lags: Mapping[str, int]) -> None:
        """State of one open task, sampled; `lags` by topic."""
        if watermark_us is not None and watermark_us > 0:  # before the first reading there is none
            self._watermark.labels(str(partition)).set(time.time() - watermark_us / 1e6)
        for table, count in rows.items():
            self._rows.labels(str(partition), table).set(count)
        for topic, lag in lags.items():
            self._lag.labels(topic, str(partition)).set(lag)

    def gauges(self, partition: int, gauges: Mapping[str, int]) -> None:
        """Present numbers of a task, as the core told them."""
        if (count := gauges.get("open_windows")) is not None:
            self._windows.labels(str(partition)).set(count)
        for name, number in gauges.items():
            if name.startswith(OPEN_INCIDENTS):
                site = name.removeprefix(OPEN_INCIDENTS)
                self._incidents.labels(str(partition), site).set(number)
        for status in STATUSES:
            if (count := gauges.get(f"sources_{status}")) is not None:
                self._sources.labels(str(partition), status).set(count)
        for rank in range(1, SLOWEST + 1):
            if (event_time_us := gauges.get(f"slowest_source_{rank}")) is not None:
                self._slowest.labels(str(partition), str(rank)).set(time.time() - event_time_us / 1e6)
            elif "sources_holding" in gauges:  # told, and there are fewer living ones by now
                _remove(self._slowest, str(partition), str(rank))

    def forget(self, partition: int, topics: tuple[str, ...], tables: tuple[str, ...]) -> None:
        """A task went to another worker: its gauges go with it."""
        label = str(partition)
        for gauge in (self._watermark, self._windows, self._restoring):
            _remove(gauge, label)
        self._incidents.remove_by_labels({"partition": label})
        for status in STATUSES:
            _remove(self._sources, label, status)
        for rank in range(1, SLOWEST + 1):
            _remove(self._slowest, label, str(rank))
        for table in tables:
            _remove(self._rows, label, table)
        for topic in topics:
            _remove(self._lag, topic, label)

    def tasks(self, open_: int, assigned: int, ready: bool, context_version: int) -> None:
        """Numbers of tasks, and readiness."""
        self._open.set(open_)
        self._assigned.set(assigned)
        self._ready.set(ready)
        self._context.set(context_version)

    def text(self) -> bytes:
        """Prometheus exposition text."""
        return generate_latest(self.registry)


class LookBackMetrics:
    """Of readings of the past, read once more for corrections."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._outcomes = Counter(
            "plantweave_look_backs_total", "Look-backs, by what came of them", ["outcome"], registry=registry
        )
        self._readings = Counter(
            "plantweave_reread_readings_total", "Readings read once more for corrections", registry=registry
        )
        self._seconds = Histogram(
            "plantweave_look_back_seconds",
            "One look-back, from its begin to its corrections",
            buckets=RESTORE_BUCKETS,
            registry=registry,
        )
        self._progress = Gauge(
            "plantweave_look_back_progress_ratio", "Share read; there while one runs", ["partition"], registry=registry
        )

    def outcome(self, outcome: str) -> None:
        """One has begun, ended, failed, or was dropped with its task."""
        self._outcomes.labels(outcome).inc()

    def took(self, seconds: float) -> None:
        """One has ended."""
        self._seconds.observe(seconds)

    def progress(self, partition: int, share: float | None) -> None:
        """How far the running one is; None: none runs."""
        if share is None:
            _remove(self._progress, str(partition))
        else:
            self._progress.labels(str(partition)).set(share)

    def readings(self, count: int) -> None:
        """Readings were given to one."""
        self._readings.inc(count)


def _remove(gauge: Gauge, *labels: str) -> None:
    try:
        gauge.remove(*labels)
    except KeyError:
        return  # never set
