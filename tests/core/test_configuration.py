"""Alerts on the signal dictionary: what is told of its faults, when, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest

from streams.core.alert.row import ALERT
from streams.core.validate import configuration
from tests.core.validate_run import NOW, RAW_READING, Run, S, context, record, signal

TWO_SOURCES = [
    signal("t", "T", valid_to=NOW + 9 * S, name="bearing temperature", tenant="acme"),
    signal("t", "U", valid_from=NOW - 5 * S, source_id="edge-2", name="bearing temperature", tenant="acme"),
]
DECLARED = [
    signal("t", "T", name="bearing temperature", tenant="acme"),
    signal("t.2", "U", source_id="edge-2", redundant_of="t"),
]
Told = list[tuple[str, str, str]]


class Plant:
    """Some tasks of `validate` with one dictionary, each ticked every second."""

    def __init__(self, rows: Sequence[dict[str, Any]], partitions: int = 3) -> None:
        self.tasks = [Run(rows) for _ in range(partitions)]
        self.now_s = 0

    def publish(self, rows: Sequence[dict[str, Any]]) -> None:
        """Another dictionary holds."""
        for task in self.tasks:
            task.context = context(rows)

    def restart(self) -> None:
        """Only the tables are left."""
        for task in self.tasks:
            task.stage = Run([]).stage

    def pass_time(self, seconds: int) -> None:
        """Timers."""
        for _ in range(seconds):
            self.now_s += 1
            for number, task in enumerate(self.tasks):
                task.timer(NOW + self.now_s * S, number)

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """All that was told, by all tasks."""
        return [row for task in self.tasks for row in task.rows("ops.alert.v1")]

    @property
    def told(self) -> Told:
        """Rule, signal and state of the alerts."""
        return [(row["rule_id"].split(".")[-1], row["signal_id"], row["state"]) for row in self.alerts]


def test_two_sources_of_one_signal_are_one_alert_until_the_dictionary_is_mended() -> None:
    """However many tasks, chunks and restarts: raised once, with what to do, and cleared once."""
    plant = Plant(TWO_SOURCES)
    for pause in range(6):
        plant.pass_time(5)
        for task in plant.tasks:
            task.step(record(RAW_READING, pause, address="T", value_double=1.0))
        plant.restart()
    assert plant.told == [("two_sources", "t", "active")]
    plant.publish(DECLARED)
    plant.pass_time(60)
    assert plant.told == [("two_sources", "t", "active"), ("two_sources", "t", "cleared")]
    raised, cleared = plant.alerts
    assert (raised["rule_id"], raised["kind"]) == ("builtin.configuration.two_sources", "alert")
    assert "redundant_of" in raised["response"]
    assert raised["message"].startswith(
        "Signal dictionary: two_sources of bearing temperature (at line-1, source edge-2), since 14:13:21 UTC: another"
    )
    assert cleared["message"].endswith("(at line-1, source edge-2) is mended after 30 s.")
    assert (cleared["alert_id"], cleared["revision"], cleared["supersedes"]) == (raised["alert_id"], 2, 1)
    assert (raised["begin_time"], cleared["end_time"]) == (NOW + S, NOW + 31 * S)
    places = {(row["site"], row["tenant"], row["work_center"], row["source_id"]) for row in plant.alerts}
    assert places == {("hall", "acme", "line-1", "edge-2")}
    assert plant.tasks[0].out["ops.alert.v1"][0].schema == ALERT


def test_what_is_wrong_for_moments_while_a_dictionary_is_written_is_not_told() -> None:
    """A standby comes before its primary; a standing alert outlasts a moment without the fault."""
    plant = Plant([])
    plant.publish(DECLARED[1:])
    plant.pass_time(9)
    plant.publish(DECLARED)
    plant.pass_time(60)
    assert plant.told == []
    assert not plant.tasks[0].state[configuration.TABLE.name].height
    plant.publish(TWO_SOURCES)
    plant.pass_time(20)
    plant.publish(DECLARED)
    plant.pass_time(9)
    plant.publish(TWO_SOURCES)
    plant.pass_time(60)
    assert plant.told == [("two_sources", "t", "active")]


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"redundant_of": "nobody"}, "bad_redundant_of"),
        ({"role": "thermometer"}, "unknown_role"),
        ({"factor": 0.0}, "bad_scale"),
        ({"work_center": ""}, "no_work_center"),
        ({"address": ""}, "no_identity"),
        ({"valid_to": -1}, "empty_validity"),
        ({"instrument_low": 2.0, "instrument_high": 1.0}, "bad_instrument_range"),
        ({"window_lengths_s": [7]}, "bad_window_length"),
        ({"period_ms": -5}, "bad_period_ms"),
        ({"time_zone": "Mars/Olympus"}, "unknown_time_zone"),
        ({"address": "T"}, "duplicate_address"),
        ({"signal_id": ""}, "no_identity"),
        ({"signal_id": None, "valid_from": None}, "no_identity"),
    ],
)
def test_every_fault_of_the_dictionary_is_told(wrong: dict[str, Any], kind: str) -> None:
    """By its name, with the signal, though the version is one that nothing can be done with."""
    plant = Plant([signal("a", "T"), {**signal("x", "X"), **wrong}])
    plant.pass_time(20)
    assert plant.told == [(kind, wrong.get("signal_id", "x") or "", "active")]


def test_one_systematic_mistake_does_not_bury_the_alerts_of_the_plant() -> None:
    """Of 1,200 signals without a line 1,000 are told; the next ones as those are mended."""
    wrong = [signal(f"s{number:04}", f"A{number}", work_center="") for number in range(1_200)]
    plant = Plant(wrong, partitions=1)
    plant.pass_time(30)
    assert len(plant.told) == configuration.LIMIT
    plant.publish(wrong[300:])
    plant.pass_time(40)
    told = pl.DataFrame(plant.told, schema=["rule", "signal", "state"], orient="row")
    assert told["state"].value_counts(sort=True).rows() == [("active", 1_200), ("cleared", 300)]
    assert told.unique().height == told.height


def test_a_source_that_the_dictionary_does_not_name_for_a_signal_is_told_as_unknown() -> None:
    """Its readings never mix with the signal's: the inventory of unknown signals has them by source and address."""
    run = Run([signal("t", "T")])
    run.step(
        record(RAW_READING, 1, address="T", value_double=1.0),
        record(RAW_READING, 2, address="T", value_double=2.0, source_id="edge-9"),
    )
    assert [(row["signal_id"], row["value_double"]) for row in run.readings] == [("t", 1.0)]
    assert [(row["source_id"], row["address"], row["count"]) for row in run.rows("ot.signal.unknown.v1")] == [
        ("edge-9", "T", 1)
    ]
