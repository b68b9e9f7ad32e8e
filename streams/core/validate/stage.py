"""Raw readings to validated ones: resolve, scale, normalise quality, reject only what cannot be interpreted.

Enters: chunks of `ot.raw.reading.v1` and `ot.raw.batch.v1`, the signal dictionary. Leaves: rows of `ot.reading.v1`, one
record per rejected reading or batch with reason and coordinates, one inventory record per unknown signal, and counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import polars as pl

from streams import topology
from streams.core import dictionary
from streams.core.context import Context
from streams.core.frames import BAD, BIRTH, ESTIMATED_TIME, FORCED, HISTORICAL, OUT_OF_RANGE, READING, UNCERTAIN
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.core.times import SECOND_US
from streams.core.validate import inventory, quality, unpack, values
from streams.core.validate.lookup import Ints, Lookup
from streams.core.validate.rejects import QUOTED, Rejects

YEAR_2000_US: Final = 946_684_800 * SECOND_US
# What a reading gets from the dictionary, and what it keeps of its raw form.
_IDENTITY: Final = ("site", "tenant", "work_center", "signal_id", "source_id")
_KEPT: Final = ("event_time", "ingest_time", "sequence", "historical", "birth", "estimated")
_QUOTABLE: Final = ("value_double", "value_long", "value_bool", "value_string")


@dataclass(frozen=True)
class ValidateConfig:
    """Limits of `Validate`.

    A stamp more than `max_future_s` ahead of the broker's time, or before `oldest_us`, is no time: clocks that are
    minutes or a time zone off pass. `inventory_emit_s`: shortest time between two records of one unknown signal.
    `inventory_limit`: unknown signals that one task keeps. ValueError names every limit that is not positive.
    """

    max_future_s: int = 86_400
    oldest_us: int = YEAR_2000_US
    inventory_emit_s: int = 60
    inventory_limit: int = 100_000

    def __post_init__(self) -> None:
        wrong = [name for name in ("max_future_s", "inventory_emit_s", "inventory_limit") if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: set a positive number")


class Validate:
    """The validate stage. It keeps nothing but a prepared form of the signal dictionary (one version).

    Counts: ("readings", topic), ("batches", "empty"), ("rejects", reason), ("unknown", "readings"|"new"|"overflow"|
    "resolved"), ("quality", "uncertain"|"bad"), ("values", "not_finite"|"out_of_range"|"unmapped"), and once per
    version of the dictionary ("context_faults", kind).
    """

    def __init__(self, config: ValidateConfig | None = None) -> None:
        self._config = config or ValidateConfig()
        self._lookup = dictionary.Memo(Lookup)
        self._reported: Lookup | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """The inventory of unknown signals."""
        return (inventory.TABLE,)

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Validate a chunk of `ot.raw.reading.v1` or `ot.raw.batch.v1` (their fields and COORDINATES)."""
        lookup = self._lookup.of(context)
        rejects = Rejects(topic)
        counts = rejects.counts
        if lookup is not self._reported:
            counts.update({("context_faults", kind): number for kind, number in lookup.faults.items()})
            self._reported = lookup
        # Before a batch is exploded: its readings share one source.
        frame = frame.with_columns(pl.Series("_source", lookup.sources(frame["source_id"])))
        raw = _unpacked(frame, rejects) if topic == topology.RAW_BATCH.name else unpack.readings(frame)
        counts["readings", topic] += raw.height
        raw = self._timed(raw, moment, rejects)
        rows = lookup.find(raw["_source"].to_numpy(), raw["address"], raw["event_time"].to_numpy())
        changes: dict[str, Change] = {}
        out: dict[str, pl.DataFrame] = {}
        if rows.size and rows.min() < 0:
            known = pl.Series(rows >= 0)
            changes, out = self._unknown(raw.filter(~known), state, moment, counts)
            raw, rows = raw.filter(known), rows[known.to_numpy()]
        readings = _published(raw, rows, lookup, rejects)
        if readings.height:
            out[topology.READING.name] = readings
        rejected = rejects.records()
        if rejected.height:
            out[topology.REJECTED.name] = rejected
        return Result(changes, out, {key: number for key, number in counts.items() if number})

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Emit what changed in the inventory, and forget the signals that the dictionary names by now."""
        rows = state[inventory.TABLE.name]
        if not rows.height:
            return Result()
        lookup = self._lookup.of(context)
        found = lookup.find(lookup.sources(rows["source_id"]), rows["address"], rows["last_seen"].to_numpy())
        resolved = rows.filter(pl.Series(found >= 0)).select(inventory.KEY)
        due = inventory.due(rows.filter(pl.Series(found < 0)), moment.now_us, self._config.inventory_emit_s * SECOND_US)
        if not due.height and not resolved.height:
            return Result()
        change = Change(upsert=due if due.height else None, delete=resolved if resolved.height else None)
        out = {topology.UNKNOWN.name: inventory.records(due)} if due.height else {}
        counts = {("unknown", "resolved"): resolved.height} if resolved.height else {}
        return Result({inventory.TABLE.name: change}, out, counts)

    def _timed(self, raw: pl.DataFrame, moment: Moment, rejects: Rejects) -> pl.DataFrame:
        """Rows that have an address and a time, with ingest_time, event_time and `estimated` (not the source's own)."""
        broker = pl.when(pl.col("_time") >= 0).then("_time")
        raw = raw.with_columns(
            ingest_time=broker.fill_null(moment.now_us),
            event_time=pl.coalesce("source_time", "gateway_time", broker),
            estimated=pl.col("source_time").is_null(),
        )
        if raw["address"].null_count() or raw["source_id"].null_count():
            absent = raw["address"].is_null() | raw["source_id"].is_null()
            raw = rejects.take(raw, absent, "no_address", "give each reading source_id and address")
        if raw["event_time"].null_count():
            detail = "give the reading a source_time or gateway_time, or let the broker stamp the record"
            raw = rejects.take(raw, raw["event_time"].is_null(), "no_time", detail)
        future_us = self._config.max_future_s * SECOND_US
        event, ingest = raw["event_time"], raw["ingest_time"]
        wrong = (event > ingest + future_us) | (event < self._config.oldest_us)
        if wrong.any():
            detail = "event time {} us, broker time {} us: set the clock of the source (UTC, microseconds since 1970)"
            raw = rejects.take(raw, wrong, "impossible_time", pl.format(detail, "event_time", "ingest_time"))
        return raw

    def _unknown(
        self, raw: pl.DataFrame, state: Tables, moment: Moment, counts: Counter[tuple[str, str]]
    ) -> tuple[dict[str, Change], dict[str, pl.DataFrame]]:
        """Take readings of unknown signals into the inventory; what is new there is emitted at once."""
        table = inventory.TABLE.name
        change, new, overflow = inventory.add(state[table], raw, moment.now_us, self._config.inventory_limit)
        counts["unknown", "readings"] += raw.height
        counts["unknown", "new"] += new.height
        counts["unknown", "overflow"] += overflow
        return {table: change}, {topology.UNKNOWN.name: inventory.records(new)} if new.height else {}


def _unpacked(frame: pl.DataFrame, rejects: Rejects) -> pl.DataFrame:
    """Readings of the batches whose arrays are equally long; empty batches are counted, others rejected whole."""
    sizes = unpack.lengths(frame)
    length, unequal = sizes["length"], sizes["unequal"]
    if unequal.any():
        detail = "the arrays of a batch must be equally long, address included: leave out what is not sent"
        rejects.take(frame, unequal, "unequal_lengths", detail)
    rejects.counts["batches", "empty"] += int((length == 0).sum())
    sound = ~unequal & (length > 0)
    if not sound.all():
        frame, length = frame.filter(sound), length.filter(sound)
    return unpack.explode(frame, length)


def _published(raw: pl.DataFrame, rows: Ints, lookup: Lookup, rejects: Rejects) -> pl.DataFrame:
    """Rows of READING: values in the published unit with quality and flags; where no value can be had: rejected."""
    signal = lookup.take(rows, *_IDENTITY, *(("low", "high") if lookup.ranged else ()))
    interpreted = values.interpret(raw, rows, lookup)
    frame = pl.DataFrame([*raw.select(_KEPT), *signal, *interpreted, *quality.normalise(raw)])
    empty = frame["missing"] & (frame["quality"] != BAD)
    mismatch = frame["mismatch"]
    if mismatch.any():
        sent = pl.coalesce(pl.col(name).cast(pl.String) for name in _QUOTABLE).str.slice(0, QUOTED)
        detail = pl.format("a signal of role {} cannot be read from: {}", "role", sent.fill_null("bytes"))
        rejects.take(raw.hstack(lookup.take(rows, "role")), mismatch, "type_mismatch", detail)
    if empty.any():
        rejects.take(raw, empty, "no_value", "send one of the value fields, or a bad quality code")
    if (wrong := mismatch | empty).any():
        frame = frame.filter(~wrong)
    frame = frame.with_columns(_out_of_range() if lookup.ranged else pl.lit(value=False).alias("out_of_range"))
    doubtful = pl.col("out_of_range") | pl.col("unmapped")
    grade = pl.max_horizontal("quality", doubtful.cast(pl.Int8) * UNCERTAIN, pl.col("not_finite").cast(pl.Int8) * BAD)
    readings = frame.with_columns(quality=grade, flags=_flags()).select(READING.names())
    for name in ("not_finite", "out_of_range", "unmapped"):
        rejects.counts["values", name] += int(frame[name].sum())
    for name, code in (("uncertain", UNCERTAIN), ("bad", BAD)):
        rejects.counts["quality", name] += int((readings["quality"] == code).sum())
    return readings


def _out_of_range() -> pl.Expr:
    """Outside the instrument range, in the published unit; the ends belong to the range."""
    value = pl.coalesce("value_double", pl.col("value_long").cast(pl.Float64))
    return ((value < pl.col("low")) | (value > pl.col("high"))).fill_null(value=False).alias("out_of_range")


def _flags() -> pl.Expr:
    """Sum of the flags of frames.py."""
    flags = {
        "forced": FORCED,
        "historical": HISTORICAL,
        "birth": BIRTH,
        "out_of_range": OUT_OF_RANGE,
        "estimated": ESTIMATED_TIME,
    }
    return pl.sum_horizontal(pl.col(name).fill_null(value=False).cast(pl.Int32) * bit for name, bit in flags.items())
