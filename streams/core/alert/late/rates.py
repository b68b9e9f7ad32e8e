"""Late readings of rules on rates. Enter: late readings, anchors. Leave: those that matter, anchors they take over.

A rate is measured between the first readings of steps of time, so a late reading concerns two rates, if it is now the
first of its step. Where both are as unremarkable as before, only the anchor changes, and nothing is looked at again.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from streams.core.alert.change import ANCHORS
from streams.core.alert.late.notice import NOTICED, Overdue
from streams.core.alert.rule_match import Compiled


class Anchor(NamedTuple):
    """Where a rate is measured from: time (us), value, whether it was a birth."""

    time: int
    value: float
    born: bool


def overdue_rates(overdue: pl.DataFrame, compiled: Compiled, anchors: pl.DataFrame, known: pl.DataFrame) -> Overdue:
    """Judge late readings by rules on rates; `anchors` (pair, ANCHORS) are those after the chunk, `known` is SPELLS."""
    rows = overdue.join(compiled.rates, on="slot").filter(
        pl.col("value").is_not_null(), pl.col("event_time").is_between("valid_from", "valid_to", closed="left")
    )
    if not rows.height:
        return Overdue(pl.DataFrame(schema=NOTICED), pl.DataFrame(schema={"pair": pl.Int64(), **ANCHORS}))
    rows = rows.join(anchors, on="pair", how="left", maintain_order="left")
    rows = rows.filter((~_follows("anchor") & ~_follows("before")) | pl.col("birth"))
    ends = dict(known.group_by("pair").agg(pl.col("end").max()).iter_rows())
    matter: list[tuple[int, int, int]] = []
    now: dict[int, tuple[Anchor, Anchor]] = {}
    for row in rows.iter_rows(named=True):
        pair = row["pair"]
        first, last = now.get(pair) or _anchors(row)
        after = _inserted(row, first, last, ends.get(pair))
        if after is None:
            matter.append((pair, row["event_time"], row["_offset"]))
        elif after != (first, last):
            now[pair] = after
    changed = [(pair, last.time, last.value, last.born, first.time, first.value) for pair, (first, last) in now.items()]
    return Overdue(
        pl.DataFrame(matter, schema=NOTICED, orient="row"),
        pl.DataFrame(changed, schema={"pair": pl.Int64(), **ANCHORS}, orient="row"),
    )


def _follows(which: str) -> pl.Expr:
    """Whether a reading comes after an anchor in its step, or is it once more."""
    time, over = pl.col("event_time"), pl.col("over_us")
    anchor = pl.col(f"{which}_time")
    again = (time == anchor) & (pl.col("value") == pl.col(f"{which}_value"))
    return (((time // over == anchor // over) & (time > anchor)) | again).fill_null(value=False)


def _anchors(row: dict[str, Any]) -> tuple[Anchor | None, Anchor | None]:
    before = None if row["before_time"] is None else Anchor(row["before_time"], row["before_value"], born=False)
    last = None if row["anchor_time"] is None else Anchor(row["anchor_time"], row["anchor_value"], row["born"])
    return before, last


def _inserted(
    row: dict[str, Any], before: Anchor | None, last: Anchor | None, end: int | None
) -> tuple[Anchor, Anchor] | None:
    """The anchors with a late reading among them; None: it may matter."""
    late, over = Anchor(row["event_time"], row["value"], row["birth"]), row["over_us"]
    if late.born or before is None or last is None or late.time in {before.time, last.time} or late.time < before.time:
        return None
    if end is not None and end >= before.time:
        return None  # something is told of this time
    if late.time // over == before.time // over or (late.time > last.time and late.time // over == last.time // over):
        return before, last
    if late.time > last.time:
        chain = [before, last, late]
    elif late.time // over == last.time // over and not last.born:
        chain = [before, late]
    else:
        chain = [before, late, last]
    steps = [(first, second) for first, second in pairwise(chain) if not second.born]
    if any(not _ordinary(row, first, second) for first, second in [*steps, (before, last)]):
        return None
    return chain[-2], chain[-1]


def _ordinary(row: dict[str, Any], first: Anchor, second: Anchor) -> bool:
    """Whether the rate between two anchors ends every condition."""
    rate = (second.value - first.value) * row["per_us"] / max(second.time - first.time, row["over_us"])
    return bool(row["low_clear"] <= rate <= row["high_clear"])
