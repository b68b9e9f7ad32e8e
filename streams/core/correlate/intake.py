"""What evidence says once it is put together. Enter: rows of ops.evidence.v1, what is known. Leave: what of it is new.

Of one piece of evidence the highest revision holds; of a repeat what was there first. Logons and flows come in masses:
the first of each hour are kept, by rules that give the same whatever the order they come in, and the rest is counted.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core.alert.rule import EVENT
from streams.core.correlate.tables import EVIDENCE, EVIDENCE_TABLE, KEY, Ledger, under
from streams.core.times import DAY_US, HOUR_US

# Evidence of these domains makes an incident; of what is called "it" none does.
HORIZON_US: Final = 35 * DAY_US
DOMAINS: Final = ("process", "telemetry", "security", "prediction")
# What of an alarm's transitions belongs together.
ALARM: Final = ("site", "source_id", "type", "asset_id")
EVENTS: Final = ("access", "flow")
# At most so many in an hour, of the same in all these fields; each line refines the one below it. A dropped one stays
# dropped whatever else comes, as those that were before it stay before it.
_LIMITS: Final = (
    (("source_address", "target_address", "asset_id", "_actors"), 5),
    (("source_address",), 50),
    ((), 500),
)
_KIND: Final = ("site", "_hour", "kind", "type")


def fresh(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Rows (columns EVIDENCE) that say more than the table `known` of the same, one per site and id.

    When evidence was detected is the lowest that any revision says: a later one tells when that was made.
    """
    there = under(known, rows)
    both = pl.concat([there.with_columns(_known=pl.lit(value=True)), rows.with_columns(_known=pl.lit(value=False))])
    told = pl.when(pl.col("detection_time") > 0).then("detection_time")
    newest = (
        both.with_columns(
            _detected=told.min().over(KEY).fill_null(0), _coordinates=pl.col("evidence").list.join(",").fill_null("")
        )
        .sort("revision", "ingest_time", "_coordinates", "_known", descending=[True, False, False, True])
        .unique(KEY, keep="first", maintain_order=True)
    )
    earlier = pl.col("_detected") != pl.col("detection_time")
    return newest.filter(earlier | ~pl.col("_known")).with_columns(detection_time="_detected").select(EVIDENCE.names())


def limited(ledger: Ledger, came: pl.DataFrame) -> pl.DataFrame:
    """Take `came` (from `fresh`) into the table but for what of logons and flows is too much.

    Returns what the table lost for it, or did not take; counted as (`left_out`, access or flow).
    """
    hours = came.filter(pl.col("kind").is_in(EVENTS)).select("site", (pl.col("event_time") // HOUR_US).alias("_hour"))
    ledger.upsert(EVIDENCE_TABLE, came)
    if not hours.height:
        return came.clear()
    table = ledger[EVIDENCE_TABLE].filter(pl.col("kind").is_in(EVENTS))
    concerned = table.with_columns(_hour=pl.col("event_time") // HOUR_US, _actors=pl.col("actors").list.join(",")).join(
        hours.unique(), on=["site", "_hour"], how="semi"
    )
    kept = concerned.sort("event_time", "evidence_id")
    for fields, most in _LIMITS:
        kept = kept.filter(pl.int_range(pl.len()).over([*_KIND, *fields]) < most)
    lost = concerned.join(kept.select(KEY), on=list(KEY), how="anti").select(EVIDENCE.names())
    ledger.delete(EVIDENCE_TABLE, lost)
    for kind, count in lost.group_by("kind").len().rows():
        ledger.counts["left_out", kind] += count
    return lost


def told(evidence: pl.DataFrame) -> pl.DataFrame:
    """Evidence with `end_time` of alarms that are over: when their source first cleared them after their begin.

    An end that comes later than the horizon is none: by then the alarm was let go (`unheard`).
    """
    if not (evidence["kind"] == "alarm").any():
        return evidence
    alarm = pl.col("kind") == "alarm"
    blank = [pl.col(name).fill_null("").alias(f"_{name}") for name in ALARM]
    cleared = (
        evidence.filter(alarm, pl.col("state") == "cleared")
        .select(*blank, _cleared="event_time", _over="event_time")
        .sort("_cleared")
    )
    by = [f"_{name}" for name in ALARM]
    return (
        evidence.with_row_index("_row")
        .with_columns(blank)
        .sort("begin_time")
        .join_asof(
            cleared,
            left_on="begin_time",
            right_on="_cleared",
            by=by,
            strategy="forward",
            tolerance=HORIZON_US,
            check_sortedness=False,
        )
        .sort("_row")
        .with_columns(
            end_time=pl.when(alarm & (pl.col("state") == "active"))
            .then(pl.coalesce("end_time", "_over"))
            .otherwise("end_time")
        )
        .select(evidence.columns)
    )


def member() -> pl.Expr:
    """Whether a row of evidence makes an incident. What is neither annunciated nor over nor explained, waits."""
    alert = (
        (pl.col("kind") == "alert")
        & pl.col("alert_kind").ne_missing(EVENT)
        & pl.col("state").is_in(("active", "cleared"))
        & (pl.col("annunciated") | pl.col("historical") | pl.col("cause_alert_id").is_not_null())
    )
    alarm = (pl.col("kind") == "alarm") & pl.col("state").is_in(("active", "event"))
    return (alert | alarm) & pl.col("domain").is_in(DOMAINS)


def recorded() -> pl.Expr:
    """Whether a row is an event that a rule recorded: a setpoint changes with every order, and that is no incident."""
    told = pl.col("state").is_in(("active", "cleared"))
    return (pl.col("kind") == "alert") & pl.col("alert_kind").eq_missing(EVENT) & told


def stop() -> pl.Expr:
    """End of a member (of `told`): null while it stands. What is told as over, or has no duration, does not."""
    over = pl.col("state").is_in(("cleared", "event"))
    end = pl.coalesce("end_time", pl.when(over).then("event_time"))
    return pl.when(end.is_not_null()).then(pl.max_horizontal("begin_time", end))


def related(came: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Keys (site, evidence_id) whose membership `came` may change: their own, and of alarms those of the same alarm."""
    alarms = came.filter(pl.col("kind") == "alarm").select(ALARM).unique()
    own = came.select(KEY)
    if not alarms.height:
        return own
    same = known.filter(pl.col("kind") == "alarm").join(alarms, on=list(ALARM), how="semi", nulls_equal=True)
    return pl.concat([own, same.select(KEY)]).unique()
