"""Silent edge nodes and cut-off zones as timelines: what rings, what points to its cause, and what a buffer brings."""

from __future__ import annotations

from tests.core.alert_scene import R, Task, context, seconds, signal
from tests.core.silence_scene import ALL, MISSING, OFFLINE, SEGMENT, every, rang, run, told

NODES = ("edge-1", "edge-2", "edge-3")
SIGNALS = [signal(f"s{n}", source_id=f"edge-{n}", period_ms=1000) for n in (1, 2, 3)]
ASSETS = [{"asset_id": name, "valid_from": 0, "path": name, "work_center": "line-1", "zone": "cell"} for name in NODES]
ZONED = context([*SIGNALS, signal("quiet", source_id="edge-4", reporting="on_change")], ASSETS)
UNZONED = context(SIGNALS)


def node(number: int, begin: int, end: int) -> list[R]:
    """What a node sends each second."""
    return every(f"s{number}", begin, end, source=f"edge-{number}")


def test_a_node_that_sends_nothing_is_offline_and_its_signals_are_not_missing() -> None:
    """One alert for the node, whatever its signals; the neighbours' time shows it, and its next record ends it."""
    rows = run(Task(ALL, UNZONED), [*node(1, 0, 20), *node(2, 0, 200), *node(1, 120, 200)], 200)
    assert told(rows) == [("active", 50.0), ("cleared", 120.0)]
    assert rang(rows) == [("source-offline", "edge-1@line-1")]
    assert rows[0]["evidence"] == ["ot.reading.v1/3/40"]


def test_all_nodes_may_be_silent() -> None:
    """Where nothing comes at all the time that passes says so, but only once everything has been read."""
    task = Task([OFFLINE], UNZONED)
    task.feed(*node(1, 0, 20), now=20)
    assert not task.tick(500, caught_up_since=None)
    assert not task.tick(500, caught_up_since=480)
    assert told(task.tick(511, caught_up_since=480)) == [("active", 50.0)]
    assert not task.tick(600, caught_up_since=480)


def test_a_node_that_sends_on_change_only_is_not_missed() -> None:
    """Nothing says when it must send."""
    assert not run(Task(ALL, ZONED), every("quiet", 0, 5, source="edge-4"), 600, step=60)


def test_a_gap_that_nobody_saw_is_recorded() -> None:
    """The service was down meanwhile: the log tells when the node was silent, and nobody is called for it."""
    task = Task([OFFLINE], UNZONED)
    rows = task.feed(*node(1, 0, 20), *node(1, 100, 110), now=7200)
    assert [(row["state"], seconds(row["event_time"]), row["annunciated"], row["historical"]) for row in rows] == [
        ("active", 50.0, False, False),
        ("cleared", 100.0, False, True),
    ]


def test_a_buffer_of_six_hours_leaves_what_a_node_that_was_never_offline_leaves() -> None:
    """Its signals were silent in between as if it had been connected; only the node's own alert is more."""
    hours = 6 * 3600
    data = [*every("a", 0, hours, step=5, source="edge-1"), *every("b", 0, 3600, step=5, source="edge-1"),
            *every("b", 7200, hours, step=5, source="edge-1")]  # fmt: skip
    signals = context([signal(n, source_id="edge-1", period_ms=5000) for n in ("a", "b")])
    live, late = Task([MISSING, OFFLINE], signals), Task([MISSING, OFFLINE], signals)
    run(live, data, hours, step=600)
    run(late, [r for r in data if r.at <= 600], hours, step=600)
    late.feed(*sorted(r for r in data if r.at > 600), now=hours)

    def final(task: Task) -> list[tuple[str, str, float | None]]:
        return [(row["alert_id"], row["state"], seconds(row["end_time"])) for row in task.rows if row["end_time"]]

    assert [row for row in final(late) if row[0].startswith("missing")] == final(live)
    assert all(row["historical"] for row in late.rows if row["rule_id"] == "missing" and row["end_time"])


def test_nodes_of_a_zone_that_fall_silent_together_ring_once() -> None:
    """Their limits pass at different ticks: the first waits for the others; each record names the zone's alert."""
    rows = run(Task(ALL, ZONED), [*node(1, 0, 20), *node(2, 0, 23), *node(3, 0, 100)], 100, step=1)
    assert rang(rows) == [("segment-down", "cell@line-1")]
    (segment,) = [row for row in rows if row["rule_id"] == "segment-down"]
    assert (segment["members"], segment["zone"], seconds(segment["begin_time"])) == (["edge-1", "edge-2"], "cell", 23.0)
    nodes = [row for row in rows if row["rule_id"] == "source-offline"]
    assert [(row["source_id"], row["cause_alert_id"], row["annunciated"], row["historical"]) for row in nodes] == [
        ("edge-1", segment["alert_id"], False, False),
        ("edge-2", segment["alert_id"], False, False),
    ]


