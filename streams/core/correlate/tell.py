"""Incidents as records. Enter: which incidents may say something else, evidence, context. Leave: their next revisions.

Each incident is described from its members, what is near, and the context; what differs from what was told is told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from streams.core.context import Context
from streams.core.correlate import lifecycle, nearby
from streams.core.correlate.describe import describe
from streams.core.correlate.lifecycle import Found, Told
from streams.core.correlate.links import Links
from streams.core.correlate.tables import (
    EVIDENCE,
    EVIDENCE_TABLE,
    INCIDENT,
    KEY,
    MEMBER_TABLE,
    SEEN_TABLE,
    TOLD,
    TOLD_TABLE,
    Ledger,
    under,
)
from streams.core.correlate.weights import DEFAULT, Weights
from streams.core.times import FOREVER_US, NEVER_US

Revision = tuple[Told, str]


@dataclass(frozen=True)
class Teller:
    """What telling needs besides the tables. `assets`: versions by `effective`; `clocks`: event time of each site."""

    links: Links
    context: Context
    context_key: int
    assets: pl.DataFrame
    clocks: Mapping[str, int]
    now_us: int
    weights: Weights = DEFAULT

    def tell(
        self, ledger: Ledger, incidents: set[str], before: pl.DataFrame, *, context: bool = False
    ) -> list[Revision]:
        """Revisions of `incidents`, written to the tables. `before`: rows of MEMBER as they were."""
        told = told_of(ledger, incidents)
        members = ledger[MEMBER_TABLE].filter(pl.col("incident_id").is_in(list(incidents)))
        living = self._living(ledger, members)
        revisions, rows = [], []
        for incident in sorted(incidents):
            if (last := told.get(incident) or _new(incident, living)) is None:
                continue
            found = living.get(incident) or _ended(incident, before, ledger[MEMBER_TABLE])
            if last.state == lifecycle.ABSENT:
                found = _split(incident, found, before, ledger[MEMBER_TABLE])
            now, reason = lifecycle.proceed(last, found, context=context)
            if now != last:
                rows.append(now)
            if reason:
                revisions.append((now, reason))
        ledger.upsert(TOLD_TABLE, rows_of(rows))
        self._seen(ledger, sorted(living))
        return revisions

    def close(self, ledger: Ledger) -> list[Revision]:
        """Revisions of incidents that have been over for long, and that nothing else is to be said of."""
        found = []
        for row in due(ledger, self.clocks, self.links.quiet_us).rows():
            last = Told(*row)
            found.append(lifecycle.proceed(last, Found(lifecycle.OVER, last.begin_us, last.over_us)))
        ledger.upsert(TOLD_TABLE, rows_of([now for now, _ in found]))
        return found

    def _living(self, ledger: Ledger, members: pl.DataFrame) -> dict[str, Found]:
        """What there is of the incidents of `members` (rows of MEMBER)."""
        if not members.height:
            return {}
        evidence = ledger[EVIDENCE_TABLE]
        rows = (
            under(evidence, members)
            .join(members.drop("component"), on=list(KEY))
            .with_columns(end_time=pl.when(pl.col("kind") == "alarm").then("stop_us").otherwise("end_time"))
            .sort("begin_time", "evidence_id")
        )
        first_us = members["begin_us"].min()
        assert isinstance(first_us, int)
        close = evidence.filter(pl.col("event_time") >= first_us - self.links.near_us, nearby.is_near())
        near = Near(nearby.near(close, self.assets), self.links)
        return {
            str(incident): self._found(part, near)
            for (incident,), part in rows.partition_by("incident_id", as_dict=True, maintain_order=True).items()
        }

    def _found(self, part: pl.DataFrame, near: Near) -> Found:
        site, begin_us = part["site"][0], part["begin_us"][0]
        stops = part["stop_us"]
        over_us = None if stops.has_nulls() else stops.max()
        assert over_us is None or isinstance(over_us, int)
        over = over_us is not None and over_us + self.links.quiet_us <= self.clocks.get(site, NEVER_US)
        members = part.select(EVIDENCE.names())
        payload = describe(members, near.of(site, part, over_us), self.context, self.weights)
        payload["event_time"] = members["event_time"].max()
        return Found(lifecycle.OVER if over else lifecycle.STANDS, begin_us, over_us, payload)

    def _seen(self, ledger: Ledger, incidents: Sequence[str]) -> None:
        rows = [(incident, self.context_key, self.now_us) for incident in incidents]
        ledger.upsert(SEEN_TABLE, pl.DataFrame(rows, schema=SEEN_TABLE.schema, orient="row"))


class Near:
    """What is near, by site and event time (`nearby.near`)."""

    def __init__(self, rows: pl.DataFrame, links: Links) -> None:
        self._links = links
        self._none = rows.clear()
        self._of = {
            str(site): (part, part["event_time"].to_numpy())
            for (site,), part in rows.partition_by("site", as_dict=True, maintain_order=True).items()
        }

    def of(self, site: str, members: pl.DataFrame, over_us: int | None) -> pl.DataFrame:
        """What is near the incident of `members` (begin_us, sorted): `span`."""
        if site not in self._of:
            return self._none
        rows, times = self._of[site]
        begin_us, last_us = members["begin_us"][0], members["begin_us"][-1]
        until_us = FOREVER_US if over_us is None else over_us + self._links.quiet_us
        low, high = np.searchsorted(times, (begin_us - self._links.near_us, until_us + 1))
        return rows.slice(int(low), int(high - low)).filter(
            (pl.col("kind") == "alarm") | (pl.col("event_time") <= last_us)
        )


def touched(ledger: Ledger, came: pl.DataFrame, links: Links) -> set[str]:
    """Incidents that `came` (columns EVIDENCE; no members) is near to."""
    rows = came.filter(nearby.is_near())
    if not rows.height:
        return set()
    spans = (
        ledger[MEMBER_TABLE]
        .group_by("site", "incident_id")
        .agg(
            _from=pl.col("begin_us").min() - links.near_us,
            _last=pl.col("begin_us").max(),
            _until=pl.col("stop_us").fill_null(FOREVER_US - links.quiet_us).max() + links.quiet_us,
        )
    )
    event_time = pl.col("event_time")
    until = pl.when(pl.col("kind") == "alarm").then("_until").otherwise("_last")
    near = rows.select("site", "kind", event_time=nearby.happened()).unique().join(spans, on="site")
    return set(near.filter(event_time >= pl.col("_from"), event_time <= until)["incident_id"].unique())


def told_of(ledger: Ledger, incidents: set[str]) -> dict[str, Told]:
    """What was told last of these."""
    rows = ledger[TOLD_TABLE].filter(pl.col("incident_id").is_in(list(incidents))).rows()
    return {told.incident_id: told for told in (Told(*row) for row in rows)}


def rows_of(told: Sequence[Told]) -> pl.DataFrame:
    """Rows of TOLD."""
    return pl.DataFrame([tuple(one) for one in told], schema=TOLD, orient="row")


def due(ledger: Ledger, clocks: Mapping[str, int], quiet_us: int) -> pl.DataFrame:
    """Rows of TOLD that are open and, by these clocks of their sites, over for long."""
    clock = pl.DataFrame(list(clocks.items()), schema={"site": pl.String(), "_clock": pl.Int64()}, orient="row")
    return (
        ledger[TOLD_TABLE]
        .filter(pl.col("state") == lifecycle.OPEN)
        .join(clock, on="site")
        .filter(pl.col("over_us") + quiet_us <= pl.col("_clock"))
        .drop("_clock")
        .sort("incident_id")
    )


def _new(incident: str, living: Mapping[str, Found]) -> Told | None:
    """Nothing was told: of what lives now, a beginning."""
    if incident not in living:
        return None
    found = living[incident]
    assert found.payload is not None
    return Told(str(found.payload["site"]), incident)


def _where(incident_members: pl.DataFrame, present: pl.DataFrame) -> str | None:
    """The incident that the first of these members that are still there belongs to."""
    there = incident_members.sort("begin_us", "evidence_id").join(
        present.select(*KEY, _now="incident_id"), on=list(KEY), maintain_order="left"
    )
    return str(there["_now"][0]) if there.height else None


def _ended(incident: str, before: pl.DataFrame, present: pl.DataFrame) -> Found:
    """What became of an incident without members."""
    into = _where(before.filter(pl.col("incident_id") == incident), present)
    return Found(lifecycle.GONE if into is None else lifecycle.ABSORBED, 0, None, into=into)


def _split(incident: str, found: Found, before: pl.DataFrame, present: pl.DataFrame) -> Found:
    """`found` with the incident that its first member was told as a part of, where that one goes on."""
    own = present.filter(pl.col("incident_id") == incident)
    of = _where(own, before)
    goes_on = of is not None and (present["incident_id"] == of).any()
    return Found(found.what, found.begin_us, found.over_us, found.payload, of if goes_on else None, found.into)


def records(revisions: Sequence[Revision], now_us: int) -> pl.DataFrame:
    """Rows of ops.incident.v1, what ends last: whoever follows `merged_into` finds it told."""
    ordered = sorted(
        revisions, key=lambda one: (one[0].state not in lifecycle.LIVING, one[0].begin_us, one[0].incident_id)
    )
    return pl.DataFrame([_record(told, reason, now_us) for told, reason in ordered], schema=INCIDENT, orient="row")


def _record(told: Told, reason: str, now_us: int) -> dict[str, Any]:
    return {
        "repairs": [],  # what a release without them has told
        **json.loads(told.payload),
        "incident_id": told.incident_id,
        "revision": told.revision,
        "supersedes": told.revision - 1 if told.revision > 1 else None,
        "reason": reason,
        "site": told.site,
        "origin": "computed",
        "state": told.state,
        "detection_time": now_us,
        "merged_into": told.merged_into,
        "split_from": told.split_from,
    }
