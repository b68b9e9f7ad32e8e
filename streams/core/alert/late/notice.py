"""Which late readings matter. Enter: late readings, judged. Leave: those that may change what was told.

Between alerts only a reading that says that a condition holds can change anything, within an alert only one that does
not say so: all others agree with what was told. So what merely comes a little out of order causes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from streams.core.alert.chunk import Judged, classified
from streams.core.alert.rule_match import Compiled, Mask, look_up
from streams.core.alert.state import Condition
from streams.core.times import FOREVER_US

NOTICED: Final = pl.Schema({"pair": pl.Int64(), "event_time": pl.Int64(), "_offset": pl.Int64()})
SPELLS: Final = pl.Schema({"pair": pl.Int64(), "begin": pl.Int64(), "end": pl.Int64(), "limit": pl.Float64()})


class Overdue(NamedTuple):
    """Late readings of rules that measure from others.

    `noticed`: those (NOTICED) that matter. `anchors`: pair and ANCHORS where they change.
    """

    noticed: pl.DataFrame
    anchors: pl.DataFrame


def spells(told: pl.DataFrame, conditions: Iterable[Condition], compiled: Compiled) -> pl.DataFrame:
    """Times (SPELLS, by begin) for which alerts are told or may yet be; `end` is FOREVER_US where it is open."""
    over = told.filter(pl.col("state") == "cleared").select(
        "rule_id", "signal_id", begin="begin_time", end="end_time", limit="limit"
    )
    rows = [
        (one.rule_id, one.signal_id, one.begin_time, FOREVER_US if one.end_time is None else one.end_time, one.limit)
        for one in conditions
    ]
    both = pl.concat([over, pl.DataFrame(rows, schema=over.schema, orient="row")])
    return both.join(compiled.known, on=["rule_id", "signal_id"]).select(SPELLS.names()).sort("begin")


def noticed(judged: Judged, compiled: Compiled, known: pl.DataFrame, past_us: int) -> pl.DataFrame:
    """Late readings (NOTICED) of limits and states that matter; `known`: SPELLS. Older than `past_us` is a backlog."""
    rows = judged.overdue
    if not rows.height:
        return pl.DataFrame(schema=NOTICED)
    stirred = np.zeros(compiled.slots, dtype=np.bool_)
    stirred[compiled.pair_slot[known["pair"].to_numpy()]] = True
    rows = rows.filter(pl.Series(stirred[rows["slot"].to_numpy()] | _beyond(rows, compiled)))
    if not rows.height:
        return pl.DataFrame(schema=NOTICED)
    judgements = classified(rows, rows.join(compiled.rates, on="slot").clear(), compiled).sort("event_time")
    found = judgements.join_asof(known, left_on="event_time", right_on="begin", by="pair", check_sortedness=False)
    off = pl.Series([rule.condition.delays_us[1] for rule in compiled.rules], dtype=pl.Int64)
    found = found.with_columns(off=off.gather(compiled.pair_rule[found["pair"].to_numpy()]))
    time, end = pl.col("event_time"), pl.col("end")
    agrees = (time < end).fill_null(value=False)
    # What agrees is looked at where nothing else will be said about that time.
    said = ~agrees | (end < FOREVER_US) | (time < past_us)
    holds, unclear = pl.col("holds"), pl.col("holds").is_null()
    inside = pl.when(holds).then(said).when(unclear).then(time <= end + pl.col("off")).otherwise(time <= end)
    return found.filter(inside.fill_null(value=False)).select(NOTICED.names())


def _beyond(rows: pl.DataFrame, compiled: Compiled) -> Mask:
    slot, value = rows["slot"].to_numpy(), rows["value"].fill_null(np.nan).to_numpy()
    beyond: Mask = (value > compiled.safe_high[slot]) | (value < compiled.safe_low[slot])
    if compiled.has_state.any():
        beyond |= look_up(compiled.label_named, rows["value_string"], missing=False) & compiled.has_state[slot]
    return beyond