def test_nodes_that_fall_silent_one_by_one_are_no_segment() -> None:
    """A minute lies between them: two causes, two alerts."""
    rows = run(Task(ALL, ZONED), [*node(1, 0, 20), *node(2, 0, 90), *node(3, 0, 200)], 200)
    assert rang(rows) == [("source-offline", "edge-1@line-1"), ("source-offline", "edge-2@line-1")]


def test_one_node_of_many_is_no_segment() -> None:
    """Two of five are fewer than half of the zone."""
    names = [f"edge-{n}" for n in range(1, 6)]
    zoned = context(
        [signal(f"s{n}", source_id=f"edge-{n}", period_ms=1000) for n in range(1, 6)],
        [{"asset_id": name, "valid_from": 0, "path": name, "work_center": "line-1", "zone": "cell"} for name in names],
    )
    alive = [reading for n in (3, 4, 5) for reading in node(n, 0, 100)]
    rows = run(Task([OFFLINE, SEGMENT], zoned), [*node(1, 0, 20), *node(2, 0, 20), *alive], 100)
    assert rang(rows) == [("source-offline", "edge-1@line-1"), ("source-offline", "edge-2@line-1")]


def test_a_zone_comes_back_without_another_ring() -> None:
    """Its nodes return within seconds of each other: all is cleared, and nobody is called for the last of them."""
    down = [*node(1, 0, 20), *node(2, 0, 20), *node(3, 0, 100)]
    rows = run(Task(ALL, ZONED), [*down, *node(1, 80, 100), *node(2, 83, 100)], 100, step=1)
    assert rang(rows) == [("segment-down", "cell@line-1")]
    cleared = [(row["rule_id"], seconds(row["event_time"])) for row in rows if row["state"] == "cleared"]
    assert cleared == [("segment-down", 80.0), ("source-offline", 80.0), ("source-offline", 83.0)]
    assert not any(row["historical"] for row in rows)


def test_a_node_that_stays_silent_when_its_zone_is_back_rings_after_all() -> None:
    """What explained it is over: it stands on its own."""
    down = [*node(1, 0, 20), *node(2, 0, 20), *node(3, 0, 120)]
    rows = run(Task(ALL, ZONED), [*down, *node(1, 80, 120)], 120, step=1)
    assert rang(rows) == [("segment-down", "cell@line-1"), ("source-offline", "edge-2@line-1")]
    assert (rows[-1]["reason"], rows[-1]["revision"], rows[-1]["cause_alert_id"]) == ("cause_over", 2, None)


def test_a_node_that_had_been_told_of_points_to_the_segment_that_is_found_later() -> None:
    """Its neighbour reaches its own, longer limit only then: the alert that rang is explained by a further revision."""
    slow = signal("s2", source_id="edge-2", period_ms=20_000)
    zoned = context([SIGNALS[0], slow], ASSETS)
    readings = [*node(1, 0, 20), *every("s2", 0, 20, step=20, source="edge-2")]
    rows = run(Task([OFFLINE, SEGMENT], zoned), readings, 200)
    assert rang(rows) == [("source-offline", "edge-1@line-1"), ("segment-down", "cell@line-1")]
    explained = [row for row in rows if row["reason"] == "consequence"]
    assert [(row["source_id"], row["revision"], row["annunciated"]) for row in explained] == [("edge-1", 2, False)]


def test_state_survives_restarts_at_any_time() -> None:
    """A task that restarts every few seconds tells what one that never does tells."""
    readings = [*node(1, 0, 20), *node(2, 0, 22), *node(3, 0, 200), *node(1, 100, 200), *node(2, 140, 200)]
    whole, torn = Task(ALL, ZONED), Task(ALL, ZONED)
    run(whole, readings, 200)
    for end in range(20, 201, 20):
        begin = end - 20
        run(torn, [r for r in readings if (begin < r.at or end == 20) and r.at <= end], end, begin=begin)
        torn.restart()
    assert [(r["alert_id"], r["revision"], r["reason"], r["event_time"]) for r in torn.rows] == [
        (r["alert_id"], r["revision"], r["reason"], r["event_time"]) for r in whole.rows
    ]


def test_nodes_that_come_back_in_one_record_end_their_segment_the_same_way_each_time() -> None:
    """The first of them by name ends it, whichever way the record was packed."""
    for back in ((1, 2), (2, 1)):
        task = Task([OFFLINE, SEGMENT], ZONED)
        run(task, [*node(1, 0, 20), *node(2, 0, 23), *node(3, 0, 79)], 79)
        rows = task.feed(*(R(80 + number, f"s{number}", 1.0, source=f"edge-{number}", record=500) for number in back))
        cleared = [row for row in rows if row["rule_id"] == "segment-down" and row["state"] == "cleared"]
        assert [seconds(row["event_time"]) for row in cleared] == [81.0]
