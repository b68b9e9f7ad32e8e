"""Sequences against the definition in nested loops: any order, any split, repeats, restarts, late context."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.core.sequence.rule import Sequence
from tests.core.reference_sequence import standing
from tests.core.sequence_scene import (
    SECOND,
    T0,
    Row,
    Run,
    absent,
    asset,
    change,
    context,
    event,
    order,
    sequence,
    step,
)

NEAR = "within_s = 40"
RULES = [
    sequence(f'relation = "asset"\n{NEAR}', name="pair"),
    sequence(f'relation = "zone"\n{NEAR}\norder = "any"', step("a"), step("b", "count = 2"), name="any"),
    sequence(
        f'relation = "ancestor"\n{NEAR}', step("a", "count = 2"), step("?").replace('name = "?"', 'name = "x"'),
        step("b", 'state = ["event", "active"]'), name="lineage",
    ),
    sequence(
        f'relation = "actor"\n{NEAR}', step("?", kind="access").replace('name = "?"', 'name = "x"'), step("b"),
        name="actor",
    ),
    sequence(
        f'relation = "address"\n{NEAR}', step("l", 'new = "actor"\nlearn_s = 50', kind="access"), step("a"),
        absent("c", 'when = "between"'), name="new",
    ),
    sequence(
        f'relation = "site"\n{NEAR}', step("a", "above = 1.0"), absent("b", 'when = "after"\nwithin_s = 20'),
        absent("c", 'when = "before"\nwithin_s = 20'), name="alone",
    ),
    sequence(
        f'relation = "work_unit"\n{NEAR}\nwithout = ["change", "work_order"]', step("a"), step("b"),
        top='activities = ["setpoint", "repair"]', name="ticket",
    ),
    sequence(
        f'relation = "asset"\n{NEAR}\nwithout = ["change"]', step("l", 'new = "address"\nlearn_s = 30', kind="access"),
        step("b", 'asset_id = "p*"'), domain="security", name="secure",
    ),
]  # fmt: skip
ASSETS = ("p", "p/q", "r")
ADDRESSES = ("10.0.0.1", "10.0.0.2")


HUMAN = st.sampled_from([["anna"], ["anna"], ["eve"], ["anna", "eve"], []])


@st.composite
def pieces(draw: st.DrawFn) -> list[Row]:
    """Alarms, logons and revisions of them, near to one another in time and place."""
    rows = []
    for number in range(draw(st.integers(3, 14))):
        kind = draw(st.sampled_from(["alarm", "alarm", "access"]))
        name = draw(st.sampled_from([None, *ASSETS, *ASSETS, "p", "p"]))
        fields: dict[str, Any] = {
            "type": draw(st.sampled_from("aabbc" if kind == "alarm" else "llm")),
            "asset_id": name,
            "asset_path": None if name is None or draw(st.booleans()) else f"acme/site-1/hall/line-1/{name}",
            "work_unit": draw(st.sampled_from([None, "u"])),
            "work_center": "line-1",
            "source_address": draw(st.sampled_from([*ADDRESSES, "10.0.0.1", None])),
            "target_address": draw(st.sampled_from([None, "10.0.0.9"])),
            "actors": draw(HUMAN),
            "zone": draw(st.sampled_from([None, "z"])),
            "value": draw(st.sampled_from([None, 1.0, 2.0])),
            "site": draw(st.sampled_from([*["site-1"] * 7, "site-2"])),
        }
        at = draw(st.integers(0, 16)) * 6
        rows.append(event(f"{number:02}", at, kind, **fields))
        if draw(st.integers(0, 5)) == 0:
            state = draw(st.sampled_from(["retracted", "active", "event"]))
            later = at + draw(st.integers(0, 9))
            rows.append(event(f"{number:02}", later, kind, **{**fields, "revision": 2, "state": state}))
    return rows


@st.composite
def tickets(draw: st.DrawFn) -> tuple[list[Row], list[Row]]:
    """Changes, some in several versions, and work orders."""
    changes = []
    for number in range(draw(st.integers(0, 3))):
        since = draw(st.integers(-10, 60))
        changes.append(
            change(
                draw(st.sampled_from([*ASSETS, "p"])), since, since + draw(st.integers(0, 120)),
                change_id=f"CHG-{number % 2}", valid_from=number,
                status=draw(st.sampled_from(["approved", "closed", "requested", "cancelled"])),
                activity=draw(st.sampled_from([None, "setpoint", "network"])),
                actors=draw(st.sampled_from([[], ["anna"]])),
                asset_paths=draw(st.sampled_from([[], ["acme/site-1/hall/line-1/p"]])),
            )
        )  # fmt: skip
    if not draw(st.booleans()):
        return changes, []
    since = draw(st.integers(0, 350))
    kind, does = draw(st.sampled_from(["corrective", "preventive"])), draw(st.sampled_from(["repair", "clean"]))
    return changes, [order("p", since, since + 50, kind=kind, activity=does)]


PLACES = [
    asset("p", zone="z", work_unit="u"),
    asset("p/q", zone="z", work_unit=None, interfaces=["10.0.0.9"]),
    asset("r", zone="y", work_unit="u", valid_to=T0 + 80 * SECOND),
    asset("r", zone="z", work_unit="u", valid_from=T0 + 80 * SECOND),
]


def told(run: Run) -> list[tuple[str, str, tuple[str, ...]]]:
    """What stands, as the reference says it."""
    return sorted((row["rule_id"], _last(row), tuple(row["evidence"])) for row in run.standing().values())


def _last(row: Row) -> str:
    """Rows of one alert's evidence are in order: the last is the last step's."""
    return str(row["evidence"][-1])


def wanted(rules: list[Sequence], *given: list[Row]) -> list[tuple[str, str, tuple[str, ...]]]:
    """The reference's answer in the same words."""
    return sorted((rule, used[-1], used) for rule, _, used in standing(rules, *given))


