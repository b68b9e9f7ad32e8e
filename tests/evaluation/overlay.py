"""The overlay: every alert has its context, every incident its clocks, and no account of the log is told in clear.

SKAB, work orders of NIST and an OpenSSH log were never recorded in one plant. A replay clock lays them on one time line
(`overlay_context`), so that what comes out shows that the parts join, and says nothing of how these machines failed.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from streams import topology
from streams.core.correlate.tables import CLOCKS
from tests.evaluation import overlay_plain, replay_core
from tests.evaluation.overlay_context import Overlay, overlay
from tests.evaluation.overlay_replay import Play, Played, through_broker, through_core
from tests.evaluation.scenario import Replay, Row

NAME: Final = "overlay_skab_nist_openssh"
# What the folder of recordings must have; the two others are told where they are missing.
PLACE: Final = "skab"
# What an alert must say, or name as missing by this word.
CONTEXT: Final = {"asset_id": "asset", "owner": "asset", "position": "position", "order_id": "production_order"}
# What must be 0.
WRONG: Final = (
    "alerts_without_context",
    "incidents_without_clocks",
    "clear_names",
    "context_differences",
    "readings_unaccounted",
)
PRECISIONS: Final = ("exact", "day", "typed_later")
# Names shorter than this, and numbers, are looked for as whole values only: they are a part of many words.
WORD: Final = 3


def evaluate(place: Path, replay: Replay, say: Callable[[str], None]) -> dict[str, Any]:
    """Lay the sets beside `place` over each other and play them. Raises ReplayFailure without one of them."""
    with tempfile.TemporaryDirectory(prefix="plantweave-overlay-") as folder:
        laid = overlay(place.parent, Path(folder))
    pumps, days = len({run.pump for run in laid.runs}), len({run.day for run in laid.runs})
    say(f"{NAME}: an overlay by a replay clock: {len(laid.runs)} runs, {pumps} pumps, {days} days")
    play: Play = through_core if replay is replay_core.replay else through_broker
    return figures(laid, play(laid))


def figures(laid: Overlay, played: Played) -> dict[str, Any]:
    """Metrics, with what a user would read and what is wrong in `details`."""
    alerts = [row for row in latest(played.rows[topology.ALERT.name], "alert_id") if row["state"] != "retracted"]
    told = latest(played.rows[topology.INCIDENT.name], "incident_id")
    incidents = [row for row in told if row["state"] in {"open", "closed"}]
    repairs = [row for row in latest(played.rows[topology.KPI.name], "kpi_id") if row["kpi"] == "mttr_iso"]
    log, orders = overlay_plain.logons(laid), overlay_plain.orders(laid)
    bare = [row["alert_id"] for row in alerts if not has_context(row)]
    untold = [row["incident_id"] for row in incidents if not has_clocks(row)]
    names = clear_names({one.user for one in log}, played)
    differences = [
        *overlay_plain.alert_differences(alerts, orders, laid),
        *overlay_plain.incident_differences(incidents, orders, log),
    ]
    metrics: dict[str, Any] = {
        "readings": played.sent,
        "readings_sent_twice": played.repeated,
        "readings_unaccounted": played.sent - played.validated,
        "work_orders": len(laid.orders),
        "logons": len(log),
        **laid.left_out,
        "alerts": len(alerts),
        "alerts_without_context": len(bare),
        **_counted("alert_verdict", (row["verdict"] for row in alerts)),
        **_counted("alert_missing", (word for row in alerts for word in row["context_missing"])),
        "incidents": len(incidents),
        "incidents_open": sum(row["state"] == "open" for row in incidents),
        "incidents_without_clocks": len(untold),
        **_counted("incident_verdict", (row["verdict"] for row in incidents)),
        **_counted("clocks", (row[f"{clock}_precision"] for row in incidents for clock in CLOCKS)),
        "incidents_with_work_order": sum(bool(row["work_orders"]) for row in incidents),
        "incidents_with_logon": sum(any(one["kind"] == "it_event" for one in row["causes"]) for row in incidents),
        # Of these orders only the day is told: no repair time is calculated, and those that are left out are counted.
        "mttr_failures": sum(row["failure_events"] or 0 for row in repairs),
        "mttr_excluded": sum(row["excluded_events"] or 0 for row in repairs),
        "clear_names": len(names),
        "context_differences": len(differences),
    }
    wrong = {"bare": bare, "untold": untold, "names": names, "differences": differences}
    return metrics | {"details": {"sentences": sentences(incidents), **wrong, "clocks": _clocks(incidents)}}


def latest(rows: Iterable[Row], key: str) -> list[Row]:
    """The highest revision of each record, by its first appearance."""
    found: dict[str, Row] = {}
    for row in rows:
        if row["revision"] > found.get(row[key], {"revision": 0})["revision"]:
            found[row[key]] = row
    return list(found.values())


def has_context(alert: Row) -> bool:
    """Whether it says what is known of its place, and names what is not."""
    missing = set(alert["context_missing"])
    return all(alert[name] or word in missing for name, word in CONTEXT.items())


def has_clocks(incident: Row) -> bool:
    """Whether each clock has a time, where that is from, and a precision, or is told as absent."""
    for clock in CLOCKS:
        at, source, precision = (incident[f"{clock}_{part}"] for part in ("at", "source", "precision"))
        if (at is None, source is None) != ((precision == "absent"),) * 2:
            return False
        if at is not None and precision not in PRECISIONS:
            return False
    return True


def clear_names(names: Iterable[str], played: Played) -> list[str]:
    """Where an account of the log stands in clear: as the value of a field, as a word of a text, in the raw bytes."""
    told = {name.strip().casefold() for name in names}
    words = {name for name in told if len(name) >= WORD and not name.isdigit()}
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, sorted(words)))})(?![\w-])") if words else None
    found = set()
    for topic, rows in played.rows.items():
        for text in {text.casefold() for row in rows for text in _texts(row)}:
            if text.strip() in told:
                found.add(f"{topic}: {text}")
            if pattern is not None and (hit := pattern.search(text)):
                found.add(f"{topic}: {hit[0]}")
    for topic, records in played.raw.items():
        joined = b"\n".join(records)
        # As Avro writes a string: its length, then its bytes.
        found |= {
            f"{topic}: {name}"
            for name in names
            if len(name) > WORD and bytes([2 * len(name)]) + name.encode() in joined
        }
    return sorted(found)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, Sequence):
        for one in value:
            yield from _texts(one)


def sentences(incidents: Sequence[Row]) -> list[str]:
    """What a user reads: one for each verdict, of the incident that says most."""
    longest: dict[str, str] = {}
    for row in incidents:
        longest[row["verdict"]] = max(row["message"], longest.get(row["verdict"], ""), key=len)
    return [text for _, text in sorted(longest.items())]


def _clocks(incidents: Sequence[Row]) -> dict[str, dict[str, int]]:
    return {clock: dict(Counter(row[f"{clock}_precision"] for row in incidents)) for clock in CLOCKS}


def _counted(name: str, values: Iterable[str]) -> dict[str, int]:
    return {f"{name}_{value}": count for value, count in sorted(Counter(values).items())}
