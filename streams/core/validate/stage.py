"""Raw readings to validated ones: drop copies, resolve, scale, normalise quality, reject what cannot be interpreted.

Enters: chunks of `ot.raw.reading.v1` and `ot.raw.batch.v1`, the signal dictionary. Leaves: rows of `ot.reading.v1`, one
record per rejected reading or batch with reason and coordinates, one inventory record per unknown signal, alerts on
clocks and on the dictionary, and counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from streams import topology
from streams.core import dictionary
from streams.core.context import Context
from streams.core.frames import (
    AMBIGUOUS_TIME,
    BAD,
    BIRTH,
    ESTIMATED_TIME,
    FORCED,
    HISTORICAL,
    OUT_OF_RANGE,
    READING,
    UNCERTAIN,
)
from streams.core.label import tables as label_tables
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.core.times import SECOND_US
from streams.core.validate import clock, configuration, inventory, quality, repeats, timing, unpack, values
from streams.core.validate.alerts import Alerts
from streams.core.validate.lookup import Ints, Lookup
from streams.core.validate.rejects import QUOTED, Rejects
from streams.core.validate.skew import ClockConfig

YEAR_2000_US: Final = 946_684_800 * SECOND_US
# What a reading gets from the dictionary, and what it keeps of its raw form.
_IDENTITY: Final = ("site", "tenant", "work_center", "signal_id", "source_id")
_KEPT: Final = ("event_time", "ingest_time", "sequence", "historical", "birth", "estimated", "ambiguous")
_QUOTABLE: Final = ("value_double", "value_long", "value_bool", "value_string")


@dataclass(frozen=True)
class ValidateConfig:
    """Limits of `Validate`.

    A stamp more than `max_future_s` ahead of the broker's time, or before `oldest_us`, is no time: clocks that are
    minutes or a time zone off pass. `inventory_emit_s`: shortest time between two records of one unknown signal.
    `inventory_limit`: unknown signals that one task keeps. `memory`: what is remembered of batches. ValueError names
    every limit that is not positive. `clock`: when the clock of a source is skewed.
    """

    max_future_s: int = 86_400
    oldest_us: int = YEAR_2000_US
    inventory_emit_s: int = 60
    inventory_limit: int = 100_000
    memory: repeats.Memory = field(default_factory=repeats.Memory)
    clock: ClockConfig = field(default_factory=ClockConfig)

    def __post_init__(self) -> None:
        wrong = [name for name in ("max_future_s", "inventory_emit_s", "inventory_limit") if getattr(self, name) <= 0]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: set a positive number")


class Validate:
    """The validate stage. It keeps nothing but a prepared form of the signal dictionary (one version).

    Counts: ("readings", topic), ("batches", "empty"), ("rejects", reason), ("unknown", "readings"|"new"|"overflow"|
    "resolved"), ("repeats", "batch"|"contradiction"), ("sequence", "gap"|"forgotten"), ("quality", "uncertain"|"bad"),
    ("values", "not_finite"|"out_of_range"|"unmapped"), ("clocks", "retimed"|"begun"|"moved"|"ended"|
    "forgotten"), ("relabelled", "context"|"verdict"), ("local_time", "ambiguous"), and once per version of the
    dictionary ("context_faults", kind).
    """

    def __init__(self, config: ValidateConfig | None = None) -> None:
        self._config = config = config or ValidateConfig()
        self._limits = timing.Limits(config.max_future_s * SECOND_US, config.oldest_us, config.clock)
        self._lookup = dictionary.Memo(Lookup)
        self._alerts = Alerts()
        self._reported: Lookup | None = None

    @property
    def tables(self) -> tuple[Table, ...]:
        """Unknown signals; the sequences of batches that were seen; sources whose clocks are, or may be, skewed; faults
        of the dictionary; alerts and their labels.
        """
        return (inventory.TABLE, repeats.TABLE, clock.TABLE, configuration.TABLE, *label_tables.TABLES)

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
        changes: dict[str, Change] = {}
        if topic == topology.RAW_BATCH.name:
            raw = self._unpacked(frame, state, moment, rejects, changes)
        else:
            raw = unpack.readings(frame)
        counts["readings", topic] += raw.height
        raw, clocks = timing.timed(topic, raw, state[clock.TABLE.name], lookup, moment, rejects, self._limits)
        changes |= clocks.changes
        rows = lookup.find(raw["_source"].to_numpy(), raw["address"], raw["event_time"].to_numpy())
        out = dict(clocks.out)
        if rows.size and rows.min() < 0:
            known = pl.Series(rows >= 0)
            learnt, unknown = self._unknown(raw.filter(~known), state, moment, counts)
            changes |= learnt
            out |= unknown
            raw, rows = raw.filter(known), rows[known.to_numpy()]
        readings = _published(raw, rows, lookup, rejects)
        if readings.height:
            out[topology.READING.name] = readings
        rejected = rejects.records()
        if rejected.height:
            out[topology.REJECTED.name] = rejected
        result = Result(changes, out, {key: number for key, number in counts.items() if number})
        return self._alerts.issued(result, state, context, moment)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Emit what changed in the inventory; forget signals that the dictionary names by now, and clocks of no source;
        tell of the dictionary's faults, and anew what the context says otherwise of alerts.
        """
        lookup, rows, clocks = self._lookup.of(context), state[inventory.TABLE.name], state[clock.TABLE.name]
        results = [configuration.told(lookup.faulty, state[configuration.TABLE.name], moment)]
        if rows.height:
            results.append(self._listed(rows, lookup, moment))
        if clocks.height:
            results.append(timing.forgotten(clocks, lookup, moment, self._limits))
        return self._alerts.timer(_together(results), state, context, moment)

    def _listed(self, rows: pl.DataFrame, lookup: Lookup, moment: Moment) -> Result:
        """What time and the dictionary bring about in the inventory (`rows`)."""
        found = lookup.find(lookup.sources(rows["source_id"]), rows["address"], rows["last_seen"].to_numpy())
        resolved = rows.filter(pl.Series(found >= 0)).select(inventory.KEY)
        due = inventory.due(rows.filter(pl.Series(found < 0)), moment.now_us, self._config.inventory_emit_s * SECOND_US)
        if not due.height and not resolved.height:
            return Result()
        change = Change(upsert=due if due.height else None, delete=resolved if resolved.height else None)
        out = {topology.UNKNOWN.name: inventory.records(due)} if due.height else {}
        counts = {("unknown", "resolved"): resolved.height} if resolved.height else {}
        return Result({inventory.TABLE.name: change}, out, counts)

    def _unpacked(
        self, frame: pl.DataFrame, state: Tables, moment: Moment, rejects: Rejects, changes: dict[str, Change]
    ) -> pl.DataFrame:
        """Readings of new batches whose arrays are equally long; others are rejected whole, empty ones are counted."""
        sizes = unpack.lengths(frame)
        length, unequal = sizes["length"], sizes["unequal"]
        if unequal.any():
            detail = "the arrays of a batch must be equally long, address included: leave out what is not sent"
            frame, length = rejects.take(frame, unequal, "unequal_lengths", detail), length.filter(~unequal)
        # What was rejected is not remembered: the source may send it again, whole.
        sifted = repeats.sift(frame, state[repeats.TABLE.name], moment.now_us, self._config.memory)
        rejects.counts.update(sifted.counts)
        if sifted.change is not None:
            changes[repeats.TABLE.name] = sifted.change
        rejects.counts["batches", "empty"] += int((sifted.new & (length == 0)).sum())
        sound = sifted.new & (length > 0)
        if not sound.all():
            frame, length = frame.filter(sound), length.filter(sound)
        return unpack.explode(frame, length)

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


def _together(results: Sequence[Result]) -> Result:
    """One result of several that change different tables."""
    changes: dict[str, Change] = {}
    out: dict[str, pl.DataFrame] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        changes |= result.changes
        counts.update(result.counts)
        for topic, frame in result.out.items():
            out[topic] = pl.concat([out[topic], frame]) if topic in out else frame
    return Result(changes, out, counts)


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
        "ambiguous": AMBIGUOUS_TIME,
    }
    return pl.sum_horizontal(pl.col(name).fill_null(value=False).cast(pl.Int32) * bit for name, bit in flags.items())
