"""The correlate stage. Enter: evidence of sites (`ops.evidence.v1`), IT context. Leave: incidents, repair times.

Related alerts of a site are one incident that evolves; every change is a revision. Which incidents there are, and what
they say, follows from evidence and context alone, not from the order in which these came. What depends on many records
(context that changed, repair times) is done by the timer, so much at a time, so that evidence does not wait for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import polars as pl

from streams import topology
from streams.core.alert.enrich import effective
from streams.core.context import Context, Memo
from streams.core.correlate import clock, intake, lifecycle, tell, unheard
from streams.core.correlate.links import Links, equipment
from streams.core.correlate.members import regroup, regroup_all
from streams.core.correlate.repairs import ended, lapse, repairs
from streams.core.correlate.tables import (
    EVIDENCE,
    EVIDENCE_TABLE,
    KEY,
    MEMBER_TABLE,
    SEEN_TABLE,
    SITE_TABLE,
    TABLES,
    TOLD_TABLE,
    Ledger,
    under,
)
from streams.core.correlate.tell import Revision, Teller
from streams.core.correlate.weights import DEFAULT, Weights
from streams.core.sequence.part import Outcome, Sequences
from streams.core.sequence.rule import Sequence
from streams.core.stage import OPEN_INCIDENTS, Moment, Result, Tables
from streams.core.times import HOUR_US, SECOND_US

DISORDER_US: Final = 60 * SECOND_US
HORIZON_US: Final = intake.HORIZON_US
# Incidents that are described anew at once after a change of context.
AT_ONCE: Final = 50
# Repair times are summed over all closed incidents, in about a fiftieth of this for each.
REPAIR_EACH_US: Final = 10_000


class _Assets(NamedTuple):
    """What is derived from it.asset.v1."""

    versions: pl.DataFrame
    flow: pl.DataFrame
    flow_key: int


class Correlate:
    """Evidence to incidents.

    Args:
        links: what makes evidence related (`links.parse`).
        sequences: rules on what follows on what (`sequence.rule.load`); the alerts that they make are evidence, too.
        disorder_us: how much later than others evidence of a site may come and not be late.
        weights: what makes something a candidate for the cause, and how much (`weights.parse`).
        horizon_us: evidence of incidents that are over is kept so long, and context explains so far back.
    """

    tables = (*TABLES, *Sequences.tables)

    def __init__(
        self,
        links: Links,
        sequences: Iterable[Sequence] = (),
        *,
        weights: Weights = DEFAULT,
        disorder_us: int = DISORDER_US,
        horizon_us: int = HORIZON_US,
    ) -> None:
        self._links = links
        self._weights = weights
        self._sequences = Sequences(sequences, horizon_us=horizon_us)
        self._disorder_us = disorder_us
        self._horizon_us = horizon_us
        self._assets = Memo((topology.ASSET.name,), _assets)

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Take in one chunk of evidence. ValueError on any topic but `ops.evidence.v1`."""
        if topic != topology.EVIDENCE.name:
            raise ValueError(f"{topic}: correlate reads {topology.EVIDENCE.name} only; route writes it")
        frame = frame.with_columns(pl.col(name).cast(dtype) for name, dtype in EVIDENCE.items())
        rows = frame.select(EVIDENCE.names())
        found = self._sequences.step(rows, state, context, moment)
        ledger = Ledger(state)
        before = clock.clocks(ledger, self._disorder_us)
        clock.hear(ledger, frame, moment.now_us)
        times = clock.clocks(ledger, self._disorder_us)
        inside = frame.filter(clock.within(self._horizon_us, before, clock.running(self._disorder_us)))
        inside = unheard.known(inside, ledger[EVIDENCE_TABLE], before, self._disorder_us, self._horizon_us)
        ledger.counts["beyond_horizon", "evidence"] += frame.height - inside.height
        rows = pl.concat([inside.select(EVIDENCE.names()), self._within(ledger, found.evidence, before)])
        revisions = self._take(ledger, rows, self._teller(context, times, moment))
        out: dict[str, pl.DataFrame] = {}
        start = clock.begun(frame, before)
        if any(time // HOUR_US != start.get(site, time) // HOUR_US for site, time in times.items()):
            revisions += unheard.let_go(ledger, times, self._horizon_us)
            out = self._lapsing(ledger, start, times, moment)
            clock.forget(ledger, times, self._horizon_us, self._links.near_us)
        return self._result(ledger, revisions, found, moment, out)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Close what is over while nothing comes; follow the context; sum up repair times."""
        found = self._sequences.timer(state, context, moment)
        ledger = Ledger(state)
        times = clock.idle(ledger, self._disorder_us, moment)
        if tell.due(ledger, times, self._links.quiet_us).height:
            clock.advance(ledger, times)
        times = clock.clocks(ledger, self._disorder_us)
        teller = self._teller(context, times, moment)
        made = self._within(ledger, found.evidence, times)
        revisions = self._take(ledger, made, teller) if made.height else teller.close(ledger)
        revisions += self._follow(ledger, teller, context)
        return self._result(ledger, revisions, found, moment, self._repairs(ledger, times, moment))

    def _repairs(self, ledger: Ledger, times: dict[str, int], moment: Moment) -> dict[str, pl.DataFrame]:
        """Repair times, where incidents that are closed have changed, or a month is over.

        The more incidents there are, the longer those that changed may wait.
        """
        flow_key, since_us = ledger.task()
        closed = (ledger[TOLD_TABLE]["state"] == lifecycle.CLOSED).sum()
        waits = since_us is None or moment.now_us - since_us < closed * REPAIR_EACH_US
        if waits and not ended(ledger, times, self._horizon_us):
            return {}
        ledger.remember(flow_key, None)
        return {topology.KPI.name: repairs(ledger, times, self._horizon_us, moment.now_us)}

    def _lapsing(
        self, ledger: Ledger, before: Mapping[str, int], times: Mapping[str, int], moment: Moment
    ) -> dict[str, pl.DataFrame]:
        """Repair times before months get beyond the horizon: event time may leap over that between two timer calls."""
        if not lapse(before, times, self._horizon_us):
            return {}
        flow_key, _ = ledger.task()
        ledger.remember(flow_key, None)
        return {topology.KPI.name: repairs(ledger, times, self._horizon_us, moment.now_us, before)}

    def _within(self, ledger: Ledger, rows: pl.DataFrame, times: Mapping[str, int]) -> pl.DataFrame:
        """What of evidence that was made here is not beyond the horizon; the rest is counted."""
        inside = rows.filter(clock.within(self._horizon_us, times))
        ledger.counts["beyond_horizon", "evidence"] += rows.height - inside.height
        return inside

    def _take(self, ledger: Ledger, rows: pl.DataFrame, teller: Teller) -> list[Revision]:
        """Revisions that evidence makes, and what its time closes."""
        came = intake.fresh(rows, ledger[EVIDENCE_TABLE])
        # What was near before it was told otherwise.
        replaced = under(ledger[EVIDENCE_TABLE], came.filter(pl.col("kind") == "alert"))
        lost = intake.limited(ledger, came)
        flow = self._assets.of(teller.context).flow
        regrouped = regroup(ledger, came.select(KEY), flow, self._links)
        near = tell.touched(ledger, pl.concat([came, lost, replaced]), self._links)
        return teller.tell(ledger, regrouped.incidents() | near, regrouped.before) + teller.close(ledger)

    def _follow(self, ledger: Ledger, teller: Teller, context: Context) -> list[Revision]:
        """Revisions that another context makes: other neighbours in the process flow, other words for the same."""
        assets = self._assets.of(context)
        flow_key, since_us = ledger.task()
        if flow_key != assets.flow_key:
            ledger.remember(assets.flow_key, since_us)
            regrouped = regroup_all(ledger, assets.flow, self._links)
            return teller.tell(ledger, regrouped.incidents(), regrouped.before, context=True)
        living = ledger[TOLD_TABLE].filter(pl.col("state").is_in(lifecycle.LIVING))
        stale = (
            living.join(ledger[MEMBER_TABLE], on="incident_id", how="semi")
            .join(ledger[SEEN_TABLE], on="incident_id", how="left")
            .filter(pl.col("context_key").ne_missing(teller.context_key))
            .sort(pl.col("state") == lifecycle.CLOSED, "seen_us", "incident_id", nulls_last=False)
            .head(AT_ONCE)
        )
        return teller.tell(ledger, set(stale["incident_id"]), ledger[MEMBER_TABLE].clear(), context=True)

    def _teller(self, context: Context, times: Mapping[str, int], moment: Moment) -> Teller:
        versions = self._assets.of(context).versions
        # The sum of its offsets rises with every record of it, in every worker alike.
        key = sum(context.offsets.values()) or context.version
        return Teller(self._links, context, key, versions, times, moment.now_us, self._weights)

    def _result(
        self, ledger: Ledger, revisions: list[Revision], found: Outcome, moment: Moment, out: dict[str, pl.DataFrame]
    ) -> Result:
        if any(told.state != lifecycle.OPEN or reason == "reopened" for told, reason in revisions):
            flow_key, since_us = ledger.task()
            ledger.remember(flow_key, moment.now_us if since_us is None else since_us)
        if revisions:
            records = tell.records(revisions, moment.now_us)
            out |= {topology.INCIDENT.name: records, topology.INCIDENT_CURRENT.name: records}
        if found.alerts.height:
            out[topology.ALERT.name] = found.alerts
        counts = {key: count for key, count in ledger.counts.items() if count} | found.counts
        times = clock.clocks(ledger, self._disorder_us)
        watermark_us = min(times.values(), default=None)
        return Result(ledger.changes | found.changes, out, counts, watermark_us, _gauges(ledger))


def _gauges(ledger: Ledger) -> dict[str, int]:
    """Open incidents by site; a site that was heard of and has none says so."""
    standing = ledger[TOLD_TABLE].filter(pl.col("state") == lifecycle.OPEN)["site"].value_counts()
    found = dict.fromkeys(ledger[SITE_TABLE]["site"], 0) | dict(standing.iter_rows())
    return {f"{OPEN_INCIDENTS}{site}": count for site, count in found.items()}


def _assets(context: Context) -> _Assets:
    frame = context.frame(topology.ASSET.name)
    flow = equipment(frame)
    # A number for its rows, whatever their order; it need not be the same in another release.
    told = flow.explode("feeds").hash_rows(seed=1) % 2**40
    return _Assets(effective(frame, "asset_id"), flow, int(told.sum()))
