"""Skewed sources: enter raw readings of known sources, leave event times that can be trusted, and changes of state.

What counts as evidence of a wrong clock, per record (a batch is one record: the deviation that nine of ten of its
readings do not exceed), is source_time less the time at which the reading was seen: gateway_time, else the broker's.
- A gateway is believed unless it is ahead of the broker (then its own clock is wrong) or before `oldest_us`.
- Late delivery is no skew: behind the broker alone says nothing, and neither does what a gateway says of readings that
  it delivered late itself (over `begin_s` before the broker). Ahead of the broker is always evidence, and so is a stamp
  before `oldest_us`, which no delivery delays.
- A source that agrees with the broker is right, whatever its gateway says.
- Historical readings and births are no evidence: their stamps are old by nature.
`skew.walk` says from which record on an offset holds. A reading is re-timed (source_time less offset) where that brings
it nearer to when it was seen: what a clock stamps rightly, before or after it was set, is left alone. A historical one
is re-timed unless that would put it after the time at which it was seen.

The first readings of a skew, until enough samples agree, keep their own stamps: those that are impossible are rejected
(`impossible_time`, counted), the others pass. A stamp that stands still is no clock: it is never re-timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from streams.core.stage import Change, Table
from streams.core.validate.lookup import Lookup
from streams.core.validate.skew import Bools, ClockConfig, Event, Ints, Skew, walk

TABLE: Final = Table(
    "clock",
    pl.Schema(
        {
            "source_id": pl.String(),
            "references": pl.List(pl.Int64()),
            "deviations": pl.List(pl.Int64()),
            "offset_us": pl.Int64(),
            "begin_us": pl.Int64(),
            # Where its alert was raised: it is cleared there, whatever the dictionary says by then.
            "site": pl.String(),
            "tenant": pl.String(),
            "work_center": pl.String(),
        }
    ),
    ("source_id",),
)
# Differences of times stay within 64 bits.
_CLIP_US: Final = 1 << 61
_READ: Final = ("_source", "_partition", "_offset", "source_time", "reference", "historical")


@dataclass(frozen=True)
class Turn:
    """A change of one source's offset; `row`: first row (of the chunk) of the record that brought it.

    No row: the dictionary names the source no longer.
    """

    source_id: str
    place: tuple[str | None, str | None, str]
    row: int | None
    event: Event


@dataclass(frozen=True)
class Retimed:
    """`offset_us` of each row: 0 where its own stamp stands; None: in all rows."""

    offset_us: pl.Series | None = None
    change: Change | None = None
    turns: tuple[Turn, ...] = ()


def reference(config: ClockConfig, oldest_us: int) -> pl.Expr:
    """When a reading was seen (us): by a gateway that can be believed, else by the broker; null: nobody says."""
    return pl.when(_believed(config, oldest_us)).then(_gateway()).otherwise(_broker()).alias("reference")


def _broker() -> pl.Expr:
    return pl.when(pl.col("_time") >= 0).then("_time")


def _gateway() -> pl.Expr:
    return pl.col("gateway_time").clip(-_CLIP_US, _CLIP_US)


def _believed(config: ClockConfig, oldest_us: int) -> pl.Expr:
    ahead = (_gateway() > _broker() + config.end_us).fill_null(value=False)
    return (_gateway() >= oldest_us).fill_null(value=False) & ~ahead


def _evidence(config: ClockConfig, oldest_us: int) -> list[pl.Expr]:
    """`deviation` (null where unknown), and whether the row is `evidence`."""
    stamp, broker = pl.col("source_time").clip(-_CLIP_US, _CLIP_US), _broker()
    right = ((stamp - broker).abs() <= config.end_us).fill_null(value=False)
    deviation = pl.when(right).then(pl.lit(0, pl.Int64)).otherwise(stamp - pl.col("reference"))
    prompt = (_gateway() >= broker - config.begin_us).fill_null(value=True) & _believed(config, oldest_us)
    ahead = (stamp > broker + config.end_us).fill_null(value=False)
    telling = prompt | ahead | (deviation.abs() <= config.end_us) | (pl.col("source_time") < oldest_us)
    present = ~pl.col("historical").fill_null(value=False) & ~pl.col("birth").fill_null(value=False)
    known = (pl.col("_source") >= 0) & deviation.is_not_null()
    return [deviation.alias("deviation"), (known & present & telling).fill_null(value=False).alias("evidence")]


def retime(raw: pl.DataFrame, state: pl.DataFrame, lookup: Lookup, config: ClockConfig, oldest_us: int) -> Retimed:
    """The offset of each row (unpack.RAW and `reference`, in offset order), and what became of the clocks.

    Sources that the dictionary does not know are left alone: their readings only enter the inventory.
    """
    if not state.height and _all_right(raw, config, oldest_us):
        return Retimed()
    measured = raw.select(*_READ, *_evidence(config, oldest_us))
    away = measured["evidence"] & (measured["deviation"].abs() > config.end_us)
    sources = raw["_source"].to_numpy()
    held = lookup.sources(state["source_id"])
    troubled = np.isin(sources, np.union1d(sources[away.to_numpy()], held[held >= 0]))
    if not troubled.any():
        return Retimed()
    rows = np.flatnonzero(troubled)
    rows = rows[np.argsort(sources[rows], kind="stable")]
    walked = _walked(measured, rows, raw["source_id"], state, lookup, config)
    offsets = np.zeros(raw.height, np.int64)
    offsets[rows] = walked.offsets
    return Retimed(_applied(measured, pl.Series(offsets), config), walked.change(state), walked.told())


def forgotten(state: pl.DataFrame, lookup: Lookup) -> tuple[Change | None, tuple[Turn, ...]]:
    """What becomes of sources that the dictionary names no longer: their rows go, and with them what was raised."""
    gone = state.filter(pl.Series(lookup.sources(state["source_id"]) < 0, dtype=pl.Boolean))
    if not gone.height:
        return None, ()
    turns = []
    for row in gone.filter(pl.col("offset_us") != 0).iter_rows():
        skew, place = _loaded(row)
        assert skew is not None
        at_us = int(skew.references[-1])
        turns.append(Turn(row[0], place, None, Event("ended", 0, at_us, skew.begin_us, 0, skew.offset_us)))
    return Change(delete=gone.select("source_id")), tuple(turns)


def _all_right(raw: pl.DataFrame, config: ClockConfig, oldest_us: int) -> bool:
    """Whether no row can be evidence of a skew: what most chunks are, told by a tenth of the work."""
    deviation = raw["source_time"] - raw["reference"]
    low, high, first = deviation.min(), deviation.max(), raw["source_time"].min()
    if not isinstance(low, int) or not isinstance(high, int) or not isinstance(first, int):
        return True
    late = raw["gateway_time"].null_count() == raw.height and first >= oldest_us
    return high <= config.end_us and (low >= -config.end_us or late)


def _applied(measured: pl.DataFrame, offsets: pl.Series, config: ClockConfig) -> pl.Series:
    """The offsets of those rows that are better with than without."""
    deviation, offset = pl.col("deviation"), pl.col("_by")
    before = pl.col("source_time").clip(-_CLIP_US, _CLIP_US) - offset
    possible = (before <= pl.col("reference") + config.end_us).fill_null(value=True)
    nearer = ((deviation - offset).abs() < deviation.abs()).fill_null(value=True)
    better = pl.when(pl.col("historical").fill_null(value=False)).then(possible).otherwise(nearer)
    stamped = pl.col("source_time").is_not_null()
    chosen = pl.when(better & stamped).then(offset).otherwise(pl.lit(0, pl.Int64))
    return measured.with_columns(offsets.alias("_by")).select(chosen.alias("offset_us")).to_series()


class _Walked:
    """What the sources of a chunk came to."""

    def __init__(self, size: int) -> None:
        self.offsets: Ints = np.zeros(size, np.int64)
        self.turns: list[tuple[int, Turn]] = []
        self.kept: list[tuple[object, ...]] = []
        self.gone: list[str] = []

    def told(self) -> tuple[Turn, ...]:
        """The turns of all sources in the log's order."""
        return tuple(turn for _, turn in sorted(self.turns, key=lambda numbered: numbered[0]))

    def change(self, state: pl.DataFrame) -> Change | None:
        """The change of TABLE."""
        gone = [source for source in self.gone if source in state["source_id"]]
        if not gone and not self.kept:
            return None
        return Change(
            upsert=pl.DataFrame(self.kept, schema=TABLE.schema, orient="row") if self.kept else None,
            delete=pl.DataFrame({"source_id": gone}) if gone else None,
        )


