"""The KPI stage: readings in, ISO 22400-2 KPIs per work unit and hour, shift, order and day out, with elements.

Enters: ot.reading.v1 (state and counter signals); context it.signal.v1, it.production_order.v1, it.calendar.v1. Leaves:
ops.kpi.v1: running periods from time to time (final = false), ended ones when the watermark passes their end (final),
and a new revision whenever what is known of a period changes within the correction horizon.

How: readings are kept for the correction horizon; from them the slices (kpi_elements) of what changed are made anew, so
disorder and duplicates leave no trace; periods are sums of slices and are written where they differ from what was last
written. Behind the horizon only slices remain, and the last reading of each signal.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context, Memo
from streams.core.counters import REFUSED
from streams.core.kpi.directory import Directory, directory
from streams.core.kpi.elements import lives, slices
from streams.core.kpi.fold import fold
from streams.core.kpi.intake import put_aside, settle
from streams.core.kpi.output import records
from streams.core.kpi.periods import KEY, PAYLOAD, candidates, observed, totals
from streams.core.kpi.policy import KpiPolicy
from streams.core.kpi.progress import KpiConfig, due, next_floor, progress
from streams.core.kpi.readings import distinct, increments, minor_stops, states, telling
from streams.core.kpi.tables import (
    ANCHOR_TABLE,
    LIVING_TABLE,
    PENDING_TABLE,
    PERIOD_TABLE,
    READING_TABLE,
    SLICE_TABLE,
    SPOKEN_TABLE,
    TABLES,
    UNIT_TABLE,
    Ledger,
)
from streams.core.redundancy import selection
from streams.core.redundancy.selection import Redundancy
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.core.times import FOREVER_US, HOUR_US, NEVER_US, SECOND_US

# Processing time after which what chunks put aside is worked in, at the next chunk or timer.
SETTLE_US: Final = SECOND_US
_CONTEXT: Final = (topology.SIGNAL.name, topology.PRODUCTION_ORDER.name, topology.CALENDAR.name)


__all__ = ["Kpi", "KpiConfig"]


class Kpi:
    """The pure part of the `kpi` service (StageCore). `policy` as `kpi_policy.parse` reads it.

    `redundancy`: which readings count where several gateways deliver one signal.
    """

    def __init__(
        self, policy: KpiPolicy, config: KpiConfig | None = None, redundancy: Redundancy | None = None
    ) -> None:
        self.policy = policy
        self.config = config or KpiConfig()
        self._redundancy = redundancy or Redundancy()
        self._directory = Memo(_CONTEXT, directory)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of its state."""
        return (*TABLES, *selection.TABLES)

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Take a chunk of ot.reading.v1 in; leaves KPIs that are due."""
        if topic != topology.READING.name:
            raise ValueError(f"{topic}: the kpi stage reads {topology.READING.name} only; correct streams/topology.py")
        ledger, known = Ledger(state), self._directory.of(context)
        chosen = self._redundancy.select(frame, state, context)
        ledger.changes.update(chosen.changes)
        put_aside(ledger, frame, chosen.frame, known, self.config.silence_us, moment.now_us)
        settled_us = ledger.settled_us
        if settled_us is not None and 0 <= moment.now_us - settled_us < SETTLE_US:
            return Result(changes=ledger.changes, counts=chosen.counts)
        result = self._evaluate(ledger, known, moment)
        return replace(result, counts={**result.counts, **chosen.counts})

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Leaves KPIs that are due by time: provisional ones, and periods that ended while sources were silent."""
        return self._evaluate(Ledger(state), self._directory.of(context), moment)

    def _evaluate(self, ledger: Ledger, known: Directory, moment: Moment) -> Result:
        """Work in what is new, bring slices and periods of the due units up to date, then move the horizon."""
        counts: dict[tuple[str, str], int] = {}
        if ledger[SPOKEN_TABLE].height or ledger[PENDING_TABLE].height:
            counts = settle(ledger, known, self.policy, self.config.silence_us)
            ledger.remember(ledger.floor_us, moment.now_us)
        if not ledger[UNIT_TABLE].height:
            return Result(changes=ledger.changes, counts=counts)
        reached = progress(ledger, known, self.config, moment)
        floor_us = next_floor(reached.watermark_us, ledger.floor_us, self.config)
        units = due(reached.units, self.config, moment.now_us, folding=floor_us is not None)
        out: dict[str, pl.DataFrame] = {}
        if units.height:
            rows = self._revise(ledger, known, self._spans(units, ledger.floor_us), moment.now_us)
            if rows.height:
                out[topology.KPI.name] = records(rows, known, self.policy, moment.now_us)
        if floor_us is not None:
            fold(ledger, self.policy, floor_us, self.config.told_silence_us, self.config.retention_us)
        counts = {**counts, **ledger.counts}
        return Result(changes=ledger.changes, out=out, counts=counts, watermark_us=reached.watermark_us)

    def _spans(self, units: pl.DataFrame, floor_us: int | None) -> pl.DataFrame:
        """Due units with from_us, the begin of a slice from which on all is made anew, and touch_us: see `_periods`."""
        before = pl.col("frontier_us")
        lowest = pl.min_horizontal("dirty_us", before) - (self.policy.minor_stop_us or 0)
        hour = lowest // HOUR_US * HOUR_US
        if floor_us is not None:
            # Readings before the floor are gone; but after a long silence there are none from the old frontier on.
            begin = pl.when(before < floor_us).then(before).otherwise(floor_us)
            hour = pl.when(hour >= floor_us).then(hour).otherwise(begin)
        units = units.with_columns(from_us=hour).with_columns(to_us=pl.max_horizontal("heard_us", "from_us"))
        # Periods that were not final when they were last looked at may have ended before what is new.
        return units.with_columns(touch_us=pl.min_horizontal("from_us", pl.col("next_close_us") - 1))

    def _periods(self, units: pl.DataFrame, ledger: Ledger, known: Directory) -> pl.DataFrame:
        """The periods to look at: `candidates` with final and until (sum up to here)."""
        spans = units.select("work_unit", "to_us", from_us="touch_us")
        periods = candidates(spans, known, self.config.periods)
        if ledger.floor_us is not None:
            periods = periods.filter(pl.col("end") > ledger.floor_us)
        periods = observed(periods, lives(ledger[LIVING_TABLE], known), self.config.told_silence_us)
        periods = periods.join(units.select("work_unit", "mark_us", "to_us"), on="work_unit", maintain_order="left")
        # Ended is ended, also when a source that was silent speaks again; but not where the context moves the end.
        before = ledger[PERIOD_TABLE].filter("final").select(*KEY, was_end="end_us")
        periods = periods.join(before, on=list(KEY), how="left", maintain_order="left")
        final = (pl.col("end") <= pl.col("mark_us")) | (pl.col("end") == pl.col("was_end")).fill_null(value=False)
        until = pl.when(final).then("end").otherwise(pl.min_horizontal("end", "to_us"))
        return periods.with_columns(final=final, until=until).drop("mark_us", "to_us", "was_end")

    def _revise(self, ledger: Ledger, known: Directory, units: pl.DataFrame, now_us: int) -> pl.DataFrame:
        """Slices and periods of `units` anew; leaves the periods that differ (KEY, PAYLOAD, revision, reason)."""
        periods = self._periods(units, ledger, known)
        bounds = periods.group_by("work_unit").agg(
            until_us=pl.col("until").max(),
            first_us=pl.col("start").min(),
            close_us=pl.col("end").filter(~pl.col("final")).min(),
        )
        units = units.join(bounds, on="work_unit", how="left", maintain_order="left")
        self._slice(ledger, known, units)
        ours = ledger[SLICE_TABLE].join(units.select("work_unit"), on="work_unit", how="semi")
        begun = periods.filter(pl.col("start") < pl.col("until"))
        changed = self._changed(ledger, totals(begun, ours, known, self.policy), units)
        after = units.select(
            "work_unit",
            dirty_us=pl.lit(None, dtype=pl.Int64),
            frontier_us="to_us",
            evaluated_us=pl.lit(now_us, dtype=pl.Int64),
            next_close_us="close_us",
            context_key="current_key",
        )
        ledger.change(UNIT_TABLE, Change(upsert=after))
        return changed

    def _slice(self, ledger: Ledger, known: Directory, units: pl.DataFrame) -> None:
        """Replace the slices from from_us on, and fill in before the first slice where a period begins earlier."""
        spans = units.select("work_unit", "from_us", to_us=pl.max_horizontal("to_us", "until_us"), frontier_us="to_us")
        readings = self._readings(ledger, spans)
        living = lives(ledger[LIVING_TABLE], known)
        rows = states(readings, known, self.policy)
        if self.policy.minor_stop_us is not None:
            rows = minor_stops(rows, living, self.policy.minor_stop_us)
        counts = increments(readings, known)
        ledger.counts[REFUSED] += _passed(counts.filter("refused"), units).height
        new = slices(spans, rows, counts, readings, living, known, self.policy)
        table = ledger[SLICE_TABLE]
        first = table.group_by("work_unit").agg(slice_us=pl.col("start_us").min())
        oldest = pl.col("from_us") - self.config.retention_us
        fill = (
            units.join(first, on="work_unit", how="left", maintain_order="left")
            .select(
                "work_unit",
                "first_us",
                from_us=pl.max_horizontal("first_us", oldest),
                to_us=pl.min_horizontal("slice_us", "from_us"),
            )
            .filter(pl.col("first_us").is_not_null(), pl.col("from_us") < pl.col("to_us"))
            .with_columns(frontier_us="to_us")
        )
        if fill.height:
            new = pl.concat([slices(fill, rows, counts.clear(), readings.clear(), living, known, self.policy), new])
        old = table.join(spans, on="work_unit").filter(pl.col("start_us") >= pl.col("from_us")).select(table.columns)
        key = list(SLICE_TABLE.key)
        gone = old.join(new, on=key, how="anti").select(key)
        differs = new.join(old, on=table.columns, how="anti", nulls_equal=True)
        if gone.height or differs.height:
            ledger.change(SLICE_TABLE, Change(upsert=differs, delete=gone if gone.height else None))

    def _readings(self, ledger: Ledger, spans: pl.DataFrame) -> pl.DataFrame:
        """Distinct readings (ids as text) from from_us on, and of each signal the last one before."""
        ids = [name for name, dtype in READING_TABLE.schema.items() if isinstance(dtype, pl.Categorical)]
        units = spans.select(pl.col("work_unit").cast(READING_TABLE.schema["work_unit"]), "from_us")
        kept = telling(pl.concat([ledger[ANCHOR_TABLE], ledger[READING_TABLE]]).join(units, on="work_unit"))
        earlier = kept.filter(pl.col("event_us") < pl.col("from_us"))
        last = pl.col("event_us") == pl.col("event_us").max().over("signal_id")
        if self.policy.minor_stop_us is not None:
            last |= pl.col("role") == 0
        chosen = pl.concat([earlier.filter(last), kept.filter(pl.col("event_us") >= pl.col("from_us"))])
        return distinct(chosen.drop("from_us").with_columns(pl.col(ids).cast(pl.String)))

    def _changed(self, ledger: Ledger, rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
        """The rows that say something new, with revision and reason; remembers them."""
        table = ledger[PERIOD_TABLE]
        rows = rows.join(table, on=[*KEY, *PAYLOAD], how="anti", nulls_equal=True)
        before = table.select(*KEY, was="revision", was_final="final")
        rows = rows.join(before, on=list(KEY), how="left", maintain_order="left")
        rows = rows.filter(pl.col("tells") | pl.col("was").is_not_null())
        rows = rows.join(units.select("work_unit", "context_changed"), on="work_unit", maintain_order="left")
        corrected = pl.when("context_changed").then(pl.lit("context")).otherwise(pl.lit("late"))
        ended = pl.when("final").then(pl.lit("final")).otherwise(pl.lit("update"))
        rows = rows.with_columns(
            revision=pl.col("was").fill_null(0) + 1,
            reason=pl.when(pl.col("was_final").fill_null(value=False)).then(corrected).otherwise(ended),
        )
        longer = pl.when(pl.col("period") == "order").then(self.config.retention_us).otherwise(0)
        keep = pl.when("final").then(pl.col("end_us") + longer).otherwise(FOREVER_US)
        remembered = rows.with_columns(keep_us=keep).select(PERIOD_TABLE.schema.names())
        if rows.height:
            ledger.change(PERIOD_TABLE, Change(upsert=remembered))
        return rows


def _passed(rows: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """The rows that this evaluation is the first to look at: beyond the frontier so far, up to the new one."""
    known = rows.join(units.select("work_unit", "frontier_us", "to_us"), on="work_unit")
    return known.filter(
        pl.col("event_us") > pl.col("frontier_us").fill_null(NEVER_US), pl.col("event_us") <= pl.col("to_us")
    )