@given(rows=pieces(), given_tickets=tickets(), data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_stands_follows_from_evidence_and_context_alone(
    rows: list[Row], given_tickets: tuple[list[Row], list[Row]], data: st.DataObject
) -> None:
    """Whatever the order, the chunks, the repeats, the restarts, and whenever the context is known."""
    changes, orders = given_tickets
    run = Run(*RULES)
    full = {"asset": PLACES, "change": changes, "work_order": orders}
    partly = {name: some[: data.draw(st.integers(0, len(some)))] for name, some in full.items()}
    repeats = data.draw(st.lists(st.sampled_from(rows), max_size=4))
    left = data.draw(st.permutations([*rows, *repeats]))
    known_at = data.draw(st.integers(0, len(left)))
    run.context = context(1, **partly)
    while left:
        size = data.draw(st.integers(1, 5))
        chunk, left = left[:size], left[size:]
        if data.draw(st.integers(0, 3)) == 0:
            run.give(*chunk, lost=True)
        run.give(*chunk)
        if data.draw(st.integers(0, 3)) == 0:
            run.restart()
        if len(left) <= known_at and run.context.version == 1:
            run.know(context(2, **full))
        if data.draw(st.integers(0, 3)) == 0:
            run.tick()
    run.know(context(2, **full))
    run.tick(7200)
    assert told(run) == wanted(RULES, rows, changes, orders, PLACES)
    assert run.tick(100) == []


@given(rows=pieces(), chunks=st.integers(1, 6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_chunks_change_nothing_of_what_is_said(rows: list[Row], chunks: int) -> None:
    """All fields of what stands are the same, but for how it came about."""
    one, many = Run(*RULES), Run(*RULES)
    one.context = many.context = context(1, asset=PLACES)
    one.give(*rows)
    for begin in range(0, len(rows), chunks):
        many.give(*rows[begin : begin + chunks])
    one.tick(7200)
    many.tick(7200)
    assert one.standing() == many.standing()
