"""Gauges as the core tells them, and what is left of them when a task goes elsewhere."""

from __future__ import annotations

from streams.kafka.metrics import Metrics


def told(metrics: Metrics) -> set[str]:
    """Lines of the gauge of open incidents."""
    return {line for line in metrics.text().decode().splitlines() if line.startswith("plantweave_open_incidents{")}


def test_open_incidents_go_with_their_task() -> None:
    """By task and site; a task that another worker has now says nothing here."""
    metrics = Metrics()
    metrics.gauges(0, {"open_incidents/hall": 2, "open_incidents/store": 0})
    metrics.gauges(1, {"open_incidents/dock": 1})
    assert told(metrics) == {
        'plantweave_open_incidents{partition="0",site="hall"} 2.0',
        'plantweave_open_incidents{partition="0",site="store"} 0.0',
        'plantweave_open_incidents{partition="1",site="dock"} 1.0',
    }
    metrics.gauges(0, {"open_incidents/hall": 1})
    metrics.forget(1, (), ())
    assert told(metrics) == {
        'plantweave_open_incidents{partition="0",site="hall"} 1.0',
        'plantweave_open_incidents{partition="0",site="store"} 0.0',
    }
