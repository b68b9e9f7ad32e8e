"""What users of other systems complain of: stops that were none, because nobody was meant to work.

Each test has the situation of a complaint, which it cites, on our `kpi`.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.kpi_run import EIGHT, HOUR_EIGHT, SHIFT, Run, beats, context, state
from tests.core.reference_kpi import HOUR, MINUTE

PAUSE: dict[str, Any] = {
    "entry_id": "p1",
    "kind": "planned_downtime",
    "name": "cleaning",
    "start": EIGHT + 10 * MINUTE,
    "end": EIGHT + 20 * MINUTE,
}


@pytest.mark.parametrize("label", ["fault", "blocked", "stopped", "setup"])
def test_a_machine_that_stands_outside_its_shift_has_no_stop(label: str) -> None:
    """United Manufacturing Hub #37: time without a shift was classified as an unknown stop. Here the calendar comes
    first: whatever the machine says after the shift, nothing is lost.
    """
    shift = {**SHIFT, "end": EIGHT + 30 * MINUTE}
    run = Run(context(calendar=[shift]))
    told = [state(EIGHT, "running"), state(EIGHT + 30 * MINUTE, label)]
    run.step(*told, *beats(EIGHT, EIGHT + 70 * MINUTE))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["no_shift_s"], record["apt_s"], record["pbt_s"], record["value"]) == (1800, 1800, 1800, 1.0)
    assert (record["adot_s"], record["adet_s"], record["aust_s"], record["unknown_s"]) == (0, 0, 0, 0)


def test_a_stop_over_the_end_of_the_shift_counts_up_to_the_end() -> None:
    """United Manufacturing Hub #106: a stop was not interrupted by the time without a shift. Here it is cut at the ends
    of the shift, both of them.
    """
    shift = {**SHIFT, "start": EIGHT + 15 * MINUTE, "end": EIGHT + 45 * MINUTE}
    run = Run(context(calendar=[shift]))
    told = [state(EIGHT, "fault"), state(EIGHT + 20 * MINUTE, "running"), state(EIGHT + 40 * MINUTE, "fault")]
    run.step(*told, *beats(EIGHT, EIGHT + 70 * MINUTE))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["adot_s"], record["apt_s"], record["no_shift_s"]) == (600, 1200, 1800)


def test_a_stop_over_several_shifts_is_a_stop_in_each_of_them() -> None:
    """United Manufacturing Hub #145: of a machine that stood for several shifts the time without a shift hid the stops.
    Here each shift has all of its stop, and the pause between them has none.
    """
    shifts = [
        {**SHIFT, "entry_id": f"s{n}", "start": EIGHT + n * HOUR, "end": EIGHT + n * HOUR + HOUR // 2} for n in (0, 1)
    ]
    run = Run(context(calendar=shifts))
    run.step(state(EIGHT, "fault"), *beats(EIGHT, EIGHT + 150 * MINUTE))
    told = [run.latest[f"availability|filler|shift|s{n}"] for n in (0, 1)]
    assert [(row["adot_s"], row["no_shift_s"], row["value"]) for row in told] == [(1800, 0, 0.0)] * 2
    hours = [run.latest[f"availability|filler|hour|2026-01-01T{hour}:00:00Z"] for hour in ("08", "09")]
    assert [(row["adot_s"], row["no_shift_s"]) for row in hours] == [(1800, 1800)] * 2


def test_a_planned_pause_is_no_stop() -> None:
    """The same within a shift: planned downtime is told apart from failures, and lowers no availability."""
    run = Run(context(calendar=[SHIFT, PAUSE]))
    told = [state(EIGHT, "running"), state(PAUSE["start"], "fault"), state(PAUSE["end"], "running")]
    run.step(*told, *beats(EIGHT, EIGHT + 70 * MINUTE))
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert (record["planned_down_s"], record["adot_s"], record["value"]) == (600, 0, 1.0)


def test_a_shift_that_is_entered_afterwards_corrects() -> None:
    """A shift that somebody corrects after it ended: the period is told again, with its reason."""
    run = Run(context(calendar=[{**SHIFT, "start": EIGHT + HOUR // 2}]))
    run.step(state(EIGHT, "fault"), *beats(EIGHT, EIGHT + 70 * MINUTE))
    before = run.latest[f"availability|{HOUR_EIGHT}"]
    run.context = context(calendar=[SHIFT], version=2)
    run.timer(run.records[-1]["emitted_at"] + 60_000_000)
    record = run.latest[f"availability|{HOUR_EIGHT}"]
    assert [(row["adot_s"], row["no_shift_s"], row["reason"]) for row in (before, record)] == [
        (1800, 1800, "final"),
        (3600, 0, "context"),
    ]
