"""What is checked of a finished chain. Enter: the chain, what its broker was given. Each check asserts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from streams.core.frames import HISTORICAL
from tests.core.reference_kpi import kpis
from tests.core.test_kpi_invariant import EARNED, ELEMENTS
from tests.simulation.chain_plan import BY_NAME, END, LINES, REDUNDANT, T0, Arrival
from tests.simulation.chain_raw import BATCH, SINGLE, closing
from tests.simulation.chain_reference import (
    Alert,
    alerts,
    delivered,
    elements,
    expected_windows,
    periods,
    plant,
    reading_of,
    selected,
)
from tests.simulation.chain_run import Chain, Task
from tests.simulation.reference import SECOND, Reading, Window, accepted
from tests.simulation.window_run import difference

# Why alerts are told that late readings have not changed.
PLAIN = {"condition_active", "still_active", "condition_cleared"}
Rows = list[dict[str, Any]]
BACKLOG, FOREVER = 60 * SECOND, 10**18


def latest(rows: Rows, key: str) -> dict[str, dict[str, Any]]:
    """The highest revision by record id; revisions follow one another."""
    last: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = last.get(row[key])
        assert row["revision"] == (1 if known is None else known["revision"] + 1), f"{row[key]}: revisions have a hole"
        assert row["supersedes"] == (None if known is None else known["revision"])
        last[row[key]] = row
    return last


def windows_of(task: Task) -> dict[Window, dict[str, Any]]:
    """Latest windows, by (signal, length in s, begin in us), those retracted left out."""
    rows = latest(task.out.get("ot.window.v1", []), "window_id").values()
    return {
        (row["signal_id"], row["length_s"], row["window_start"]): row for row in rows if row["reason"] != "retracted"
    }


def check_validated(chain: Chain, arrivals: Sequence[Arrival]) -> dict[str, list[Reading]]:
    """The log holds what the plan says, and what it does not hold is counted; leaves the plan's readings by line."""
    told = [arrival.message for arrival in arrivals] + closing()
    readings, lost = delivered(told)
    for line in LINES:
        logged = Counter(reading_of(row) for rows in chain.logs[line].records for row in rows.to_dicts())
        assert logged == Counter(readings[line]), f"{line}: {logged - Counter(readings[line])}"
    counts: Counter[tuple[str, str]] = Counter()
    for task in chain.validate:
        counts += task.counts
        rejected = Counter(("rejects", row["reason"]) for row in task.out.get("ot.reading.rejected.v1", []))
        assert rejected == Counter({key: n for key, n in task.counts.items() if key[0] == "rejects"})
    raw = sum(len(message.readings) for message in told)
    assert counts["readings", BATCH] + counts["readings", SINGLE] + lost["copy"] == raw
    batches = Counter((one.node, one.boot, one.sequence) for one in told if one.numbered)
    assert counts["repeats", "batch"] == sum(batches.values()) - len(batches)
    assert counts["unknown", "readings"] == lost["unknown"]
    for reason in ("impossible_time", "no_value", "type_mismatch"):
        assert counts["rejects", reason] == lost[reason]
    assert counts["clocks", "begun"] == 0, "no plan has a skewed clock"
    assert sum(map(len, readings.values())) + sum(lost.values()) == raw
    return readings


def check_windows(chain: Chain, readings: dict[str, list[Reading]]) -> None:
    """Latest windows are the reference's; every reading of the log is in exactly one place."""
    for line in LINES:
        task = chain.tasks["window", line]
        records = [rows.to_dicts() for rows in chain.logs[line].records]
        counting, standby = selected(records)
        plain = [one for one in readings[line] if one.signal not in REDUNDANT]
        assert Counter(one for one in counting if one.signal not in REDUNDANT) == Counter(plain)
        watermark = int(task.state["task"]["watermark"][0])
        assert watermark >= END
        found = windows_of(task)
        assert difference(found, expected_windows(counting, watermark)) == ""
        assert task.counts["redundancy", "standby"] == standby
        assert task.out.get("ot.window.late.v1", []) == []
        _placed(task, found, counting, watermark)
        for row in task.out.get("ot.window.v1", []):
            _whole(row)