def _walked(
    measured: pl.DataFrame, rows: Ints, names: pl.Series, state: pl.DataFrame, lookup: Lookup, config: ClockConfig
) -> _Walked:
    """Walk through the records of each source; `rows`: places of all its rows, source by source, in offset order."""
    of = measured[pl.Series(rows, dtype=pl.UInt32)]
    # A record's rows are neighbours.
    record = of.select(pl.struct("_source", "_partition", "_offset").rle_id()).to_series().cast(pl.Int64).to_numpy()
    records, first, deviations = _deviations(record, of, config)
    references = of["reference"].fill_null(0).to_numpy()[first]
    sources = of["_source"].to_numpy()
    walked = _Walked(len(rows))
    saved = {row[0]: row for row in state.iter_rows()}
    starts = np.flatnonzero(np.diff(sources, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        name = names[int(rows[start])]
        before, place = _loaded(saved.get(name))
        low, high = np.searchsorted(records, (record[start], record[end - 1] + 1))
        after, events = walk(before, references[low:high], deviations[low:high], config)
        begun = [records[low + event.record] for event in events]
        steps = np.array([before.offset_us if before else 0, *(event.offset_us for event in events)], np.int64)
        walked.offsets[start:end] = steps[np.searchsorted(np.array(begun, np.int64), record[start:end], side="right")]
        if not (before and before.offset_us):
            place = lookup.place(int(sources[start]))
        for event in events:
            row = int(rows[first[low + event.record]])
            walked.turns.append((row, Turn(name, place, row, event)))
        if after is None:
            walked.gone.append(name)
        elif after is not before:
            lists = after.references.tolist(), after.deviations.tolist()
            walked.kept.append((name, *lists, after.offset_us, after.begin_us, *place))
    return walked


def _deviations(record: Ints, of: pl.DataFrame, config: ClockConfig) -> tuple[Ints, Ints, Ints]:
    """Per record with evidence: its number, the place of one of its rows, its deviation (0 within `end_us`)."""
    telling: Bools = of["evidence"].to_numpy()
    places = np.flatnonzero(telling)
    deviation: Ints = of["deviation"].fill_null(0).to_numpy()[places]
    order = np.lexsort((deviation, record[places]))
    records, first, count = np.unique(record[places], return_index=True, return_counts=True)
    chosen = deviation[order[np.cumsum(count) - count + 9 * (count - 1) // 10]]
    return records, places[first], np.where(np.abs(chosen) <= config.end_us, 0, chosen)


def _loaded(row: Sequence[Any] | None) -> tuple[Skew | None, tuple[str | None, str | None, str]]:
    """A row of TABLE as state and place."""
    if row is None:
        return None, (None, None, "")
    _, references, deviations, offset_us, begin_us, site, tenant, work_center = row
    return Skew(np.array(references, np.int64), np.array(deviations, np.int64), offset_us, begin_us), (
        site,
        tenant,
        work_center,
    )
