"""Late readings correct alerts: the part of the alert stage that notices them, looks back, and corrects.

Nothing is held back: alerts are told in the order of the log. A late reading that matters waits in a table until no
more of them come; then the past of its signal is read once more from the log, and judged in the order of event time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import polars as pl

from streams.core.alert.change import ANCHORS
from streams.core.alert.chunk import Judged
from streams.core.alert.late.back import Back
from streams.core.alert.late.changes import kept_by_pair, overdue_changes
from streams.core.alert.late.looked import PATIENCE_US, QUIET_US, Corrected, looked, told_by_pair
from streams.core.alert.late.notice import NOTICED, noticed, spells
from streams.core.alert.late.rates import overdue_rates
from streams.core.alert.late.reach import reach_of
from streams.core.alert.late.tables import HEARD, SINCE, TOLD, WAITING
from streams.core.alert.rule import Rule
from streams.core.alert.rule_match import Compiled
from streams.core.alert.tables import anchors_by_pair
from streams.core.alert.walk import Walk
from streams.core.past.index import INDEX, forgotten, indexed
from streams.core.stage import Change, Moment, Span, Tables
from streams.core.times import DAY_US, NEVER_US

# Pairs that one look-back takes up: those that have waited longest.
MOST: Final = 50
TABLES: Final = (TOLD, WAITING, HEARD, SINCE, INDEX)
_KEY: Final = ("rule_id", "signal_id")


class Noticed(NamedTuple):
    """What late readings of a chunk leave: changes, counts, anchors (pair, ANCHORS) that they took over."""

    changes: dict[str, Change]
    counts: dict[tuple[str, str], int]
    anchors: pl.DataFrame


class Late:
    """The rules' late readings. `horizon_us`: how far back they correct; `rules` by id."""

    def __init__(self, rules: Mapping[str, Rule], horizon_us: int = DAY_US) -> None:
        self._rules = rules
        self._horizon_us = horizon_us
        self._longest_us = max((sum(rule.condition.delays_us) for rule in rules.values()), default=0)

    def step(
        self, frame: pl.DataFrame, judged: Judged, walk: Walk, told: pl.DataFrame, state: Tables, moment: Moment
    ) -> Noticed:
        """What late readings of a chunk leave; `frame`: the readings that count, `told`: TOLD after the chunk."""
        compiled, since = walk.compiled, self._since(state)
        changes = {SINCE.name: Change(upsert=since), HEARD.name: Change(upsert=_heard(frame, state[WAITING.name]))}
        found = [pl.DataFrame(walk.contradicted, schema=NOTICED, orient="row"), judged.contested]
        taken = pl.DataFrame(schema={"pair": pl.Int64(), **ANCHORS})
        if judged.overdue.height:
            known = spells(told, walk.book.open(), compiled)
            found.append(noticed(judged, compiled, known, walk.past_us))
            if compiled.rates.height or compiled.changing.height:
                carried = anchors_by_pair(state["anchor"], compiled)
                anchors = pl.concat([judged.anchors.select(carried.columns), carried]).unique("pair", keep="first")
                for overdue in (overdue_rates, overdue_changes):
                    late = overdue(judged.overdue, compiled, anchors, known)
                    taken = pl.concat([taken, late.anchors])
                    found.append(late.noticed)
        rows = pl.concat(found)
        if not rows.height:
            return Noticed(changes, {}, taken)
        waiting, counts = self._waiting(rows, compiled, state, since, moment)
        return Noticed({**changes, WAITING.name: Change(upsert=waiting)}, counts, taken)

    def index(self, frame: pl.DataFrame, state: Tables) -> Change:
        """What a chunk, all its readings, adds to the index; nothing where there are no rules."""
        if not self._rules or not frame.height:
            return Change()
        return indexed(frame, state[INDEX.name], self._oldest_us(state))

    def timer(self, state: Tables) -> dict[str, Change]:
        """Forget what is older than the horizon."""
        oldest_us = self._oldest_us(state)
        ended_us = oldest_us - self._longest_us
        told = state[TOLD.name]
        old = told.height and int(told["end_time"].min()) < ended_us  # type: ignore[arg-type]
        return {
            INDEX.name: forgotten(state[INDEX.name], oldest_us),
            TOLD.name: Change(floor=("end_time", ended_us) if old else None),
        }

    def due(self, state: Tables, moment: Moment) -> bool:
        """Whether readings wait, and no more of them have come for a while, or the first has waited long enough."""
        return bool(_ready(state[WAITING.name], moment).height)

    def look_back(
        self,
        state: Tables,
        compiled: Compiled,
        log: Span,
        moment: Moment,
        select: Callable[[pl.DataFrame], pl.DataFrame],
    ) -> Back:
        """Begin with what has waited longest."""
        told, kept = told_by_pair(state), kept_by_pair(state["anchor"], state[WAITING.name])
        reaches = [
            reach_of(key, first_us, last_us, told.get(key, ()), compiled, kept.get(key))
            for *pair, first_us, last_us in _ready(state[WAITING.name], moment)
            .sort("since")
            .head(MOST)
            .select(*_KEY, "first_time", "last_time")
            .iter_rows()
            if (key := (str(pair[0]), str(pair[1]))) in compiled.pair_number
        ]
        return Back(reaches, told, kept, compiled, state[INDEX.name], log, select)

    def looked(self, back: Back, state: Tables, walk: Walk, moment: Moment) -> Corrected:
        """Correct what can be decided now; the rest waits on. `walk`: the conditions at present."""
        return looked(back, state, walk, moment)

    def _since(self, state: Tables) -> pl.DataFrame:
        """Rows of SINCE that are new: rules that are, or have other conditions."""
        known = dict(state[SINCE.name].select(pl.col("rule_id", "condition").cast(pl.String)).iter_rows())
        now = newest_us(state)
        new = [
            (rule.id, rule.condition.fingerprint, now)
            for rule in self._rules.values()
            if known.get(rule.id) != rule.condition.fingerprint
        ]
        return pl.DataFrame(new, schema=SINCE.schema, orient="row")

    def _oldest_us(self, state: Tables) -> int:
        return max(newest_us(state) - self._horizon_us, NEVER_US)

    def _waiting(
        self, rows: pl.DataFrame, compiled: Compiled, state: Tables, new: pl.DataFrame, moment: Moment
    ) -> tuple[pl.DataFrame, dict[tuple[str, str], int]]:
        since = pl.concat([state[SINCE.name], new]).unique("rule_id", keep="last").select("rule_id", _since="since")
        rows = rows.join(compiled.known, on="pair").join(since, on="rule_id", how="left")
        oldest_us = self._oldest_us(state)
        old, other = pl.col("event_time") < oldest_us, pl.col("event_time") < pl.col("_since")
        kept = rows.filter(~old, ~other)
        counts = {
            ("corrections", "beyond_horizon"): rows.filter(old).height,
            ("corrections", "other_rule"): rows.filter(other & ~old).height,
        }
        now = pl.lit(moment.now_us, pl.Int64)
        fresh = kept.group_by(_KEY).agg(
            first_time=pl.col("event_time").min(), last_time=pl.col("event_time").max(),
            first_offset=pl.col("_offset").min(), since=now, seen=now, after=pl.lit(0, pl.Int64),
        )  # fmt: skip
        before = state[WAITING.name].join(fresh, on=_KEY, how="semi").with_columns(seen=now)
        both = pl.concat([before.select(WAITING.schema.names()), fresh.select(WAITING.schema.names())])
        merged = both.group_by(_KEY).agg(
            pl.col("first_time", "first_offset", "since").min(), pl.col("last_time", "seen", "after").max()
        )
        return merged.select(WAITING.schema.names()), {name: count for name, count in counts.items() if count}


def _heard(frame: pl.DataFrame, waiting: pl.DataFrame) -> pl.DataFrame | None:
    if not waiting.height:
        return None
    return frame.join(waiting.select("signal_id").unique(), on="signal_id", how="semi", maintain_order="left")


def newest_us(state: Tables) -> int:
    """Event time at present: that of the newest reading so far; of a recording that is replayed, long ago."""
    times = state["source"]["last_time"]
    return int(times.max()) if len(times) else NEVER_US  # type: ignore[arg-type]


def _ready(waiting: pl.DataFrame, moment: Moment) -> pl.DataFrame:
    now = moment.now_us
    rested = (pl.col("seen") <= now - QUIET_US) | (pl.col("since") <= now - PATIENCE_US)
    return waiting.filter(rested, pl.col("after") <= now)
