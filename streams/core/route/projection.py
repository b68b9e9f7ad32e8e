"""Four topics in one form. Enter: rows of an input of `route`. Leave: the same rows with the columns of evidence.

A projection is a list of expressions, one per column: flows come in thousands per second. Times are microseconds UTC.
What a topic does not tell is null, or what the contract says of records that do not tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from streams import topology
from streams.core.correlate.tables import EVIDENCE

PRIORITIES: Final = ("low", "medium", "high", "critical")
# What a column says where a topic does not; arrays are empty, all others null.
_UNTOLD: Final[Mapping[str, Any]] = {
    "revision": 1,
    "time_precision": "exact",
    "state": "event",
    "historical": False,
    "annunciated": True,
    "rule_version": 0,
    "alert_kind": "",
    "priority": "medium",
    "verdict": "none",
    "message": "",
    "response": "",
}
# What evidence of an alert has under the alert's own names.
OF_ALERT: Final = (
    *("revision", "tenant", "domain", "event_time", "begin_time", "end_time", "detection_time", "state", "reason"),
    *("historical", "annunciated", "rule_version", "priority", "work_unit", "asset_id", "asset_path", "asset_name"),
    *("zone", "criticality", "owner", "position", "signal_id", "source_id", "actors", "value", "value_string"),
    *("order_id", "product", "verdict", "verdict_by", "verdict_reference", "verdict_text", "verdict_until"),
    *("cause_alert_id", "members", "message", "response", "context_missing"),
)
# What every event (no alert) has under its own names.
_OF_EVENT: Final = ("tenant", "event_time", "time_precision")


def _named(*names: str) -> dict[str, pl.Expr]:
    return {name: pl.col(name) for name in names}


def _alert() -> dict[str, pl.Expr]:
    """An alert keeps what it says of itself; its rule is its type."""
    # Alerts from before there was an ingest time say 0; a line that is not known is none, not one that others share.
    known = pl.when(pl.col("ingest_time") > 0).then("ingest_time").otherwise("_time")
    line = pl.when(pl.col("work_center") != "").then("work_center")
    own = {"type": pl.col("rule_id"), "alert_kind": pl.col("kind"), "ingest_time": known, "work_center": line}
    return {**_named(*OF_ALERT), **own}


def _event() -> dict[str, pl.Expr]:
    """What happened at one time. It was known once it was received, or was in its topic at the latest."""
    known = pl.coalesce("ingest_time", "_time")
    times = {"begin_time": pl.col("event_time"), "detection_time": known, "ingest_time": pl.col("_time")}
    return {**_named(*_OF_EVENT), **times}


def _access() -> dict[str, pl.Expr]:
    """A logon concerns the asset that was entered; its account is the actor."""
    nobody = pl.lit([], EVIDENCE["actors"])
    account = pl.col("user")
    return {
        **_event(),
        **_named("remote", "source_address", "target_address", "source_asset_id"),
        "domain": pl.lit("it"),
        "type": pl.col("kind"),
        "asset_id": pl.col("target_asset_id"),
        "actors": pl.when(account.is_not_null()).then(pl.concat_list(account)).otherwise(nobody),
    }


def _flow() -> dict[str, pl.Expr]:
    """A flow is of the type of its service; where the sensor did not tell that, of its transport."""
    return {
        **_event(),
        **_named("end_time", "source_address"),
        "domain": pl.lit("it"),
        "type": pl.coalesce("service", "transport", pl.lit("")),
        "target_address": pl.col("destination_address"),
    }


def _alarm() -> dict[str, pl.Expr]:
    """Each transition that a source tells of an alarm. Only `active` has a duration, whose end is another record's."""
    severity = pl.col("severity").str.to_lowercase()
    return {
        **_event(),
        **_named("state", "source_id", "asset_id", "work_center", "work_unit"),
        "domain": pl.lit("process"),
        "type": pl.col("code"),
        "end_time": pl.when(pl.col("state") != "active").then("event_time"),
        # Severities are as sources tell them, in words or numbers of their own.
        "priority": pl.when(severity.is_in(PRIORITIES)).then(severity).otherwise(pl.lit(_UNTOLD["priority"])),
        "message": pl.col("text").fill_null(""),
    }


def _columns(topic: topology.Topic, kind: str, id_: str, told: Mapping[str, pl.Expr]) -> tuple[pl.Expr, ...]:
    """An expression per column of evidence, each of its type."""
    own = {
        "evidence_id": pl.format(f"{kind}:{{}}", id_),
        "kind": pl.lit(kind),
        "site": pl.col("site"),
        # As everywhere, without the deployment's prefix.
        "evidence": pl.concat_list(pl.format(f"{topic.name}/{{}}/{{}}", "_partition", "_offset")),
    }
    known = {**told, **own}
    untold: dict[str, Any] = {
        name: [] if isinstance(dtype, pl.List) else _UNTOLD.get(name) for name, dtype in EVIDENCE.items()
    }
    return tuple(
        known[name].cast(dtype).alias(name) if name in known else pl.lit(untold[name], dtype).alias(name)
        for name, dtype in EVIDENCE.items()
    )


PROJECTIONS: Final[Mapping[str, tuple[pl.Expr, ...]]] = {
    topic.name: _columns(topic, kind, id_, told)
    for topic, kind, id_, told in (
        (topology.ALERT, "alert", "alert_id", _alert()),
        (topology.ACCESS, "access", "access_id", _access()),
        (topology.FLOW, "flow", "flow_id", _flow()),
        (topology.RAW_ALARM, "alarm", "alarm_id", _alarm()),
    )
}
