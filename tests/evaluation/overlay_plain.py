"""What lies on an asset in the time of an alert, computed once more and plainly: from the re-timed texts alone.

Enter: an overlay, what the services wrote. Leaves: what the two say differently. Nothing of the services, of the loader
and of its mappings is used; the figures (72 h, 24 h, 30 min, so many told) are those of the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from tests.evaluation.overlay_context import Overlay
from tests.evaluation.scenario import SECOND_US, Row

HOUR_US: Final = 3600 * SECOND_US
# An order of which no end is told explains for so long; in an incident a day that is told counts as that day.
OPEN_END_US: Final = 72 * HOUR_US
DAY_US: Final = 24 * HOUR_US
# Logons so long before an incident's begin may be a cause of it; so many candidates and orders are told at most.
BEFORE_US: Final = 1800 * SECOND_US
CAUSES: Final = 5
ORDERS: Final = 24
LOGON: Final = re.compile(
    r"(\S+) (\S+) sshd\[(\d+)\]: (?:Accepted|Failed) \S+ for (?:invalid user )?(.*?) from \S+ port \d+"
)


class Logon(NamedTuple):
    """Whom it was, where and when."""

    pump: str
    time_us: int
    name: str
    user: str


def orders(overlay: Overlay) -> dict[str, list[tuple[int, str]]]:
    """Begin of the day and number of each work order, by pump."""
    found: dict[str, list[tuple[int, str]]] = {}
    for row in overlay.orders:
        day = round(datetime.fromisoformat(row["BscStartDate"]).replace(tzinfo=UTC).timestamp()) * SECOND_US
        found.setdefault(f"pump-{row['Asset']}", []).append((day, f"{row['Asset']}-{row['Number']}"))
    return found


def logons(overlay: Overlay) -> list[Logon]:
    """The logons of the log, failed ones too; `name` begins the id of the record."""
    pumps = {run.address: run.pump for run in overlay.runs}
    found = []
    for line in overlay.lines:
        if said := LOGON.match(line):
            stamp, address, process, user = said.groups()
            time_us = round(datetime.fromisoformat(stamp).timestamp()) * SECOND_US
            found.append(Logon(pumps[address], time_us, f"access:{address}/{stamp}/{process}/", user))
    return found


def alert_differences(
    alerts: Iterable[Row], known: Mapping[str, Sequence[tuple[int, str]]], overlay: Overlay
) -> list[str]:
    """Alerts whose verdict is not what the days of the work orders on their asset say.

    One that stands is known to stand as long as its pump told anything.
    """
    last = {run.pump: run.times[-1] for run in overlay.runs}
    found = []
    for row in alerts:
        begin, end = row["begin_time"], row["end_time"] or last[row["asset_id"]]
        on = {number: day for day, number in known.get(row["asset_id"], ()) if day <= begin < day + OPEN_END_US}
        over = {number for number, day in on.items() if end > day + OPEN_END_US}
        # By the day alone nothing is expected; one order that still holds is enough.
        wanted = "none" if not on else "expired" if over == on.keys() else "possible"
        reference = row["verdict_reference"]
        if row["verdict"] != wanted or (reference not in on if on else reference is not None):
            found.append(f"{row['alert_id']}: {row['verdict']} {reference}, not {wanted} of {sorted(on)}")
    return found


def incident_differences(
    incidents: Iterable[Row], known: Mapping[str, Sequence[tuple[int, str]]], log: Sequence[Logon]
) -> list[str]:
    """Incidents that name other work orders than those of their days, or other logons than those shortly before."""
    found = []
    for row in incidents:
        begin, assets = row["begin_time"], set(row["assets"])
        end = row["end_time"] or max(day for days in known.values() for day, _ in days) + DAY_US
        on = [one for asset in assets for one in known.get(asset, ()) if one[0] <= end and begin < one[0] + DAY_US]
        wanted = [number for _, number in sorted(on)][-ORDERS:]
        if row["work_orders"] != wanted:
            found.append(f"{row['incident_id']}: work orders {row['work_orders']}, not {wanted}")
        near = tuple(one.name for one in log if one.pump in assets and 0 <= begin - one.time_us <= BEFORE_US)
        told = [name for cause in row["causes"] if cause["kind"] == "it_event" for name in cause["evidence"]]
        others = [name for name in told if not name.startswith(near)] if near else told
        hidden = bool(near) and not told and len(row["causes"]) < CAUSES
        if others or hidden:
            found.append(f"{row['incident_id']}: logons {told}, not {len(near)} of {sorted(near)[:3]}")
    return found
