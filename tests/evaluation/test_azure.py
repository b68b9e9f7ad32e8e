"""The evaluation of azure_pdm on a small recording of the same form, and the examples of its sequences."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams import topology
from tests.core.sequence_scene import play
from tests.evaluation import azure, replay_core, run
from tests.evaluation.azure import Event, differences, judged, predictions, standing
from tests.evaluation.azure_replay import EXPORT_US, HOUR_US, Played, exports, through_core
from tests.evaluation.azure_set import recording
from tests.evaluation.scenario import ReplayFailure

RULES = {rule.id: rule for rule in azure.rules()}
HOUR = HOUR_US


def evaluated(folder: Path) -> dict[str, Any]:
    """Metrics and details."""
    return azure.evaluate(folder / azure.NAME, replay_core.replay, lambda _line: None)


@pytest.mark.parametrize("rule_id", sorted(RULES))
def test_its_examples_are_true(rule_id: str) -> None:
    """Each file proves itself, as the bundled ones do."""
    rule = RULES[rule_id]
    assert play(rule, rule.fires) == sorted(rule.fires.expect)
    assert play(rule, rule.quiet) == []


def test_predictions_are_judged_by_failures(tmp_path: Path) -> None:
    """One machine fails as foretold; the other has a new component, and one that never fails in its model."""
    folder = recording(
        tmp_path,
        machines=["1,model1,18", "7,model3,2"],
        errors=[
            "2015-03-01 06:00:00,1,error1",
            "2015-03-05 05:00:00,1,error3",
            "2015-03-06 05:00:00,1,error2",
            "2015-04-01 06:00:00,7,error1",
            "2015-04-02 06:00:00,7,error4",
        ],
        failures=["2015-03-02 06:00:00,1,comp1", "2015-03-06 06:00:00,1,comp2", "2015-05-01 06:00:00,7,comp4"],
        maint=["2015-03-20 06:00:00,7,comp1", "2014-06-01 06:00:00,1,comp1"],
    )
    metrics = evaluated(folder)
    assert (metrics["machines"], metrics["errors"], metrics["failures"]) == (2, 5, 3)
    assert (metrics["plain_precision"], metrics["plain_recall"], metrics["plain_lead_h"]) == (0.5, 0.667, 12.5)
    assert (metrics["aged_precision"], metrics["aged_recall"]) == (1.0, 0.667)
    assert (metrics["others_plain_precision"], metrics["others_aged_precision"]) == (0.0, None)
    assert (metrics["never_precision"], metrics["never_recall"], metrics["never_false_per_machine_day"]) == (
        None,
        0.0,
        0.0,
    )
    assert metrics["always_recall"] == 0.667  # the last failure is a month after the last error
    assert metrics["details"]["plain-comp1"]["predictions"] == 2
    assert (metrics["errors_unaccounted"], metrics["sequence_differences"]) == (0, 0)
    assert (metrics["predictions_taken_back"], metrics["aged_precision_with_taken_back"]) == (0, 1.0)


def test_a_set_without_errors_is_told(tmp_path: Path) -> None:
    """Nothing can be foretold of it, and no span be known."""
    with pytest.raises(ReplayFailure, match="holds no error"):
        evaluated(recording(tmp_path, machines=["1,model1,1"]))


def test_files_of_another_form_are_told(tmp_path: Path) -> None:
    """A column that is missing is named, with its file."""
    folder = recording(tmp_path, errors=["2015-01-01 06:00:00,1,error1"])
    (folder / azure.NAME / "PdM_machines.csv.gz").write_bytes(gzip.compress(b"number,model\n1,model1\n"))
    with pytest.raises(ReplayFailure, match=r"(?s)PdM_machines\.csv\.gz.*machineID"):
        evaluated(folder)


def test_predictions_do_not_depend_on_chunks(tmp_path: Path) -> None:
    """A replay of months in one chunk drops nothing for being old."""
    errors = [
        f"2015-0{month}-{day:02} 06:00:00,{day % 3},error{1 + day % 5}" for month in range(1, 7) for day in range(1, 28)
    ]
    folder = recording(tmp_path, machines=[f"{n},model1,1" for n in range(3)], errors=errors) / azure.NAME
    rules, loaded = azure.rules(), azure.read(folder)
    found = [predictions(rules, through_core(rules, loaded, chunk).alerts.values()) for chunk in (1000, 7)]
    assert found[0] == found[1]
    assert sum(map(len, found[0].values())) > 100


def test_work_orders_come_as_exports(tmp_path: Path) -> None:
    """What was finished before the first error at once, all else at the end of a fortnight; nothing is left out."""
    maint = [
        "2014-06-01 06:00:00,1,comp1",
        "2015-01-01 06:00:00,1,comp2",
        "2015-01-15 06:00:00,1,comp3",
        "2015-01-15 05:59:00,1,comp4",
        "2015-02-27 06:00:00,1,comp1",
    ]
    loaded = azure.read(recording(tmp_path, errors=["2015-01-01 06:00:00,1,error1"], maint=maint) / azure.NAME)
    errors = loaded[topology.RAW_ALARM.name].to_dicts()
    found = exports(loaded[topology.WORK_ORDER.name], errors)
    first_us = errors[0]["event_time"]
    assert [((at_us - first_us) // EXPORT_US, part["text"].to_list()) for at_us, part in found] == [
        (0, ["comp1"]),
        (1, ["comp2", "comp4"]),
        (2, ["comp3"]),
        (5, ["comp1"]),
    ]
    assert found[0][1].columns == loaded[topology.WORK_ORDER.name].columns


def test_of_each_alert_the_last_revision_counts() -> None:
    """In whatever order they come; what was taken back once is known."""
    played = Played()
    for revision, state in ((1, "active"), (3, "active"), (2, "retracted")):
        played.hear({"alert_id": "a", "revision": revision, "state": state})
    played.hear({"alert_id": "b", "revision": 1, "state": "active"})
    assert [row["revision"] for row in played.alerts.values()] == [3, 1]
    assert played.retracted == {"a"}


def test_what_was_taken_back_predicts_nothing_in_the_end(tmp_path: Path) -> None:
    """It counts only where all that was ever told is judged."""
    folder = recording(tmp_path, machines=["1,model1,1"], errors=["2015-01-01 06:00:00,1,error1"]) / azure.NAME
    alerts = through_core(azure.rules(), azure.read(folder)).alerts
    aged = next(name for name in alerts if name.startswith("aged"))
    alerts[aged]["state"] = "retracted"
    ended, ever = (predictions(azure.rules(), rows.values()) for rows in (standing(alerts), alerts))
    assert (len(ended["plain-comp1"]), len(ended["aged-comp1"]), len(ever["aged-comp1"])) == (1, 0, 1)


def _lose(rows: dict[str, dict[str, Any]]) -> None:
    del rows[min(rows)]


def _take_back(rows: dict[str, dict[str, Any]]) -> None:
    rows[min(rows)]["state"] = "retracted"


def _later(rows: dict[str, dict[str, Any]]) -> None:
    rows[min(rows)]["event_time"] += 1


def _add(rows: dict[str, dict[str, Any]]) -> None:
    rows["new"] = {**rows[min(rows)], "alert_id": "new"}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_lose, ["by the core alone"]),
        (_take_back, ["by the core alone"]),
        (_later, ["event_time is 1420092000000000, and 1420092000000001 by the services"]),
        (_add, ["by the services alone"]),
    ],
)
def test_what_the_services_say_otherwise_is_found(
    tmp_path: Path, spoil: Callable[[dict[str, dict[str, Any]]], None], told: list[str]
) -> None:
    """The comparison is not blind: an alert lost, taken back, too many, or of another time; positions are no matter."""
    folder = recording(tmp_path, machines=["1,model1,1"], errors=["2015-01-01 06:00:00,1,error1"]) / azure.NAME
    loaded = azure.read(folder)
    core, other = (through_core(azure.rules(), loaded).alerts for _ in range(2))
    for row in other.values():
        row |= {"revision": 7, "evidence": ["elsewhere"], "detection_time": 1}
    assert differences(core, other) == []
    assert len(standing(core)) == 2
    spoil(other)
    assert [line.split(": ", 1)[1] for line in differences(core, other)] == told


def test_a_prediction_is_right_from_two_days_before_up_to_the_failure() -> None:
    """And each failure is met once, with the lead of the earliest."""
    failure = Event("m", "comp1", 100 * HOUR)
    times = [51, 52, 90, 100, 101]
    predicted = [Event("m", "comp1", at * HOUR) for at in times] + [
        Event("m", "comp2", 90 * HOUR),
        Event("n", "comp1", 90 * HOUR),
    ]
    found = judged(predicted, [failure], ["m"], 10.0)
    assert (found.predictions, found.right, found.leads_h) == (6, 3, (48.0,))
    assert found.figures("x")["x_false_per_machine_day"] == 0.3


def test_a_set_that_is_not_whole_is_told(tmp_path: Path) -> None:
    """Which file is missing, or which row cannot be read; `make evaluate` ends with 1."""
    folder = recording(tmp_path, machines=["1,model1,1"], errors=["yesterday,1,error1"])
    with pytest.raises(ReplayFailure, match="1 rows of PdM_errors"):
        evaluated(folder)
    (folder / azure.NAME / "PdM_failures.csv.gz").unlink()
    (folder / azure.NAME / "PdM_errors.csv.gz").unlink()
    with pytest.raises(ReplayFailure, match=r"PdM_errors\.csv\.gz is missing"):
        evaluated(folder)
    assert run.main(["--data", str(folder), "--out", str(tmp_path / "out.json"), "--replay", "core"]) == 1
