"""Tables of sequences. Enter: the state of a task. Leaves: a `Book`: the tables within one step, and what changed."""

from __future__ import annotations

from typing import Final

import polars as pl

from streams.core import ledger
from streams.core.correlate.tables import EVIDENCE, KEY
from streams.core.stage import Table, Tables

# Of a piece of evidence what patterns look at, and what the alert says of its last step.
KEPT: Final = pl.Schema(
    {
        name: EVIDENCE[name]
        for name in (
            *("site", "evidence_id", "kind", "revision", "tenant", "domain", "begin_time", "detection_time"),
            *("ingest_time", "state", "historical", "type", "priority", "alert_kind", "work_center", "work_unit"),
            *("asset_id", "asset_path", "asset_name", "zone", "criticality", "owner", "position", "signal_id"),
            *("source_id", "source_address", "target_address", "actors", "remote", "value", "value_string"),
            *("order_id", "product", "evidence"),
        )
    }
)
KEPT_TABLE: Final = Table("sequence_evidence", KEPT, KEY)
_TEXT: Final = pl.String()
_TIME: Final = pl.Int64()
# Steps that were found in order. `holds`: nothing is there that must be absent; `due_us`: known from then on; `facts`:
# JSON of what is to be told; `state`: what was told last (empty: nothing), with `told`, JSON of it.
MATCH: Final = pl.Schema(
    {
        **dict.fromkeys(("alert_id", "site", "rule_id", "entity"), _TEXT),
        "last_us": _TIME,
        "due_us": _TIME,
        "holds": pl.Boolean(),
        "facts": _TEXT,
        "revision": pl.Int32(),
        "state": _TEXT,
        "told": _TEXT,
    }
)
MATCH_TABLE: Final = Table("sequence_match", MATCH, ("alert_id",))
# First and highest event time of a site, how far its clock went without evidence, when it was heard (processing time).
SITE: Final = pl.Schema({"site": _TEXT, "first_us": _TIME, "latest_us": _TIME, "clock_us": _TIME, "heard_us": _TIME})
SITE_TABLE: Final = Table("sequence_site", SITE, ("site",))
# One row: the assets and the context that matches were last compared with.
SEEN: Final = pl.Schema({"one": pl.Int8(), "assets_key": _TIME, "context_key": _TIME})
SEEN_TABLE: Final = Table("sequence_seen", SEEN, ("one",))
TABLES: Final = (KEPT_TABLE, MATCH_TABLE, SITE_TABLE, SEEN_TABLE)


class Book(ledger.Ledger):
    """The tables of this stage within one step."""

    def __init__(self, state: Tables) -> None:
        super().__init__(TABLES, state)

    def seen(self) -> tuple[int | None, int | None]:
        """(assets_key, context_key) that matches were last compared with."""
        rows = self[SEEN_TABLE].select("assets_key", "context_key").rows()
        return rows[0] if rows else (None, None)

    def remember(self, assets_key: int, context_key: int) -> None:
        """Change what matches were compared with, where it is another."""
        if self.seen() != (assets_key, context_key):
            row = {"one": 1, "assets_key": assets_key, "context_key": context_key}
            self.upsert(SEEN_TABLE, pl.DataFrame([row], schema=SEEN))
