"""The alert stage against its plain reference: any stream, any cut into chunks, restarts between any two of them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.alert.rule import Rule
from tests.core.alert_scene import R, Task, context, rule, signal
from tests.core.reference_alert import Reference, payload

STATE_SIGNAL = 'role = "state"'
RULES = (
    rule("plain", "high = 85.0"),
    rule("banded", "high = 85.0\nlow = 60.0\ndeadband = 5.0\non_delay_s = 2.0\noff_delay_s = 3.0"),
    rule("delayed", "low = 70.0\non_delay_s = 4.0"),
    rule("lingering", "high = 80.0\ndeadband = 3.0\noff_delay_s = 5.0", select='role = "measurement"\nunit = "Cel"'),
    rule("steep", 'high = 10.0\nlow = -20.0\ndeadband = 4.0\nper = "s"\nover_s = 2.0\non_delay_s = 1.0',
         type='"rate_of_change"'),
    rule("fault", 'states = ["fault", "blocked"]\non_delay_s = 2.5\noff_delay_s = 1.0',
         type='"state"', select=STATE_SIGNAL),
    rule("set", "off_delay_s = 3.0", type='"change"', select='role = "setpoint"\nname = "own"'),
    rule("crept", "by = 5.0", type='"change"', select='role = "setpoint"\nunit = "mL"\nname = "own"'),
)  # fmt: skip
NUMBERS, STATES, SETPOINTS = ("a", "b", "c"), ("x", "y"), ("p", "q")
SOURCES = {"a": "edge-1", "b": "edge-1", "c": "edge-2", "x": "edge-1", "y": "edge-2", "p": "edge-1", "q": "edge-2"}
WATCHED = {item.id: list({"state": STATES, "change": SETPOINTS}.get(item.type, NUMBERS)) for item in RULES}
# What a signal says; the steps of setpoints are above and below what one of the rules passes over.
VALUES: dict[str, tuple[float | str, ...]] = {
    **dict.fromkeys(NUMBERS, (55.0, 62.0, 68.0, 76.0, 79.0, 82.0, 86.0, 90.0)),
    **dict.fromkeys(STATES, ("running", "fault", "blocked")),
    **dict.fromkeys(SETPOINTS, (330.0, 330.0, 330.0, 334.0, 338.0, 500.0)),
}
CONTEXT = context(
    [signal(name, source_id=SOURCES[name]) for name in NUMBERS]
    + [signal(name, source_id=SOURCES[name], role="state", unit=None) for name in STATES]
    + [signal(name, source_id=SOURCES[name], role="setpoint", unit="mL", name="own") for name in SETPOINTS]
    + [signal("unwatched", role="setpoint")]
)


@st.composite
def _streams(draw: st.DrawFn, *, ordered: bool) -> list[R]:
    """Records of one or a few readings; without `ordered`, some come before their turn and some twice."""
    readings: list[R] = []
    now, record = 0.0, 0
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from((0.0, 0.5, 1.0, 1.0, 2.5, 6.0)))
        record += draw(st.integers(0, 1))
        name = draw(st.sampled_from((*NUMBERS, *STATES, *SETPOINTS, "unwatched")))
        value = draw(st.sampled_from(VALUES.get(name, (1.0,))))
        quality = draw(st.sampled_from((0, 0, 0, 0, 1, 2)))
        flags = draw(st.sampled_from((0, 0, 0, 4)))
        early = 0.0 if ordered or quality == 2 else draw(st.sampled_from((0.0, 0.0, 0.5, 3.0, 8.0)))
        source = SOURCES.get(name, "edge-1")
        readings.append(R(now - early, name, value, quality, flags, source, record))
        if not ordered and draw(st.integers(0, 5)) == 0:
            readings.append(readings[draw(st.integers(0, len(readings) - 1))]._replace(record=record))
    return readings


def _reference(readings: list[R], rules: tuple[Rule, ...] = RULES) -> Reference:
    reference = Reference(rules, WATCHED, disorder_us=1_000_000)
    reference.run(readings)
    return reference


def _ran(readings: list[R], cuts: set[int], restarts: set[int]) -> Task:
    # A backlog would only be known by the clock: here every reading is one of the present.
    task = Task(RULES, CONTEXT, backlog_us=2**60)
    records = sorted({reading.record or 0 for reading in readings})
    chunk: list[R] = []
    for record in records:
        chunk += [reading for reading in readings if (reading.record or 0) == record]
        if record in cuts or record == records[-1]:
            task.feed(*chunk)
            chunk = []
        if record in restarts and not chunk:
            task.restart()
    return task


@settings(max_examples=50, deadline=None)
@given(_streams(ordered=True), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_any_cut_of_a_stream_in_order_gives_what_the_reference_gives(
    readings: list[R], cuts: set[int], restarts: set[int]
) -> None:
    """Transitions, with their values, limits, coverage and evidence, depend on the log and on nothing else."""
    task = _ran(readings, cuts, cuts & restarts)
    assert sorted(map(payload, task.rows), key=str) == sorted(_reference(readings).out, key=str)


@settings(max_examples=50, deadline=None)
@given(_streams(ordered=False), st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_late_and_repeated_readings_change_nothing_however_the_stream_is_cut(
    readings: list[R], cuts: set[int], restarts: set[int]
) -> None:
    """A reading older than the last of its signal is counted under its rules and is otherwise as if it never came."""
    task = _ran(readings, cuts, cuts & restarts)
    reference = _reference(readings)
    assert sorted(map(payload, task.rows), key=str) == sorted(reference.out, key=str)
    assert {rule_id: n for (metric, rule_id), n in task.counts.items() if metric == "late"} == reference.late


def test_the_streams_of_these_tests_do_bring_alerts_about() -> None:
    """Every rule of the comparison fires in a stream like those that are compared, so that equal is not both empty."""
    readings = [
        R(at, "a", 90.0 if at < 8 else 79.0 if at < 20 else 20.0, source="edge-1", record=at) for at in range(30)
    ]
    readings += [R(at, "x", "fault" if at < 36 else "running", source="edge-1", record=at) for at in range(30, 45)]
    steps = ((45, 330.0), (46, 330.0), (47, 334.0), (48, 338.0), (49, 500.0), (60, 500.0))
    readings += [R(at, "p", value, source="edge-1", record=at) for at, value in steps]
    assert {row[0].split("|")[0] for row in _reference(readings).out} == {item.id for item in RULES}
    task = _ran(readings, set(range(0, 60, 4)), {8, 20, 48})
    assert sorted(map(payload, task.rows), key=str) == sorted(_reference(readings).out, key=str)
