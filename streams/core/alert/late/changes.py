"""Late readings of rules on changes. Enter: late readings, what was told and kept. Leave: those that matter, anchors.

Between two alerts the value told last is known: it is the one that the next change was measured from. A late reading
that is as near to it as the rule allows changes nothing, whatever its neighbours are; any other may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import polars as pl

from streams.core.alert.change import ANCHORS
from streams.core.alert.late.notice import NOTICED, Overdue
from streams.core.alert.late.reach import Kept, Key, Reach
from streams.core.alert.late.replay import Past
from streams.core.alert.rule_match import Compiled
from streams.core.alert.tables import ANCHOR
from streams.core.times import FOREVER_US


def overdue_changes(overdue: pl.DataFrame, compiled: Compiled, anchors: pl.DataFrame, known: pl.DataFrame) -> Overdue:
    """Judge late readings by rules on changes; `anchors` (pair, ANCHORS) are those after the chunk, `known` is SPELLS.

    One that is not newer than all others of its signal is the first of them, or may be.
    """
    rows = overdue.join(compiled.changing, on="slot").filter(
        pl.col("value").is_not_null(), pl.col("event_time").is_between("valid_from", "valid_to", closed="left")
    )
    if not rows.height:
        return Overdue(pl.DataFrame(schema=NOTICED), pl.DataFrame(schema={"pair": pl.Int64(), **ANCHORS}))
    rows = rows.join(anchors, on="pair", how="left").sort("event_time")
    own = known.select("pair", "begin", "end", "limit")
    for strategy, suffix in (("backward", "_around"), ("forward", "_next")):
        spells = own.rename({name: name + suffix for name in ("begin", "end", "limit")})
        rows = rows.join_asof(
            spells, left_on="event_time", right_on=f"begin{suffix}", by="pair",
            strategy=strategy, check_sortedness=False,  # type: ignore[arg-type]
        )  # fmt: skip
    inside = (pl.col("event_time") <= pl.col("end_around")).fill_null(value=False)
    other = (pl.col("value") - pl.coalesce("limit_next", "anchor_value")).abs() > pl.col("by")
    first = (pl.col("event_time") <= pl.col("before_time")).fill_null(value=True)
    matter = rows.filter(inside | other.fill_null(value=True) | first)
    older = rows.filter(pl.col("event_time") < pl.col("before_time")).unique("pair", keep="first", maintain_order=True)
    older = older.with_columns(before_time="event_time", before_value="value")
    return Overdue(matter.select(NOTICED.names()), older.select("pair", *ANCHORS))


def kept_by_pair(anchors: pl.DataFrame, waiting: pl.DataFrame) -> dict[Key, Kept]:
    """What rules on changes remember (rows of ANCHOR), of the pairs that wait."""
    found = anchors.join(waiting.select(ANCHOR.key), on=list(ANCHOR.key), how="semi").drop_nulls("before_time")
    rows = found.select(*ANCHOR.key, "anchor_value", "before_time", "before_value").iter_rows()
    return {(str(rule), str(signal)): Kept(*values) for rule, signal, *values in rows}


def anchors_after(reaches: Iterable[Reach], pasts: Mapping[Key, Past], kept: Mapping[Key, Kept]) -> pl.DataFrame:
    """Rows of ANCHOR of rules on changes whose past was read up to the present."""
    rows = []
    for reach in reaches:
        past, before = pasts[reach.key], kept.get(reach.key)
        value = past.told_last(reach.value)
        if not reach.of_change or reach.to_us < FOREVER_US or value is None:
            continue
        at_us, _, _ = past.changes()[-1] if past.changes() else (reach.from_us, True, "")
        first = (at_us, value) if before is None else (before.first_us, before.first_value)
        rows.append((*reach.key, at_us, value, False, *first))
    return pl.DataFrame(rows, schema=ANCHOR.schema, orient="row")
