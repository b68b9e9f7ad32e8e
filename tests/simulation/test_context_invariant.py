"""The invariant of context: what was told last of an alert is a function of the readings and of the context.

Records of the context come in any order, before, between and after the readings, and however the stream is cut, and
wherever the task is restarted: the outcome is that of a task that has all context before the first reading, and its
labels are those of a plain look at all records. Revisions, their reasons and detection times may differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from streams import topology
from streams.core.times import FOREVER_US
from streams.core.verdict import Policy
from tests.core.alert_scene import R, Task, rule, signal
from tests.core.label_scene import HOT, SCHEMAS, Row, World, asset, at, permit, position, production, repair
from tests.core.reference_verdict import verdict
from tests.core.verdict_scene import CLOCKS

RULES: Final = (HOT, replace(rule("slow", "high = 80.0\noff_delay_s = 3.0\non_delay_s = 2.0"), activities=("clean",)))
MACHINES: Final = {"a": "filler-1", "b": "packer-1"}
HALL: Final = "e/s/hall"
PLACES: Final[tuple[Row, ...]] = (
    {"asset_id": "filler-1"},
    {"asset_id": "packer-1"},
    {"asset_id": None, "asset_path": HALL},
    {"asset_id": None, "work_center": "line-1"},
)
UNTOLD: Final = ("revision", "supersedes", "reason", "detection_time")
DEFAULTS: Final = Policy()
Record = tuple[topology.Topic, Row]


def base() -> list[Record]:
    """What is known from the start: signals, or nothing would be judged."""
    return [(topology.SIGNAL, signal(name, work_unit=unit)) for name, unit in MACHINES.items()]


@st.composite
def _records(draw: st.DrawFn) -> list[Record]:
    """Records of the context, one for each version, in any order."""
    times = st.sampled_from((-100.0, -1.0, 0.0, 5.0, 12.0, 20.0, 31.0))
    ends = st.sampled_from((2.0, 10.0, 21.0, 33.0, 48.0, 900.0))
    found: list[Record] = []
    told: Row
    for unit in draw(st.lists(st.sampled_from(tuple(MACHINES.values())), max_size=4)):
        path = draw(st.sampled_from((f"{HALL}/line-1/{unit}", f"{HALL}/store/{unit}", f"{HALL}/line-1/cell/{unit}")))
        owner = draw(st.sampled_from(("mechanics", "electrics")))
        ended = draw(st.sampled_from((None, None, at(25))))
        fields: Row = {
            "path": path,
            "owner": owner,
            "work_unit": unit,
            "valid_to": ended,
            "valid_from": at(draw(times)),
        }
        found.append((topology.ASSET, asset(unit, **fields)))
    for number in draw(st.lists(st.integers(1, 3), max_size=5)):
        where = draw(st.sampled_from(PLACES))
        told = {
            "status": draw(st.sampled_from(("started", "finished", "cancelled"))),
            "activity": draw(st.sampled_from(("repair", "clean", None))),
            "valid_from": at(draw(times)),
        }
        found.append((topology.WORK_ORDER, repair(f"WO-{number}", draw(times), draw(ends), **where, **told)))
    for number in draw(st.lists(st.integers(1, 2), max_size=3)):
        status = draw(st.sampled_from(("approved", "rejected")))
        told = {"status": status, "asset_paths": draw(st.sampled_from(([], [HALL]))), "valid_from": at(draw(times))}
        found.append((topology.CHANGE, permit(f"CH-{number}", draw(times), draw(ends), **told)))
    for number in draw(st.lists(st.integers(1, 3), max_size=3)):
        machine = draw(st.sampled_from((None, "filler-1")))
        order = production(f"PO-{number}", draw(times), draw(ends), work_unit=machine, valid_from=at(draw(times)))
        found.append((topology.PRODUCTION_ORDER, order))
    for name in draw(st.lists(st.sampled_from(("lead", "crew")), max_size=3)):
        path = draw(st.sampled_from((HALL, f"{HALL}/line-1", f"{HALL}/line-1/filler-1")))
        found.append((topology.OPERATOR_POSITION, position(name, path, valid_from=at(draw(times)))))
    if draw(st.booleans()):
        renamed = signal("a", work_unit="filler-1", name="bearing", valid_from=at(draw(times)))
        found.append((topology.SIGNAL, renamed))
    once = {(topic.name, next(iter(row.values())), row["valid_from"]): (topic, row) for topic, row in found}
    return draw(st.permutations(list(once.values())))


@st.composite
def _readings(draw: st.DrawFn) -> list[R]:
    now, found = 0.0, []
    for _ in range(draw(st.integers(2, 14))):
        now += draw(st.sampled_from((0.5, 1.0, 3.0)))
        found.append(R(now, draw(st.sampled_from(tuple(MACHINES))), draw(st.sampled_from((20.0, 83.0, 90.0)))))
    return found


def _latest(task: Task) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in task.rows:
        before = found.get(row["alert_id"])
        assert row["revision"] == (1 if before is None else before["revision"] + 1)
        assert row["supersedes"] == (None if before is None else before["revision"])
        assert before is None or payload(before) != payload(row), "told twice"
        found[row["alert_id"]] = row
    return found


def payload(row: Mapping[str, Any]) -> Row:
    """What is told, but for how it came to be told."""
    return {name: value for name, value in row.items() if name not in UNTOLD}


def _end(task: Task) -> dict[str, Row]:
    """Time passes until every order is over; nothing more is told after that."""
    task.tick(400_000, caught_up_since=-1000)
    assert not task.tick(400_020, caught_up_since=-1000)
    return _latest(task)


@settings(max_examples=60, deadline=None)
@given(_records(), _readings(), st.data())
def test_the_order_in_which_context_and_readings_come_does_not_matter(
    records: list[Record], readings: list[R], data: st.DataObject
) -> None:
    """The latest payload of every alert is that of a task that knew everything, and of a plain look at it all."""
    world = World(*base(), *records)
    reference = Task(RULES, world.now)
    reference.feed(*readings)
    expected = _end(reference)
    for row in expected.values():
        said = plain(row, records)
        assert {name: row[name] for name in said} == said

    world = World(*base())
    task = Task(RULES, world.now)
    plan = ["read"] * len(readings) + ["tell"] * len(records) + ["cut"] * 3 + ["tick"] * 3 + ["restart"] * 2
    left = list(records)
    chunk, rest, now = list[R](), iter(readings), 0.0
    for act in [*data.draw(st.permutations(plan)), "cut"]:
        if act == "read":
            chunk.append(next(rest))
            continue
        if chunk:
            task.feed(*chunk)
            now, chunk = max(now, chunk[-1].at), []
        if act == "tell":
            task.context = world.tell(*left.pop())
        elif act == "tick":
            now += 1.2
            task.tick(now, caught_up_since=None)
        elif act == "restart":
            task.restart()
    actual = _end(task)
    assert actual.keys() == expected.keys()
    for alert_id, row in actual.items():
        assert payload(row) == payload(expected[alert_id])


def plain(row: Mapping[str, Any], records: Sequence[Record]) -> Row:
    """The labels of an alert by looking at all records, one after the other."""
    assets, orders, changes, runs, positions = (
        _rows(records, topic)
        for topic in (topology.ASSET, topology.WORK_ORDER, topology.CHANGE, topology.PRODUCTION_ORDER,
                      topology.OPERATOR_POSITION)
    )  # fmt: skip
    unit, time = MACHINES[row["signal_id"]], row["event_time"]
    own, began = (
        next((version for version in _holding(assets, "asset_id", when) if version["work_unit"] == unit), None)
        for when in (time, row["begin_time"])
    )
    path = None if own is None else own["path"]
    ran = [run for run in _newest(runs) if run["actual_start"] <= time < run["actual_end"]
           and run["work_unit"] in {None, unit}]  # fmt: skip
    ran.sort(key=lambda run: (run["work_unit"] is not None, run["actual_start"], run["order_id"]))
    answers = [
        (len(place.split("/")), [-ord(letter) for letter in one["position_id"]], one["position_id"])
        for one in _holding(positions, "position_id", time)
        for place in one["paths"]
        if path is not None and (path + "/").startswith(place + "/")
    ]
    asked = {**row, "activities": next(one.activities for one in RULES if one.id == row["rule_id"])}
    asked |= {"known_until": FOREVER_US if row["state"] == "active" else None}
    said, by, reference, until = verdict(
        asked | dict.fromkeys(("asset_id", "asset_path")) | {"work_unit": unit} if began is None
        else asked | {"asset_id": began["asset_id"], "asset_path": began["path"], "work_unit": unit},
        assets, orders, changes, DEFAULTS.standing_us, DEFAULTS.grace_us,
    )  # fmt: skip
    return {
        "asset_path": path,
        "owner": None if own is None else own["owner"],
        "order_id": ran[-1]["order_id"] if ran else None,
        "position": max(answers)[2] if answers else None,
        "verdict": said,
        "verdict_by": by,
        "verdict_reference": reference,
        "verdict_until": until,
    }


def _rows(records: Iterable[Record], topic: topology.Topic) -> list[Row]:
    names = SCHEMAS[topic.name].names()
    nothing = dict.fromkeys(names) | ({f"{name}_precision": None for name in CLOCKS})
    return [nothing | row for one, row in records if one is topic]


def _holding(versions: list[Row], key: str, time: int) -> list[Row]:
    """The version of each entity that holds at a time: the last that began, if it has not ended."""
    began = [version for version in versions if version["valid_from"] <= time]
    last = {version[key]: version for version in sorted(began, key=lambda version: version["valid_from"])}
    return [version for _, version in sorted(last.items()) if version["valid_to"] is None or time < version["valid_to"]]


def _newest(runs: list[Row]) -> list[Row]:
    return list({run["order_id"]: run for run in sorted(runs, key=lambda run: run["valid_from"])}.values())
