"""The route stage. Enter: alerts, logons, flows, alarms of sources. Leave: evidence (`ops.evidence.v1`) by site.

One record in is one record out, with nothing looked up and nothing remembered: whatever is told of a site comes
together in one task of `correlate`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from streams import topology
from streams.core.context import Context
from streams.core.privacy import guarded
from streams.core.route.projection import PROJECTIONS
from streams.core.stage import Moment, Result, Table, Tables

# Alerts of this origin are made by `correlate`, which knows them already.
SEQUENCE: Final = "sequence"
# What names accounts, and is told on.
ACCOUNTS: Final = {topology.ALERT.name: "actors", topology.ACCESS.name: "user"}


class Route:
    """Records of its inputs to evidence.

    Counts: ("left_out", "sequence"), alerts that `correlate` made; ("no_site", topic), evidence without a site, which
    is kept under the site ""; ("clear_name", topic), accounts that were written past the loader and are no pseudonyms.
    `key`: of the pseudonyms that these become; without one they are left out.
    """

    tables: tuple[Table, ...] = ()

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key

    def step(
        self,
        topic: str,
        frame: pl.DataFrame,
        state: Tables,  # noqa: ARG002  # the interface: nothing is remembered, nothing looked up
        context: Context,  # noqa: ARG002
        moment: Moment,  # noqa: ARG002
    ) -> Result:
        """Route the rows of one chunk. ValueError on a topic that is no input of route."""
        if topic not in PROJECTIONS:
            raise ValueError(f"{topic}: route reads {', '.join(PROJECTIONS)} only")
        counts: dict[tuple[str, str], int] = {}
        if topic == topology.ALERT.name:
            made = frame["origin"] == SEQUENCE
            counts["left_out", SEQUENCE] = int(made.sum())
            frame = frame.filter(~made)
        if topic in ACCOUNTS:
            accounts, counts["clear_name", topic] = guarded(frame[ACCOUNTS[topic]], self._key)
            frame = frame.with_columns(accounts)
        rows = frame.select(PROJECTIONS[topic])
        counts["no_site", topic] = int((rows["site"] == "").sum())
        told = {key: count for key, count in counts.items() if count}
        return Result(out={topology.EVIDENCE.name: rows} if rows.height else {}, counts=told)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:  # noqa: ARG002  # as above
        """Time alone brings nothing about."""
        return Result()
