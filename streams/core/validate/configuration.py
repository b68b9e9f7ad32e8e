"""Alerts on the signal dictionary: enter its faults and what was told of them, leave bare rows (alert.row.BARE).

One alert per fault and signal, raised once and cleared once, whatever chunks, partitions and restarts there are: the
task of partition 0, which every deployment has, tells of all of them, and its state remembers what it told. A fault has
no event time: it begins and ends when that is first seen. Either must stand for HOLD_US: while a dictionary is written,
row by row, much is wrong for moments, and the next owner of the task may have read a little less of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.alert.row import BARE, alert_row
from streams.core.alert.sentence import clock, duration
from streams.core.dictionary import Fault
from streams.core.label.words import ITSELF
from streams.core.stage import Change, Moment, Result, Table
from streams.core.times import SECOND_US
from streams.core.verdict.catalogue import TELEMETRY

# The task that tells.
PARTITION: Final = 0
HOLD_US: Final = 10 * SECOND_US
# At once: beyond it one systematic mistake would bury the alerts of the plant. The next are told as these are mended.
LIMIT: Final = 1_000
RULE: Final = "builtin.configuration."
RULE_VERSION: Final = 1
_PLACE: Final = ("site", "tenant", "work_center", "source_id", "name")
_OF_PLANT: Final = ("work_unit", "asset_id")
TABLE: Final = Table(
    "configuration",
    pl.Schema(
        dict.fromkeys(("fault", "signal_id", *_PLACE), pl.String())
        # Since when it is there, and since when (null: not yet) not any more; whether it was told.
        | {"since_us": pl.Int64(), "gone_us": pl.Int64(), "told": pl.Boolean()}
    ),
    ("fault", "signal_id"),
)
# People who change a machine change its signals, and the dictionary after that or before.
_ACTIVITIES: Final = ["modify", "program", "replace"]
_CONSEQUENCE: Final = "What this signal sends is left out or taken otherwise than meant until the dictionary is mended."

Key = tuple[str, str]


class Faulty(NamedTuple):
    """What is wrong, and with whom."""

    site: str | None
    tenant: str | None
    work_center: str | None
    source_id: str | None
    name: str | None
    detail: str
    work_unit: str | None = None
    asset_id: str | None = None


def faulty(faults: Iterable[Fault], frame: pl.DataFrame) -> Mapping[Key, Faulty]:
    """The faults of rows of `it.signal.v1` by kind and signal; of several versions the one that is found first."""
    found: dict[Key, Fault] = {}
    for fault in faults:
        found.setdefault((fault.kind, fault.signal_id), fault)
    key = {"signal_id": pl.col("signal_id").fill_null(""), "valid_from": pl.col("valid_from").fill_null(0)}
    rows = frame.with_columns(**key).filter(pl.col("signal_id").is_in([signal_id for _, signal_id in found]))
    places = dict(zip(rows.select(*key).rows(), rows.select(*_PLACE, *_OF_PLANT).rows(named=True), strict=True))
    told = {key: (places[fault.signal_id, fault.valid_from], fault.detail) for key, fault in found.items()}
    return {key: Faulty(**place, detail=detail) for key, (place, detail) in told.items()}


def told(present: Mapping[Key, Faulty], table: pl.DataFrame, moment: Moment) -> Result:
    """What is to be told now of the faults that are `present`, and the change of TABLE."""
    if moment.partition != PARTITION or not (present or table.height):
        return Result()
    now_us = moment.now_us
    kept, gone, alerts = list[dict[str, Any]](), list[Key](), list[dict[str, Any]]()
    known = {(row["fault"], row["signal_id"]): row for row in table.iter_rows(named=True)}
    for key, row in known.items():
        fault = present.get(key)
        after: dict[str, Any] | None = None
        if fault is None:
            if not row["told"] or (row["gone_us"] is not None and now_us - row["gone_us"] >= HOLD_US):
                gone.append(key)
                alerts += [_row(row, None, now_us)] if row["told"] else []
            elif row["gone_us"] is None:
                after = {"gone_us": now_us}
        elif row["gone_us"] is not None:
            after = {"gone_us": None}
        elif not row["told"] and now_us - row["since_us"] >= HOLD_US:
            after = {"told": True}
            alerts.append(_row(row, fault, now_us))
        kept += [] if after is None else [{**row, **after}]
    if len(known) < LIMIT:
        new = sorted(present.keys() - known.keys())[: LIMIT - len(known)]
        kept += [_new(key, present[key], now_us) for key in new]
    if not kept and not gone:
        return Result()
    change = Change(
        upsert=pl.DataFrame(kept, schema=TABLE.schema, orient="row") if kept else None,
        delete=pl.DataFrame(gone, schema=list(TABLE.key), orient="row") if gone else None,
    )
    return Result({TABLE.name: change}, _records(alerts))


def _new(key: Key, fault: Faulty, now_us: int) -> dict[str, Any]:
    place = dict(zip(_PLACE, fault, strict=False))
    return {"fault": key[0], "signal_id": key[1], **place, "since_us": now_us, "gone_us": None, "told": False}


def _records(alerts: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    if not alerts:
        return {}
    return {topology.ALERT.name: pl.DataFrame(alerts, schema=BARE, orient="row")}


def _row(row: Mapping[str, Any], fault: Faulty | None, now_us: int) -> dict[str, Any]:
    """A bare row for a row of TABLE; no fault: it is mended."""
    ended = fault is None
    own = alert_row(
        alert_id=f"{RULE}{row['fault']}|{row['signal_id']}|{row['since_us']}",
        revision=2 if ended else 1,
        reason="condition_cleared" if ended else "condition_active",
        site=row["site"] or "",
        tenant=row["tenant"],
        kind="alert",
        state="cleared" if ended else "active",
        rule_id=RULE + row["fault"],
        rule_version=RULE_VERSION,
        priority="medium",
        work_center=row["work_center"] or "",
        signal_id=row["signal_id"],
        source_id=row["source_id"],
        event_time=row["gone_us"] if ended else row["since_us"],
        begin_time=row["since_us"],
        end_time=row["gone_us"] if ended else None,
        detection_time=now_us,
        consequence=_CONSEQUENCE,
        response="" if fault is None else fault.detail,
        evidence=(),
        domain=TELEMETRY,
    )
    say = json.dumps({"type": ITSELF, "text": _message(row, fault, now_us)}, ensure_ascii=False)
    # A row that cannot be used is none to the services; whose signal it is it says all the same.
    place = {} if fault is None else {"work_unit_as": fault.work_unit, "asset_as": fault.asset_id}
    return {**own, "say": say, "activities": _ACTIVITIES, "name_as": row["name"], **place}


def _message(row: Mapping[str, Any], fault: Faulty | None, now_us: int) -> str:
    where = (
        f"at {row['work_center']}, source {row['source_id']}" if row["work_center"] else f"source {row['source_id']}"
    )
    what = f"Signal dictionary: {row['fault']} of {row['name'] or row['signal_id'] or 'a signal without id'} ({where})"
    if fault is None:
        return f"{what} is mended after {duration(row['gone_us'] - row['since_us'])}."
    return f"{what}, since {clock(row['since_us'], now_us)}: {fault.detail}."