def _placed(task: Task, found: dict[Window, dict[str, Any]], counting: list[Reading], watermark: int) -> None:
    """Counted, counted as bad, duplicate or conflict: the sum is what came and whose windows are closed."""
    shortest = {name: min(source.signal.lengths) for name, source in BY_NAME.items()}
    closed = [one for one in counting if one.time < watermark // _us(shortest[one.signal]) * _us(shortest[one.signal])]
    _, duplicates, conflicts = accepted(closed)
    inside = sum(row["count"] + row["count_bad"] for (name, s, _), row in found.items() if s == shortest[name])
    assert inside + duplicates + conflicts == len(closed)
    assert task.counts["readings", "duplicate"] == duplicates
    assert task.counts["readings", "conflict"] == conflicts


def check_places(chain: Chain) -> None:
    """Whatever the horizon: each reading of the log is in one window, a repeat, on standby, late, or yet to be told."""
    shortest = {name: min(source.signal.lengths) for name, source in BY_NAME.items()}
    for line in LINES:
        task = chain.tasks["window", line]
        rows = [row for record in chain.logs[line].records for row in record.to_dicts()]
        watermark = int(task.state["task"]["watermark"][0])
        lengths = [(row["event_time"], _us(shortest[row["signal_id"]])) for row in rows]
        open_yet = sum(time >= watermark // length * length for time, length in lengths)
        counts = task.counts
        repeats = counts["readings", "duplicate"] + counts["readings", "conflict"]
        inside = sum(
            row["count"] + row["count_bad"] for (name, s, _), row in windows_of(task).items() if s == shortest[name]
        )
        late = len(task.out.get("ot.window.late.v1", []))
        assert counts["readings", "beyond_horizon"] == late
        assert inside + repeats + late + counts["redundancy", "standby"] + open_yet == len(rows)


def _us(seconds: int) -> int:
    return seconds * SECOND


def _whole(row: dict[str, Any]) -> None:
    """Durations are exactly the window's length, coverage and shares lie in [0, 1]."""
    parts = [round(row[f"duration_{name}_s"] * SECOND) for name in ("good", "uncertain", "bad", "unknown")]
    length = row["window_end"] - row["window_start"]
    assert min(parts) >= 0
    assert sum(parts) == length <= row["length_s"] * SECOND
    assert round(row["coverage"] * length) == parts[0] + parts[1]
    assert [round(row[f"share_{name}"] * length) for name in ("good", "uncertain", "bad")] == parts[:3]


def check_kpis(chain: Chain, readings: dict[str, list[Reading]]) -> None:
    """The latest record of every ended period has the reference's elements and KPIs, and no other tells anything."""
    told = plant(readings["line-1"])
    wanted = periods(told)
    rows = [row for row in chain.out("kpi", "ops.kpi.v1") if row["work_unit"] == "filler"]
    final = {key: row for key, row in latest(rows, "kpi_id").items() if row["final"]}
    kinds = {(row["period"], str(row["period_start"] - T0)) for row in final.values()}
    assert kinds >= set(wanted), f"periods are missing: {set(wanted) - kinds}"
    for row in final.values():
        start, end = row["period_start"], row["period_end"]
        sums = wanted.get((row["period"], str(start - T0)))
        if sums is None:
            sums = elements(told, start, end)
            assert sums["pbt_s"] <= 0
            assert not sums["pq"]
            assert not sums["gq"]
            sums |= {**kpis(sums), "start": start, "end": end}
        assert (start, end) == (sums["start"], sums["end"])
        for element in (*ELEMENTS, *EARNED):
            assert _close(row[element], sums[element]), (row["kpi_id"], element, row[element], sums[element])
        assert _close(row["value"], sums[row["kpi"]]), (row["kpi_id"], row["value"], sums[row["kpi"]])
        known = sums["pbt_s"] - sums["unknown_s"]
        assert _close(row["coverage"], known / sums["pbt_s"] if sums["pbt_s"] else 1.0)
        assert _close(row["share_uncertain"], sums["uncertain_s"] / known if known else 0.0)
    for row in rows:
        assert 0 <= row["coverage"] <= 1
        times = ("apt_s", "aust_s", "adet_s", "adot_s", "planned_down_s", "no_shift_s", "unknown_s")
        assert row["pbt_s"] >= -1e-9
        if row["final"]:
            assert _close(sum(row[name] for name in times), (row["period_end"] - row["period_start"]) / SECOND)


def _close(ours: float | None, theirs: float | None) -> bool:
    return ours is theirs if ours is None or theirs is None else math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)


def alerts_of(chain: Chain) -> set[Alert]:
    """(rule, signal, begin, end) of all alerts that have not been taken back."""
    rows = latest(chain.out("alert", "ops.alert.v1"), "alert_id").values()
    return {
        (row["rule_id"], row["signal_id"], row["begin_time"], row["end_time"])
        for row in rows
        if row["state"] != "retracted"
    }


def check_alerts(chain: Chain, readings: dict[str, list[Reading]]) -> None:
    """The alerts are the reference's, whatever became of them on the way."""
    found, wanted = alerts_of(chain), {one for line in LINES for one in alerts(readings[line])}
    assert found == wanted, f"not wanted: {found - wanted}; missing: {wanted - found}"


def check_rings(chain: Chain) -> None:
    """Nothing rings twice; what was over before it was known does not ring; what is told at once rings."""
    rows: dict[str, Rows] = {}
    for row in chain.out("alert", "ops.alert.v1"):
        rows.setdefault(row["alert_id"], []).append(row)
    for told in rows.values():
        rang = [row["state"] == "active" and row["annunciated"] for row in told]
        assert sum(now and not before for before, now in pairwise([False, *rang])) <= 1, told
        last = told[-1]
        if last["state"] != "cleared" or {row["reason"] for row in told} - PLAIN:
            continue  # a correction does not unsay that it rang
        delays, turns = zip(*_delays(chain, last), strict=True)
        if min(delays) > BACKLOG and len(set(turns)) == 1:
            assert not any(row["annunciated"] for row in told), told
            assert last["historical"], told
        if max(delays) < BACKLOG - 10 * SECOND:
            assert any(rang), told
            assert not last["historical"]


def _delays(chain: Chain, alert: dict[str, Any]) -> Iterable[tuple[int, int]]:
    """How long (us) after its event time each reading of the signal from begin to end of the alert was read, and when.

    What its edge node calls historical is of the past however soon it comes.
    """
    for line in LINES:
        for rows in chain.logs[line].records:
            read = chain.processed["alert", line, rows["_offset"][0]]
            for row in rows.to_dicts():
                inside = alert["begin_time"] <= row["event_time"] <= alert["end_time"]
                if row["signal_id"] == alert["signal_id"] and inside:
                    yield FOREVER if row["flags"] & HISTORICAL else read - row["event_time"], read
