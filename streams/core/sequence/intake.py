"""Evidence that sequences keep. Enter: evidence that came. Leave: what of it is new, event time of sites.

Of one piece of evidence the highest revision holds, of a repeat what was there first. A site's clock is the highest
event time that was seen; where nothing comes and everything there was has been read, it goes on with processing time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from streams.core.correlate.tables import KEY
from streams.core.sequence.pattern import named, watched
from streams.core.sequence.rule import Sequence as Rule
from streams.core.sequence.search import Changed
from streams.core.sequence.tables import KEPT, KEPT_TABLE, MATCH_TABLE, SITE_TABLE, Book
from streams.core.stage import Moment
from streams.core.times import DAY_US, NEVER_US

# Times that are written as dates: 1970 to 2200. Evidence of another time is a fault of its source.
_POSSIBLE_US: Final = (0, 230 * 366 * DAY_US)


def hear(book: Book, frame: pl.DataFrame, now_us: int) -> frozenset[str]:
    """Take in the event times of a chunk (of `timely`). Returns the sites that were watched before what was known as
    the first. What is too late to be kept is no watching: a log of last year that is loaded makes nobody new.
    """
    heard = frame.group_by("site").agg(
        _first=pl.col("event_time").filter("_timely").min(), _latest=pl.col("event_time").max()
    )
    known = heard.join(book[SITE_TABLE], on="site", how="left")
    earlier = known.filter(pl.col("first_us").is_not_null(), pl.col("_first") < pl.col("first_us"))
    rows = known.with_columns(
        first_us=pl.min_horizontal("first_us", "_first"),
        latest_us=pl.max_horizontal("latest_us", pl.min_horizontal("_latest", pl.lit(now_us, pl.Int64))),
        clock_us=pl.col("clock_us").fill_null(NEVER_US),
        heard_us=pl.lit(now_us, pl.Int64),
    )
    book.upsert(SITE_TABLE, rows)
    return frozenset(earlier["site"])


def possible(frame: pl.DataFrame) -> pl.DataFrame:
    """Evidence of a time that may be."""
    times = [pl.col(name).is_between(*_POSSIBLE_US) for name in ("event_time", "begin_time")]
    return frame.filter(pl.all_horizontal(times).fill_null(value=False))


def clocks(book: Book) -> dict[str, int]:
    """Event time that each site has reached."""
    return dict(book[SITE_TABLE].select("site", pl.max_horizontal("clock_us", "latest_us")).iter_rows())


def firsts(book: Book) -> dict[str, int]:
    """Since when each site has been watched."""
    return dict(book[SITE_TABLE].select("site", "first_us").iter_rows())


def idle(book: Book, moment: Moment) -> dict[str, int]:
    """`clocks` where they are by processing time; nothing passes while there is more to read."""
    since_us = moment.caught_up_since_us
    if since_us is None:
        return clocks(book)
    passed = moment.now_us - pl.max_horizontal("heard_us", pl.lit(since_us, pl.Int64))
    reached = pl.max_horizontal("clock_us", pl.col("latest_us") + passed)
    return dict(book[SITE_TABLE].select("site", reached).iter_rows())


def advance(book: Book, to: dict[str, int]) -> None:
    """Remember that clocks have come so far."""
    there = pl.DataFrame(list(to.items()), schema={"site": pl.String(), "_to": pl.Int64()}, orient="row")
    rows = book[SITE_TABLE].join(there, on="site").with_columns(clock_us=pl.max_horizontal("clock_us", "_to"))
    book.upsert(SITE_TABLE, rows)


def fresh(rows: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """Rows (columns KEPT) that say more than `kept` of the same, one per site and id."""
    known = kept.join(rows.select(KEY).unique(), on=list(KEY), how="semi")
    return (
        pl.concat([known.with_columns(_new=False), rows.select(KEPT.names()).with_columns(_new=True)])
        .with_columns(_coordinates=pl.col("evidence").list.join(",").fill_null(""))
        .sort(
            "revision", "ingest_time", "detection_time", "_coordinates", "_new",
            descending=[True, False, False, False, False], maintain_order=True,
        )
        .unique(KEY, keep="first", maintain_order=True)
        .filter("_new")
        .select(KEPT.names())
    )  # fmt: skip


def timely(frame: pl.DataFrame, before: dict[str, int], lateness_us: int, now_us: int) -> pl.DataFrame:
    """`frame` (in the order of the log) with `_timely`: whether a row is not `lateness_us` behind its site's clock.

    A chunk may hold a year: each row is compared with what was before it. `before`: clocks at its begin.
    """
    clock = pl.col("site").replace_strict(list(before), list(before.values()), default=NEVER_US, return_dtype=pl.Int64)
    heard = pl.min_horizontal("event_time", pl.lit(now_us, pl.Int64)).cum_max().shift(1).over("site")
    return frame.with_columns(_timely=pl.col("begin_time") >= pl.max_horizontal(clock, heard) - lateness_us)


def take(book: Book, frame: pl.DataFrame, rules: Sequence[Rule]) -> Changed:
    """Write what is new of `frame` (of `timely`); returns it, with what it replaces.

    What is not timely is counted and left out, but for revisions of what is kept.
    """
    own = [rule.id for rule in rules]
    rows = frame.filter(watched(rules), ~pl.col("type").is_in(own))
    # By ids first: what is kept may be much.
    kept = book[KEPT_TABLE].filter(pl.col("evidence_id").is_in(rows["evidence_id"].unique().implode()))
    if not rows["_timely"].all():
        known = pl.concat([kept.select(KEY), rows.filter("_timely").select(KEY)]).unique()
        late = rows.height
        rows = rows.join(known, on=list(KEY), how="semi", maintain_order="left")
        book.counts["sequence_left_out", "late"] += late - rows.height
    came = fresh(rows, kept)
    replaced = kept.join(came.select(KEY), on=list(KEY), how="semi")
    book.upsert(KEPT_TABLE, came)
    return Changed(pl.concat([replaced, came]))


def forget(book: Book, rules: Sequence[Rule], lateness_us: int, horizon_us: int) -> None:
    """Drop evidence that no chain can need any more, and matches that no context will change.

    Of what newness is judged by, the last of each account, address and asset is kept for as long as it may count.
    """
    times = clocks(book)
    kept = book[KEPT_TABLE]
    clock = pl.col("site").replace_strict(list(times), list(times.values()), return_dtype=pl.Int64)
    kept = kept.with_columns(_age=clock - pl.col("begin_time"))
    needed = [kept.head(0).select(KEY)]
    for rule in rules:
        rows, span = kept.filter(watched([rule])), lateness_us + 2 * rule.reach_us
        needed.append(rows.filter(pl.col("_age") <= span).select(KEY))
        if rule.learn_us:
            seen = rows.filter(named(step for step in rule.steps if step.new))
            older = seen.filter(pl.col("_age") > span, pl.col("_age") <= span + rule.learn_us)
            older = older.sort("begin_time", "evidence_id")
            same = ["site", "kind", "type", "state", "remote", "actors", "source_address", "asset_id", "target_address"]
            needed.append(older.unique(same, keep="last", maintain_order=True).select(KEY))
    book.delete(KEPT_TABLE, kept.join(pl.concat(needed).unique(), on=list(KEY), how="anti"))
    matches = book[MATCH_TABLE].with_columns(_age=clock - pl.col("last_us"))
    book.delete(MATCH_TABLE, matches.filter(pl.col("_age") > horizon_us))
