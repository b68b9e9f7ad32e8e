"""The evaluation of azure_pdm on a small recording of the same form, and the examples of its sequences."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from tests.core.sequence_scene import play
from tests.evaluation import azure, replay_core, run
from tests.evaluation.azure import Event, judged
from tests.evaluation.scenario import ReplayFailure

RULES = {rule.id: rule for rule in azure.rules()}
HEADS = {
    "errors": "datetime,machineID,errorID",
    "failures": "datetime,machineID,failure",
    "machines": "machineID,model,age",
    "maint": "datetime,machineID,comp",
}
HOUR = azure.HOUR_US


def recording(folder: Path, **rows: list[str]) -> Path:
    """A folder of recorded sets with one azure_pdm."""
    place = folder / azure.NAME
    place.mkdir()
    for name, head in HEADS.items():
        text = "\n".join([head, *rows.get(name, []), ""])
        (place / f"PdM_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


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


def test_predictions_do_not_depend_on_chunks(tmp_path: Path) -> None:
    """A replay of months in one chunk drops nothing for being old."""
    errors = [
        f"2015-0{month}-{day:02} 06:00:00,{day % 3},error{1 + day % 5}" for month in range(1, 7) for day in range(1, 28)
    ]
    folder = recording(tmp_path, machines=[f"{n},model1,1" for n in range(3)], errors=errors) / azure.NAME
    loaded = {topic.name: azure.rows(folder, file, name, topic) for file, name, topic in azure.LOADED}
    found = [azure.predictions(azure.rules(), loaded, chunk) for chunk in (1000, 7)]
    assert found[0] == found[1]
    assert sum(map(len, found[0].values())) > 100


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
