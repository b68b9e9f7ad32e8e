"""Verdicts against a slow reference, order by order, over random plants, orders, changes and clocks."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.verdict import Policy, match, verdicts
from tests.core.reference_verdict import verdict
from tests.core.verdict_scene import CLOCKS, Row, context, frame
from tests.core.verdict_scene import H as HOUR

# Times are steps of 6 h, so that a day, the longest interval and the grace meet each other's borders often.
STEP = 6 * HOUR
POLICY = Policy(standing_us=6 * STEP, grace_us=STEP)
PATHS = ("e", "e/s", "e/s/a", "e/s/a/l", "e/s/a/l/m", "e/s/a/l/m2", "e/s/a/l/m/p")
IDS = ("A1", "A2", "A3", "A4")
WORDS = ("repair", "clean", "setpoint")

# Most times are near each other, most orders and assets the same few: else nothing would ever match.
instants = (st.integers(-2, 2) | st.integers(-9, 9)).map(lambda step: step * STEP)
maybe_instants = instants | st.none()
begins = st.integers(-9, 0).map(lambda step: step * STEP)
ends = (st.integers(1, 4) | st.integers(-3, 9)).map(lambda step: step * STEP)
asset_ids = st.sampled_from(IDS)
paths = st.sampled_from(PATHS)
lines = st.none() | st.sampled_from(("l", "l2"))
units = st.none() | st.sampled_from(("m", "m2"))
activities = st.none() | st.sampled_from(WORDS)
accounts = st.lists(st.sampled_from(("anna", "bert")), max_size=2)
precisions = st.sampled_from(("exact", "exact", "exact", "day", "typed_later", "absent"))

assets = st.lists(
    st.fixed_dictionaries(
        {"asset_id": asset_ids, "valid_from": instants, "valid_to": st.none() | instants, "path": paths}
    ),
    max_size=8,
    unique_by=lambda row: (row["asset_id"], row["valid_from"]),
)
orders = st.lists(
    st.fixed_dictionaries(
        {
            "order_id": st.sampled_from(("1", "12", "2", "3", "4")),
            "valid_from": st.integers(0, 9),
            "kind": st.sampled_from(("corrective", "corrective", "preventive", "standing")),
            "status": st.sampled_from(
                ("started", "started", "finished", "finished", "verified", "released", "planned", "cancelled")
            ),
            "asset_id": st.none() | asset_ids,
            "asset_path": st.none() | paths,
            "work_center": lines,
            "work_unit": units,
            "activity": activities,
            "actors": accounts,
        }
        | dict.fromkeys(CLOCKS[::2], begins | st.none())
        | dict.fromkeys(CLOCKS[1::2], ends | st.none())
        | {f"{name}_precision": precisions for name in CLOCKS}
    ),
    max_size=8,
    unique_by=lambda row: (row["order_id"], row["valid_from"]),
)
changes = st.lists(
    st.fixed_dictionaries(
        {
            "change_id": st.sampled_from(("1", "12", "2", "3")),
            "valid_from": st.integers(0, 9),
            "status": st.sampled_from(("approved", "approved", "active", "closed", "requested", "cancelled")),
            "asset_ids": st.lists(asset_ids, max_size=2),
            "asset_paths": st.lists(paths, max_size=2),
            "activity": activities,
            "start": begins | st.none(),
            "end": ends | st.none(),
            "actors": accounts,
        }
    ),
    max_size=5,
    unique_by=lambda row: (row["change_id"], row["valid_from"]),
)
alerts = st.lists(
    st.fixed_dictionaries(
        {
            "asset_id": st.none() | asset_ids,
            "asset_path": st.none() | paths,
            "work_center": lines,
            "work_unit": units,
            "begin_time": instants,
            "end_time": maybe_instants,
            "domain": st.sampled_from(("process", "telemetry", "prediction", "security", "it")),
            "activities": st.lists(st.sampled_from(WORDS), max_size=2),
            "actors": accounts,
            "known_until": maybe_instants,
        }
    ),
    min_size=1,
    max_size=8,
)


def _told(rows: list[Row], *what: list[Row], policy: Policy = POLICY) -> list[tuple[Any, ...]]:
    known, work, tickets = what
    found = verdicts(frame(*rows), context(work, tickets, known), policy)
    return found.select("verdict", "verdict_by", "verdict_reference", "verdict_until").rows()


@settings(max_examples=300)
@given(alerts, assets, orders, changes)
def test_verdicts_are_those_of_the_reference(
    rows: list[Row], known: list[Row], work: list[Row], tickets: list[Row]
) -> None:
    """Joins and buckets find what a look at every order, for every alert, finds."""
    expected = [verdict(row, known, work, tickets, POLICY.standing_us, POLICY.grace_us) for row in rows]
    assert _told(rows, known, work, tickets) == expected


@settings(max_examples=100)
@given(alerts, assets, orders, changes, st.data())
def test_the_order_of_the_context_and_the_cut_of_the_alerts_change_nothing(
    rows: list[Row], known: list[Row], work: list[Row], tickets: list[Row], data: st.DataObject
) -> None:
    """However the records came, and whichever alerts are asked about together, each alert gets the same verdict."""
    shuffled = [data.draw(st.permutations(what)) for what in (known, work, tickets)]
    one_by_one = [told for row in rows for told in _told([row], *shuffled)]
    assert one_by_one == _told(rows, known, work, tickets)


@settings(max_examples=150)
@given(alerts, assets, orders)
def test_a_work_order_alone_never_makes_security_evidence_expected(
    rows: list[Row], known: list[Row], work: list[Row]
) -> None:
    """Whatever the orders say, there is a row for each alert, and it is none, possible or expired."""
    evidence = [row | {"domain": "security"} for row in rows]
    found = [label for label, *_ in _told(evidence, known, work, [])]
    assert len(found) == len(evidence)
    assert set(found) <= {"none", "possible", "expired"}


@settings(max_examples=100)
@given(alerts, assets, orders)
def test_standing_orders_never_explain(rows: list[Row], known: list[Row], work: list[Row]) -> None:
    """Whatever else they say, not even as possible."""
    standing = [one | {"kind": "standing"} for one in work]
    assert {label for label, *_ in _told(rows, known, standing, [])} == {"none"}


def _plant(chance: Random) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Thirty alerts in a plant so full of work that most of them have several explanations."""

    def time(low: int, high: int) -> int:
        return chance.randint(low, high) * STEP

    def some(names: tuple[str, ...]) -> list[str]:
        return chance.sample(names, chance.randint(0, 2))

    def place() -> Row:
        told = {"asset_id": IDS, "asset_path": PATHS, "work_center": ("l",), "work_unit": ("m", "m2")}
        return {name: chance.choice((None, *words)) for name, words in told.items()}

    def clocks() -> Row:
        times = {name: time(-6, 0) if name.endswith(("start", "started_at")) else time(0, 5) for name in CLOCKS}
        words = ("exact", "exact", "day", "typed_later", "absent")
        return times | {f"{name}_precision": chance.choice(words) for name in CLOCKS}

    known = [
        {"asset_id": name, "valid_from": begin * STEP, "valid_to": None, "path": chance.choice(PATHS)}
        for name in IDS
        for begin in (-9, chance.randint(-3, 3))
    ]
    work = [
        place() | clocks() | {
            "order_id": str(number), "valid_from": 0, "kind": "corrective", "status": "finished",
            "activity": chance.choice(WORDS), "actors": some(("anna", "bert")),
        }
        for number in range(15)
    ]  # fmt: skip
    tickets = [
        {
            "change_id": str(number), "valid_from": 0, "status": "approved", "asset_ids": some(IDS),
            "asset_paths": some(PATHS), "activity": chance.choice(WORDS), "start": time(-6, 0), "end": time(0, 5),
            "actors": some(("anna", "bert")),
        }
        for number in range(5)
    ]  # fmt: skip
    rows = [
        place() | {
            "begin_time": time(-6, 5), "end_time": chance.choice((None, time(0, 6))), "known_until": time(0, 6),
            "domain": chance.choice(("process", "security")), "activities": some(WORDS),
            "actors": some(("anna", "bert")),
        }
        for _ in range(30)
    ]  # fmt: skip
    return rows, known, work, tickets


@pytest.mark.parametrize("at_once", [match.PAIRS_AT_ONCE, 40])
def test_in_a_crowded_plant_verdicts_are_those_of_the_reference(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where several orders match one alert the same one is told, also where only few pairs are looked at together.

    Every verdict, by either kind, comes up often.
    """
    monkeypatch.setattr(match, "PAIRS_AT_ONCE", at_once)
    seen: Counter[tuple[Any, ...]] = Counter()
    for seed in range(60):
        rows, known, work, tickets = _plant(Random(seed))
        told = _told(rows, known, work, tickets)
        assert told == [verdict(row, known, work, tickets, POLICY.standing_us, POLICY.grace_us) for row in rows]
        seen.update(one[:2] for one in told)
    kinds = {(label, by) for label in ("expected", "possible", "expired") for by in ("work_order", "change")}
    assert {kind for kind, count in seen.items() if count >= 20} >= kinds, seen
