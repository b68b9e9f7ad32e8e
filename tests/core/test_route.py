"""Route: one record in is one record of evidence out, whatever it is, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from streams import topology
from streams.core.context import Context
from streams.core.correlate.tables import EVIDENCE
from streams.core.frames import COORDINATES
from streams.core.privacy import pseudonym
from streams.core.route.projection import OF_ALERT
from streams.core.route.stage import Route
from streams.core.stage import Moment, Result
from streams.kafka.avro import contracts
from streams.kafka.avro.writer import columns

Row = dict[str, Any]
SCHEMAS: Final = {
    topic.name: pl.Schema({**columns(contracts.load(topic.name).schema), **COORDINATES})
    for topic in topology.ROUTE.reads
}
PERSON: Final = pseudonym("Jane Doe", bytes(32))
TEXTS: Final = st.sampled_from(
    ["", "a", PERSON, "site-1", "active", "event", "cleared", "high", "HIGH", "sequence", "Ünï"]
)
TIMES: Final = st.sampled_from([0, 1, 1_700_000_000_000_000, 2**62]) | st.integers(-(2**62), 2**62)
CELLS: Final[Mapping[pl.DataType, st.SearchStrategy[Any]]] = {
    pl.String(): TEXTS,
    pl.Int64(): TIMES,
    pl.Int32(): st.integers(0, 2**31 - 1),
    pl.Float64(): st.floats(allow_nan=False),
    pl.Boolean(): st.booleans(),
    pl.List(pl.String()): st.lists(TEXTS, max_size=3),
}


def cells(topic: str) -> dict[str, st.SearchStrategy[Any]]:
    """A strategy per column: null where the contract has it."""
    found = {name: CELLS[SCHEMAS[topic][name]] for name in COORDINATES}
    for part in contracts.load(topic).schema["fields"]:
        value = CELLS[SCHEMAS[topic][part["name"]]]
        found[part["name"]] = st.none() | value if isinstance(part["type"], list) else value
    return found


ROWS: Final = {name: st.lists(st.fixed_dictionaries(cells(name)), min_size=1, max_size=6) for name in SCHEMAS}


def route(topic: str, rows: list[Row]) -> Result:
    """One step over these rows."""
    frame = pl.DataFrame(rows, schema=SCHEMAS[topic], orient="row")
    return Route().step(topic, frame, {}, Context(), Moment(0))


def rows_of(result: Result) -> pl.DataFrame:
    """The evidence that came out."""
    return result.out.get(topology.EVIDENCE.name, pl.DataFrame(schema=EVIDENCE))


def untold() -> Row:
    """What evidence says that nothing was told of: the defaults of its contract."""
    fields = contracts.load(topology.EVIDENCE.name).schema["fields"]
    return {part["name"]: part.get("default") for part in fields}


def expected(topic: str, row: Row) -> Row:
    """The evidence of one record, said once more and plainly."""
    coordinates = [f"{topic}/{row['_partition']}/{row['_offset']}"]
    if topic == topology.ALERT.name:
        shared = {name: row[name] for name in EVIDENCE if name in row}
        own: Row = {"evidence_id": f"alert:{row['alert_id']}", "kind": "alert", "evidence": coordinates}
        own |= {"type": row["rule_id"], "alert_kind": row["kind"], "work_center": row["work_center"] or None}
        own["actors"] = [actor for actor in row["actors"] if actor == PERSON]
        return untold() | shared | own | {"ingest_time": row["ingest_time"] if row["ingest_time"] > 0 else row["_time"]}
    told = untold() | {name: row[name] for name in ("site", "tenant", "event_time", "time_precision")}
    known = row["_time"] if row["ingest_time"] is None else row["ingest_time"]
    told |= {"begin_time": row["event_time"], "detection_time": known, "ingest_time": row["_time"]}
    told |= {"evidence": coordinates}
    if topic == topology.ACCESS.name:
        told |= {"evidence_id": f"access:{row['access_id']}", "kind": "access", "domain": "it", "type": row["kind"]}
        told |= {"actors": [row["user"]] if row["user"] == PERSON else [], "asset_id": row["target_asset_id"]}
        return told | {name: row[name] for name in ("remote", "source_address", "target_address", "source_asset_id")}
    if topic == topology.FLOW.name:
        kind = row["transport"] if row["service"] is None else row["service"]
        told |= {"evidence_id": f"flow:{row['flow_id']}", "kind": "flow", "domain": "it", "type": kind or ""}
        ends = {"source_address": row["source_address"], "target_address": row["destination_address"]}
        return told | ends | {"end_time": row["end_time"]}
    told |= {"evidence_id": f"alarm:{row['alarm_id']}", "kind": "alarm", "domain": "process", "type": row["code"]}
    told |= {name: row[name] for name in ("state", "source_id", "asset_id", "work_center", "work_unit")}
    severity = (row["severity"] or "").lower()
    told |= {"priority": severity if severity in ("low", "medium", "high", "critical") else "medium"}
    return told | {"end_time": None if row["state"] == "active" else row["event_time"], "message": row["text"] or ""}


@pytest.mark.parametrize("topic", SCHEMAS)
@given(data=st.data())
@settings(max_examples=60)
def test_every_field_is_where_it_belongs(topic: str, data: st.DataObject) -> None:
    """For any record of any input: id, kind, times, place, what it says, and its own coordinates; in order; unknown
    words of documented sets pass; alerts that sequences made are left out; what has no site is kept, and both counted.
    """
    rows = data.draw(ROWS[topic])
    kept = [row for row in rows if row.get("origin") != "sequence"]
    result = route(topic, rows)
    assert_frame_equal(rows_of(result), pl.DataFrame([expected(topic, row) for row in kept], schema=EVIDENCE))
    wanted = {("left_out", "sequence"): len(rows) - len(kept)}
    wanted[("no_site", topic)] = sum(row["site"] == "" for row in kept)
    accounts = [[row.get("user")] if topic == topology.ACCESS.name else row.get("actors", []) for row in kept]
    wanted[("clear_name", topic)] = sum(name not in (None, PERSON) for names in accounts for name in names)
    assert dict(result.counts) == {key: count for key, count in wanted.items() if count}


@given(data=st.data(), cut=st.integers(1, 5))
@settings(max_examples=20)
def test_the_cut_of_the_stream_does_not_matter(data: st.DataObject, cut: int) -> None:
    """Two chunks give what one gives."""
    topic = data.draw(st.sampled_from(list(SCHEMAS)))
    rows = data.draw(ROWS[topic])
    parts = [rows_of(route(topic, part)) for part in (rows[:cut], rows[cut:])]
    assert_frame_equal(pl.concat(parts), rows_of(route(topic, rows)))


def test_evidence_has_the_columns_of_its_contract() -> None:
    """Names, order and types; of alerts nothing that evidence has room for is left behind."""
    assert columns(contracts.load(topology.EVIDENCE.name).schema) == EVIDENCE
    shared = set(EVIDENCE) & set(SCHEMAS[topology.ALERT.name])
    # These are told, but not under the alert's own name or not as they are.
    assert shared - {"site", "kind", "evidence", "ingest_time", "work_center"} == set(OF_ALERT)


def test_accounts_that_are_no_pseudonyms_are_left_out_and_counted() -> None:
    """Whoever writes past the loader is seen, and his names stay outside: one clear name of three accounts."""
    topic = topology.ACCESS.name
    blank = dict.fromkeys(SCHEMAS[topic]) | {"access_id": "1", "site": "s", "event_time": 0, "kind": "logon"}
    blank |= {"time_precision": "exact", "_partition": 0, "_offset": 0, "_time": 0}
    users = [None, pseudonym("Jane Doe", bytes(32)), "Jane Doe"]
    result = route(topic, [{**blank, "user": user} for user in users])
    assert dict(result.counts) == {("clear_name", topic): 1}
    assert rows_of(result)["actors"].to_list() == [[], [users[1]], []]


def test_another_topic_is_refused_and_time_brings_nothing() -> None:
    """What the topology does not declare is a fault of the code, not data."""
    with pytest.raises(ValueError, match=r"ops\.kpi\.v1: route reads ops\.alert\.v1, it\.access\.v1"):
        Route().step(topology.KPI.name, pl.DataFrame(), {}, Context(), Moment(0))
    assert Route().timer({}, Context(), Moment(10**15)) == Result()
